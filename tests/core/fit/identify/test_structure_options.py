"""Options of structure, such as timm's pooling: solved where the file shows them."""

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import squeezenet1_1

from core.architectures import parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.fit import match
from core.fit.identify import Candidate
from core.fit.index import Lookup
from core.fit.proposals import best_repair
from core.fit.proposals.option_hints import options_sentence
from core.load import load_model
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.identify.files import told
from tests.core.fit.renamed_networks import own_biases, renamed, trained


def best(lookup: Lookup, path: Path, state_dict: dict[str, torch.Tensor]) -> Candidate:
    return told(lookup, path, state_dict).candidates[0]


@pytest.mark.parametrize(
    ("name", "arguments", "key"),
    [
        ("vit_tiny_patch16_224", {}, "timm:vit_tiny_patch16_224"),
        (
            "vit_tiny_patch16_224",
            {"global_pool": "avg", "num_classes": 9},
            "timm:vit_tiny_patch16_224?global_pool=avg&num_classes=9",
        ),
        (
            "vit_tiny_patch16_224",
            {"global_pool": "avg", "class_token": False, "img_size": 96},
            "timm:vit_tiny_patch16_224?class_token=0&global_pool=avg&img_size=96",
        ),
        (
            "vit_tiny_patch16_224",
            {"reg_tokens": 8, "img_size": 128, "in_chans": 1},
            "timm:vit_tiny_patch16_224?img_size=128&in_chans=1&reg_tokens=8",
        ),
        (
            "vit_tiny_patch16_224",
            {"qkv_bias": False, "num_classes": 0},
            "timm:vit_tiny_patch16_224?num_classes=0&qkv_bias=0",
        ),
        ("vit_tiny_patch16_224", {"qk_norm": True}, "timm:vit_tiny_patch16_224?qk_norm=1"),
        (
            "vit_tiny_patch16_224",
            {"init_values": 1e-5},
            "timm:vit_tiny_patch16_224?init_values=1",
        ),
        (
            "vit_tiny_patch16_224",
            {"global_pool": "map"},
            "timm:vit_tiny_patch16_224?global_pool=map",
        ),
        (
            "eva02_tiny_patch14_224",
            {"global_pool": "token", "num_classes": 4},
            "timm:eva02_tiny_patch14_224?global_pool=token&num_classes=4",
        ),
        ("resnet14t", {"avg_down": False}, "timm:resnet14t?avg_down=0"),
    ],
)
def test_a_file_shows_the_options_that_change_its_keys(
    lookup: Lookup, tmp_path: Path, name: str, arguments: dict[str, object], key: str
) -> None:
    model = timm.create_model(name, **arguments).state_dict()
    found = best(lookup, tmp_path / "a.pth", model)
    assert found.architecture.key == key
    assert found.fits
    wanted = signature(found.architecture)
    assert {key: spec.shape for key, spec in wanted.items()} == {
        key: tuple(value.shape) for key, value in model.items()
    }


def test_a_model_that_pools_the_patches_gives_the_same_numbers(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = timm.create_model("vit_tiny_patch16_224", global_pool="avg", num_classes=7).eval()
    found = best(lookup, tmp_path / "a.pth", model.state_dict())
    file = open_checkpoint(tmp_path / "a.pth").state_dict()
    loaded = load_model(apply_recipe(found.recipe, file).state_dict, found.architecture).model
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))


def test_what_is_missing_alone_is_lost_and_proves_no_option(lookup: Lookup, tmp_path: Path) -> None:
    for lost in (("norm.weight", "norm.bias"), ("pos_embed",), ("cls_token",)):
        model = timm.create_model("vit_tiny_patch16_224").state_dict()
        for key in lost:
            del model[key]
        found = best(lookup, tmp_path / "a.pth", model)
        assert set(found.missing_keys) == set(lost)
        assert not found.fits


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "vit_base_patch16_224", "deit3_small_patch16_224"]
)
def test_biases_of_q_and_v_are_fused_with_zeros_for_k(
    lookup: Lookup, tmp_path: Path, name: str
) -> None:
    model = own_biases(trained(timm.create_model(name, num_classes=10)))
    found = best(lookup, tmp_path / "a.pth", model)
    assert found.architecture.key == f"timm:{name}?num_classes=10"
    assert found.fits
    assert not found.left_out
    repaired = apply_recipe(found.recipe, open_checkpoint(tmp_path / "a.pth").state_dict())
    fused = read_tensor(repaired.state_dict["blocks.0.attn.qkv.bias"])
    q, v = (model[f"blocks.0.attn.{one}_bias"] for one in "qv")
    assert torch.equal(fused, torch.cat([q, torch.zeros_like(q), v]))


@pytest.mark.parametrize(("own", "other"), [("avg", "token"), ("token", "avg")])
def test_the_norm_after_pooling_is_never_renamed_to_the_one_before(
    tmp_path: Path, own: str, other: str
) -> None:
    torch.save(timm.create_model("test_vit", global_pool=own).state_dict(), tmp_path / "a.pth")
    file = open_checkpoint(tmp_path / "a.pth").state_dict()
    wanted = signature(parse_architecture(f"timm:test_vit?global_pool={other}"))
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    norm = "norm.weight" if other == "token" else "fc_norm.weight"
    assert norm not in repaired


def test_a_norm_after_pooling_is_answered_with_the_option(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit", global_pool="avg").state_dict(), tmp_path / "a.pth")
    file = open_checkpoint(tmp_path / "a.pth").state_dict()
    wanted = signature(parse_architecture("timm:test_vit"))
    assert "set global_pool=avg" in options_sentence(match(file, wanted), wanted)
    wanted = signature(parse_architecture("timm:test_vit?global_pool=avg"))
    assert "global_pool" not in options_sentence(match(file, wanted), wanted)


@pytest.mark.slow
def test_resampled_positions_are_said_to_change_what_is_computed(
    lookup: Lookup, tmp_path: Path
) -> None:
    options = {"img_size": 256, "window_size": 8}
    model = timm.create_model("swin_tiny_patch4_window7_224", **options).state_dict()
    assert told(lookup, tmp_path / "a.pth", model).sentence.startswith(
        "This is a timm swin_tiny_patch4_window7_224; its positions have another size and are "
        "resampled, which changes what it computes."
    )


@pytest.mark.parametrize(("own", "words"), [(13, "13 to 3 channels"), (1, "1 to 3 channels")])
def test_an_adapted_input_is_said_to_change_what_is_computed(
    lookup: Lookup, tmp_path: Path, own: int, words: str
) -> None:
    weights = squeezenet1_1(num_classes=3).state_dict()
    weights["features.0.weight"] = torch.randn(64, own, 3, 3)
    under = {f"net.{key}": value for key, value in weights.items()} | {"gate": torch.randn(2, 5)}
    found = told(lookup, tmp_path / "a.pth", under)
    assert found.sentence.startswith(
        "This is a torchvision squeezenet1_1 with 3 classes, saved under `net.`; `gate` is left "
        f"out and its input is adapted from {words}, which changes what it computes."
    )
    assert found.candidates[0].evidence[0] == "52 of 52 keys match after the repair."


def test_other_channels_that_timm_takes_as_an_option_need_no_adapting(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = timm.create_model("mobilenetv3_small_050", num_classes=3, in_chans=13)
    found = told(lookup, tmp_path / "a.pth", model.state_dict())
    assert "13 input channels" in found.sentence
    assert "adapted" not in found.sentence


@pytest.mark.slow
def test_layers_that_a_network_lacks_may_be_anothers_under_other_names(
    lookup: Lookup, tmp_path: Path
) -> None:
    """mmpretrain's SE-ResNet is a ResNet with layers of other names than timm's."""
    own = timm.create_model("seresnet50").state_dict()
    names = (r"\.se\.fc(\d)\.", r".se_layer.conv\1.conv."), (r"^(?!fc\.)", "backbone.")
    theirs = renamed(own, *names)
    found = best(lookup, tmp_path / "a.pth", theirs)
    assert found.architecture.key == "timm:seresnet50"
    assert found.fits
    assert not found.left_out


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"final_norm": False}, "set final_norm=0"), ({"pos_embed": "none"}, "set pos_embed=none")],
)
def test_what_may_be_lost_or_left_off_is_said_and_fits_with_the_option(
    lookup: Lookup, tmp_path: Path, options: dict[str, object], hint: str
) -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=7, **options)
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert not best.fits
    assert hint in " ".join(best.evidence)
    own = f"{best.architecture.key}&{hint.removeprefix('set ')}"
    assert set(signature(parse_architecture(own))) == set(model.state_dict())
