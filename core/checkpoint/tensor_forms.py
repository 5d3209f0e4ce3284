"""Entries of tensors that are more than one run of strided elements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.checkpoint.entries import (
    PACKED,
    Cast,
    Nested,
    Quantized,
    Resolve,
    Sparse,
    TensorEntry,
    packed_bytes,
)
from core.checkpoint.inert import (
    InertForm,
    InertNested,
    InertQuantized,
    InertSparse,
    InertTensor,
    Pending,
)
from core.checkpoint.tensor_rebuilds import row_major
from core.errors import CheckpointError


def formed_entry(
    key: str,
    tensor: InertTensor,
    form: InertForm,
    plain: Callable[[str, InertTensor], TensorEntry],
) -> TensorEntry:
    """A tensor with its form; `plain` makes the entries of its elements and of its parts, whose
    keys are `key.scales`, `key.indices` and so on. Raises CheckpointError as `plain` does."""
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
    """Elements of less than a byte: the record is checked for their bytes."""
    if tensor.storage_offset or tensor.stride != row_major(tensor.shape):
        raise CheckpointError(
            f"The tensor {key[:200]} is a view of elements that are smaller than a byte.",
            "Save the checkpoint again after calling .contiguous() on it.",
        )
    nbytes = packed_bytes(tensor.dtype, tensor.shape)
    entry = plain(key, replace(tensor, shape=(nbytes,), stride=(1,)))
    return replace(entry, shape=tensor.shape, stride=tensor.stride)
