"""Maps are Captum's own, lie where the model looks, and leave the shared model as it was."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models import get_model

from core.architectures import Architecture
from core.errors import LoadError
from core.explain.explained import explain
from core.explain.heat_map import METHODS, HeatMap
from core.load import LoadedModel
from core.progress import Cancelled, Progress
from tests.core.explain.squares import loaded, loaded_quarters, square_images

pytestmark = pytest.mark.slow

EDGE = 96


def random_image(edge: int = EDGE) -> torch.Tensor:
    return torch.randn(3, edge, edge, generator=torch.Generator().manual_seed(3))


def saved(path: Path, library: str, name: str, **options: object) -> tuple[nn.Module, LoadedModel]:
    """A plain model of random weights, and the one that Loupe loads from its file."""
    torch.manual_seed(5)
    make = get_model if library == "torchvision" else timm.create_model
    model = make(name, num_classes=7, **options).eval()
    # Some begin with a head of zeros, with which every gradient is 0.
    heads = [module for module in model.modules() if isinstance(module, nn.Linear)]
    nn.init.normal_(heads[-1].weight, std=0.3) if heads else None
    torch.save(model.state_dict(), path)
    chosen = (("num_classes", 7), *options.items())
    return model, loaded(path, Architecture(library, name, chosen))


def first_map(maps: list[torch.Tensor]) -> int:
    """The first class that something speaks for: a map of zeros alone would equal any other."""
    return next(target for target, each in enumerate(maps) if each.max() > 0)


@pytest.mark.parametrize(
    ("library", "name", "layer"),
    [
        ("torchvision", "resnet18", "layer4"),
        ("torchvision", "densenet121", "features"),
        ("torchvision", "mobilenet_v3_small", "features"),
        ("torchvision", "efficientnet_b0", "features"),
        ("torchvision", "shufflenet_v2_x0_5", "conv5"),
        ("torchvision", "regnet_y_400mf", "trunk_output"),
        ("timm", "convnext_atto", "stages"),
        ("timm", "poolformer_s12", "stages"),
    ],
)
def test_grad_cam_equals_captums_own(tmp_path: Path, library: str, name: str, layer: str) -> None:
    model, shared = saved(tmp_path / "m.pth", library, name)
    image = random_image()
    own = LayerGradCam(model, model.get_submodule(layer))
    maps = []
    for target in range(7):
        found = own.attribute(image[None].requires_grad_(), target, relu_attributions=True)
        enlarged = LayerAttribution.interpolate(found, (EDGE, EDGE), "bilinear")
        maps.append(enlarged[0, 0].detach())
    target = first_map(maps)
    heat = explain(shared, image, target)
    assert heat.layer == layer
    assert heat.values.dtype == torch.float32
    torch.testing.assert_close(heat.values, maps[target], rtol=1e-4, atol=1e-6)
    with torch.inference_mode():
        assert heat.score == pytest.approx(model(image[None])[0, target].item(), rel=1e-4)


def test_grad_cam_of_channels_last_equals_captums_own_after_the_permutation(
    tmp_path: Path,
) -> None:
    model, shared = saved(tmp_path / "m.pth", "torchvision", "swin_t")
    image = random_image(128)
    maps = [
        LayerGradCam(model, model.permute).attribute(image[None].requires_grad_(), target)
        for target in range(7)
    ]
    target = first_map(maps)
    heat = explain(shared, image, target)
    assert heat.layer == "norm"
    expected = LayerAttribution.interpolate(maps[target].relu(), (128, 128), "bilinear")
    torch.testing.assert_close(heat.values, expected[0, 0].detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("library", "name", "layer", "grid"),
    [
        ("torchvision", "vit_b_32", "encoder.layers.encoder_layer_11.ln_1", 7),
        ("timm", "vit_tiny_patch16_224", "blocks.11.norm1", 14),
        ("timm", "deit_tiny_distilled_patch16_224", "blocks.11.norm1", 14),
    ],
)
def test_grad_cam_of_tokens_leaves_out_those_that_are_no_patches(
    tmp_path: Path, library: str, name: str, layer: str, grid: int
) -> None:
    """It looks before the last attention: after it, the answer depends on the class token alone."""
    model, shared = saved(tmp_path / "m.pth", library, name)
    image = random_image(224)
    kept = []
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    scores = model(image[None])[0]
    maps = []
    for score in scores:
        (gradient,) = torch.autograd.grad(score, kept[0], retain_graph=True)
        patches = [each[0, -grid * grid :] for each in (gradient, kept[0])]
        maps.append((patches[0].mean(0) * patches[1]).sum(1).relu().reshape(grid, grid).detach())
    target = first_map(maps)
    heat = explain(shared, image, target)
    assert heat.layer == layer
    expected = F.interpolate(maps[target][None, None], (224, 224), mode="bilinear")[0, 0]
    torch.testing.assert_close(heat.values, expected, rtol=1e-3, atol=1e-6)


def test_integrated_gradients_and_occlusion_equal_captums_own(tmp_path: Path) -> None:
    model, shared = saved(tmp_path / "m.pth", "torchvision", "shufflenet_v2_x0_5")
    image = random_image(64)
    gradients = IntegratedGradients(model).attribute(
        image[None].requires_grad_(), target=2, n_steps=64
    )
    heat = explain(shared, image, 2, "gradients")
    expected = gradients[0].sum(0).relu().float()
    torch.testing.assert_close(heat.values, expected, rtol=1e-3, atol=1e-5)
    occluded = Occlusion(model).attribute(
        image[None].detach(), (3, 9, 9), target=2, strides=(3, 4, 4)
    )
    heat = explain(shared, image, 2, "occlusion")
    torch.testing.assert_close(heat.values, occluded[0, 0].relu().float(), rtol=1e-3, atol=1e-5)


def test_integrated_gradients_say_what_they_add_up_to() -> None:
    images, quarters, _ = square_images(1, 4)
    evidence = explain(loaded_quarters(), images[0], int(quarters[0]), "gradients").evidence
    change, total = (float(words.split()[-1].rstrip(";.")) for words in evidence.split(";"))
    assert change > 0
    assert total == pytest.approx(change, rel=0.05)


@pytest.mark.parametrize(("method", "reach"), [("gradcam", 0), ("gradients", 0), ("occlusion", 9)])
def test_a_planted_square_gets_four_fifths_of_the_heat(method: str, reach: int) -> None:
    """Occlusion's own square of 9 pixels covers a part of the planted one from around it."""
    images, quarters, masks = square_images(12, 11)
    for image, quarter, mask in zip(images, quarters, masks, strict=True):
        values = explain(loaded_quarters(), image, int(quarter), method).values
        square = F.max_pool2d(mask[None].float(), 2 * reach + 1, 1, reach)[0] > 0
        assert values[square].sum() >= 0.8 * values.sum() > 0


def test_another_class_has_another_map() -> None:
    images, quarters, _ = square_images(1, 11)
    right, wrong = int(quarters[0]), (int(quarters[0]) + 1) % 4
    heat = explain(loaded_quarters(), images[0], wrong)
    assert not heat.values.any()
    assert heat.evidence.endswith("Nothing there speaks for the class.")
    assert explain(loaded_quarters(), images[0], right).values.any()


def test_attention_rollout_is_the_product_of_the_attention(tmp_path: Path) -> None:
    model, shared = saved(tmp_path / "m.pth", "torchvision", "vit_b_32")
    image = random_image(224)
    mixed = torch.eye(50)
    tokens = model._process_input(image[None])
    tokens = torch.cat([model.class_token, tokens], 1) + model.encoder.pos_embedding
    with torch.no_grad():
        for block in model.encoder.layers:
            normed = block.ln_1(tokens)
            weights = block.self_attention(normed, normed, normed, average_attn_weights=True)[1]
            mixed = (weights[0] + torch.eye(50)) / 2 @ mixed
            tokens = block(tokens)
    heat = explain(shared, image, 0, "rollout")
    expected = F.interpolate(mixed[0, 1:].reshape(1, 1, 7, 7), (224, 224), mode="bilinear")
    torch.testing.assert_close(heat.values, expected[0, 0], rtol=1e-3, atol=1e-6)
    assert "seen from the class token" in heat.evidence


@pytest.mark.parametrize(
    ("name", "seen_from"),
    [
        ("vit_tiny_patch16_224", "the class token"),
        ("vit_base_patch16_siglip_gap_224", "the mean of all patches"),
        ("eva02_tiny_patch14_224", "the mean of all patches"),
        (
            "vit_base_patch16_siglip_224",
            "the mean of all patches, without the attention that pools them",
        ),
    ],
)
def test_attention_rollout_takes_the_models_of_timm(
    tmp_path: Path, name: str, seen_from: str
) -> None:
    _, shared = saved(tmp_path / "m.pth", "timm", name)
    heat = explain(shared, random_image(224), 0, "rollout")
    assert "The attention of 12 layers" in heat.evidence
    assert f"seen from {seen_from}." in heat.evidence
    assert heat.values.max() > 0
    fused = [
        module.fused_attn for module in shared.model.modules() if hasattr(module, "fused_attn")
    ]
    assert fused
    assert all(fused)


def test_what_a_method_cannot_do_is_said_with_what_can(tmp_path: Path) -> None:
    _, swin = saved(tmp_path / "m.pth", "timm", "swin_tiny_patch4_window7_224")
    image = random_image(224)
    with pytest.raises(LoadError, match=r"no attention from all patches .* Choose Grad-CAM"):
        explain(swin, image, 0, "rollout")
    with pytest.raises(LoadError, match=r"no module `layer9`\. Choose one of"):
        explain(swin, image, 0, layer="layer9")
    with pytest.raises(LoadError, match=r"`head.fc` has no spatial grid\. Choose one of"):
        explain(swin, image, 0, layer="head.fc")
    with pytest.raises(LoadError, match=r"no class 7\. Its 7 classes count from 0"):
        explain(swin, image, 7)
    with pytest.raises(LoadError, match=r"no method lime\. The methods are gradcam, "):
        explain(swin, image, 0, "lime")
    with pytest.raises(LoadError, match="cannot be explained for an input of shape 3 × 50 × 50"):
        explain(swin, random_image(50), 0)


def test_a_model_without_a_grid_is_explained_by_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.architectures import build, catalogue

    (tmp_path / "flat_networks.py").write_text(
        "from torch import nn\n\n\ndef flat():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (architecture,) = catalogue(("flat_networks:flat",))[:1]
    torch.save(build(architecture).state_dict(), tmp_path / "m.pth")
    flat = loaded(tmp_path / "m.pth", architecture)
    with pytest.raises(LoadError, match="Choose integrated gradients or occlusion"):
        explain(flat, random_image(8), 1)
    for method in ("gradients", "occlusion"):
        assert explain(flat, random_image(8), 1, method).values.max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_cancel_ends_every_method(tmp_path: Path, method: str) -> None:
    _, shared = saved(tmp_path / "m.pth", "timm", "test_vit")
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        explain(shared, random_image(160), 0, method, progress=progress)


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_a_cancel_is_heard_between_the_passes(method: str) -> None:
    calls = []

    def third(done: int, total: int, what: str) -> None:
        calls.append((done, total))
        if len(calls) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        explain(loaded_quarters(), square_images(1, 0)[0][0], 0, method, progress=third)
    assert [done for done, _ in calls] == [0, 0, 1, 2]
    assert calls[-1][1] > 4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_model_of_half_precision_has_the_map_of_float32(tmp_path: Path, dtype: str) -> None:
    """The passes are in the model's dtype, gradients are summed up in float32."""
    _, full = saved(tmp_path / "m.pth", "torchvision", "resnet18")
    half = loaded(tmp_path / "m.pth", full.architecture, dtype=dtype)
    image = random_image()
    target = first_map([explain(full, image, target).values for target in range(7)])
    for method in ("gradcam", "gradients"):
        one, other = (explain(each, image, target, method).values for each in (full, half))
        assert other.dtype == torch.float32
        assert F.cosine_similarity(one.flatten(), other.flatten(), 0) > 0.98


def test_a_map_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "m.pth", "torchvision", "resnet18")
    weights = model.state_dict()
    weights["conv1.weight"][0] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    broken = loaded(
        tmp_path / "nan.pth", Architecture("torchvision", "resnet18", (("num_classes", 7),))
    )
    with pytest.raises(LoadError, match="The map is not a number"):
        explain(broken, random_image(), 0)


def test_eight_threads_explain_one_model_beside_predictions(tmp_path: Path) -> None:
    model, shared = saved(tmp_path / "m.pth", "torchvision", "shufflenet_v2_x0_5")
    image = random_image(64)
    before = {key: value.clone() for key, value in shared.model.state_dict().items()}
    with torch.inference_mode():
        scores = model(image[None])
    targets = [first_map([explain(shared, image, target).values for target in range(7)])] * 16
    targets += [target for target in range(7) for _ in range(2)] + [0, 1]
    expected = {target: explain(shared, image, target) for target in set(targets)}

    def work(number: int) -> tuple[int, int]:
        wrong_maps = wrong_predictions = 0
        for target in targets:
            heat: HeatMap = explain(shared, image, target)
            wrong_maps += not torch.allclose(
                heat.values, expected[target].values, rtol=1e-3, atol=1e-6
            )
            with torch.inference_mode():
                output = shared.model(image[None])
            wrong_predictions += not torch.allclose(output, scores, rtol=1e-3, atol=1e-5)
        return wrong_maps, wrong_predictions

    assert len(targets) == 32
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [(0, 0)] * 8
    for module in shared.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert all(parameter.grad is None for parameter in shared.model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in shared.model.state_dict().items())


def test_a_class_of_another_head_is_explained_by_that_head() -> None:
    shared = loaded_quarters()
    image = square_images(1, 0)[0][0]
    plain = shared.model

    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain = plain

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            scores = self.plain(images)
            return {"logits": scores, "other": scores.flip(1)}

    both = replace(shared, model=TwoHeads().eval())
    for target in (0, 1):
        last = 3 - target
        expected = explain(shared, image, last, "gradients")
        found = explain(both, image, target, "gradients", head="other")
        assert torch.equal(found.values, expected.values)
        assert found.score == expected.score
