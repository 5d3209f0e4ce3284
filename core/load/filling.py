"""Reads a file's bytes into the tensors of a model that is built and on its device."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from heapq import nlargest
from typing import TypeAlias

import torch
from torch import nn

from core.checkpoint import Derived, Joined, TensorEntry
from core.load.staging import Done, Staging, fill_staged
from core.tensors import CONVERT_BYTES, read_tensors_into

Target: TypeAlias = tuple[TensorEntry, torch.Tensor]

MAX_READERS = 4
"""The most threads that read at once; more do not make the disk or the memory faster."""

BATCH_BYTES = 1 << 20
"""Small tensors are read in batches of this size: handing one to a thread takes longer than
reading it."""


def targets_of(
    model: nn.Module, entries: Iterable[TensorEntry]
) -> tuple[list[Target], Collection[str]]:
    """The model's tensors with the entries that fill them, and the keys of all filled tensors.

    `entries` are in the model's order: if several fill one tensor, the last one does, as in
    `load_state_dict`. A filled tensor with two names counts with both keys.
    """
    tensors = _own_tensors(model)
    places = {key: _place(tensor) for key, tensor in tensors.items()}
    targets: dict[object, Target] = {}
    for entry in entries:
        if entry.key in places:
            place = places[entry.key]
            targets.pop(place, None)
            targets[place] = entry, tensors[entry.key].detach()
    return list(targets.values()), {key for key, place in places.items() if place in targets}


def _own_tensors(model: nn.Module) -> Mapping[str, torch.Tensor]:
    """The parameters and buffers of the model's state_dict, without `get_extra_state`.

    Extra state is made by the module's own code, and only that code could load it again.
    """
    own = {
        id(tensor)
        for module in model.modules()
        for tensor in (*module._parameters.values(), *module._buffers.values())
        if tensor is not None
    }
    tensors = model.state_dict(keep_vars=True)
    return {key: tensor for key, tensor in tensors.items() if id(tensor) in own}


def _place(tensor: torch.Tensor) -> object:
    """Equal for two tensors that are the same elements in the same memory."""
    if not tensor.numel():
        return id(tensor)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def temporary_bytes(entries: Iterable[tuple[TensorEntry, str]]) -> int:
    """The most bytes that reading the entries takes on the CPU, besides the tensors themselves.

    `entries` are pairs of an entry and the dtype of its tensor.
    """
    return sum(nlargest(MAX_READERS, (_temporary(entry, dtype) for entry, dtype in entries)))


def _temporary(entry: TensorEntry, dtype: str) -> int:
    if isinstance(entry.form, Derived) and entry.form.operation == Joined():
        return max(_temporary(part, dtype) for part in entry.form.parts)
    # A strided view, and a tensor that a fix computes, are in memory whole, next to their source.
    if isinstance(entry.form, Derived) or not entry.is_contiguous:
        return 2 * entry.nbytes
    straight = entry.form is None and not entry.transforms and entry.dtype == dtype
    return 0 if straight else min(2 * entry.nbytes, 2 * CONVERT_BYTES)


def fill(targets: Sequence[Target], device: str, done: Done) -> None:
    """Read each entry into its tensor on the device, several at a time.

    `done(entry, nbytes)` is called in the caller's thread, and may raise to cancel. Raises what
    `read_tensor` raises.
    """
    readers = min(MAX_READERS, os.cpu_count() or 1)
    if device == "cpu":
        _fill_straight(targets, readers, done)
    else:
        fill_staged(targets, Staging(device, _nbytes(targets)), readers, done)


def _fill_straight(targets: Sequence[Target], readers: int, done: Done) -> None:
    with ThreadPoolExecutor(readers, thread_name_prefix="loupe-load") as pool:
        waiting = {pool.submit(read_tensors_into, batch): batch for batch in _batches(targets)}
        try:
            for future in as_completed(waiting):
                future.result()
                for entry, _ in waiting[future]:
                    done(entry, entry.nbytes)
        except BaseException:  # also a cancel: no further batch is read
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _batches(targets: Sequence[Target]) -> Iterator[list[Target]]:
    """The large tensors first and alone, then the small ones together in the file's order.

    Tensors that share memory are in one batch, in the model's order.
    """
    groups: dict[int, list[Target]] = {}
    for entry, tensor in targets:
        groups.setdefault(tensor.untyped_storage().data_ptr(), []).append((entry, tensor))
    sized = [(_nbytes(group), group) for group in groups.values()]
    large = [pair for pair in sized if pair[0] > BATCH_BYTES]
    for _, group in sorted(large, key=lambda pair: -pair[0]):
        yield group
    batch: list[Target] = []
    size = 0
    small = [pair for pair in sized if pair[0] <= BATCH_BYTES]
    for nbytes, group in sorted(small, key=lambda pair: _place_in_file(pair[1][0][0])):
        if batch and size + nbytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch += group
        size += nbytes
    if batch:
        yield batch


def _place_in_file(entry: TensorEntry) -> tuple[int, int]:
    record = entry.record
    return (id(record.source), record.offset + entry.storage_offset) if record else (0, 0)


def _nbytes(targets: Sequence[Target]) -> int:
    return sum(entry.nbytes for entry, _ in targets)
