"""Layers with a grid: which they are, how their output becomes one, and which is proposed."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import get_model

from core.architectures import Architecture
from core.errors import LoadError
from core.explain.layer_choice import layer_named, proposed_layer, spatial_layers
from core.explain.layer_trace import SpatialLayer
from core.explain.model_twin import twin
from tests.core.explain.squares import loaded

pytestmark = pytest.mark.slow


def saved(path: Path, library: str, name: str):
    torch.manual_seed(5)
    model = get_model(name) if library == "torchvision" else timm.create_model(name)
    torch.save(model.state_dict(), path)
    return loaded(path, Architecture(library, name))


@pytest.mark.parametrize(
    ("library", "name", "layer"),
    [
        ("torchvision", "swin_t", SpatialLayer("norm", (7, 7), "NHWC")),
        ("torchvision", "vgg11", SpatialLayer("features", (7, 7), "NCHW")),
        ("torchvision", "squeezenet1_1", SpatialLayer("classifier.1", (13, 13), "NCHW")),
        ("timm", "swin_tiny_patch4_window7_224", SpatialLayer("norm", (7, 7), "NHWC")),
        ("timm", "mambaout_femto", SpatialLayer("stages", (7, 7), "NHWC")),
        ("timm", "coatnet_nano_rw_224", SpatialLayer("norm", (7, 7), "NCHW")),
        ("timm", "vit_tiny_patch16_224", SpatialLayer("blocks.11.norm1", (14, 14), "tokens", 1)),
        (
            "timm",
            "cait_xxs24_224",
            SpatialLayer("blocks_token_only.1.norm1", (14, 14), "tokens", 1),
        ),
        ("timm", "mixer_s32_224", SpatialLayer("norm", (7, 7), "tokens")),
        ("timm", "coat_tiny", SpatialLayer("cpe4.proj", (7, 7), "NCHW")),
    ],
)
def test_the_last_layer_whose_places_matter_is_proposed(
    tmp_path: Path, library: str, name: str, layer: SpatialLayer
) -> None:
    """Heads, windows and channels that look like a grid are none."""
    shared = saved(tmp_path / "m.pth", library, name)
    image = torch.randn(1, 3, 224, 224)
    assert proposed_layer(twin(shared.model), image, 3, shared) == layer


def test_a_grid_of_an_image_that_is_no_square_keeps_its_proportions(tmp_path: Path) -> None:
    shared = saved(tmp_path / "m.pth", "torchvision", "resnet18")
    layers = {layer.name: layer for layer in spatial_layers(shared, torch.randn(3, 96, 160))}
    assert list(layers)[-1] == "layer4"
    assert layers["layer4"].grid == (3, 5)
    assert layers["layer1"].grid == (24, 40)
    assert {layer.layout for layer in layers.values()} == {"NCHW"}


def test_any_module_with_a_grid_can_be_named(tmp_path: Path) -> None:
    shared = saved(tmp_path / "m.pth", "torchvision", "resnet18")
    image = torch.randn(1, 3, 64, 64)
    for name in ("layer4", "layer4.1", "layer4.1.relu", "maxpool"):
        assert layer_named(twin(shared.model), image, name, shared).name == name
    with pytest.raises(LoadError, match="`avgpool` has no spatial grid"):
        layer_named(twin(shared.model), image, "avgpool", shared)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (SpatialLayer("", (2, 3), "NCHW"), (1, 5, 2, 3)),
        (SpatialLayer("", (2, 3), "NHWC"), (1, 2, 3, 5)),
        (SpatialLayer("", (2, 3), "tokens", 2), (1, 8, 5)),
    ],
)
def test_an_output_becomes_a_grid_and_again_the_output(layer: SpatialLayer, shape) -> None:
    output = torch.randn(shape)
    grid = layer.to_grid(output)
    assert grid.shape == (1, 5, 2, 3)
    assert torch.equal(layer.from_grid(grid, output), output)
    if layer.layout == "tokens":
        assert torch.equal(grid[0, :, 1, 0], output[0, 2 + 3])


def test_a_twin_has_the_same_weights_and_hooks_of_its_own(tmp_path: Path) -> None:
    shared = saved(tmp_path / "m.pth", "torchvision", "resnet18")
    shared.model.train()
    copied = twin(shared.model)
    for own, other in zip(
        shared.model.state_dict(keep_vars=True).values(),
        copied.state_dict(keep_vars=True).values(),
        strict=True,
    ):
        assert own is other
    assert shared.model.training
    assert not copied.training
    copied.layer4.register_forward_hook(print)
    assert not shared.model.layer4._forward_hooks


def test_a_twin_of_a_compiled_model_calls_its_hooks(tmp_path: Path) -> None:
    shared = saved(tmp_path / "m.pth", "torchvision", "resnet18")
    shared.model.compile(backend="eager")
    called = []
    copied = twin(shared.model)
    copied.layer4.register_forward_hook(lambda *_: called.append(1))
    copied(torch.randn(1, 3, 64, 64))
    assert called
    assert shared.model._compiled_call_impl is not None


def test_captum_is_imported_with_the_first_map() -> None:
    heavy = "{'captum', 'matplotlib'} & {*sys.modules}"
    code = f"import sys, core.explain, core.predict; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = f"import sys, core.explain, captum; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1
