"""Activations by layer are those that plain hooks see; channels are images of their grid."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18

from core.architectures import Architecture
from core.errors import LoadError
from core.explain.activations import activations_verdict, channel_images, layer_activations
from core.progress import Cancelled, Progress
from tests.core.explain.squares import loaded

pytestmark = pytest.mark.slow

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
SMALL = Architecture("torchvision", "resnet18", (("num_classes", 5),))


def saved(path: Path, change=lambda model: None):
    torch.manual_seed(2)
    model = resnet18(num_classes=5).eval()
    change(model)
    torch.save(model.state_dict(), path)
    return model, loaded(path, SMALL)


def test_mean_and_std_are_those_of_the_outputs(tmp_path: Path) -> None:
    model, shared = saved(tmp_path / "m.pth")
    outputs = {}
    for name in ("conv1", "layer3.0.conv2", "fc"):
        hook = lambda _m, _i, output, name=name: outputs.update({name: output.clone()})  # noqa: E731
        model.get_submodule(name).register_forward_hook(hook)
    with torch.inference_mode():
        model(IMAGES)
    found = {each.name: each for each in layer_activations(shared, IMAGES)}
    for name, output in outputs.items():
        assert found[name].shape == tuple(output.shape)
        assert found[name].mean == pytest.approx(output.mean().item(), rel=1e-4, abs=1e-6)
        assert found[name].std == pytest.approx(output.std(correction=0).item(), rel=1e-4)
        assert found[name].units == output.shape[1]
    assert all(not module._forward_hooks for module in shared.model.modules())


def test_a_unit_is_dead_if_it_is_zero_for_all_images_and_places(tmp_path: Path) -> None:
    def kill(model: nn.Module) -> None:
        model.bn1.weight.data[:16], model.bn1.bias.data[:16] = 0, -1.0

    _, shared = saved(tmp_path / "m.pth", kill)
    found = layer_activations(shared, IMAGES)
    (relu,) = (each for each in found if each.name == "relu")
    assert (relu.kind, relu.units, relu.dead, relu.dead_share) == ("ReLU", 64, 16, 0.25)
    assert "has the largest share of dead units" in activations_verdict(found)


def test_the_units_of_tokens_and_of_channels_last_are_their_features(tmp_path: Path) -> None:
    for name, layer in (("test_vit", "norm"), ("swin_tiny_patch4_window7_224", "norm")):
        model = timm.create_model(name)
        torch.save(model.state_dict(), tmp_path / name)
        edge = model.default_cfg["input_size"][-1]
        shared = loaded(tmp_path / name, Architecture("timm", name))
        found = {
            each.name: each for each in layer_activations(shared, torch.randn(1, 3, edge, edge))
        }
        assert found[layer].units == model.num_features


def test_where_nan_is_first_seen_is_named(tmp_path: Path) -> None:
    def spoil(model: nn.Module) -> None:
        model.layer2[0].conv2.weight.data[5, 0, 1, 1] = float("nan")

    _, shared = saved(tmp_path / "m.pth", spoil)
    found = layer_activations(shared, IMAGES)
    first = next(each for each in found if each.not_finite)
    assert first.name == "layer2.0.conv2"
    assert first.not_finite == 3 * 8 * 8
    assert np.isfinite(first.mean)
    assert found[-1].not_finite == 3 * 5
    assert np.isnan(found[-1].std)
    said = "NaN or infinity is first seen in `layer2.0.conv2`: 192 values of its output."
    assert activations_verdict(found) == said


def test_nothing_wrong_is_said_too(tmp_path: Path) -> None:
    _, shared = saved(tmp_path / "m.pth")
    found = [each for each in layer_activations(shared, IMAGES) if not each.dead]
    assert activations_verdict(found) == "Every value is finite, and no layer has a dead unit."
    assert activations_verdict([]) == "No layer returned numbers."


def test_a_cancel_stops_at_the_next_module(tmp_path: Path) -> None:
    _, shared = saved(tmp_path / "m.pth")
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        layer_activations(shared, IMAGES, progress)


def test_channels_are_grey_images_of_the_grid_on_one_scale(tmp_path: Path) -> None:
    model, shared = saved(tmp_path / "m.pth")
    images = channel_images(shared, IMAGES[0], "layer2", most=10)
    assert {(image.mode, image.size) for image in images} == {("L", (8, 8))}
    assert len(images) == 10
    kept = []
    model.layer2.register_forward_hook(lambda _m, _i, output: kept.append(output[0, :10]))
    with torch.inference_mode():
        model(IMAGES[:1])
    expected = (kept[0] - kept[0].min()) / (kept[0].max() - kept[0].min()) * 255
    for image, channel in zip(images, expected, strict=True):
        assert np.abs(np.asarray(image).astype(float) - channel.numpy()).max() <= 1
    with pytest.raises(LoadError, match="`fc` has no spatial grid"):
        channel_images(shared, IMAGES[0], "fc")
