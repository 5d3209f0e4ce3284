"""What is a fit, and what is none although every key of the model has a tensor."""

import re
from collections.abc import Callable

import pytest
import timm
import torch

from core.architectures import Architecture, Signature, signature
from core.checkpoint import StateDict
from core.fit import Fit, fit_of, fit_verdict
from core.fit.proposals import best_repair
from core.fixes import Drop, Keep, Recipe, RenameTable, StripPrefix
from core.recipe import apply_recipe
from tests.core.fit.renamed_networks import (
    DETECTRON2,
    HUGGING_FACE,
    Weights,
    prefixed,
    renamed,
    resnet,
    turned,
    vit,
    without,
)

Saved = Callable[[Weights], StateDict]

RESNET = signature(Architecture("torchvision", "resnet18"))
VIT = signature(Architecture("timm", "vit_tiny_patch16_224", (("num_classes", 0),)))


def detectrons(weights: Weights) -> Weights:
    return renamed(weights, *DETECTRON2)


def after(file: StateDict, recipe: Recipe, wanted: Signature) -> Fit:
    return fit_of(file, apply_recipe(recipe, file, wanted).state_dict, wanted)


def origins(file: StateDict, wanted: Signature) -> set[str]:
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    return {entry.origin.split(".")[0] for key, entry in repaired.items() if key in wanted}


@pytest.mark.parametrize(
    ("one", "other", "taken"),
    [
        ("student", "teacher", "teacher"),
        ("online_encoder", "target_encoder", "online_encoder"),
        ("encoder_q", "encoder_k", "encoder_q"),
        ("base_encoder", "momentum_encoder", "base_encoder"),
        ("model", "model_ema", "model"),
        ("netA", "netB", "netA"),
    ],
)
@pytest.mark.parametrize("named", [dict, detectrons])
def test_a_repair_stays_within_one_of_two_copies(
    saved: Saved, one: str, other: str, taken: str, named: Callable[[Weights], Weights]
) -> None:
    copies = prefixed(f"{one}.", named(resnet(1))) | prefixed(f"{other}.", named(resnet(2)))
    file = saved(copies)
    assert origins(file, RESNET) == {taken}
    assert after(file, best_repair(file, RESNET).recipe, RESNET).fits


def test_copies_without_dots_are_no_part_of_the_network(saved: Saved) -> None:
    weights = prefixed("backbone.", detectrons(resnet(1)))
    copy = {f"ema_{key.replace('.', '_')}": value for key, value in weights.items()}
    file = saved(weights | copy)
    assert origins(file, RESNET) == {"backbone"}


@pytest.mark.parametrize("place", ["{copy}.{key}", "net.{copy}.{key}"])
def test_a_mixture_of_two_copies_is_no_fit_whoever_made_the_recipe(
    saved: Saved, place: str
) -> None:
    copies = {
        place.format(copy=copy, key=key): value
        for copy in ("student", "teacher")
        for key, value in resnet(1).items()
    }
    file = saved(copies)
    table = tuple(
        (place.format(copy="student" if at % 2 else "teacher", key=key), key)
        for at, key in enumerate(RESNET)
    )
    mixed = after(
        file, Recipe.of((RenameTable(table), Drop("*student*"), Drop("*teacher*"))), RESNET
    )
    assert mixed.match.fits
    assert not mixed.fits
    assert "two copies of one network" in mixed.doubts[0].sentence
    assert fit_verdict(mixed).startswith("Does not fit, though 122 of 122 keys match: ")


def test_a_mixture_inside_blocks_is_no_fit(saved: Saved) -> None:
    weights = resnet(1)
    both = {
        f"{key.rpartition('.')[0]}.{copy}.{key.rpartition('.')[2]}": value
        for key, value in weights.items()
        for copy in ("raw", "smooth")
    }
    file = saved(both)
    table = tuple(
        (f"{key.rpartition('.')[0]}.{'raw' if at % 3 else 'smooth'}.{key.rpartition('.')[2]}", key)
        for at, key in enumerate(RESNET)
    )
    rest = Drop(r"\.(?:raw|smooth)\.", "regex")
    assert not after(file, Recipe.of((RenameTable(table), rest)), RESNET).fits
    whole = tuple((old.replace("smooth", "raw"), new) for old, new in table)
    assert after(file, Recipe.of((RenameTable(whole), rest)), RESNET).fits


def test_an_average_without_buffers_takes_them_from_the_weights_and_fits(saved: Saved) -> None:
    buffers = {key for key, spec in RESNET.items() if spec.kind == "buffer"}
    average = {key: value for key, value in resnet(2).items() if key not in buffers}
    file = saved(prefixed("model.", resnet(1)) | prefixed("ema.", average))
    table = tuple((f"{'model' if key in buffers else 'ema'}.{key}", key) for key in RESNET)
    fit = after(file, Recipe.of((RenameTable(table), Drop("model.*"))), RESNET)
    assert not fit.doubts
    assert fit.fits


@pytest.mark.parametrize(
    "key",
    [
        "blocks.0.attn.q_bias",
        "blocks.3.ls1.gamma",
        "blocks.12.norm1.weight",
        "dist_token",
        "reg_token",
        "fc_norm.weight",
        "patch_embed.norm.weight",
        "norm_pre.bias",
        "adapters.0.proj.weight",
        "side_proj.3.weight",
        "text_prompts.0",
        "deep_head_tokens",
        "norm_head.weight",
    ],
)
def test_what_leaves_out_a_part_of_the_network_is_no_fit(saved: Saved, key: str) -> None:
    file = saved(vit(num_classes=0) | {key: torch.ones(192)})
    dropped = after(file, Recipe.of((Drop(key),)), VIT)
    assert dropped.match.fits
    assert not dropped.fits
    assert dropped.doubts[0].keys == (key,)
    assert f"`{key}`" in fit_verdict(dropped)


@pytest.mark.parametrize(
    "key",
    [
        "head.weight",
        "classifier.0.weight",
        "decoder.blocks.0.attn.qkv.weight",
        "decoder_pos_embed",
        "mask_token",
        "projector.0.weight",
        "predictor.3.bias",
        "prototypes.weight",
        "queue",
        "text_encoder.embed.weight",
        "AuxLogits.fc.weight",
        "neck.lateral.weight",
        "logit_scale",
    ],
)
def test_another_part_may_be_left_out_and_is_named(saved: Saved, key: str) -> None:
    file = saved(vit(num_classes=0) | {key: torch.ones(3, 192)})
    dropped = after(file, Recipe.of((Drop(key),)), VIT)
    assert dropped.fits
    assert key.split(".", maxsplit=1)[0] in fit_verdict(dropped)


def test_what_is_beside_the_network_may_be_left_out_whatever_its_name(saved: Saved) -> None:
    file = saved(prefixed("backbone.", vit(num_classes=0)) | {"adapter.weight": torch.ones(3, 12)})
    recipe = Recipe.of((Keep("backbone.*"), StripPrefix("backbone.")))
    fit = after(file, recipe, VIT)
    assert fit.fits
    assert fit_verdict(fit) == f"Fits: {len(VIT)} of {len(VIT)} keys. `adapter.*` is left out."


def test_statistics_and_counters_that_are_left_out_raise_no_doubt(saved: Saved) -> None:
    file = saved(vit(num_classes=0) | {"blocks.0.attn.relative_position_index": torch.ones(4)})
    assert after(file, Recipe.of((Drop("*_index"),)), VIT).fits


def halves(one: str, other: str, splits: Callable[[int, str], bool]) -> Weights:
    """A network of which one part of the keys is under a name and the rest under another."""
    return {
        (one if splits(at, key) else other) + key: value
        for at, (key, value) in enumerate(vit(num_classes=0).items())
    }


@pytest.mark.parametrize(
    ("one", "other", "splits"),
    [
        ("student.", "teacher.", lambda at, _: at < 80),
        ("encoder_q.", "encoder_k.", lambda _, key: "blocks.11" not in key),
        ("ema_model.", "model.", lambda at, _: at < 80),
        ("encoder.", "decoder.", lambda _, key: "blocks.11" not in key),
        ("left.", "right.", lambda at, _: at % 2 == 0),
        ("a/", "b/", lambda at, _: at < 80),
    ],
)
def test_two_copies_of_which_neither_is_whole_are_no_fit(
    saved: Saved, one: str, other: str, splits: Callable[[int, str], bool]
) -> None:
    file = saved(halves(one, other, splits))
    found = best_repair(file, VIT)
    assert not after(file, found.recipe, VIT).fits


def test_a_recipe_that_joins_two_copies_is_no_fit(saved: Saved) -> None:
    file = saved(halves("student.", "teacher.", lambda at, _: at < 80))
    joined = after(file, Recipe.of((StripPrefix("student."), StripPrefix("teacher."))), VIT)
    assert joined.match.fits
    assert not joined.fits
    assert "`student.blocks.` and `teacher.blocks.`" in fit_verdict(joined) or "average" in (
        fit_verdict(joined)
    )


def test_blocks_in_numbered_chunks_are_one_tree(saved: Saved) -> None:
    chunked = {
        re.sub(r"^blocks\.(\d+)", lambda hit: f"blocks.{int(hit[1]) // 6}.{hit[1]}", key): value
        for key, value in vit(num_classes=0).items()
    }
    file = saved(chunked)
    assert after(file, best_repair(file, VIT).recipe, VIT).fits


def test_a_norm_is_paired_by_what_its_name_says_it_is_before(saved: Saved) -> None:
    model = vit(num_classes=0)
    names = {"norm1": "ln_attn", "norm2": "ln_mlp"}
    first = {
        key.replace("norm2", "ln_mlp"): value for key, value in model.items() if "norm2" in key
    }
    others = {
        re.sub("norm[12]", lambda hit: names[hit[0]], key): value for key, value in model.items()
    }
    file = saved(first | others)
    repaired = apply_recipe(best_repair(file, VIT).recipe, file, VIT).state_dict
    assert {key: entry.origin for key, entry in repaired.items() if ".norm" in key} == {
        key: re.sub("norm[12]", lambda hit: names[hit[0]], key) for key in VIT if ".norm" in key
    }


def test_a_fused_layer_that_may_have_its_parts_head_by_head_is_no_fit(saved: Saved) -> None:
    """Megatron's `query_key_value` has the q, k and v of each head together, CogVLM's has not."""
    weights = {
        key.replace("qkv", "query_key_value"): value for key, value in vit(num_classes=0).items()
    }
    file = saved(weights)
    (doubt,) = after(file, best_repair(file, VIT).recipe, VIT).doubts
    assert doubt.sentence == (
        "Nothing says whether `blocks.0.attn.query_key_value.weight` has its parts head by head, "
        "as Megatron's, or one after the other, as the model's `blocks.0.attn.qkv.weight`."
    )
    assert len(doubt.keys) == 2 * 12


@pytest.mark.slow
def test_columns_in_mmpretrains_order_do_not_fit(saved: Saved) -> None:
    own = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0)
    names = (
        (r"^layers\.", "backbone.stages."),
        (r"\.attn\.", ".attn.w_msa."),
        (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
        (r"\.mlp\.fc2\.", ".ffn.layers.1."),
    )
    file = saved(renamed(own.state_dict(), *names))
    wanted = signature(Architecture("timm", "swin_tiny_patch4_window7_224", (("num_classes", 0),)))
    fit = after(file, best_repair(file, wanted).recipe, wanted)
    assert fit.match.fits
    assert [doubt.sentence for doubt in fit.doubts] == [
        "`backbone.stages.1.downsample.reduction.weight` is mmpretrain's: its columns, and the "
        "values of a norm before it, are in another order than the model's."
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "fits"), [(7, True), (512, False)])
def test_a_square_matrix_of_paddle_is_in_doubt(saved: Saved, classes: int, fits: bool) -> None:
    own = resnet(classes=classes)
    names = (r"running_mean$", "_mean"), (r"running_var$", "_variance")
    theirs = turned(without(renamed(own, *names), "num_batches_tracked$"))
    wanted = signature(Architecture("torchvision", "resnet18", (("num_classes", classes),)))
    file = saved(theirs)
    fit = after(file, best_repair(file, wanted).recipe, wanted)
    assert fit.match.fits
    assert fit.fits is fits
    if not fits:
        assert "Paddle, whose names the file has, stores matrices transposed" in (
            fit.doubts[0].sentence
        )


@pytest.mark.parametrize("named", [dict, detectrons])
@pytest.mark.parametrize("place", ["", "branch."])
def test_the_head_of_a_branch_is_not_joined_to_the_network_beside_it(
    saved: Saved, place: str, named: Callable[[Weights], Weights]
) -> None:
    own = resnet(2)
    branch = {key: value for key, value in own.items() if key.startswith("layer4")}
    head = {key: value for key, value in own.items() if key.startswith("fc")}
    trunk = prefixed("backbone.", named(without(resnet(1), "fc.")))
    file = saved(trunk | prefixed(place, named(branch)) | head)
    fit = after(file, best_repair(file, RESNET).recipe, RESNET)
    assert not fit.fits
    assert fit.doubts[0].sentence.startswith(f"`fc` may belong to `{place}")
    without_head = signature(Architecture("timm", "resnet18", (("num_classes", 0),)))
    own = best_repair(file, without_head).recipe
    assert after(file, own, without_head).fits
    assert origins(file, without_head) == {"backbone"}


@pytest.mark.parametrize("classes", [0, 5])
def test_a_norm_from_beside_a_network_that_has_its_own_is_no_fit(
    saved: Saved, classes: int
) -> None:
    trunk = timm.create_model("convnext_atto", num_classes=0).state_dict()
    outer = {f"head.norm.{key}": torch.randn(320) for key in ("weight", "bias")}
    head = {"head.fc.weight": torch.randn(5, 320), "head.fc.bias": torch.randn(5)}
    file = saved(prefixed("backbone.", trunk) | outer | head)
    wanted = signature(Architecture("timm", "convnext_atto", (("num_classes", classes),)))
    best = after(file, best_repair(file, wanted).recipe, wanted)
    assert best.fits == (classes == 0)  # all of `backbone.*` is one network without a head
    table = tuple((f"backbone.{key}", key) for key in wanted if not key.startswith("head."))
    rest = Drop("backbone.*"), *([] if classes else [Drop("head.fc.*")])
    mixed = after(file, Recipe.of((RenameTable(table), *rest)), wanted)
    assert mixed.match.fits
    assert not mixed.fits
    assert "`backbone.head.norm.*`" in mixed.doubts[0].sentence


@pytest.mark.parametrize("named", [dict, detectrons])
@pytest.mark.parametrize("head", ["fc", "classifier"])
def test_a_network_below_a_prefix_is_taken_whole_though_a_layer_is_beside_it(
    saved: Saved, named: Callable[[Weights], Weights], head: str
) -> None:
    beside = {f"{head}.weight": torch.randn(1000, 512), f"{head}.bias": torch.randn(1000)}
    file = saved(prefixed("backbone.", named(resnet(1))) | beside)
    assert origins(file, RESNET) == {"backbone"}
    assert after(file, best_repair(file, RESNET).recipe, RESNET).fits


def test_a_norm_beside_a_network_with_its_own_is_left_out(saved: Saved) -> None:
    trunk = renamed(without(vit(num_classes=7), "head."), *HUGGING_FACE)
    beside = {"norm.weight": torch.randn(192), "norm.bias": torch.randn(192)}
    file = saved(prefixed("backbone.", trunk) | beside)
    assert origins(file, VIT) == {"backbone"}
    assert after(file, best_repair(file, VIT).recipe, VIT).fits


def is_filled_and_no_fit(file: StateDict, wanted: Signature) -> str:
    """The first doubt of the best repair, which finds a tensor for every key and is no fit."""
    fit = after(file, best_repair(file, wanted).recipe, wanted)
    assert fit.match.fits
    assert not fit.fits
    return fit.doubts[0].sentence


@pytest.mark.parametrize("place", ["decoder.", "cls_layers.", "extra.layers."])
@pytest.mark.parametrize("own", [10, 6])
@pytest.mark.parametrize("names", [(), HUGGING_FACE])
def test_blocks_of_another_part_do_not_fill_a_network(
    saved: Saved, names: tuple[tuple[str, str], ...], own: int, place: str
) -> None:
    """As a masked autoencoder's decoder, or a second tower."""
    encoder, other = vit(1, depth=own, num_classes=0), vit(2, depth=12 - own, num_classes=0)
    blocks = {key: value for key, value in other.items() if key.startswith("blocks.")}
    file = saved(
        prefixed("encoder.", renamed(encoder, *names)) | prefixed(place, renamed(blocks, *names))
    )
    assert "may be another part's" in is_filled_and_no_fit(file, VIT)


@pytest.mark.parametrize("other", ["decoder.block.", "neck.block.", "branch."])
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_missing_block_is_not_filled_from_beside(saved: Saved, prefix: str, other: str) -> None:
    theirs = {
        f"{other}{key.removeprefix('layer4.1.')}": value
        for key, value in resnet(2).items()
        if key.startswith("layer4.1.")
    }
    file = saved(prefixed(prefix, without(resnet(1), "layer4.1.")) | theirs)
    assert f"`{other}" in is_filled_and_no_fit(file, RESNET)


@pytest.mark.parametrize(
    ("lost", "own", "other"),
    [
        ("cls_token", "", "decoder.cls_token"),
        ("cls_token", "backbone.", "prompt.token"),
        ("pos_embed", "encoder.", "decoder.pos_embed"),
    ],
)
def test_a_missing_token_is_not_taken_from_another_part(
    saved: Saved, lost: str, own: str, other: str
) -> None:
    weights = vit(num_classes=0)
    file = saved(prefixed(own, without(weights, lost)) | {other: weights[lost]})
    assert f"`{other}`" in is_filled_and_no_fit(file, VIT)


@pytest.mark.parametrize("named", [dict, detectrons])
def test_a_missing_layer_is_not_filled_from_an_auxiliary_part(
    saved: Saved, named: Callable[[Weights], Weights]
) -> None:
    lost = "layer4.0.downsample."
    aux = {
        key.replace(f"{lost}0", "aux.proj").replace(f"{lost}1", "aux.bn"): value
        for key, value in resnet(2).items()
        if key.startswith(lost)
    }
    file = saved(named(without(resnet(1), lost)) | aux)
    assert "`aux." in is_filled_and_no_fit(file, RESNET)


def test_a_head_is_not_joined_over_layers_that_may_feed_it(saved: Saved) -> None:
    lstm = {
        f"lstm.{key}": torch.randn(shape)
        for key, shape in (("weight_ih_l0", (2048, 512)), ("weight_hh_l0", (2048, 512)))
    }
    fusion = {"fusion.weight": torch.randn(512, 1024), "fusion.bias": torch.randn(512)}
    attention = {
        f"nl.{key}.weight": torch.randn(*shape, 1, 1)
        for key, shape in (("theta", (256, 512)), ("out", (512, 256)))
    }
    trunk, head = without(resnet(1), "fc."), {"fc.weight": resnet(1)["fc.weight"]}
    head |= {"fc.bias": resnet(1)["fc.bias"]}
    for between in (lstm, fusion, attention):
        module = next(iter(between)).partition(".")[0]
        file = saved(prefixed("cnn.", trunk) | between | head)
        sentence = is_filled_and_no_fit(file, RESNET)
        assert sentence == f"`{module}.*` may stand between the network and its head `fc`."
    beside = {"rot_head.weight": torch.randn(4, 512), "rot_head.bias": torch.randn(4)}
    file = saved(prefixed("cnn.", trunk) | beside | head)
    assert after(file, best_repair(file, RESNET).recipe, RESNET).fits


def test_the_outermost_layers_are_transposed_with_those_inside(saved: Saved) -> None:
    """As Paddle stores them, under timm's own names."""
    wanted = signature(Architecture("timm", "vit_tiny_patch16_224", (("num_classes", 7),)))
    file = saved(turned(vit(num_classes=7)))
    assert after(file, best_repair(file, wanted).recipe, wanted).fits


def test_a_block_with_an_adapter_in_it_is_of_the_network(saved: Saved) -> None:
    """PEFT puts `base_layer` into the paths of the layers that it adapts."""
    file = saved(renamed(vit(num_classes=0), (r"^blocks\.3\.attn\.qkv", r"\g<0>.base_layer")))
    assert after(file, best_repair(file, VIT).recipe, VIT).fits
