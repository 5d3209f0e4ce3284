"""The signature of an architecture: each key of its state_dict, with its shape and dtype."""

from __future__ import annotations

import re
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


def input_weights(signature: Signature) -> tuple[str, ...]:
    """The keys of the weights of the convolutions that take the image; empty if there is none.

    A model's first convolution takes the image. So do those in its module that follow it directly
    and take as many channels, as in RepVGG's stem, and those of its name in another module, as in
    CrossViT's second branch.
    """
    kernels = [
        (key, spec.shape[1])
        for key, spec in signature.items()
        if key.endswith("weight") and spec.kind == "parameter" and len(spec.shape) > 2
    ]
    if not kernels:
        return ()
    first, channels = kernels[0]
    module, name = first.partition(".")[0], _unnumbered(first)
    alike = [key for key, own in kernels if own == channels and _unnumbered(key) == name]
    for key, own in kernels:
        if own != channels or key.partition(".")[0] != module:
            break
        alike.append(key)
    return tuple(dict.fromkeys(alike))


def _unnumbered(key: str) -> str:
    """A key's path in its outermost module, without numbers: `0.weight` → `#.weight`."""
    return re.sub(r"[0-9]+", "#", key.partition(".")[2] or key)


def squeezed(shape: Shape) -> Shape:
    """The shape without its dimensions of 1."""
    return tuple(length for length in shape if length != 1)


def matrix_form(shape: Shape) -> tuple[Shape, int]:
    """A matrix's shape without what libraries differ in, and how many of that form it contains.

    Dimensions of 1 are left out, and rows and columns are sorted by length. Two or three squares in
    one matrix, as q, k and v often are, count as two or three. A vector's form is empty, 0 times.
    """
    plain = squeezed(shape)
    if len(plain) < 2:
        return (), 0
    if len(plain) > 2:
        return plain, 1
    small, large = sorted(plain)
    if small and large in (2 * small, 3 * small):
        return (small, small), large // small
    return (small, large), 1
