"""What of a checkpoint goes into an export beside the weights: plain data, or its whole tree."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from core.checkpoint import Checkpoint, StateDict
from core.errors import StoreError
from core.export.exported import LeftOut
from core.export.plain_tree import written_tree
from core.export.pth_writer import weights_dict
from core.export.safetensors_writer import is_unicode

STATE_DICT = "state_dict"
"""Where the weights are in a file that has plain data beside them."""

TEXTS = "__metadata__"
"""Where a .safetensors has its texts."""

FORMAT = "format"
"""The name of a text by which a .safetensors says whose tensors it holds (`pt`)."""

MAX_TEXTS = 16 << 20
"""Characters of the texts in a .safetensors: its header is read as a whole."""

MAX_VALUES = 300_000
"""Values in these texts; a file may share and nest a few so that their text never ends."""


@dataclass(frozen=True, slots=True)
class KeptData:
    """A tree of plain data in which TensorEntry stand for tensors; the weights are at `path`.

    `names` say what is beside the weights, `left_out` what is not there as it was.
    """

    tree: object
    path: str
    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def weights_alone(state_dict: StateDict) -> KeptData:
    """Nothing else."""
    return KeptData(weights_dict(state_dict, {}), "", (), ())


def with_metadata(state_dict: StateDict, checkpoint: Checkpoint) -> KeptData:
    """`{"state_dict": weights, **plain data}`: no other tensor, and no state of a training."""
    data, left_out = _metadata(state_dict, checkpoint)
    tree = {STATE_DICT: weights_dict(state_dict, {}), **data}
    return KeptData(tree, STATE_DICT, tuple(map(str, data)), left_out)


def metadata_texts(
    state_dict: StateDict, checkpoint: Checkpoint
) -> tuple[dict[str, str], KeptData]:
    """The plain data as texts for a .safetensors, JSON where it is no text."""
    data, left_out = _metadata(state_dict, checkpoint)
    room = _Room()
    texts: dict[str, str] = {}
    # What is one value comes first: a list that is too long takes the room of what follows.
    for name, value in sorted(data.items(), key=lambda item: isinstance(item[1], _HOLDERS)):
        if str(name) == FORMAT:
            left_out = (*left_out, LeftOut(FORMAT, "what has a name that safetensors itself uses"))
            continue
        try:
            plain = room.jsonable(value)
        except OverflowError:
            left_out = (*left_out, LeftOut(str(name), "more than a .safetensors has texts for"))
        else:
            text = value if isinstance(value, str) else json.dumps(plain)
            if is_unicode(f"{name}{text}"):
                texts[str(name)] = text
            else:
                left_out = (*left_out, LeftOut(str(name), "a text with half a character"))
    return texts, KeptData(None, "", tuple(texts), left_out)


def whole_tree(state_dict: StateDict, checkpoint: Checkpoint) -> KeptData:
    """All that the file holds, with `state_dict` in the place of the one that it came from."""
    if checkpoint.roles.get(state_dict.path) == "optimizer":
        raise StoreError(
            f"{state_dict.path} is an optimizer's state, and has its own place in the file.",
            "Keep the weights alone, or choose the model's state_dict.",
        )
    if isinstance(checkpoint.tree, dict) and TEXTS in checkpoint.tree:
        return with_metadata(state_dict, checkpoint)
    whole = written_tree(checkpoint, state_dict, tensors=True)
    named = whole.tree if isinstance(whole.tree, dict) and whole.path else {}
    names = [str(name) for name in named]
    beside = tuple(name for name in names if not f"{whole.path}.".startswith(f"{name}."))
    return KeptData(whole.tree, whole.path, beside, whole.left_out)


def _metadata(
    state_dict: StateDict, checkpoint: Checkpoint
) -> tuple[dict[object, object], tuple[LeftOut, ...]]:
    found = written_tree(checkpoint, state_dict, tensors=False)
    left_out = found.left_out
    data: dict[object, object] = {} if found.tree is None else {"value": found.tree}
    if isinstance(found.tree, dict):
        data = dict(found.tree)
    texts = data.pop(TEXTS, None)
    if isinstance(texts, dict):
        data = {**{name: text for name, text in texts.items() if name != FORMAT}, **data}
    if STATE_DICT in data:
        left_out = (*left_out, LeftOut(STATE_DICT, "what is no tensor in the state_dict"))
        del data[STATE_DICT]
    return data, left_out


_HOLDERS = (dict, list, tuple, set)


class _Room:
    """How much more may become texts."""

    def __init__(self) -> None:
        self.values = MAX_VALUES
        self.characters = MAX_TEXTS

    def jsonable(self, value: object) -> object:
        """The value as JSON has it. Raises OverflowError where it is too much."""
        self.values -= 1
        self.characters -= len(value) if isinstance(value, str | bytes) else 0
        if self.values < 0 or self.characters < 0:
            raise OverflowError
        if isinstance(value, dict):
            return {str(name): self.jsonable(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.jsonable(item) for item in value]
        if isinstance(value, set):
            return sorted(map(str, value))
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return str(value)
