"""Names of other people's: a user's own, Hugging Face's, shifted indices, parts apart."""

import random
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict, TensorEntry
from core.fit.align import Alignment, align
from core.fit.align.recipe_from_alignment import alignment_recipe
from core.fit.key_match import match
from core.fixes import Drop, Fuse, Recipe, RenameTable, Split, Transpose
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.align.models import filled, missing, output, saved, saved_by_name, varied
from tests.core.plain_torch import signature_of

Tensors = dict[str, torch.Tensor]


def own_name(key: str) -> str:
    """torchvision's ResNet as somebody may write it himself."""
    key = re.sub(r"layer(\d)\.(\d)\.", r"stage\1.block\2.", key)
    key = re.sub(r"(conv|bn)(\d)", lambda found: f"{found[1]}_{'_abc'[int(found[2])]}", key)
    key = key.replace("bn_", "norm_").replace("fc.", "output.")
    key = key.replace("downsample.0", "short.conv").replace("downsample.1", "short.norm")
    return key if key.startswith(("stage", "output")) else f"stem.{key}"


def hugging_face_name(key: str) -> str:
    """torchvision's ResNet as transformers' ResNetForImageClassification has it."""
    roles = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}
    if found := re.match(r"layer(\d)\.(\d)\.(conv|bn)(\d)\.(\w+)", key):
        stage, layer, role, number, leaf = found.groups()
        place = f"layers.{layer}.layer.{int(number) - 1}.{roles[role]}.{leaf}"
        return f"resnet.encoder.stages.{int(stage) - 1}.{place}"
    if found := re.match(r"layer(\d)\.(\d)\.downsample\.(\d)\.(\w+)", key):
        stage, layer, number, leaf = found.groups()
        place = f"layers.{layer}.shortcut.{roles[number]}.{leaf}"
        return f"resnet.encoder.stages.{int(stage) - 1}.{place}"
    key = re.sub(r"^(conv|bn)1", lambda found: f"resnet.embedder.embedder.{roles[found[1]]}", key)
    return key.replace("fc.", "classifier.1.")


def shortcut_first(tensors: Tensors) -> Tensors:
    """As transformers lists them: the shortcut of a block stands before its layers."""

    def place(key: str) -> tuple[int, str, bool]:
        block = re.match(r".*layers\.\d+", key)
        last = 2 if key.startswith("classifier") else 0 if "embedder" in key else 1
        return last, block[0] if block else "", "shortcut" not in key

    return {key: tensors[key] for key in sorted(tensors, key=place)}


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(5)
    return varied(resnet18(num_classes=7))


NORMS = {
    "Keras": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Flax": ("scale", "bias", "mean", "var"),
    "Haiku": ("scale", "offset", "mean", "variance"),
}
"""What libraries call a BatchNorm's weight, bias, mean and variance."""


@pytest.mark.parametrize("library", NORMS)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2)])
def test_norms_under_the_names_of_other_libraries_are_the_same(
    tmp_path: Path, resnet: nn.Module, library: str, order: tuple[int, ...]
) -> None:
    names = dict(
        zip(("weight", "bias", "running_mean", "running_var"), NORMS[library], strict=True)
    )
    own = resnet.state_dict()
    tensors: Tensors = {}
    for module in dict.fromkeys(key.rpartition(".")[0] for key in own):
        if f"{module}.running_var" not in own:
            tensors.update({key: own[key] for key in own if key.rpartition(".")[0] == module})
            continue
        for leaf in [[*names][at] for at in order]:
            tensors[f"{module}.{names[leaf]}"] = own[f"{module}.{leaf}"]
    model = resnet18(num_classes=7)
    filled(model, saved(tmp_path, tensors))
    assert torch.equal(output(model.eval(), 32), output(resnet, 32))


@pytest.mark.parametrize("prefix", ["", "module.net."])
@pytest.mark.parametrize("named", [own_name, hugging_face_name])
@pytest.mark.parametrize("sorted_by_name", [False, True])
def test_a_resnet_under_other_names_is_the_same_network(
    tmp_path: Path,
    resnet: nn.Module,
    named: Callable[[str], str],
    prefix: str,
    sorted_by_name: bool,
) -> None:
    tensors = {prefix + named(key): value for key, value in resnet.state_dict().items()}
    assert len(tensors) == 122
    if named is hugging_face_name:
        tensors = shortcut_first(tensors)
    state_dict = (saved_by_name if sorted_by_name else saved)(tmp_path, tensors)
    torch.manual_seed(6)
    target = varied(resnet18(num_classes=7), seed=1)
    found = filled(target, state_dict)
    torch.testing.assert_close(output(target, 64), output(resnet, 64))
    assert not found.unpaired
    assert not missing(found, target.state_dict())
    assert [type(step.fix) for step in found.recipe.steps] == [RenameTable]


def as_hugging_face_vit(tensors: Tensors) -> Tensors:
    """timm's ViT under transformers' names and in its order: q, k and v apart, norms last."""
    names = {
        "attn.proj": (3, "attention.output.dense"),
        "mlp.fc1": (4, "intermediate.dense"),
        "mlp.fc2": (5, "output.dense"),
        "norm1": (6, "layernorm_before"),
        "norm2": (7, "layernorm_after"),
    }
    outside = {
        "cls_token": "vit.embeddings.cls_token",
        "pos_embed": "vit.embeddings.position_embeddings",
        "patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
        "norm": "vit.layernorm",
        "head": "classifier",
    }
    made: list[tuple[tuple[int, int, int], str, torch.Tensor]] = []
    for key, value in tensors.items():
        found = re.match(r"blocks\.(\d+)\.(.+)\.(\w+)", key)
        if found is None:
            module, dot, leaf = key.rpartition(".") if "." in key else (key, "", "")
            at = (99 if module in ("norm", "head") else -1, 0, 0)
            made.append((at, outside[module] + dot + leaf, value))
            continue
        block, module, leaf = int(found[1]), found[2], found[3]
        path = f"vit.encoder.layer.{block}."
        if module == "attn.qkv":
            for part, word in enumerate(("query", "key", "value")):
                third = value.chunk(3)[part].clone()
                name = f"{path}attention.attention.{word}.{leaf}"
                made.append(((block, part, leaf == "bias"), name, third))
        else:
            at, name = names[module]
            made.append(((block, at, leaf == "bias"), f"{path}{name}.{leaf}", value))
    return {name: value for _, name, value in sorted(made, key=lambda one: one[0])}


def small_vit(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 12, "num_heads": 3}
    model = timm.models.VisionTransformer(**options, num_classes=10)
    return varied(model, seed)


@pytest.mark.parametrize("sorted_by_name", [False, True])
def test_q_k_and_v_apart_are_fused_into_timms_qkv(tmp_path: Path, sorted_by_name: bool) -> None:
    source, target = small_vit(0), small_vit(1)
    tensors = as_hugging_face_vit(source.state_dict())
    assert tensors["vit.encoder.layer.11.attention.attention.key.weight"].shape == (48, 48)
    state_dict = (saved_by_name if sorted_by_name else saved)(tmp_path, tensors)
    found = filled(target, state_dict)
    torch.testing.assert_close(output(target, 32), output(source, 32))
    assert found.recipe.steps[0].fix == Fuse(("query", "key", "value"), "qkv")
    assert not found.ambiguous
    parts = [pair.key for pair in found.pairs if pair.wanted == "blocks.3.attn.qkv.weight"]
    assert [key.split(".")[-2] for key in parts] == ["query", "key", "value"]


def test_timms_qkv_is_split_where_the_architecture_has_q_k_and_v(tmp_path: Path) -> None:
    source = small_vit(0).state_dict()
    expected = as_hugging_face_vit(source)
    state_dict = saved(tmp_path, source)
    wanted = specs(expected)
    found = align(state_dict, wanted)
    fixed = apply_recipe(found.recipe, state_dict, wanted).state_dict
    assert Split("qkv", ("query", "key", "value")) in fixes(found.recipe)
    assert_holds(fixed, expected)


def specs(tensors: Mapping[str, torch.Tensor]) -> Signature:
    return {
        key: TensorSpec(tuple(value.shape), str(value.dtype).removeprefix("torch."), "parameter")
        for key, value in tensors.items()
    }


def fixes(recipe: Recipe) -> list[object]:
    return [step.fix for step in recipe.steps]


def assert_holds(state_dict: StateDict, expected: Mapping[str, torch.Tensor]) -> None:
    assert set(state_dict) == set(expected)
    for key, value in expected.items():
        assert torch.equal(read_tensor(state_dict[key]), value), key


def test_gpt2s_matrices_are_transposed_the_square_ones_too_and_embeddings_not(
    tmp_path: Path,
) -> None:
    dice = torch.Generator().manual_seed(0)
    file: Tensors = {"wte.weight": torch.randn(64, 16, generator=dice)}
    expected: Tensors = {"tokens.weight": file["wte.weight"]}
    for block in range(3):
        for theirs, mine, rows, columns in (
            ("attn.c_attn", "attention.qkv", 16, 48),
            ("attn.c_proj", "attention.out", 16, 16),
            ("mlp.c_fc", "mlp.up", 16, 64),
            ("mlp.c_proj", "mlp.down", 64, 16),
        ):
            weight = torch.randn(rows, columns, generator=dice)
            bias = torch.randn(columns, generator=dice)
            file |= {f"h.{block}.{theirs}.weight": weight, f"h.{block}.{theirs}.bias": bias}
            place = f"blocks.{block}.{mine}"
            expected |= {f"{place}.weight": weight.t(), f"{place}.bias": bias}
    state_dict = saved(tmp_path, file)
    found = align(state_dict, specs(expected))
    assert [type(fix) for fix in fixes(found.recipe)] == [Transpose, RenameTable]
    assert_holds(apply_recipe(found.recipe, state_dict).state_dict, expected)
    assert not found.ambiguous


def test_field_28_indices_that_a_layer_without_parameters_shifted_are_aligned(
    tmp_path: Path,
) -> None:
    def network(dropout: bool) -> nn.Module:
        between = [nn.Dropout()] if dropout else []
        widths = (3, 16, 16, 16, 32, 32)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), *between]
        return varied(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 8 * 8, 5)))

    torch.manual_seed(0)
    source, target = network(dropout=True), network(dropout=False)
    assert [*source.state_dict()][::2] == [f"{index}.weight" for index in (0, 3, 6, 9, 12, 16)]
    assert [*target.state_dict()][::2] == [f"{index}.weight" for index in (0, 2, 4, 6, 8, 11)]
    found = filled(target, saved(tmp_path, source.state_dict()))
    torch.testing.assert_close(output(target, 8), output(source, 8))
    assert not found.ambiguous


def linear(*names: str) -> Tensors:
    dice = torch.Generator().manual_seed(len(names))
    return {
        f"{name}.{leaf}": torch.randn((8, 8) if leaf == "weight" else (8,), generator=dice)
        for name in names
        for leaf in ("weight", "bias")
    }


def ambiguous(found: Alignment) -> list[tuple[str, str]]:
    return [(pair.key, pair.wanted) for pair in found.ambiguous]


def test_equal_layers_whose_names_say_nothing_are_paired_in_order_and_marked(
    tmp_path: Path,
) -> None:
    state_dict = saved(tmp_path, linear("foo", "bar"))
    found = align(state_dict, specs(linear("fc1", "fc2")))
    assert ambiguous(found) == [
        ("foo.weight", "fc1.weight"),
        ("foo.bias", "fc1.bias"),
        ("bar.weight", "fc2.weight"),
        ("bar.bias", "fc2.bias"),
    ]
    assert all(pair.confidence <= 0.5 for pair in found.pairs)
    assert found.pairs[0].why == (
        "same shape, same place in the order, but another would be as likely"
    )
    assert found.sentence == (
        "4 of 4 keys of the model have a tensor in the file; "
        "4 of them are ambiguous: another tensor would be as likely."
    )


def test_they_are_not_where_numbers_or_letters_count_them(tmp_path: Path) -> None:
    state_dict = saved(tmp_path, linear("dense_a", "dense_b"))
    found = align(state_dict, specs(linear("fc1", "fc2")))
    assert not found.ambiguous
    assert {pair.key: pair.wanted for pair in found.pairs}["dense_b.bias"] == "fc2.bias"


@pytest.mark.parametrize("sorted_by_name", [False, True])
def test_q_k_and_v_are_no_numbers_that_count_and_which_is_which_is_doubtful(
    tmp_path: Path, sorted_by_name: bool
) -> None:
    def network(*names: str) -> Tensors:
        made: Tensors = {}
        for block in range(2):
            made |= linear(*(f"blocks.{block}.attn.{name}" for name in names))
            made[f"blocks.{block}.mlp.weight"] = torch.randn(16, 8)
        return made

    tensors = network("proj1", "proj2", "proj3")
    state_dict = (saved_by_name if sorted_by_name else saved)(tmp_path, tensors)
    found = align(state_dict, specs(network("q", "k", "v")))
    assert {pair.key for pair in found.ambiguous} == {key for key in tensors if "proj" in key}
    assert all(pair.confidence <= 0.5 for pair in found.ambiguous)


def transformer(block: str, norm1: str, norm2: str, fc1: str, fc2: str) -> Tensors:
    """Twelve equal blocks of two norms and two layers of other shapes; no two tensors are equal."""
    dice = torch.Generator().manual_seed(0)
    shapes = {
        f"{norm1}.weight": (8,), f"{norm1}.bias": (8,),
        f"{norm2}.weight": (8,), f"{norm2}.bias": (8,),
        f"{fc1}.weight": (32, 8), f"{fc1}.bias": (32,),
        f"{fc2}.weight": (8, 32), f"{fc2}.bias": (8,),
    }  # fmt: skip
    return {
        f"{block}.{number}.{name}": torch.randn(shape, generator=dice)
        for number in range(12)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_file_in_random_order_goes_by_the_numbers_in_its_names(tmp_path: Path, seed: int) -> None:
    names = ("layers", "layernorm_before", "layernorm_after", "up", "down")
    tensors = list(transformer(*names).items())
    random.Random(seed).shuffle(tensors)
    model = transformer("blocks", "norm1", "norm2", "fc1", "fc2")
    found = align(saved(tmp_path, dict(tensors)), specs(model))
    assert not found.ambiguous
    taken = {pair.wanted: dict(tensors)[pair.key] for pair in found.pairs}
    assert all(torch.equal(taken[key], model[key]) for key in model)


def test_blocks_whose_order_is_not_that_of_their_numbers_are_ambiguous(tmp_path: Path) -> None:
    """Shards that were merged the wrong way round, say: the order tells one thing, the numbers
    tell another."""
    tensors = linear(*(f"net.{number}.lin" for number in (4, 5, 6, 7, 0, 1, 2, 3)))
    found = align(
        saved(tmp_path, tensors), specs(linear(*(f"blocks.{number}.fc" for number in range(8))))
    )
    own = {pair.key: pair.wanted for pair in found.pairs if not pair.ambiguous}
    assert all(
        wanted == key.replace("net", "blocks").replace("lin", "fc") for key, wanted in own.items()
    )


def test_norms_whose_names_exclude_an_exchange_are_not_ambiguous_in_a_sorted_file(
    tmp_path: Path,
) -> None:
    """Llama's `input_layernorm`: that the other one is `post_attention_layernorm` tells it."""
    names = ("layers", "input_layernorm", "post_attention_layernorm", "up", "down")
    tensors = transformer(*names)
    state_dict = saved_by_name(tmp_path, tensors)
    model = transformer("blocks", "norm1", "norm2", "fc1", "fc2")
    found = align(state_dict, specs(model))
    assert not found.ambiguous
    assert all(torch.equal(tensors[pair.key], model[pair.wanted]) for pair in found.pairs)
    assert not missing(found, model)


UNITS = {
    "conv_pw": "exp_conv.conv",
    "bn1": "exp_conv.bn",
    "conv_dw": "conv1.conv",
    "bn2": "conv1.bn",
    "conv_pwl": "conv2.conv",
    "bn3": "conv2.bn",
}
"""The layers of an inverted residual of timm, and how pytorchcv names them: each norm is in one
module with its convolution, and the numbers are others."""


def unit_name(key: str) -> str:
    """timm's EfficientNets and MixNets as pytorchcv has them."""
    block = re.match(r"blocks\.(\d)\.(\d)\.(\w+)\.(.+)", key)
    if block is None:
        return f"features.{key}"
    stage, number, layer, rest = block.groups()
    units = UNITS
    if stage == "0":  # its block has no expansion
        units = dict(zip(("conv_dw", "bn1", "conv_pw", "bn2"), [*UNITS.values()][2:], strict=True))
    return f"features.stage{stage}.unit{int(number) + 1}.{units.get(layer, layer)}.{rest}"


@pytest.mark.parametrize("name", ["mixnet_s", "mnasnet_100", "mobilenetv2_100"])
def test_a_norm_stays_with_its_convolution_in_a_file_that_is_sorted(
    tmp_path: Path, name: str
) -> None:
    model = varied(timm.create_model(name))
    right = {unit_name(key): key for key in model.state_dict()}
    assert len(right) == len(model.state_dict())
    tensors = model.state_dict()
    state_dict = saved_by_name(tmp_path, {own: tensors[key] for own, key in right.items()})
    found = align(state_dict, signature_of(model))
    assert len(found.pairs) > 0.9 * len(right)
    assert all(pair.ambiguous or right[pair.key] == pair.wanted for pair in found.pairs)


def test_one_equal_layer_too_many_makes_them_ambiguous(tmp_path: Path) -> None:
    state_dict = saved(tmp_path, linear("foo", "bar", "qux"))
    wanted = specs(linear("one", "two"))
    found = align(state_dict, wanted)
    assert len(found.ambiguous) == 4
    assert len(found.unpaired) == 2
    assert not missing(found, wanted)


def test_what_stands_where_another_is_to_go_is_dropped(tmp_path: Path) -> None:
    state_dict = saved(
        tmp_path, {"body.weight": torch.ones(4, 3), "head.weight": torch.zeros(9, 2)}
    )
    wanted = {"head.weight": TensorSpec((4, 3), "float32", "parameter")}
    found = align(state_dict, wanted)
    assert found.unpaired == ("head.weight",)
    assert [type(fix) for fix in fixes(found.recipe)] == [Drop, RenameTable]
    assert_holds(
        apply_recipe(found.recipe, state_dict).state_dict, {"head.weight": torch.ones(4, 3)}
    )


def test_a_recipe_takes_only_pairs_of_the_confidence_that_is_asked_for(tmp_path: Path) -> None:
    tensors = {"enter.weight": torch.ones(8, 3), **linear("foo", "bar")}
    wanted = specs({"first.weight": torch.ones(8, 3), **linear("fc1", "fc2")})
    found = align(saved(tmp_path, tensors), wanted)
    assert fixes(alignment_recipe(found, least=0.8)) == [
        RenameTable((("enter.weight", "first.weight"),))
    ]


def test_a_file_that_fits_needs_no_recipe(tmp_path: Path, resnet: nn.Module) -> None:
    found = align(saved(tmp_path, resnet.state_dict()), signature_of(resnet))
    assert found.recipe == Recipe()
    assert found.confidence == 1
    assert found.sentence == "122 of 122 keys of the model have a tensor in the file."


def test_batch_counters_that_an_old_file_lacks_do_not_matter(
    tmp_path: Path, resnet: nn.Module
) -> None:
    tensors = {
        own_name(key): value
        for key, value in resnet.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    state_dict = saved(tmp_path, tensors)
    wanted = signature_of(resnet)
    found = align(state_dict, wanted)
    assert match(apply_recipe(found.recipe, state_dict, wanted).state_dict, wanted).fits
    assert {key.rpartition(".")[2] for key in missing(found, wanted)} == {"num_batches_tracked"}


def test_another_network_is_told_by_a_low_confidence(tmp_path: Path, resnet: nn.Module) -> None:
    found = align(saved(tmp_path, resnet.state_dict()), signature_of(small_vit(0)))
    assert found.confidence < 0.1
    assert all(pair.confidence < 0.5 for pair in found.pairs)


def entries(signature: Signature) -> StateDict:
    return StateDict(
        TensorEntry(key, spec.dtype, spec.shape, (1,) * len(spec.shape), 0, None)
        for key, spec in signature.items()
    )


def many(name: str, count: int) -> Signature:
    return {
        f"{name}.{index}.weight": TensorSpec((8, 2 + index % 9), "float32", "parameter")
        for index in range(count)
    }


@pytest.mark.slow
def test_very_many_layers_go_by_their_order_and_say_so() -> None:
    found = align(entries(many("layers", 20_000)), many("blocks", 20_000))
    assert len(found.ambiguous) == 20_000
    assert {pair.key.split(".")[1] == pair.wanted.split(".")[1] for pair in found.pairs} == {True}
    assert found.pairs[0].why == "same shape, same order, too many to compare"


def test_more_keys_than_that_are_left_alone() -> None:
    found = align(entries(many("layers", 100_001)), many("blocks", 3))
    assert not found.pairs
    assert found.sentence == "More than 100\u202f000 keys are too many to compare."
