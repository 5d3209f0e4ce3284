"""Which tensors of a state_dict are checked, for what, and which are not, with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.checkpoint import NUMBERLESS, Nested, Quantized, Sparse, StateDict, TensorEntry
from core.health.element_facts import Channels
from core.health.health import Skipped
from core.keys import BATCH_COUNTER, COMPUTED, STATISTICS, ModuleKind, module_kinds

ROWS_ARE_OUTPUTS = (ModuleKind.CONV, ModuleKind.LINEAR, ModuleKind.ATTENTION, ModuleKind.HEAD)
"""Kinds of modules whose weights have output channels. An embedding's rows are words or places, and
one of zeros is its padding."""

WEIGHT = re.compile(r"weight(_orig)?|in_proj_weight|kernel")
"""The last part of the key of such a weight."""

MASK = re.compile(r"(\w*_)?mask(_\d+)?|masked_bias")
"""The last part of the key of a mask, but not of a `mask_token`, which is learned. The mask of
GPT-2's attention has the value `masked_bias`, and pruning leaves a `weight_mask`
(torch/nn/utils/prune.py)."""

MOST_CHANNELS = 1 << 20
"""The most output channels along a second dimension: each takes a byte of memory, in whatever
shape a file states."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A tensor that is checked.

    `channels` are its output channels, None where it has none or nothing says where they are.
    `mask` is the tensor that it is multiplied with when the model runs. `is_mask` says that it is a
    mask, or computed from sizes.
    """

    entry: TensorEntry
    kind: ModuleKind
    channels: Channels | None = None
    mask: TensorEntry | None = None
    is_mask: bool = False

    @property
    def key(self) -> str:
        """The tensor's key."""
        return self.entry.key

    @property
    def leaf(self) -> str:
        """The last part of the key."""
        return self.key.rpartition(".")[2]

    @property
    def is_statistic(self) -> bool:
        """Whether it is one of the buffers that BatchNorm updates in train mode."""
        return self.leaf in STATISTICS

    @property
    def is_variance(self) -> bool:
        """Whether it has BatchNorm's running variances."""
        return self.leaf == "running_var" and not self.entry.dtype.startswith("complex")


@dataclass(frozen=True, slots=True)
class Subjects:
    """The tensors of a state_dict in three parts, each in its order.

    `checked` are read. No check is about the `exempt` ones: they have no elements, or are counters
    and indices. Nothing is known of the `unchecked` ones.
    """

    checked: tuple[Subject, ...]
    exempt: tuple[Skipped, ...]
    unchecked: tuple[Skipped, ...]


def subjects_of(state_dict: StateDict) -> Subjects:
    """Divide the tensors of a state_dict by whether they can be checked; reads none."""
    kinds = module_kinds({key: entry.shape for key, entry in state_dict.items()})
    checked: list[Subject] = []
    exempt: list[Skipped] = []
    unchecked: list[Skipped] = []
    for key, entry in state_dict.items():
        if reason := _exempt(entry):
            exempt.append(Skipped(key, reason))
        elif reason := _unreadable(entry):
            unchecked.append(Skipped(key, reason))
        else:
            checked.append(_subject(entry, kinds[key], state_dict))
    return Subjects(tuple(checked), tuple(exempt), tuple(unchecked))


def _exempt(entry: TensorEntry) -> str:
    """Why no check is about a tensor; empty where one is."""
    leaf = entry.key.rpartition(".")[2]
    if isinstance(entry.form, Sparse | Nested):
        return ""
    if not entry.numel:
        return "no elements"
    if entry.dtype == "bool":
        return "a mask of booleans"
    if not _is_integer(entry):
        return ""
    if leaf == BATCH_COUNTER:
        return "a counter of batches"
    if leaf in COMPUTED:
        return "indices"
    return "a single integer" if entry.numel == 1 else ""


def _unreadable(entry: TensorEntry) -> str:
    """Why nothing can be said of a tensor; empty where it can be read as numbers."""
    if isinstance(entry.form, Sparse):
        return f"sparse ({entry.form.layout})"
    if isinstance(entry.form, Nested):
        return "nested"
    if not entry.records:
        return "on the meta device, without data"
    if entry.dtype in NUMBERLESS:
        return f"elements that are no numbers ({entry.dtype})"
    if isinstance(entry.form, Quantized):
        return ""
    if entry.dtype.startswith(("quint", "qint")):
        return f"quantized ({entry.dtype}), without its scales in the file"
    return f"integers ({entry.dtype}), which may be packed weights" * _is_integer(entry)


def _is_integer(entry: TensorEntry) -> bool:
    return entry.dtype.startswith(("int", "uint"))


def _subject(
    entry: TensorEntry, kind: ModuleKind, state_dict: Mapping[str, TensorEntry]
) -> Subject:
    module, dot, leaf = entry.key.rpartition(".")
    is_mask = leaf in COMPUTED or MASK.fullmatch(leaf) is not None
    channels = mask = None
    if len(entry.shape) > 1 and kind in ROWS_ARE_OUTPUTS and WEIGHT.fullmatch(leaf):
        of_bias = leaf.removesuffix("_orig").replace("weight", "bias").replace("kernel", "bias")
        bias = state_dict.get(f"{module}{dot}{of_bias}")
        channels = _channels(entry.shape, None if bias is None else bias.shape)
        if leaf.endswith("_orig"):
            mask = state_dict.get(f"{module}{dot}{leaf.removesuffix('orig')}mask")
            if mask is None or mask.shape != entry.shape or _unreadable(mask):
                channels = mask = None
    return Subject(entry, kind, channels, mask, is_mask)


def _channels(shape: tuple[int, ...], bias: tuple[int, ...] | None) -> Channels | None:
    """Where the output channels of a weight are: along its first dimension, unless a bias has the
    length of the second alone.

    That is so in transposed convolutions and in the Conv1D of GPT-2 (transformers). A bias of
    neither length says that the weight is none of these layers.
    """
    if bias is None or bias == shape[:1]:
        return Channels(0, shape)
    if bias == shape[1:2] and shape[1] <= MOST_CHANNELS:
        return Channels(1, shape)
    return None
