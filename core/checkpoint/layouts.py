"""What a tensor is beside one run of strided elements: its layout in words, and its parts."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint.entries import (
    ITEMSIZES,
    Derived,
    Nested,
    Pieces,
    Quantized,
    Sparse,
    TensorEntry,
)

STRIDED = "strided"
"""The layout of an ordinary tensor."""


def layout(entry: TensorEntry) -> str:
    """The layout in a word or two: `strided`, `sparse_csr`, `quantized`, `4 pieces`, `computed`."""
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
            return f"{len(pieces):,} piece{'s' if len(pieces) != 1 else ''}"
        case Derived():
            return "computed"


def stored_values(entry: TensorEntry) -> TensorEntry:
    """The strided entry of the elements that the file holds.

    A sparse tensor's values and a nested one's buffer, with the tensor's own key and transforms;
    every other tensor is its own.
    """
    match entry.form:
        case Sparse(_, held):
            return _with_transforms(held[-1], entry)
        case Nested():
            return replace(entry, form=None)
        case _:
            return entry


def parts(entry: TensorEntry) -> tuple[TensorEntry, ...]:
    """The strided entries that make up a tensor, its values first; equal parts, equal tensor.

    Those of a computed one are what it is computed from.

    Scales that are one number have no bytes, and are no part: see `scales`.
    """
    match entry.form:
        case Quantized(_, scale, zero_point):
            rest = tuple(part for part in (scale, zero_point) if isinstance(part, TensorEntry))
            return entry, *rest
        case Sparse(_, held):
            return stored_values(entry), *held[:-1]
        case Nested(sizes, strides, offsets):
            return stored_values(entry), sizes, strides, offsets
        case Pieces(pieces):
            return tuple(_with_transforms(piece.entry, entry) for piece in pieces)
        case Derived(_, held):
            return tuple(part for whole in held for part in parts(whole))
        case None:
            return (entry,)


def _with_transforms(part: TensorEntry, whole: TensorEntry) -> TensorEntry:
    """A part whose elements are read as the whole's are."""
    transforms = (*part.transforms, *whole.transforms)
    return replace(part, key=whole.key, dtype=whole.dtype, transforms=transforms)


def arrangement(entry: TensorEntry) -> tuple[object, ...]:
    """What of a tensor lies in no record: where it differs, two tensors cannot be compared part
    by part."""
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
        case Derived(operation, held):
            computed = operation, entry.transforms, *map(arrangement, held)
            return STRIDED, computed, *(part.shape for part in parts(entry))
        case None:
            return (STRIDED,)


def numbers_note(entry: TensorEntry) -> str | None:
    """What a tensor's statistics are measured on, where it is not simply its elements."""
    match entry.form:
        case Quantized(scheme, scale):
            each = "scale and zero point"
            if isinstance(scale, TensorEntry):
                each = "scales and zero points"
            return (
                f"A quantized tensor ({scheme}): the numbers are its integers with their {each} "
                "applied, as .dequantize() gives them."
            )
        case Sparse(layout=name):
            held = stored_values(entry).numel
            rest = max(0, entry.numel - held)
            return (
                f"A {name} tensor: the numbers are of the {held:,} values that the file holds; "
                f"the other {rest:,} elements are zeros that stand nowhere."
            )
        case Nested(sizes):
            rows = sizes.shape[0] if sizes.shape else 0
            return (
                f"A nested tensor: the numbers are of the buffer that its {rows:,} rows of unequal "
                "shapes share."
            )
        case _:
            return None


def parts_bytes(entry: TensorEntry) -> int:
    """Bytes of the stored elements: what a file needs for this tensor when it stands alone."""
    if isinstance(entry.form, Quantized | Nested | Derived):
        return entry.nbytes
    return sum(part.numel * ITEMSIZES[part.stored_dtype] for part in parts(entry))
