"""Descriptions of operations that compute a tensor from others, without torch.

`core/tensors/arithmetic.py` performs them when the tensor is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Grid: TypeAlias = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The elements of the parts, each in C order, one part after another.

    With one part this is a copy or a reshape; with several, torch.cat along the first dimension.
    """


@dataclass(frozen=True, slots=True)
class Filled:
    """The same number in every element; there are no parts."""

    value: float


@dataclass(frozen=True, slots=True)
class Rows:
    """The part's slices from `start` to `stop` (excluded) along its first dimension."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """A selection of rows: row i is the part's row `rows[i]`, or zeros where that is −1."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transposed:
    """The part with its last two dimensions exchanged."""


@dataclass(frozen=True, slots=True)
class AdaptedChannels:
    """A convolution's weight for another number of input channels, along the second dimension.

    `base` is the number of an image's channels in the part, and `channels` the new one. The part
    has a multiple of `base` where a stem first moves blocks of pixels into channels.
    """

    channels: int
    base: int


@dataclass(frozen=True, slots=True)
class ResampledGrid:
    """Position embeddings of a grid, interpolated to another grid.

    `layout` says which dimensions the grid has: `tokens` in rows of [..., prefix + height · width,
    channels], `channels_last` in [1, height, width, channels], `channels_first` in [1, channels,
    height, width], `heads` in [heads, height · width]. The first `prefix` tokens stay as they are.
    """

    old: Grid
    new: Grid
    prefix: int
    layout: Literal["tokens", "channels_last", "channels_first", "heads"]
    method: Literal["timm", "torchvision"]


@dataclass(frozen=True, slots=True)
class ResampledTable:
    """A table of relative positions, interpolated to another window.

    Its shape is [height · width + extra, heads] or [heads, height, width]; the last `extra` rows
    stay as they are.
    """

    old: Grid
    new: Grid
    extra: int


@dataclass(frozen=True, slots=True)
class FoldedWeightNorm:
    """A folded weight norm: g · v / ‖v‖ of the parts g and v.

    The norm is over all dimensions except `dim`, or over all dimensions where it is None.
    """

    dim: int | None


@dataclass(frozen=True, slots=True)
class Masked:
    """The product of the first part and the mask, the second part, of the same shape."""


@dataclass(frozen=True, slots=True)
class MergedLora:
    """A merged LoRA: W + alpha / r · B A of the parts W, A, B and, where the file has it, alpha.

    `alpha` 0 means the alpha in the parts or, where there is none, r. `transposed` says that B A is
    transposed before it is added.
    """

    alpha: float
    transposed: bool


@dataclass(frozen=True, slots=True)
class Dequantized:
    """A dequantized tensor: (integer − zero point) · scale of the first part's integers.

    Where `axis` is None, `scale` and `zero_point` apply to all elements; else the scales and zero
    points of the slices along it are the second and third part.
    """

    axis: int | None
    scale: float = 1.0
    zero_point: int = 0


Operation: TypeAlias = (
    Joined
    | Filled
    | Rows
    | ChosenRows
    | Transposed
    | AdaptedChannels
    | ResampledGrid
    | ResampledTable
    | FoldedWeightNorm
    | Masked
    | MergedLora
    | Dequantized
)
"""An operation that computes a tensor from its parts."""
