"""The layouts of tensors that are not one run of strided elements: their names and parts."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint.entries import (
    ITEMSIZES,
    PACKED,
    Derived,
    Nested,
    Pieces,
    Quantized,
    Sparse,
    TensorEntry,
)
from core.wording import count, counted

STRIDED = "strided"
"""The layout of an ordinary tensor."""


def layout(entry: TensorEntry) -> str:
    """The layout as a table shows it, such as `strided`, `sparse_csr`, `quantized`, `4 pieces`."""
    match entry.form:
        case None:
            return STRIDED
        case Quantized():
            return "quantized"
        case Sparse(layout=name):
            return name
        case Nested():
            return "nested"
        case Pieces(pieces):
            return counted(len(pieces), "piece")
        case Derived():
            return "computed"


def lies_in_order(entry: TensorEntry, *, unchanged: bool = False) -> bool:
    """Whether the elements lie in the record one after another, in C order and without gaps.

    Integers that are smaller than a byte do not. `unchanged` asks also whether the tensor has no
    form and its bytes are its values': little-endian, and not read through a transform.
    """
    record = entry.record
    if record is None or not entry.is_contiguous or entry.stored_dtype in PACKED:
        return False
    if not unchanged:
        return True
    swapped = record.big_endian and ITEMSIZES[entry.stored_dtype] > 1
    return entry.form is None and not entry.transforms and not swapped


def stored_values(entry: TensorEntry) -> TensorEntry:
    """The strided entry of the elements that the file contains.

    It is a sparse tensor's values and a nested tensor's buffer, with the tensor's key and
    transforms; any other tensor is returned as it is.
    """
    match entry.form:
        case Sparse(_, components):
            return _with_transforms(components[-1], entry)
        case Nested():
            return replace(entry, form=None)
        case _:
            return entry


def parts(entry: TensorEntry) -> tuple[TensorEntry, ...]:
    """The strided entries that make up a tensor, its values first.

    The parts of a computed tensor are those that it is computed from. A scale or zero point that is
    one number has no bytes, so it is not a part but belongs to the `arrangement`. Two tensors with
    equal parts and equal arrangements are equal.
    """
    match entry.form:
        case Quantized(_, scale, zero_point):
            rest = tuple(part for part in (scale, zero_point) if isinstance(part, TensorEntry))
            return entry, *rest
        case Sparse(_, components):
            return stored_values(entry), *components[:-1]
        case Nested(sizes, strides, offsets):
            return stored_values(entry), sizes, strides, offsets
        case Pieces(pieces):
            return tuple(_with_transforms(piece.entry, entry) for piece in pieces)
        case Derived(_, components):
            return tuple(part for component in components for part in parts(component))
        case None:
            return (entry,)


def _with_transforms(part: TensorEntry, whole: TensorEntry) -> TensorEntry:
    """The part with the key and dtype of the whole, its elements read through both transforms."""
    transforms = (*part.transforms, *whole.transforms)
    return replace(part, key=whole.key, dtype=whole.dtype, transforms=transforms)


def arrangement(entry: TensorEntry) -> tuple[object, ...]:
    """The facts on a tensor that are in no record, such as its layout and a single scale.

    Where they differ, two tensors cannot be compared part by part.
    """
    match entry.form:
        case Quantized(scheme, scale, zero_point, axis):
            numbers = [None if isinstance(n, TensorEntry) else n for n in (scale, zero_point)]
            return "quantized", scheme, axis, *numbers
        case Sparse(layout=name):
            return name, *(part.shape for part in parts(entry))
        case Nested():
            return "nested", *(part.shape for part in parts(entry))
        case Pieces(pieces):
            return STRIDED, *((piece.offsets, piece.entry.shape) for piece in pieces)
        case Derived(operation, components):
            computed = operation, entry.transforms, *map(arrangement, components)
            return STRIDED, computed, *(part.shape for part in parts(entry))
        case None:
            return (STRIDED,)


def numbers_note(entry: TensorEntry) -> str | None:
    """A sentence on what a tensor's statistics are computed from; None for its own elements."""
    match entry.form:
        case Quantized(scheme, scale):
            parameters = "scale and zero point"
            if isinstance(scale, TensorEntry):
                parameters = "scales and zero points"
            return (
                f"A quantized tensor ({scheme}): the statistics are of its integers with their "
                f"{parameters} applied, as .dequantize() computes them."
            )
        case Sparse(layout=name):
            stored = stored_values(entry).numel
            rest = max(0, entry.numel - stored)
            return (
                f"A {name} tensor: the statistics are of the {counted(stored, 'value')} that the "
                f"file contains; the other {counted(rest, 'element')} "
                f"{'is zero and' if rest == 1 else 'are zeros that are'} not stored."
            )
        case Nested(sizes):
            rows = sizes.shape[0] if sizes.shape else 0
            return (
                "A nested tensor: the statistics are of the buffer that contains its "
                f"{count(rows)} rows of different shapes."
            )
        case _:
            return None


def parts_bytes(entry: TensorEntry) -> int:
    """Bytes of the stored elements: the size of the tensor in a file of its own."""
    if isinstance(entry.form, Quantized | Nested | Derived):
        return entry.nbytes
    return sum(part.numel * ITEMSIZES[part.stored_dtype] for part in parts(entry))
