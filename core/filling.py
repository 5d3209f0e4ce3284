"""A file's bytes into the tensors of a model that is built and placed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from heapq import nlargest
from typing import TypeAlias

import torch
from torch import nn

from core.checkpoint.entries import Derived, TensorEntry
from core.checkpoint.operations import Joined
from core.checkpoint.tensors import CONVERT_BYTES, read_tensor_into
from core.staging import Done, Staging, fill_staged

Target: TypeAlias = tuple[TensorEntry, torch.Tensor]

MAX_READERS = 4
"""Threads that read at once; more do not make the disk or the memory faster."""


def own_tensors(model: nn.Module) -> Mapping[str, torch.Tensor]:
    """The parameters and buffers of its state_dict: not what a module's code makes for it, and
    would have to take out again (`get_extra_state`)."""
    own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    tensors = model.state_dict(keep_vars=True)
    return {key: tensor for key, tensor in tensors.items() if id(tensor) in own}


def kept_keys(model: nn.Module, filled: Collection[str]) -> list[str]:
    """The keys of its tensors that keep their values where these keys are filled; a tensor with
    two names is filled under both."""
    tensors = own_tensors(model)
    memory = {_memory(tensors[key]) for key in filled if key in tensors}
    return [
        key
        for key, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, torch.Tensor)
        and (key not in tensors or _memory(tensors[key]) not in memory)
    ]


def targets_of(model: nn.Module, entries: Iterable[TensorEntry]) -> list[Target]:
    """The model's tensors with the entries that fill them, which come in the model's order: of
    several for one tensor the last, as with load_state_dict."""
    tensors = own_tensors(model)
    targets: dict[object, Target] = {}
    for entry in entries:
        if entry.key in tensors:
            tensor = tensors[entry.key]
            targets.pop(_memory(tensor), None)
            targets[_memory(tensor)] = entry, tensor.detach()
    return list(targets.values())


def _memory(tensor: torch.Tensor) -> object:
    """Equal for two tensors that are the same elements of the same memory."""
    if not tensor.numel():
        return id(tensor)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def bytes_beside(entries: Iterable[tuple[TensorEntry, str]]) -> int:
    """What reading these entries into tensors of these dtypes on the CPU takes beside the tensors,
    at most."""
    return sum(nlargest(MAX_READERS, (_beside(entry, dtype) for entry, dtype in entries)))


def _beside(entry: TensorEntry, dtype: str) -> int:
    """Views of strides, and what a fix derives from several, are there as a whole, with what they
    come from."""
    if isinstance(entry.form, Derived) and entry.form.operation == Joined():
        return max(_beside(part, dtype) for part in entry.form.parts)
    if isinstance(entry.form, Derived) or not entry.is_contiguous:
        return 2 * entry.nbytes
    straight = entry.form is None and not entry.transforms and entry.dtype == dtype
    return 0 if straight else min(2 * entry.nbytes, 2 * CONVERT_BYTES)


def fill(targets: Sequence[Target], device: str, done: Done) -> None:
    """Read each entry into its tensor on the device, several at a time.

    `done(entry, nbytes)` is called in the caller's thread and may raise to cancel. Raises as
    read_tensor does.
    """
    readers = min(MAX_READERS, os.cpu_count() or 1)
    if device == "cpu":
        _fill_straight(targets, readers, done)
    else:
        total = sum(entry.nbytes for entry, _ in targets)
        fill_staged(targets, Staging(device, total), readers, done)


def _fill_straight(targets: Sequence[Target], readers: int, done: Done) -> None:
    with ThreadPoolExecutor(readers, thread_name_prefix="loupe-load") as pool:
        waiting = {pool.submit(_read, group): group for group in _apart(targets)}
        try:
            for future in as_completed(waiting):
                future.result()
                for entry, _ in waiting[future]:
                    done(entry, entry.nbytes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _apart(targets: Sequence[Target]) -> list[list[Target]]:
    """Groups that share no memory, the largest first; one that does is filled in the model's
    order."""
    groups: dict[int, list[Target]] = {}
    for entry, tensor in targets:
        groups.setdefault(tensor.untyped_storage().data_ptr(), []).append((entry, tensor))
    return sorted(groups.values(), key=lambda group: -sum(entry.nbytes for entry, _ in group))


def _read(group: Sequence[Target]) -> None:
    for entry, tensor in group:
        read_tensor_into(entry, tensor)
