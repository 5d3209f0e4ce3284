"""Notes which modules of a model return a spatial grid, and how their output becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

CHANNELS_FIRST, CHANNELS_LAST, TOKENS = "NCHW", "NHWC", "tokens"


@dataclass(frozen=True, slots=True)
class SpatialLayer:
    """A module by its name, and how its output becomes a grid of (height, width).

    `layout` is "NCHW", "NHWC" or "tokens": [N, T, C], of which the first `prefix` are no places in
    the image, such as a class token.
    """

    name: str
    grid: tuple[int, int]
    layout: str
    prefix: int = 0

    def to_grid(self, output: torch.Tensor) -> torch.Tensor:
        """The module's output as [N, C, height, width]."""
        if self.layout == CHANNELS_FIRST:
            return output
        if self.layout == TOKENS:
            output = output[:, self.prefix :].reshape(len(output), *self.grid, -1)
        return output.permute(0, 3, 1, 2)

    def from_grid(self, grid: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """The module's output with another grid in it: the opposite of `to_grid`."""
        if self.layout == CHANNELS_FIRST:
            return grid
        last = grid.permute(0, 2, 3, 1)
        if self.layout == TOKENS:
            return torch.cat([output[:, : self.prefix], last.flatten(1, 2)], 1)
        return last


@dataclass(slots=True)
class _Output:
    """A tensor with the modules that returned it, the innermost first, and those that took it."""

    tensor: torch.Tensor
    returned_by: list[tuple[str, nn.Module]] = field(default_factory=list)
    taken_by: list[nn.Module] = field(default_factory=list)


class LayerTrace:
    """Notes, while it is entered, which tensors the modules of a twin take and return."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._outputs: dict[int, _Output] = {}  # keeps the tensors, so that no id is used twice

    def __enter__(self) -> LayerTrace:
        self._hooks = [
            module.register_forward_hook(self._hook(name))
            for name, module in outside_attention(self._model)
            if name
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def note(module: nn.Module, taken: tuple[object, ...], returned: object) -> None:
            if taken and isinstance(taken[0], torch.Tensor):
                known = self._outputs.get(id(taken[0]))
                if known is not None:
                    known.taken_by.append(module)
            tensor = first_tensor(returned)
            if tensor is not None:
                # Ends last, whoever returned it before.
                output = self._outputs.pop(id(tensor), None) or _Output(tensor)
                output.returned_by.append((name, module))
                self._outputs[id(tensor)] = output

        return note

    def layers(
        self, image: torch.Tensor, *, every: bool = False
    ) -> Iterator[tuple[SpatialLayer, torch.Tensor]]:
        """The layers with a grid and their outputs; with `every`, under each of their names, and
        those without weights too."""
        prefix = _stated_prefix(self._model)
        grids: list[tuple[int, int]] = []
        for output in self._outputs.values():
            tensor = output.tensor
            if tensor.ndim not in (3, 4) or len(tensor) != len(image):
                continue
            if tensor.ndim == 4:
                layout = _layout(output, image)
                height, width = tensor.shape[1:3] if layout == CHANNELS_LAST else tensor.shape[2:]
                found = ((height, width), layout, 0) if layout and min(height, width) > 1 else None
                if found:
                    grids.append((height, width))
            else:
                found = _token_grid(tensor.shape[1], prefix, grids, image)
            if found is None:
                continue
            if every:
                names = [name for name, _ in output.returned_by]
            else:
                own = [name for name, module in output.returned_by if _has_weights(module)]
                names = own[-1:]
            for name in names:
                yield SpatialLayer(name, *found), tensor


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def outside_attention(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules by name, without those inside attention, where a head or a window may look like
    an image."""
    inside: set[str] = set()
    for name, module in model.named_modules():
        parent, _, own = name.rpartition(".")
        if parent in inside:
            inside.add(name)
            continue
        kind = type(module).__name__.lower()
        attends = ("attention" in kind or "attn" in kind) and "block" not in kind
        if name and (attends or own in _ATTENTION):
            inside.add(name)
        yield name, module


_ATTENTION = ("attn", "attention", "self_attn", "self_attention")
"""What modules of attention are called where their class says nothing, such as ConViT's MHSA."""


def first_tensor(output: object) -> torch.Tensor | None:
    """A module's output, or the first of several."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, list | tuple) and output and isinstance(output[0], torch.Tensor):
        return output[0]
    return None


def _layout(output: _Output, image: torch.Tensor) -> str:
    """Where the channels of a tensor of four dimensions are: by the modules that take it, else by
    those that returned it, else by which two edges are in proportion as the image's; empty if none
    are."""
    shape = output.tensor.shape
    for module in output.taken_by:
        if layout := _layout_for(module, shape, _TAKES):
            return layout
    for _, module in output.returned_by:
        if layout := returned_layout(module, shape):
            return layout
    for layout, grid in ((CHANNELS_FIRST, shape[2:]), (CHANNELS_LAST, shape[1:3])):
        if _in_proportion(grid[0], grid[1], image):
            return layout
    return ""


def _in_proportion(height: int, width: int, image: torch.Tensor) -> bool:
    """Whether a grid has the image's proportions, but for one place more or less."""
    edges = image.shape[-2:]
    return abs(height * edges[1] - width * edges[0]) <= max(edges)


def returned_layout(module: nn.Module, shape: torch.Size) -> str:
    """The layout of what a module returned, if its own channels tell it, else empty."""
    return _layout_for(module, shape, _RETURNS)


_TAKES = ("in_channels", "in_features", "num_features", "num_channels", "normalized_shape")
_RETURNS = ("out_channels", "out_features", "num_features", "num_channels", "normalized_shape")
"""Attributes of PyTorch's modules with the number of channels that they take, and return."""

_ALWAYS_FIRST = (
    *(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d),
    *(nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm),
)
"""Modules that have the channels first, whatever their number."""


def _layout_for(module: nn.Module, shape: torch.Size, attributes: tuple[str, ...]) -> str:
    if isinstance(module, _ALWAYS_FIRST):
        return CHANNELS_FIRST
    if isinstance(module, nn.Linear):
        return CHANNELS_LAST
    for attribute in attributes:
        channels = getattr(module, attribute, None)
        channels = channels[-1] if isinstance(channels, tuple) and channels else channels
        if isinstance(channels, int) and channels in (shape[1], shape[3]):
            if shape[1] == shape[3]:  # LayerNorm2d of timm and torchvision are LayerNorms too
                return CHANNELS_FIRST if "2d" in type(module).__name__ else CHANNELS_LAST
            return CHANNELS_FIRST if channels == shape[1] else CHANNELS_LAST
    return ""


def _stated_prefix(model: nn.Module) -> int:
    """How many tokens a transformer puts before those of the image: timm's models state it, and
    torchvision's have a class token."""
    stated = getattr(model, "num_prefix_tokens", None)
    if isinstance(stated, int):
        return stated
    return int(any(hasattr(model, name) for name in ("class_token", "cls_token")))


def _token_grid(
    tokens: int, stated: int, grids: list[tuple[int, int]], image: torch.Tensor
) -> tuple[tuple[int, int], str, int] | None:
    """The grid of so many tokens: one that was seen before, else one in the image's proportions.

    Some models add the class token after their first blocks, so that there may be none.
    """
    for prefix in dict.fromkeys((stated, 0)):
        places = tokens - prefix
        for height, width in reversed(grids):
            if height * width == places:
                return (height, width), TOKENS, prefix
        if places > 1:
            height = max(1, round((places * image.shape[-2] / image.shape[-1]) ** 0.5))
            width = places // height
            fits = min(height, width) > 1 and height * width == places
            if fits and _in_proportion(height, width, image):
                return (height, width), TOKENS, prefix
    return None
