"""Makes records of a pickle's storages, and entries of its tensors; each is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import prod

from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.containers.sources import InMemory
from core.checkpoint.entries import (
    ITEMSIZES,
    PACKED,
    Cast,
    Nested,
    Quantized,
    Record,
    Resolve,
    Sparse,
    TensorEntry,
    make_entry,
    packed_bytes,
)
from core.checkpoint.pickles.inert import (
    Global,
    InertForm,
    InertNested,
    InertQuantized,
    InertSparse,
    InertTensor,
    InlineStorage,
    LongBytes,
    Pending,
    Storage,
    Tree,
)
from core.checkpoint.pickles.tensor_rebuilds import STORAGE_DTYPES, row_major
from core.errors import CheckpointError
from core.wording import size

MAX_EXPANSION = 64
"""The largest ratio of a tensor's bytes to those of its storage: torch's `expand` repeats elements
with stride 0. Beyond it, a tensor of more than MAX_EXPANDED bytes is refused."""

MAX_EXPANDED = 1 << 30
"""Bytes that an expanded tensor may have whatever its ratio."""

EntryMaker = Callable[[str, InertTensor], TensorEntry]
"""Makes the entry of a tensor under a key."""


def storage_of(identifier: Tree) -> Storage:
    """The storage that a persistent id of torch.save names.

    The id is ("storage", class, key, location, numel) and, in the legacy stream, (view's key,
    offset, numel) or None as a sixth item (torch/serialization.py, persistent_load). Raises
    ValueError for anything else.
    """
    view = None
    if type(identifier) is tuple and len(identifier) == 5:
        kind, storage_class, key, location, numel = identifier
    elif type(identifier) is tuple and len(identifier) == 6:
        kind, storage_class, key, location, numel, view = identifier
    else:
        raise ValueError("it has a persistent id that torch.save does not write")
    if type(storage_class) is not Global or kind not in ("storage", b"storage"):
        raise ValueError("it has a persistent id that torch.save does not write")
    dtype = STORAGE_DTYPES.get(storage_class.name)
    if dtype is None:
        raise ValueError(f"{storage_class.name} is an unknown class of storage")
    offset: Tree = 0
    if type(view) is tuple and len(view) == 3:
        _, offset, numel = view
    if type(numel) is not int or type(offset) is not int or not 0 <= numel < 1 << 62 or offset < 0:
        raise ValueError("a storage in it has an impossible size")
    if not isinstance(key, str | int) or not isinstance(location, str):
        raise ValueError("a storage in it has no name")
    return Storage(key if type(key) is str else str(key), dtype, location, numel, offset)


def storage_bytes(storage: Storage) -> int:
    """The bytes of a storage in the file, with those before a legacy view."""
    return (storage.offset + storage.numel) * ITEMSIZES[storage.dtype]


def entry_maker(record_of: Callable[[Storage], Record]) -> EntryMaker:
    """A function that makes the entry of a tensor under a key.

    `record_of` returns the record of a storage. The function raises CheckpointError for a tensor
    that reaches beyond its storage.
    """

    def entry(key: str, tensor: InertTensor) -> TensorEntry:
        if tensor.form is not None:
            return formed_entry(key, replace(tensor, form=None), tensor.form, entry)
        storage = tensor.storage
        record = None
        offset = tensor.storage_offset
        if storage is None:
            _check_numel(key, tensor)
        else:
            inline = storage if type(storage) is InlineStorage else None
            record = record_of(storage) if inline is None else inline_record(inline)
            offset += storage.offset
            _check(key, tensor, offset, record)
        return make_entry(
            key,
            tensor.dtype,
            tensor.shape,
            tensor.stride,
            offset,
            record,
            tensor.requires_grad,
            storage.location if storage is not None else "meta",
            key,
        )

    return entry


def inline_record(storage: InlineStorage) -> Record:
    """The record of a storage whose bytes are in the pickle itself."""
    data = storage.data
    source = data.source if isinstance(data, LongBytes) else InMemory(data)
    return Record(storage.key, 0, source.size, None, source, storage.big_endian)


def _check_numel(key: str, tensor: InertTensor) -> None:
    """Check a tensor without a storage, on the meta device or sparse, against torch's own limit."""
    if prod(tensor.shape) >= 1 << 63:
        raise CheckpointError(
            f"The tensor {key[:200]} has more elements than any tensor can have.",
            "The file is damaged or was made to do harm: get it again from a source you trust.",
        )


def _check(key: str, tensor: InertTensor, offset: int, record: Record) -> None:
    numel, reach = _extent(tensor.shape, tensor.stride)
    if numel == 0:
        return
    itemsize = ITEMSIZES[tensor.dtype]
    if (offset + reach) * itemsize > record.nbytes:
        raise CheckpointError(
            f"The tensor {key[:200]} reaches beyond its storage in the file.",
            "The file is damaged or was made to do harm: get it again from a source you trust.",
        )
    expanded = numel * itemsize
    if expanded > MAX_EXPANSION * record.nbytes and expanded > MAX_EXPANDED:
        raise MoreThanLoupeReads(
            f"the tensor {key[:200]} expands {size(record.nbytes)} to {size(expanded)}",
            "Save it again after calling .contiguous() on its tensors, or without this one.",
        )


@lru_cache(maxsize=4096)
def _extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, int]:
    """A tensor's number of elements, and that of its storage from its first to its last."""
    reach = 1 + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    return prod(shape), reach


def formed_entry(
    key: str,
    tensor: InertTensor,
    form: InertForm,
    plain: Callable[[str, InertTensor], TensorEntry],
) -> TensorEntry:
    """The entry of a tensor with a form.

    `plain` makes the entries of its elements and of its parts, whose keys are `key.scales`,
    `key.indices` and so on. Raises CheckpointError as `plain` does.
    """
    match form:
        case Pending(conjugate, negative, dtype):
            entry = plain(key, tensor)
            transforms: list[Cast | Resolve] = []
            if conjugate or negative:
                transforms.append(Resolve(entry.dtype, conjugate, negative))
            if dtype is not None:
                transforms.append(Cast(entry.dtype, dtype))
            return replace(entry, dtype=dtype or entry.dtype, transforms=tuple(transforms))
        case InertQuantized(scheme, scale, zero_point, axis):
            packed = tensor.dtype in PACKED
            entry = _packed(key, tensor, plain) if packed else plain(key, tensor)
            quantized = Quantized(
                scheme,
                plain(f"{key}.scales", scale) if isinstance(scale, InertTensor) else scale,
                plain(f"{key}.zero_points", zero_point)
                if isinstance(zero_point, InertTensor)
                else zero_point,
                axis,
            )
            return replace(entry, form=quantized)
        case InertSparse(layout, parts, is_coalesced):
            entries = tuple(plain(f"{key}.{name}", part) for name, part in parts.items())
            sparse = Sparse(layout, entries, is_coalesced)
            return replace(plain(key, tensor), form=sparse, location=entries[-1].location)
        case InertNested(sizes, strides, offsets):
            nested = Nested(
                plain(f"{key}.sizes", sizes),
                plain(f"{key}.strides", strides),
                plain(f"{key}.offsets", offsets),
            )
            return replace(plain(key, tensor), form=nested)


def _packed(
    key: str, tensor: InertTensor, plain: Callable[[str, InertTensor], TensorEntry]
) -> TensorEntry:
    """The entry of a tensor with several elements per byte; the record is checked for its bytes."""
    if tensor.storage_offset or tensor.stride != row_major(tensor.shape):
        raise CheckpointError(
            f"The tensor {key[:200]} is a view of elements that are smaller than a byte.",
            "Save the checkpoint again after calling .contiguous() on it.",
        )
    nbytes = packed_bytes(tensor.dtype, tensor.shape)
    entry = plain(key, replace(tensor, shape=(nbytes,), stride=(1,)))
    return replace(entry, shape=tensor.shape, stride=tensor.stride)
