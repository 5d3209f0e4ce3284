"""Compares every tensor of a loaded model with the value that the file and the recipe give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from core.checkpoint import Derived, StateDict, TensorEntry
from core.progress import Report, ignore
from core.tensors import chunks

CHUNK = 16 << 20
"""The most bytes of a tensor that are read at once."""


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """The keys of a loaded model's tensors by where their values come from.

    `from_file` are those that hold the bits of the file's tensor, `converted` of these those whose
    floats loading converted to the model's dtype, and `computed` those that hold what the recipe
    computes. `by_model` are the tensors that the model's own code set. `differing` hold other
    values than they should. `not_finite` contain NaN or infinite values, wherever they are from.
    """

    from_file: tuple[str, ...]
    converted: tuple[str, ...]
    computed: tuple[str, ...]
    by_model: tuple[str, ...]
    differing: tuple[str, ...]
    not_finite: tuple[str, ...]


def check_values(
    model: nn.Module, repaired: StateDict, original: StateDict, progress: Report = ignore
) -> ValueCheck:
    """Compare, bit by bit, a model on the CPU with the entries that should have filled it.

    `original` is the file's own state_dict, from which the recipe made `repaired`. One chunk of a
    tensor is in memory at a time, or all of a tensor that the recipe computes. `progress` counts
    bytes. Raises what reading a tensor raises.
    """
    from_file, converted, computed, differing = [], [], [], []
    tensors = _named_tensors(model)
    entries = [repaired[key] for key in tensors if key in repaired]
    total, done = sum(entry.nbytes for entry in entries), 0
    for entry in entries:
        tensor = tensors[entry.key]
        if not _holds(tensor, entry):
            differing.append(entry.key)
        elif _is_unchanged(entry, original):
            from_file.append(entry.key)
            if entry.dtype != str(tensor.dtype).removeprefix("torch."):
                converted.append(entry.key)
        else:
            computed.append(entry.key)
        done += entry.nbytes
        progress(done, total, f"Checking {entry.key}")
    return ValueCheck(
        tuple(from_file),
        tuple(converted),
        tuple(computed),
        tuple(key for key in tensors if key not in repaired),
        tuple(differing),
        tuple(key for key, tensor in tensors.items() if not _is_finite(tensor)),
    )


def _named_tensors(model: nn.Module) -> Mapping[str, torch.Tensor]:
    """Every parameter and buffer by its key; a tensor with two names has both."""
    return {
        name: tensor.detach()
        for tensors in (model.named_parameters, model.named_buffers)
        for name, tensor in tensors(remove_duplicate=False)
    }


def _holds(tensor: torch.Tensor, entry: TensorEntry) -> bool:
    """Whether a tensor has the entry's shape and, in its own dtype, the bits of the elements."""
    if tuple(tensor.shape) != entry.shape:
        return False
    flat, start = tensor.reshape(-1), 0
    for chunk in chunks(entry, CHUNK):
        part = flat[start : start + chunk.numel()]
        if not torch.equal(_bits(part), _bits(chunk.to(tensor.dtype))):
            return False
        start += chunk.numel()
    return start == tensor.numel()


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of a 1-D tensor: NaN equals NaN there, and −0 differs from 0."""
    return tensor.contiguous().view(torch.uint8)


def _is_finite(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def source_key(entry: TensorEntry) -> str:
    """The entry's key in the file."""
    return entry.origin or entry.key


def _is_unchanged(entry: TensorEntry, original: StateDict) -> bool:
    """Whether an entry is the file's tensor itself, perhaps under another key."""
    before = original.get(source_key(entry))
    return before is not None and nameless(entry) == nameless(before)


def nameless(entry: TensorEntry) -> TensorEntry:
    """The entry without its names: equal for the same elements of the same file."""
    return replace(entry, key="", origin="")


def used_keys(entry: TensorEntry) -> frozenset[str]:
    """The file's keys that an entry is read from; none if it is the same number everywhere."""
    if isinstance(entry.form, Derived):
        return frozenset().union(*(used_keys(part) for part in entry.form.parts))
    return frozenset((source_key(entry),))
