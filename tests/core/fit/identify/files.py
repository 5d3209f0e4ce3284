"""What the tests of identifying share: a real file, what it is told to be, transformers' models."""

from pathlib import Path

import torch
import transformers
from torch import nn

from core.checkpoint import open_checkpoint
from core.fit.identify import Identification, hints_of, identify
from core.fit.index import Lookup
from tests.core.fit.align.models import varied


def told(lookup: Lookup, path: Path, value: object) -> Identification:
    torch.save(value, path)
    checkpoint = open_checkpoint(path)
    state_dict = checkpoint.state_dict()
    return identify(state_dict, lookup, hints_of(checkpoint, state_dict))


def classifier(name: str, **options: object) -> nn.Module:
    """A model of transformers, such as `ViT`, with seven classes and every tensor apart."""
    config = getattr(transformers, f"{name}Config")(num_labels=7, **options)
    return varied(getattr(transformers, f"{name}ForImageClassification")(config))
