"""Views of a tensor that no comparison makes, but a repair does."""

from dataclasses import replace

from core.checkpoint import Cast, TensorEntry


def cast(entry: TensorEntry, dtype: str) -> TensorEntry:
    """The tensor in another dtype; torch converts it when it is read."""
    return replace(entry, dtype=dtype, transforms=(*entry.transforms, Cast(entry.dtype, dtype)))
