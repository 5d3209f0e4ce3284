"""A smoke run feeds each kind of network what it takes, and says what came out."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from core.architectures import build, parse_architecture
from core.checkpoint import open_checkpoint
from core.errors import LoadError
from core.load.loading import LoadedModel, load_model
from core.load.smoke import smoke_run


def loaded(folder: Path, key: str, dtype: str | None = None) -> LoadedModel:
    architecture = parse_architecture(key)
    torch.manual_seed(2)
    torch.save(build(architecture).state_dict(), folder / "model.pth")
    return load_model(open_checkpoint(folder / "model.pth").state_dict(), architecture, dtype=dtype)


@pytest.mark.parametrize(
    ("key", "input_words", "output_words"),
    [
        (
            "torchvision:resnet18?num_classes=7",
            "a random image of 1 × 3 × 224 × 224",
            "1 × 7",
        ),
        (
            "timm:test_resnet?in_chans=1&num_classes=7",
            "a random image of 1 × 1 × 160 × 160",
            "1 × 7",
        ),
        (
            "torchvision:lraspp_mobilenet_v3_large",
            "a random image of 1 × 3 × 224 × 224",
            "out 1 × 21 × 224 × 224",
        ),
        (
            "torchvision:deeplabv3_mobilenet_v3_large?aux_loss=1&num_classes=3",
            "a random image of 1 × 3 × 224 × 224",
            "out 1 × 3 × 224 × 224, aux 1 × 3 × 224 × 224",
        ),
        (
            "torchvision:raft_small",
            "two random images of 1 × 3 × 128 × 128",
            "12 tensors of 1 × 2 × 128 × 128",
        ),
        (
            "torchvision:mc3_18?num_classes=4",
            "a random video of 1 × 3 × 16 × 112 × 112",
            "1 × 4",
        ),
        (
            "torchvision:quantized_shufflenet_v2_x0_5",
            "a random image of 1 × 3 × 224 × 224",
            "1 × 1000",
        ),
    ],
)
def test_a_smoke_run_tells_what_went_in_and_what_came_out(
    tmp_path: Path, key: str, input_words: str, output_words: str
) -> None:
    model = loaded(tmp_path, key)
    run = smoke_run(model)
    assert (run.input_words, run.output_words) == (input_words, output_words)
    assert run.seconds > 0
    assert run.peak_bytes > model.nbytes
    assert not any(module._forward_hooks for module in model.model.modules())


def test_a_detector_gets_a_list_of_pictures_and_gives_boxes(tmp_path: Path) -> None:
    run = smoke_run(loaded(tmp_path, "torchvision:ssdlite320_mobilenet_v3_large?num_classes=3"))
    assert run.input_words == "a list of one random image of 3 × 320 × 320"
    for name in ("boxes", "scores", "labels"):
        assert name in run.output_words


def test_a_smoke_run_that_fails_says_why(tmp_path: Path) -> None:
    model = loaded(tmp_path, "torchvision:resnet18?num_classes=7")
    model.model.fc = nn.Linear(3, 1000)
    with pytest.raises(LoadError, match="does not run on a random image of 1 × 3 × 224 × 224"):
        smoke_run(model)


def test_a_detector_in_half_precision_works_or_says_how_it_would(tmp_path: Path) -> None:
    model = loaded(tmp_path, "torchvision:ssdlite320_mobilenet_v3_large", "bfloat16")
    with pytest.raises(LoadError) as caught:
        smoke_run(model)
    assert caught.value.remedy.startswith("Load it as float32")


def test_the_memory_on_the_cpu_is_the_weights_and_the_largest_layer(tmp_path: Path) -> None:
    model = loaded(tmp_path, "torchvision:resnet18?num_classes=7")
    weights = sum(tensor.nbytes for tensor in resnet18(num_classes=7).state_dict().values())
    # Its first BatchNorm and ReLU take and give 64 × 112 × 112 floats.
    assert smoke_run(model).peak_bytes == weights + 2 * 4 * 64 * 112 * 112
