"""Loading held against plain PyTorch's way: a torchvision network's tensors, and its outputs on
inputs as small as it takes.

Shared by the tests of core/load on torchvision and timm, and `benchmarks/load.py --check`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from core.architectures import TORCHVISION, Architecture, build
from core.checkpoint import open_checkpoint
from core.inputs import output_tensors, random_inputs
from core.load import load_model


def difference(architecture: Architecture, path: Path) -> str:
    """Save a model of random weights at `path` and load it as torch does and as Loupe does: what
    is not equal, in the tensors or in the outputs; empty where all is."""
    with copied_random_numbers():
        plain = with_own_statistics(build(architecture))
    torch.save(plain.state_dict(), path)
    loaded = load_model(open_checkpoint(path).state_dict(), architecture).model
    loaded_tensors = everything(loaded)
    for name, wanted in everything(plain).items():
        found = loaded_tensors.get(name)
        if found is None or found.dtype != wanted.dtype or not torch.equal(found, wanted):
            return name
    inputs = small_inputs(architecture, plain)
    with torch.inference_mode():
        pairs = [
            (list(output_tensors(eager_detector(model)(*inputs)))) for model in (plain, loaded)
        ]
    wanted, found = pairs
    if not wanted or len(wanted) != len(found):
        return f"{len(found)} outputs instead of {len(wanted)}"
    for position, (one, other) in enumerate(zip(wanted, found, strict=True)):
        if not one.numel() or not one.isfinite().all():
            return f"output {position} of the plain way says nothing"
        if not torch.equal(one, other):
            return f"output {position}"
    return ""


DRAWN = 1_000_003
"""Random numbers that initialising copies. A prime: no row of a weight repeats an earlier one."""


@contextmanager
def copied_random_numbers() -> Iterator[None]:
    """Within it, tensors are filled with random numbers that were drawn once, each from another
    place. Constructors fill most weights twice, as a layer's and then as the network's, and drawing
    all these numbers takes several times as long as copying them."""
    uniform, normal = torch.rand(DRAWN), torch.randn(DRAWN)
    place = 0

    def fill(tensor: torch.Tensor, numbers: torch.Tensor, scale: float, shift: float) -> None:
        nonlocal place
        flat, done = tensor.view(-1), 0
        while done < flat.numel():
            piece = numbers[place : place + flat.numel() - done]
            torch.add(shift, piece, alpha=scale, out=flat[done : done + piece.numel()])
            done, place = done + piece.numel(), (place + piece.numel()) % DRAWN

    def uniform_(
        tensor: torch.Tensor, least: float = 0, most: float = 1, generator: object = None
    ) -> torch.Tensor:
        fill(tensor, uniform, most - least, least)
        return tensor

    def normal_(
        tensor: torch.Tensor, mean: float = 0, std: float = 1, generator: object = None
    ) -> torch.Tensor:
        fill(tensor, normal, std, mean)
        return tensor

    with (
        mock.patch.object(torch.Tensor, "uniform_", uniform_),
        mock.patch.object(torch.Tensor, "normal_", normal_),
    ):
        yield


def with_own_statistics(model: nn.Module) -> nn.Module:
    """BatchNorm's statistics as training leaves them, instead of zeros and ones."""
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.1, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.9, 1.1)
            elif name.endswith("num_batches_tracked"):
                buffer.fill_(7)
    return model


def everything(model: nn.Module) -> Mapping[str, torch.Tensor]:
    """All parameters and buffers, those that no file holds too."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def smaller(architecture: Architecture) -> Architecture:
    """Those of one size of picture for a small one."""
    if not architecture.name.startswith("vit_"):
        return architecture
    patch = int(architecture.name.rpartition("_")[2])
    return replace(architecture, options=(("image_size", 4 * patch),))


FILMS = {"MViT": (16, 224, 224), "S3D": (16, 224, 224)}
"""Frames, height and width of the networks that take no smaller ones."""


def small_inputs(architecture: Architecture, model: nn.Module) -> tuple[object, ...]:
    torch.manual_seed(5)
    if architecture.library != TORCHVISION:
        return random_inputs(architecture, model, "cpu", "float32").arguments
    kind, name = type(model).__module__.split(".")[2], type(model).__name__
    match kind:
        case "detection":
            return ([torch.rand(3, 96, 96)],)
        case "optical_flow":
            return torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)
        case "video":
            return (torch.randn(1, 3, *FILMS.get(name, (4, 64, 64))),)
    edge = {
        "VisionTransformer": getattr(model, "image_size", 0),
        "MaxVit": 224,
        "Inception3": 96,
        "QuantizableInception3": 96,
    }
    return (torch.randn(1, 3, *2 * (edge.get(name, 64),)),)


BOXES = 20
"""Places that a detector of two stages looks at closer: by default 1000, and masks for 100."""


def eager_detector(model: nn.Module) -> nn.Module:
    """A detector that looks at small pictures and reports a few boxes, however improbable."""
    transform = getattr(model, "transform", None)
    if transform is not None and hasattr(transform, "min_size") and transform.fixed_size is None:
        transform.min_size, transform.max_size = (96,), 128
    for part in (model, getattr(model, "roi_heads", None)):
        if hasattr(part, "score_thresh"):
            part.score_thresh = 0.0
    if hasattr(model, "rpn"):
        model.rpn._post_nms_top_n["testing"] = BOXES
        model.roi_heads.detections_per_img = BOXES
    return model
