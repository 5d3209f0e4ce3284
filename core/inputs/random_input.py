"""Random inputs of the kind that a model takes: an image, a list of images, a video, two frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from core.architectures import TORCHVISION, Architecture
from core.tensors import torch_dtype
from core.wording import count, counted

FRAMES = 16
"""The frames that torchvision's video models were trained on; its MViT take no other number."""

DETECTION_SIZE = 320
"""The edge in pixels of images for a detector, which resizes them itself."""

FLOW_SIZE = 128
"""The smallest edge in pixels that RAFT takes (torchvision/models/optical_flow/raft.py)."""


@dataclass(frozen=True, slots=True)
class RandomInputs:
    """The arguments of a call `model(*arguments)`.

    `what` names them in words, and `shape` is that of each tensor in them.
    """

    arguments: tuple[object, ...]
    what: str
    shape: tuple[int, ...]


def random_inputs(
    architecture: Architecture,
    model: nn.Module,
    device: str,
    dtype: str,
    *,
    images: int = 1,
    seed: int | None = None,
) -> RandomInputs:
    """Random inputs of the size that the model expects, in `dtype` on `device`.

    There are so many `images` (videos, pairs of frames) in the batch; several have a random colour
    each, since models tell two images of noise alone hardly apart. The same `seed` gives the same
    numbers. Raises ArchitectureError.
    """
    from core.inputs.offered import default_preprocessing

    kind = type(model).__module__.removeprefix("torchvision.models.").partition(".")[0]
    size = default_preprocessing(architecture)

    generator = None if seed is None else torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        values = torch.randn(shape, generator=generator)
        if images > 1:
            channels = shape[:1] if len(shape) == 3 else shape[:2]
            colours = torch.randn(channels, generator=generator)
            values += colours.reshape(*channels, *(1,) * (len(shape) - len(channels)))
        return values.to(device, torch_dtype(dtype))

    match kind:
        # Detectors take values from 0 to 1, RAFT from −1 to 1 (the presets in
        # torchvision/transforms/_presets.py).
        case "detection":
            shape: tuple[int, ...] = (size.channels, DETECTION_SIZE, DETECTION_SIZE)
            listed = [random(*shape).sigmoid() for _ in range(images)]
            return RandomInputs((listed,), f"a list of {_number(images, 'image', 'one')}", shape)
        case "optical_flow":
            shape = (images, size.channels, FLOW_SIZE, FLOW_SIZE)
            frames = (random(*shape).tanh(), random(*shape).tanh())
            what = "two random images" if images == 1 else f"{count(images)} pairs of random images"
            return RandomInputs(frames, what, shape)
        case "video":
            # torchvision's video models have no option for other channels than RGB.
            shape = (images, 3, FRAMES, *_video_size(architecture))
            return RandomInputs((random(*shape),), _number(images, "video"), shape)
        case _:
            shape = (images, size.channels, *size.crop)
            return RandomInputs((random(*shape),), _number(images, "image"), shape)


def _number(images: int, noun: str, one: str = "a") -> str:
    """How many random ones there are: `a random image`, `2 random images`."""
    return f"{one} random {noun}" if images == 1 else counted(images, f"random {noun}")


def _video_size(architecture: Architecture) -> tuple[int, int]:
    from torchvision.models import get_model_weights

    if architecture.library != TORCHVISION:
        return 224, 224
    recipe = get_model_weights(architecture.name).DEFAULT.transforms()
    height, width = recipe.crop_size
    return int(height), int(width)


def output_tensors(value: object) -> Iterator[torch.Tensor]:
    """The tensors in an output, or in an input: a tensor, or dicts and lists of such."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from output_tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from output_tensors(part)
