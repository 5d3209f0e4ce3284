"""What an export contains besides the weights: plain data, or a checkpoint's whole tree."""

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
"""The key of the weights in a file that also contains plain data."""

TEXTS = "__metadata__"
"""The key of the texts in the header of a .safetensors."""

FORMAT = "format"
"""The name of the text in which a .safetensors states the framework of its tensors (`pt`)."""

MAX_TEXTS = 16 << 20
"""The most characters of the texts in a .safetensors: its header is read as a whole."""

MAX_VALUES = 300_000
"""The most values in these texts: shared values, nested, could make a text that never ends."""


@dataclass(frozen=True, slots=True)
class KeptData:
    """A tree of plain data with TensorEntry in place of tensors; the weights are at `path`.

    `names` are the names of what it contains besides the weights; `left_out` are the values that it
    does not contain as they were.
    """

    tree: object
    path: str
    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def weights_alone(state_dict: StateDict) -> KeptData:
    """The weights, and nothing else."""
    return KeptData(weights_dict(state_dict, {}), "", (), ())


def with_metadata(state_dict: StateDict, checkpoint: Checkpoint) -> KeptData:
    """`{"state_dict": weights, **plain data}`, without other tensors and training state."""
    data, left_out = _metadata(state_dict, checkpoint)
    tree = {STATE_DICT: weights_dict(state_dict, {}), **data}
    return KeptData(tree, STATE_DICT, tuple(map(str, data)), left_out)


def metadata_texts(
    state_dict: StateDict, checkpoint: Checkpoint
) -> tuple[dict[str, str], KeptData]:
    """The plain data as texts for a .safetensors; a value that is not a text is JSON."""
    data, left_out = _metadata(state_dict, checkpoint)
    room = _Room()
    texts: dict[str, str] = {}
    # Single values first: a long list might use up the room for what follows it.
    for name, value in sorted(data.items(), key=lambda item: isinstance(item[1], _CONTAINERS)):
        if str(name) == FORMAT:
            left_out = (*left_out, LeftOut(FORMAT, "a name that safetensors itself uses"))
            continue
        try:
            plain = room.jsonable(value)
        except OverflowError:
            left_out = (*left_out, LeftOut(str(name), "too much for a .safetensors' texts"))
        else:
            text = value if isinstance(value, str) else json.dumps(plain)
            if is_unicode(f"{name}{text}"):
                texts[str(name)] = text
            else:
                left_out = (*left_out, LeftOut(str(name), "a text with half a character"))
    return texts, KeptData(None, "", tuple(texts), left_out)


def whole_tree(state_dict: StateDict, checkpoint: Checkpoint) -> KeptData:
    """All that the file contains, with `state_dict` in place of the one that it came from."""
    if checkpoint.roles.get(state_dict.path) == "optimizer":
        raise StoreError(
            f"{state_dict.path} is an optimizer's state, which has its own place in the file.",
            "Keep the weights alone, or choose the model's state_dict.",
        )
    if isinstance(checkpoint.tree, dict) and TEXTS in checkpoint.tree:
        return with_metadata(state_dict, checkpoint)
    whole = written_tree(checkpoint, state_dict, tensors=True)
    named = whole.tree if isinstance(whole.tree, dict) and whole.path else {}
    names = [str(name) for name in named]
    others = tuple(name for name in names if not f"{whole.path}.".startswith(f"{name}."))
    return KeptData(whole.tree, whole.path, others, whole.left_out)


def _metadata(
    state_dict: StateDict, checkpoint: Checkpoint
) -> tuple[dict[object, object], tuple[LeftOut, ...]]:
    written = written_tree(checkpoint, state_dict, tensors=False)
    left_out = written.left_out
    data: dict[object, object] = {} if written.tree is None else {"value": written.tree}
    if isinstance(written.tree, dict):
        data = dict(written.tree)
    texts = data.pop(TEXTS, None)
    if isinstance(texts, dict):
        data = {**{name: text for name, text in texts.items() if name != FORMAT}, **data}
    if STATE_DICT in data:
        left_out = (*left_out, LeftOut(STATE_DICT, "values in the state_dict that are not tensors"))
        del data[STATE_DICT]
    return data, left_out


_CONTAINERS = (dict, list, tuple, set)
"""The types of values that contain others."""


class _Room:
    """How many more values and characters the texts may have."""

    def __init__(self) -> None:
        self.values = MAX_VALUES
        self.characters = MAX_TEXTS

    def jsonable(self, value: object) -> object:
        """The value in JSON's types. Raises OverflowError if there is no room for it."""
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
