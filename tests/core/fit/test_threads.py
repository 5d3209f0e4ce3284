"""Files as people bring them: each is named and repaired tensor for tensor, or said to fit nothing.

Each is written by torch in the model's order, and by safetensors sorted by key.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import VGG, ResNet, resnet18, resnet34
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import make_layers

from core.architectures import Signature, parse_architecture, signature
from core.checkpoint import StateDict, open_checkpoint
from core.fit import Fit, fit_of, with_classes
from core.fit.identify import Identification, hints_of, identify
from core.fit.index import Lookup
from core.fit.proposals import best_repair
from core.fixes import Recipe, Transpose
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.cli.process import loupe
from tests.core.fit.renamed_networks import (
    DETECTRON2,
    MMPRETRAIN,
    Weights,
    apart,
    batch_norm,
    linear,
    prefixed,
    renamed,
    resnet,
    trained,
    turned,
    vit,
    without,
)
from tests.core.plain_torch import signature_of

R18 = "torchvision:resnet18"
VIT = "timm:vit_tiny_patch16_224"

FORMATS = pytest.mark.parametrize("ending", ["pth", "safetensors"])

Made = tuple[Weights, Weights]
"""What is in the file, and the tensors of the network that is to come out."""


def written(folder: Path, ending: str, weights: Mapping[str, Tensor]) -> Path:
    path = folder / f"file.{ending}"
    if ending == "pth":
        torch.save(dict(weights), path)
    else:
        save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return path


def opened(folder: Path, ending: str, weights: Mapping[str, Tensor]) -> StateDict:
    return open_checkpoint(written(folder, ending, weights)).state_dict()


def told(lookup: Lookup, path: Path) -> Identification:
    checkpoint = open_checkpoint(path)
    state_dict = checkpoint.state_dict()
    return identify(state_dict, lookup, hints_of(checkpoint, state_dict))


def repaired(file: StateDict, wanted: Signature) -> tuple[StateDict, bool, Fit]:
    """The file after the best repair, and whether it then fits without a doubt."""
    best = best_repair(file, wanted)
    after = apply_recipe(best.recipe, file, wanted).state_dict
    fit = fit_of(file, after, wanted)
    return after, fit.fits and not best.unsure, fit


def assert_equal(state_dict: StateDict, right: Mapping[str, Tensor], wanted: Signature) -> None:
    assert set(wanted) <= set(state_dict)
    wrong = [key for key in wanted if not torch.equal(read_tensor(state_dict[key]), right[key])]
    assert not wrong


def copies(one: str, other: str, names: tuple[tuple[str, str], ...] = DETECTRON2) -> Weights:
    return prefixed(one, renamed(resnet(1), *names)) | prefixed(other, renamed(resnet(2), *names))


def student_and_teacher() -> Made:
    return copies("student.", "teacher."), resnet(2)


def online_and_target() -> Made:
    return copies("online_encoder.", "target_encoder."), resnet(1)


def base_and_momentum() -> Made:
    return copies("base_encoder.", "momentum_encoder."), resnet(1)


def generators() -> Made:
    return copies("netG_A.", "netG_B."), resnet(1)


def left_and_right() -> Made:
    return copies("left.", "right."), resnet(1)


def network_and_its_second() -> Made:
    return copies("net.", "net2."), resnet(1)


def three_copies() -> Made:
    return copies("student.", "teacher.") | prefixed("ema.", renamed(resnet(3), *DETECTRON2)), (
        resnet(2)
    )


def ensemble() -> Made:
    third = prefixed("models.2.", renamed(resnet(3), *DETECTRON2))
    return copies("models.0.", "models.1.") | third, resnet(1)


def average_without_dots() -> Made:
    weights, average = (
        prefixed("backbone.", renamed(resnet(seed), *DETECTRON2)) for seed in (1, 2)
    )
    dotless = {f"ema_{key.replace('.', '_')}": value for key, value in average.items()}
    return dotless | weights, resnet(1)


def average_without_buffers() -> Made:
    average = without(renamed(resnet(2), *DETECTRON2), "running|tracked")
    return prefixed("ema.", average) | prefixed("net.", renamed(resnet(1), *DETECTRON2)), resnet(1)


def copy_without_a_block() -> Made:
    lacking = without(renamed(resnet(2), *DETECTRON2), r"res5\.1")
    return prefixed("student.", renamed(resnet(1), *DETECTRON2)) | prefixed("teacher.", lacking), (
        resnet(1)
    )


def copy_without_a_head() -> Made:
    lacking = without(renamed(resnet(1), *DETECTRON2), r"^fc")
    return prefixed("online.", lacking) | prefixed("target.", renamed(resnet(2), *DETECTRON2)), (
        resnet(2)
    )


def a_larger_network_beside() -> Made:
    larger = renamed(trained(resnet34(), 2), *DETECTRON2)
    return prefixed("student.", renamed(resnet(1), *DETECTRON2)) | prefixed("teacher.", larger), (
        resnet(1)
    )


def encoder_and_its_average() -> Made:
    return copies("encoder.", "encoder_ema."), resnet(1)


COPIES = [
    student_and_teacher,
    online_and_target,
    base_and_momentum,
    generators,
    left_and_right,
    network_and_its_second,
    three_copies,
    ensemble,
    average_without_dots,
    average_without_buffers,
    copy_without_a_block,
    copy_without_a_head,
    a_larger_network_beside,
    encoder_and_its_average,
]


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize("made", COPIES)
def test_of_several_copies_one_is_taken_wholly(
    lookup: Lookup, tmp_path: Path, made: Callable[[], Made], ending: str
) -> None:
    weights, right = made()
    path = written(tmp_path, ending, weights)
    file = open_checkpoint(path).state_dict()
    wanted = signature(parse_architecture(R18))
    after, fits, _ = repaired(file, wanted)
    assert fits
    assert_equal(after, right, wanted)
    found = told(lookup, path)
    best = found.candidates[0]
    assert best.architecture.key == R18
    assert best.fits
    assert found.sentence.startswith(
        "Under other key names this has the tensors of a torchvision resnet18"
    )
    assert_equal(apply_recipe(best.recipe, file, wanted).state_dict, right, wanted)


def from_detectron2() -> tuple[Weights, str, Weights]:
    return renamed(resnet(), *DETECTRON2), R18, resnet()


def from_mmpretrain() -> tuple[Weights, str, Weights]:
    return renamed(vit(num_classes=7), *MMPRETRAIN), f"{VIT}?num_classes=7", vit(num_classes=7)


def from_hugging_face() -> tuple[Weights, str, Weights]:
    return apart(vit(), ("query", "key", "value"), "qkv"), VIT, vit()


def value_before_key() -> tuple[Weights, str, Weights]:
    return apart(vit(), ("query", "key", "value"), "vkq"), VIT, vit()


def key_before_query() -> tuple[Weights, str, Weights]:
    return apart(vit(), ("q_proj", "k_proj", "v_proj"), "kqv"), VIT, vit()


def children_of_a_sequential() -> tuple[Weights, str, Weights]:
    model = resnet18()
    parts = nn.Sequential(*[*model.children()][:-1])
    keys = [key for key in model.state_dict() if not key.startswith("fc.")]
    values = dict(zip(keys, trained(parts).values(), strict=True))
    own = dict(zip(parts.state_dict(), values.values(), strict=True))
    return prefixed("backbone.", own), f"{R18}?num_classes=0", values


def norms_of_one_row() -> tuple[Weights, str, Weights]:
    rows = {
        key: value[None] if value.ndim == 1 and not key.startswith("fc.") else value
        for key, value in resnet().items()
    }
    return rows, R18, resnet()


def names_with_spaces() -> tuple[Weights, str, Weights]:
    names = (
        (r"layer(\d)\.(\d)\.", r"stage\1.0\2 BasicLayer."),
        (r"\.conv(\d)", r".weight_layer\1.0"),
    )
    own = renamed(resnet(), *names, (r"\.bn(\d)", r".weight_layer\1.1"))
    return prefixed("module.encoder.", own), R18, resnet()


def head_in_a_dict_beside() -> tuple[Weights, str, Weights]:
    weights = resnet(classes=4)
    head = {f"heads.0.clf.0.{name}": weights[f"fc.{name}"] for name in ("weight", "bias")}
    return prefixed("trunk.", without(weights, "^fc")) | head, f"{R18}?num_classes=4", weights


def head_called_new() -> tuple[Weights, str, Weights]:
    return renamed(resnet(classes=9), (r"^fc", "fc_new")), f"{R18}?num_classes=9", resnet(classes=9)


def transposed() -> tuple[Weights, str, Weights]:
    weights = vit(num_classes=0)
    return turned(weights), f"{VIT}?num_classes=0", weights


RENAMED = [
    from_detectron2,
    from_mmpretrain,
    from_hugging_face,
    value_before_key,
    key_before_query,
    norms_of_one_row,
    names_with_spaces,
    transposed,
]


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize("made", RENAMED)
def test_other_names_and_shapes_of_a_network_are_the_network(
    lookup: Lookup, tmp_path: Path, made: Callable[[], tuple[Weights, str, Weights]], ending: str
) -> None:
    weights, key, right = made()
    path = written(tmp_path, ending, weights)
    file = open_checkpoint(path).state_dict()
    found = told(lookup, path)
    best = found.candidates[0]
    assert best.architecture.key == key
    assert best.fits
    assert any(words in found.sentence for words in ("This is a t", "this has the tensors of a t"))
    wanted = signature(best.architecture)
    assert_equal(apply_recipe(best.recipe, file, wanted).state_dict, right, wanted)
    after, fits, _ = repaired(file, wanted)
    assert fits
    assert_equal(after, right, wanted)


@pytest.mark.parametrize("made", [head_in_a_dict_beside, head_called_new])
def test_a_head_under_another_name_is_the_head(
    tmp_path: Path, made: Callable[[], tuple[Weights, str, Weights]]
) -> None:
    weights, key, right = made()
    file = opened(tmp_path, "pth", weights)
    wanted = signature(with_classes(parse_architecture(R18), file))
    assert wanted == signature(parse_architecture(key))
    after, fits, _ = repaired(file, wanted)
    assert fits
    assert_equal(after, right, wanted)


@FORMATS
def test_children_of_a_sequential_are_the_network_without_its_head(
    lookup: Lookup, tmp_path: Path, ending: str
) -> None:
    weights, _, right = children_of_a_sequential()
    path = written(tmp_path, ending, weights)
    best = told(lookup, path).candidates[0]
    assert best.architecture.key == "timm:resnet18?num_classes=0"
    assert best.fits
    wanted = signature(best.architecture)
    file = open_checkpoint(path).state_dict()
    assert_equal(apply_recipe(best.recipe, file, wanted).state_dict, right, wanted)


def test_indices_of_an_old_vgg_are_shifted(tmp_path: Path) -> None:
    model = VGG(make_layers([8, "M", 8, "M"]), num_classes=5)
    model.classifier = nn.Sequential(
        *(nn.Linear(392, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 16), nn.ReLU(), nn.Dropout()),
        nn.Linear(16, 5),
    )
    right = trained(model)
    old = renamed(right, (r"classifier\.3", "classifier.4"), (r"classifier\.0", "classifier.1"))
    wanted = signature_of(model)
    after, fits, _ = repaired(opened(tmp_path, "pth", old), wanted)
    assert fits
    assert_equal(after, right, wanted)


@FORMATS
def test_k_before_q_in_a_network_of_ones_own(tmp_path: Path, ending: str) -> None:
    def network(*names: str) -> nn.Module:
        return nn.ModuleDict({"pool": nn.ModuleDict({name: nn.Linear(8, 8) for name in names})})

    weights = trained(network("k_proj", "q_proj", "v_proj", "c_proj"))
    model = network("q", "k", "v", "proj")
    right = renamed(weights, (r"([qkv])_proj", r"\1"), (r"c_proj", "proj"))
    after, _, _ = repaired(opened(tmp_path, ending, weights), signature_of(model))
    assert_equal(after, right, signature_of(model))


def deeper() -> Weights:
    return trained(ResNet(BasicBlock, [2, 2, 4, 2]))


def deeper_renamed() -> Weights:
    return renamed(deeper(), *DETECTRON2)


def shallower() -> Weights:
    return trained(ResNet(BasicBlock, [2, 2, 1, 2]))


def shallower_renamed() -> Weights:
    return renamed(shallower(), *DETECTRON2)


def without_a_block() -> Weights:
    return without(resnet(), r"layer2\.1")


def squeezed_and_excited() -> Weights:
    layers = {}
    for stage, width in zip((1, 2, 3, 4), (64, 128, 256, 512), strict=True):
        layers |= linear(f"layer{stage}.0.gate.1", 16, width)
        layers |= linear(f"layer{stage}.0.gate.2", width, 16)
    return resnet() | layers


def biases_of_convolutions() -> Weights:
    weights = resnet()
    biases = {key: value for key, value in weights.items() if value.ndim == 4}
    return weights | {
        key.replace("weight", "bias"): value[:, 0, 0, 0].clone() for key, value in biases.items()
    }


def other_stem_and_head() -> Weights:
    model = resnet18()
    model.conv1 = nn.Conv2d(3, 64, 3, bias=False)
    model.fc = nn.Sequential(nn.Linear(512, 100), nn.ReLU(), nn.Linear(100, 7))
    return trained(model)


def sixty_keys_over() -> Weights:
    extra = {f"pyramid.{at // 5}.w{at % 5}.weight": torch.ones(8, 8, 3, 3) for at in range(60)}
    return resnet() | extra


def half_a_head() -> Weights:
    return renamed(resnet(), (r"^fc\.bias", "classifier.bias"))


def two_copies_in_every_layer() -> Weights:
    return {
        re.sub(r"([^.]+)$", rf"{at}.\1", key): value
        for at in (0, 1)
        for key, value in resnet(at).items()
    }


def two_copies_by_suffix() -> Weights:
    return renamed(resnet(1), *DETECTRON2) | renamed(resnet(2), *DETECTRON2, (r"$", "_ema"))


def each_copy_lacks_a_block() -> Weights:
    one, other = (renamed(resnet(seed), *DETECTRON2) for seed in (1, 2))
    return prefixed("student.", without(one, r"res5\.1")) | prefixed(
        "teacher.", without(other, r"res2\.0")
    )


NO_RESNET = [
    deeper,
    deeper_renamed,
    shallower,
    shallower_renamed,
    without_a_block,
    squeezed_and_excited,
    biases_of_convolutions,
    other_stem_and_head,
    sixty_keys_over,
    half_a_head,
    two_copies_in_every_layer,
    two_copies_by_suffix,
    each_copy_lacks_a_block,
]


def deeper_vit() -> Weights:
    return renamed(vit(depth=13), *MMPRETRAIN)


def shallower_vit() -> Weights:
    return renamed(vit(depth=11), *MMPRETRAIN)


def without_class_token() -> Weights:
    return renamed(without(vit(), "cls_token"), *MMPRETRAIN)


def with_registers() -> Weights:
    return renamed(vit(reg_tokens=4), *MMPRETRAIN)


def with_layer_scale() -> Weights:
    return renamed(vit(init_values=1e-5), *MMPRETRAIN, (r"ls(\d)\.gamma", r"gamma\1"))


def with_norms_of_q_and_k() -> Weights:
    return renamed(vit(qk_norm=True), *MMPRETRAIN)


def with_a_layer_before_the_logits() -> Weights:
    return vit(num_classes=10) | linear("pre_logits.fc", 192, 192)


def with_a_last_norm() -> Weights:
    return vit(num_classes=10) | {
        "final_norm.weight": torch.ones(192),
        "final_norm.bias": torch.ones(192),
    }


def thirds_in_another_order() -> Weights:
    return renamed(vit(), *MMPRETRAIN, ("attn.qkv", "attn.to_vkq"))


def thirds_in_another_order_alone() -> Weights:
    return renamed(vit(), ("attn.qkv", "attn.kqv"))


def projections_of_which_names_say_nothing() -> Weights:
    return apart(vit(), ("theta", "phi", "g"), "vqk")


NO_VIT = [
    deeper_vit,
    shallower_vit,
    without_class_token,
    with_registers,
    with_layer_scale,
    with_norms_of_q_and_k,
    with_a_layer_before_the_logits,
    with_a_last_norm,
    thirds_in_another_order,
    thirds_in_another_order_alone,
    projections_of_which_names_say_nothing,
]


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize(
    ("made", "name"), [(made, R18) for made in NO_RESNET] + [(made, VIT) for made in NO_VIT]
)
def test_what_is_another_network_is_never_said_to_fit(
    lookup: Lookup, tmp_path: Path, made: Callable[[], Weights], name: str, ending: str
) -> None:
    path = written(tmp_path, ending, made())
    file = open_checkpoint(path).state_dict()
    assert not repaired(file, signature(with_classes(parse_architecture(name), file)))[1]
    found = told(lookup, path)
    if made is other_stem_and_head:  # timm's ResNets of another stem are known.
        return
    assert not (found.candidates and found.candidates[0].fits)
    assert not found.sentence.startswith(("This is", "Under other key names this has"))


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            batch_norm("bottleneck", 512),
            "`bottleneck.*` may stand between the network and its head `classifier`.",
        ),
        (
            batch_norm("neck.bn", 512),
            "`neck.*` may stand between the network and its head `classifier`.",
        ),
        (
            linear("embedding", 512, 512),
            "`embedding.*` may stand between the network and its head `classifier`.",
        ),
        (linear("refine", 3, 10), "`refine.*` may take the outputs of `classifier`."),
    ],
)
@pytest.mark.parametrize("named", [(), DETECTRON2])
def test_what_is_left_out_around_a_head_is_said(
    lookup: Lookup,
    tmp_path: Path,
    extra: Weights,
    sentence: str,
    named: tuple[tuple[str, str], ...],
) -> None:
    trunk = prefixed("base.", renamed(without(resnet(), "^fc"), *named))
    path = written(tmp_path, "pth", trunk | extra | linear("classifier", 10, 512))
    file = open_checkpoint(path).state_dict()
    wanted = signature(parse_architecture(f"{R18}?num_classes=10"))
    _, fits, fit = repaired(file, wanted)
    assert not fits
    assert [doubt.sentence for doubt in fit.doubts] == [sentence]
    # The features are the network's own, whatever follows them.
    best = told(lookup, path).candidates[0]
    assert not best.fits or best.architecture.key == "timm:resnet18?num_classes=0"


@FORMATS
def test_of_two_heads_of_one_shape_none_is_chosen(tmp_path: Path, ending: str) -> None:
    trunk = prefixed("backbone.", without(resnet(), "^fc"))
    heads = linear("head_day", 10, 512) | linear("head_night", 10, 512)
    file = opened(tmp_path, ending, trunk | heads)
    assert not repaired(file, signature(parse_architecture(f"{R18}?num_classes=10")))[1]


def test_a_batch_norm_is_no_group_norm(tmp_path: Path) -> None:
    wanted = signature_of(resnet18(norm_layer=lambda width: nn.GroupNorm(32, width)))
    _, fits, fit = repaired(opened(tmp_path, "pth", resnet()), wanted)
    assert fit.match.fits
    assert not fits
    assert fit.doubts[0].sentence == (
        "20 norms of the file are BatchNorm with statistics, such as `bn1.running_var`, and the "
        "model's have none."
    )


def test_square_matrices_are_transposed_with_all_others(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", num_classes=0)
    file, wanted = opened(tmp_path, "pth", turned(trained(model))), signature_of(model)
    recipe = Recipe.of([Transpose(f"*.{name}.weight") for name in ("fc1", "fc2", "qkv")])
    fit = fit_of(file, apply_recipe(recipe, file, wanted).state_dict, wanted)
    assert fit.match.fits
    assert [doubt.sentence for doubt in fit.doubts] == [
        "Other matrices are transposed, and square ones, such as `blocks.0.attn.proj.weight`, are "
        "not as those around them: nothing else says which way round they are."
    ]
    after, fits, _ = repaired(file, wanted)
    assert fits
    assert_equal(after, trained(model), wanted)


def gpt2_with_a_head() -> Weights:
    """Its Conv1D turns every matrix of the blocks; its head is a Linear."""
    names = (
        (r"^blocks\.", "h."),
        (r"attn\.qkv\.", "attn.c_attn."),
        (r"attn\.proj\.", "attn.c_proj."),
        (r"mlp\.fc1\.", "mlp.c_fc."),
        (r"mlp\.fc2\.", "mlp.c_proj."),
    )
    return renamed(turned(vit(), r"^blocks\."), *names)


def all_turned_and_apart() -> Weights:
    """q, k and v are square each, and stored the other way round as all others are."""
    return turned(apart(vit(), ("query", "key", "value"), "qkv"), "weight$")


@pytest.mark.slow
@pytest.mark.parametrize("made", [gpt2_with_a_head, all_turned_and_apart])
def test_square_matrices_are_as_those_of_their_block(
    tmp_path: Path, made: Callable[[], Weights]
) -> None:
    file, wanted = opened(tmp_path, "pth", made()), signature(parse_architecture(VIT))
    after, fits, _ = repaired(file, wanted)
    assert fits
    assert_equal(after, vit(), wanted)


def test_square_matrices_among_others_of_both_ways_are_in_doubt(tmp_path: Path) -> None:
    both = turned(vit(), r"^blocks\.\d+\.mlp\.fc1\.")
    file, wanted = opened(tmp_path, "pth", both), signature(parse_architecture(VIT))
    _, fits, fit = repaired(file, wanted)
    assert fit.match.fits
    assert not fits
    assert "nothing else says which way round they are" in fit.doubts[0].sentence


def test_a_convolution_and_its_norm_are_no_two_copies(tmp_path: Path) -> None:
    file = opened(tmp_path, "pth", biases_of_convolutions())
    fit = repaired(file, signature(parse_architecture(R18)))[2]
    assert all("copies" not in doubt.sentence for doubt in fit.doubts)


@pytest.mark.slow
def test_the_commands_say_by_their_status_what_fits(tmp_path: Path) -> None:
    good = written(tmp_path, "pth", student_and_teacher()[0])
    assert loupe("identify", good).returncode == 0
    assert loupe("fix", good, tmp_path / "new.pth", "--best", "--arch", R18).returncode == 0
    new = torch.load(tmp_path / "new.pth")
    assert all(torch.equal(new[key], value) for key, value in resnet(2).items())
    bad = written(tmp_path, "safetensors", thirds_in_another_order_alone())
    assert loupe("identify", bad).returncode == 1
    assert loupe("fit", bad, "--arch", VIT).returncode == 1
    assert loupe("fix", bad, tmp_path / "bad.pth", "--best", "--arch", VIT).returncode == 1
