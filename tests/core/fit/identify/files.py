"""What the tests of identifying share: a real file, and what it is told to be."""

from pathlib import Path

import torch

from core.checkpoint import open_checkpoint
from core.fit.identify import Identification, hints_of, identify
from core.fit.index import Lookup


def told(lookup: Lookup, path: Path, value: object) -> Identification:
    torch.save(value, path)
    checkpoint = open_checkpoint(path)
    state_dict = checkpoint.state_dict()
    return identify(state_dict, lookup, hints_of(checkpoint, state_dict))
