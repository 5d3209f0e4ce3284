"""Tensors that are computed from others: the arithmetic of core/checkpoint/operations.py.

The public functions on plain tensors use only torch, because a recipe's script contains a copy of
their source. Dtypes below 32 bits are computed in float32, and the result has the original dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from core.checkpoint import (
    AdaptedChannels,
    ChosenRows,
    Dequantized,
    Derived,
    Filled,
    FoldedWeightNorm,
    Joined,
    Masked,
    MergedLora,
    Operation,
    ResampledGrid,
    ResampledTable,
    Rows,
    TensorEntry,
    Transposed,
)
from core.errors import CheckpointError

Reader = Callable[[TensorEntry], torch.Tensor]


def derived(entry: TensorEntry, form: Derived, dtype: torch.dtype, read: Reader) -> torch.Tensor:
    """The tensor of a Derived entry that has elements; contiguous, before the entry's transforms.

    `read` reads the tensor of a part. Raises CheckpointError where the parts do not fit together.
    """
    if isinstance(form.operation, Filled):
        return torch.full(entry.shape, form.operation.value, dtype=dtype)
    if isinstance(form.operation, Joined):
        joined = torch.empty(entry.shape, dtype=dtype)
        for part, place in joined_parts(form, joined):
            place.copy_(read(part))
        return joined
    parts = [read(part) for part in form.parts]
    try:
        with torch.no_grad():
            computed = _computed(form.operation, parts)
    except (RuntimeError, ValueError, IndexError) as error:
        raise _unsound(entry) from error
    if computed.shape != entry.shape or computed.dtype != dtype:
        raise _unsound(entry)
    return computed.contiguous()


def joined_parts(form: Derived, whole: torch.Tensor) -> Iterator[tuple[TensorEntry, torch.Tensor]]:
    """The parts of a Joined entry that have elements, each with its view into contiguous
    `whole`."""
    flat, at = whole.view(-1), 0
    for part in form.parts:
        if part.numel:
            yield part, flat[at : at + part.numel].view(part.shape)
        at += part.numel


def filled_chunks(
    entry: TensorEntry, value: float, dtype: torch.dtype, most: int
) -> Iterator[torch.Tensor]:
    """The entry's elements, all equal to `value`, as 1-D tensors of at most `most` elements."""
    piece = torch.full((min(most, entry.numel),), value, dtype=dtype)
    for start in range(0, entry.numel, most):
        yield piece[: entry.numel - start].clone()


def _computed(operation: Operation, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    first = parts[0]
    match operation:
        case Rows(start, stop):
            return first[start:stop]
        case ChosenRows(rows):
            return chosen_rows(first, rows)
        case Transposed():
            return first.transpose(-1, -2)
        case AdaptedChannels(channels, base):
            return adapted_channels(first, channels, base)
        case ResampledGrid(old, new, prefix, layout, method):
            return resampled_grid(first, old, new, prefix, layout, method)
        case ResampledTable(old, new, extra):
            return resampled_table(first, old, new, extra)
        case FoldedWeightNorm(dim):
            return folded_weight_norm(first, parts[1], dim)
        case Masked():
            return masked(first, parts[1])
        case MergedLora(alpha, transposed):
            own = float(parts[3]) if len(parts) > 3 else None
            return merged_lora(first, parts[1], parts[2], alpha or own, transposed)
        case Dequantized(axis, scale, zero_point):
            if axis is None:
                return dequantized(first, scale, zero_point)
            return dequantized(first, parts[1], parts[2], axis)
        case Joined() | Filled():
            raise AssertionError("derived() handles these without reading all parts at once")


def chosen_rows(tensor: torch.Tensor, rows: tuple[int, ...]) -> torch.Tensor:
    """Row i is the tensor's row `rows[i]`; −1 is a row of zeros."""
    index = torch.tensor(rows, dtype=torch.long)
    chosen = tensor.new_zeros((len(rows), *tensor.shape[1:]))
    chosen[index >= 0] = tensor[index[index >= 0]]
    return chosen


def adapted_channels(weight: torch.Tensor, channels: int, base: int) -> torch.Tensor:
    """A convolution's weight for inputs with other channels, as timm's adapt_input_conv does.

    The weight has `base` channels, or several blocks of them. For one channel, each block is
    summed. Else the channels are repeated or cut, and scaled so that they add up as before.
    """
    wide = weight.double() if weight.dtype == torch.float64 else weight.float()
    if channels == base:
        return weight
    if channels == 1:
        blocks = wide.shape[1] // base
        wide = wide.reshape(wide.shape[0], blocks, base, *wide.shape[2:]).sum(dim=2)
    else:
        again = [1] * wide.dim()
        again[1] = -(-channels // base)
        wide = wide.repeat(again)[:, :channels] * (base / float(channels))
    return wide.to(weight.dtype)


def resampled_grid(
    table: torch.Tensor,
    old: tuple[int, int],
    new: tuple[int, int],
    prefix: int,
    layout: str,
    method: str,
) -> torch.Tensor:
    """Embeddings of a grid of positions for another grid; the first `prefix` rows stay.

    `timm` is its resample_abs_pos_embed, `torchvision` its interpolate_embeddings.
    """
    wide = table.double() if table.dtype == torch.float64 else table.float()
    channels = table.shape[-1]
    if layout == "tokens":
        grid = wide.reshape(-1, channels)[prefix:].reshape(1, *old, channels).permute(0, 3, 1, 2)
    elif layout == "channels_last":
        grid = wide.permute(0, 3, 1, 2)
    else:
        grid = wide.reshape(1, -1, *old)
    timms = method == "timm"
    grid = torch.nn.functional.interpolate(
        grid, size=new, mode="bicubic", antialias=timms, align_corners=not timms
    )
    grid = grid.to(table.dtype)
    if layout == "channels_first":
        return grid
    if layout == "heads":
        return grid.reshape(table.shape[0], -1)
    grid = grid.permute(0, 2, 3, 1)
    if layout == "channels_last":
        return grid
    rows = torch.cat([table.reshape(-1, channels)[:prefix], grid.reshape(-1, channels)])
    return rows.reshape(*table.shape[:-2], *rows.shape)


def resampled_table(
    table: torch.Tensor, old: tuple[int, int], new: tuple[int, int], extra: int
) -> torch.Tensor:
    """Relative position biases for another window; the last `extra` rows stay.

    As timm's resize_rel_pos_bias_table, after BEiT's run_class_finetuning.py: the old positions
    are spread over the new window in distances that grow geometrically from the middle, and
    between them the biases are interpolated linearly.
    """

    def weights(old: int, new: int) -> torch.Tensor:
        """[new, old]: how much of each old position goes into a new one."""
        # BEiT's bisection for the ratio of a geometric series whose sum over half the old window is
        # half the new one. The bounds and 1e-6 are BEiT's and timm's, so that the ratio is theirs.
        low, high, ratio = 1.01, 1.5, 1.255
        while high - low > 1e-6:
            ratio = (low + high) / 2
            reach = (1 - ratio ** (old // 2)) / (1 - ratio)
            low, high = (low, ratio) if reach > new // 2 else (ratio, high)
        half, distance = [], 1.0
        for index in range(old // 2):
            half.append(distance)
            distance += ratio ** (index + 1)
        old_places = torch.tensor([-place for place in reversed(half)] + [0.0] + half)
        new_places = torch.arange(new) - new // 2
        new_places = new_places.to(old_places.dtype).clamp(old_places[0], old_places[-1])
        right = torch.bucketize(new_places, old_places).clamp(1 if old > 1 else 0, old - 1)
        left = (right - 1).clamp_min(0)
        gap = old_places[right] - old_places[left]
        share = torch.where(gap > 0, (new_places - old_places[left]) / gap, 1.0)
        result = torch.zeros(new, old)
        result[torch.arange(new), left] += 1 - share
        result[torch.arange(new), right] += share
        return result

    rows, columns = weights(old[0], new[0]), weights(old[1], new[1])
    if table.dim() == 3:
        return (rows @ table.float() @ columns.T).to(table.dtype)
    heads = table.shape[1]
    grid = table[: table.shape[0] - extra].float().T.reshape(heads, *old)
    grid = (rows @ grid @ columns.T).reshape(heads, -1).T.to(table.dtype)
    return torch.cat([grid, table[table.shape[0] - extra :]])


def folded_weight_norm(g: torch.Tensor, v: torch.Tensor, dim: int | None) -> torch.Tensor:
    """g · v / ‖v‖, the norm over all dimensions but `dim` (torch.nn.utils.weight_norm)."""
    wide = v.double() if v.dtype == torch.float64 else v.float()
    if dim is None:
        norm = wide.norm()
    else:
        norm = wide.movedim(dim, 0).flatten(1).norm(dim=1).reshape(g.shape)
    folded: torch.Tensor = wide * (g.to(wide.dtype) / norm)
    return folded.to(v.dtype)


def masked(original: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The original times its mask, in the original's dtype (torch.nn.utils.prune)."""
    return mask.to(original.dtype) * original


def merged_lora(
    weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, alpha: float | None, transposed: bool
) -> torch.Tensor:
    """W + alpha / r · B A, where A has r rows and B r columns; `alpha` None is r."""
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    rank = a.shape[0]
    a, b = a.to(wide).reshape(rank, -1), b.to(wide).reshape(-1, rank)
    change = b @ a
    if transposed:
        change = change.T
    scaled = change.reshape(weight.shape) * (1.0 if alpha is None else alpha / rank)
    return (weight.to(wide) + scaled).to(weight.dtype)


def dequantized(
    integers: torch.Tensor,
    scale: torch.Tensor | float,
    zero_point: torch.Tensor | float,
    axis: int = 0,
) -> torch.Tensor:
    """(integer − zero point) · scale as float32, as Tensor.dequantize computes it.

    Several scales are along `axis`, and it is computed in their dtype.
    """
    along = [-1 if dim == axis % integers.dim() else 1 for dim in range(integers.dim())]
    scale = torch.as_tensor(scale, dtype=None if torch.is_tensor(scale) else torch.float32)
    zero_point = torch.as_tensor(zero_point, dtype=scale.dtype)
    if scale.dim():
        scale, zero_point = scale.reshape(along), zero_point.reshape(along)
    numbers: torch.Tensor = (integers.to(scale.dtype) - zero_point) * scale
    return numbers.float()


def _unsound(entry: TensorEntry) -> CheckpointError:
    return CheckpointError(
        f"The tensor {entry.key} cannot be computed: its parts do not fit together.",
        "Switch off the recipe's step that computes it, or get the file again.",
    )
