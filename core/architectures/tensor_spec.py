"""The signature of an architecture: each key of its state_dict, with its shape and dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The tensor that a key must have; `dtype` is torch's name without `torch.`."""

    shape: Shape
    dtype: str
    kind: Literal["parameter", "buffer"]

    @property
    def numel(self) -> int:
        """The number of elements."""
        return prod(self.shape)


Signature: TypeAlias = Mapping[str, TensorSpec]
"""The keys of a model's state_dict in its own order, each with the tensor that it must have."""


def squeezed(shape: Shape) -> Shape:
    """The shape without its dimensions of 1."""
    return tuple(length for length in shape if length != 1)
