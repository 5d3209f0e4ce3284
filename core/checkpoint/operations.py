"""What a tensor can be computed by from others: small values, without torch.

`core/tensors/arithmetic.py` does what they say, when the tensor is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Grid: TypeAlias = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The parts' elements, each part's in C order, one part after the other.

    Of one part this is a copy, or the same elements in another shape; of several, torch.cat along
    the first dimension.
    """


@dataclass(frozen=True, slots=True)
class Filled:
    """One number everywhere; there are no parts."""

    value: float


@dataclass(frozen=True, slots=True)
class Rows:
    """The part's slices `start` to `stop` along its first dimension."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Row i is the part's row `rows[i]`; −1 stands for zeros."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transposed:
    """The part's last two dimensions exchanged."""


@dataclass(frozen=True, slots=True)
class AdaptedChannels:
    """A convolution's weight for inputs of other channels, along the second dimension.

    `base` channels of an image lie side by side in the part; there are more than `base` where a
    stem moves blocks of pixels into channels.
    """

    channels: int
    base: int


@dataclass(frozen=True, slots=True)
class ResampledGrid:
    """Embeddings of a grid of positions, interpolated to another grid.

    `layout` says where the grid lies: `tokens` in rows of [..., prefix + height · width, channels],
    `channels_last` in [1, height, width, channels], `channels_first` in [1, channels, height,
    width], `heads` in [heads, height · width]. The first `prefix` tokens stay as they are.
    """

    old: Grid
    new: Grid
    prefix: int
    layout: Literal["tokens", "channels_last", "channels_first", "heads"]
    method: Literal["timm", "torchvision"]


@dataclass(frozen=True, slots=True)
class ResampledTable:
    """A table of relative positions, [height · width + extra, heads] or [heads, height, width],
    interpolated to another window; its last `extra` rows stay as they are."""

    old: Grid
    new: Grid
    extra: int


@dataclass(frozen=True, slots=True)
class FoldedWeightNorm:
    """g · v / ‖v‖ of the parts g and v; the norm is over all dimensions but `dim`, over all of
    them where it is None."""

    dim: int | None


@dataclass(frozen=True, slots=True)
class MergedLora:
    """W + alpha / r · B A of the parts W, A, B and, where it is in the file, alpha.

    `alpha` 0 is the one that is a part, and without such a part r. `transposed`: B A is, before it
    is added.
    """

    alpha: float
    transposed: bool


@dataclass(frozen=True, slots=True)
class Dequantized:
    """(integer − zero point) · scale of the part's integers; `axis` None is one scale for all,
    else the scales and zero points along it are the second and third part."""

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
    | MergedLora
    | Dequantized
)
"""How a tensor comes out of its parts."""
