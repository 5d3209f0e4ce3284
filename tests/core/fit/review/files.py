"""What the tests of decisions share: a real file, what it is identified as, and its state_dict."""

from pathlib import Path

import torch

from core.checkpoint import StateDict, open_checkpoint
from core.fit.identify import Identification, hints_of, identify
from core.fit.index import Lookup


def identified(lookup: Lookup, path: Path, value: object) -> tuple[Identification, StateDict]:
    torch.save(value, path)
    checkpoint = open_checkpoint(path)
    state_dict = checkpoint.state_dict()
    return identify(state_dict, lookup, hints_of(checkpoint, state_dict)), state_dict
