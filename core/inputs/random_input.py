"""Random inputs of the kind that a model takes: an image, a list of images, a video, two frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from core.architectures import TORCHVISION, Architecture
from core.tensors import torch_dtype

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
    architecture: Architecture, model: nn.Module, device: str, dtype: str
) -> RandomInputs:
    """Random inputs of the size that the model expects, in `dtype` on `device`.

    Raises ArchitectureError.
    """
    from core.inputs.preprocessing import default_preprocessing

    kind = type(model).__module__.removeprefix("torchvision.models.").partition(".")[0]
    size = default_preprocessing(architecture)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape).to(device, torch_dtype(dtype))

    match kind:
        # Detectors take values from 0 to 1, RAFT from −1 to 1 (the presets in
        # torchvision/transforms/_presets.py).
        case "detection":
            shape: tuple[int, ...] = (size.channels, DETECTION_SIZE, DETECTION_SIZE)
            return RandomInputs(([random(*shape).sigmoid()],), "a list of one random image", shape)
        case "optical_flow":
            shape = (1, size.channels, FLOW_SIZE, FLOW_SIZE)
            frames = (random(*shape).tanh(), random(*shape).tanh())
            return RandomInputs(frames, "two random images", shape)
        case "video":
            # torchvision's video models have no option for other channels than RGB.
            shape = (1, 3, FRAMES, *_video_size(architecture))
            return RandomInputs((random(*shape),), "a random video", shape)
        case _:
            shape = (1, size.channels, *size.crop)
            return RandomInputs((random(*shape),), "a random image", shape)


def _video_size(architecture: Architecture) -> tuple[int, int]:
    from torchvision.models import get_model_weights

    if architecture.library != TORCHVISION:
        return 224, 224
    recipe = get_model_weights(architecture.name).DEFAULT.transforms()
    height, width = recipe.crop_size
    return int(height), int(width)
