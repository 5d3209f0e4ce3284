"""Matching a state_dict with what an architecture wants."""

import re
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torchvision.models import resnet18

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict, TensorEntry, open_checkpoint
from core.fit.fit_summary import fit_verdict
from core.fit.fitness import fit_of
from core.fit.key_match import Mismatch, match
from core.fit.proposals import propose
from core.fixes import DropMismatched
from core.keys import group_keys
from tests.core.odd_tensors import ODD
from tests.core.plain_torch import signature_of


def entries(signature: Signature) -> dict[str, TensorEntry]:
    return {
        key: TensorEntry(key, spec.dtype, spec.shape, (1,) * len(spec.shape), 0, None)
        for key, spec in signature.items()
    }


@pytest.fixture(scope="module")
def wanted() -> Signature:
    return signature_of(resnet18())


@pytest.mark.parametrize(
    ("name", "words"),
    [("per_tensor", "quantized (per_tensor_affine)"), ("csr", "sparse (sparse_csr)"),
     ("nested", "nested, and")],
)  # fmt: skip
def test_field_29_what_is_no_dense_tensor_of_floats_is_mismatched_with_its_reason(
    tmp_path: Path, name: str, words: str
) -> None:
    torch.save({"w": ODD[name], "b": torch.ones(2)}, tmp_path / "w.pth")
    state_dict = open_checkpoint(tmp_path / "w.pth").state_dict()
    shape = state_dict["w"].shape
    wanted = {
        "w": TensorSpec(shape, "float32", "parameter"),
        "b": TensorSpec((2,), "float32", "parameter"),
    }
    found = match(state_dict, wanted)
    assert found.matched == ("b",)
    (mismatch,) = found.mismatched
    assert mismatch.reason.startswith(words)
    said = fit_verdict(fit_of(state_dict, state_dict, wanted))
    assert said == "Does not fit: 1 of 2 keys match, 1 is quantized, sparse or nested."
    assert not [each for each in propose(state_dict, wanted) if DropMismatched() in each.fixes]


def test_a_quantized_model_of_ones_own_takes_its_quantized_tensors(tmp_path: Path) -> None:
    torch.save({"w": ODD["per_tensor"]}, tmp_path / "w.pth")
    state_dict = open_checkpoint(tmp_path / "w.pth").state_dict()
    assert match(state_dict, {"w": TensorSpec((8, 5), "qint8", "buffer")}).fits


def test_a_models_own_state_dict_fits(wanted: Signature) -> None:
    found = match(StateDict(entries(wanted).values()), wanted)
    assert found.fits
    assert found.matched == tuple(wanted)
    assert found.coverage_keys == found.coverage_parameters == 1.0
    assert found.total == 122


def test_field_27_absent_batch_counters_are_benign_where_their_layer_is_there(
    wanted: Signature,
) -> None:
    old = [entry for key, entry in entries(wanted).items() if not key.endswith("_tracked")]
    found = match(StateDict(old), wanted)
    assert found.fits
    assert len(found.benign) == 20
    assert found.coverage_keys == found.coverage_parameters == 1.0
    without_layer = match(
        StateDict(entry for entry in old if not entry.key.startswith("bn1.")), wanted
    )
    assert not without_layer.fits
    assert "bn1.num_batches_tracked" in without_layer.missing_keys
    assert len(without_layer.benign) == 19


@pytest.mark.parametrize("name", ["attn_mask", "attn.relative_position_index", "position_ids"])
def test_absent_buffers_that_the_model_computes_are_benign_where_their_layer_is_there(
    name: str,
) -> None:
    weight = TensorEntry("blocks.0.attn.qkv.weight", "float32", (6, 2), (), 0, None)
    others = TensorEntry("blocks.0-attn.qkv.weight", "float32", (6, 2), (), 0, None)
    wanted = {
        weight.key: TensorSpec((6, 2), "float32", "parameter"),
        f"blocks.0.{name}": TensorSpec((4, 4), "int64", "buffer"),
    }
    found = match(StateDict([weight]), wanted)
    assert found.fits
    assert found.benign == found.computed == (f"blocks.0.{name}",)
    assert match(StateDict([others]), wanted).missing_keys == tuple(wanted)
    trained = {**wanted, f"blocks.0.{name}": TensorSpec((4, 4), "float32", "parameter")}
    assert match(StateDict([weight]), trained).missing_keys == (f"blocks.0.{name}",)


def test_field_4_nothing_matches_and_the_coverage_says_so(wanted: Signature) -> None:
    file = StateDict(
        TensorEntry(f"module.{key}", "float32", spec.shape, (), 0, None)
        for key, spec in wanted.items()
    )
    found = match(file, wanted)
    assert not found.fits
    assert found.coverage_keys == found.coverage_parameters == 0.0
    assert len(found.missing_keys) == len(found.unexpected_keys) == 122
    assert found.benign == ()


def test_field_3_a_head_of_another_shape_is_told_apart_from_a_missing_one(
    wanted: Signature,
) -> None:
    file = entries(signature_of(resnet18(num_classes=10)))
    found = match(StateDict(file.values()), wanted)
    assert found.mismatched == (
        Mismatch("fc.weight", (10, 512), (1000, 512)),
        Mismatch("fc.bias", (10,), (1000,)),
    )
    assert found.missing_keys == found.unexpected_keys == ()
    assert found.coverage_keys == 120 / 122
    assert found.coverage_parameters == pytest.approx(11_176_512 / 11_689_512)


def test_every_key_stands_in_exactly_one_place(wanted: Signature) -> None:
    file = entries(signature_of(resnet18(num_classes=10)))
    del file["bn1.num_batches_tracked"], file["conv1.weight"]
    file["extra.weight"] = TensorEntry("extra.weight", "float32", (), (), 0, None)
    found = match(StateDict(file.values()), wanted)
    places = [
        *found.matched,
        *found.missing_keys,
        *found.unexpected_keys,
        *found.benign,
        *(mismatch.key for mismatch in found.mismatched),
    ]
    assert sorted(places) == sorted({*wanted, *file})
    assert found.total == len(wanted) - len(found.benign)


@pytest.mark.parametrize(
    ("keys", "titles"),
    [
        ([], []),
        (["weight"], ["weight"]),
        (
            [
                f"layers.{i}.attn.{name}.{kind}"
                for i in range(12)
                for name in ("qkv", "proj")
                for kind in ("weight", "bias")
            ],
            ["layers.{0…11}.attn.{qkv,proj}.{weight,bias}"],
        ),
        (
            [f"layer1.{i}.conv{j}.weight" for i in (0, 1) for j in (1, 2)],
            ["layer1.{0,1}.conv{1,2}.weight"],
        ),
        (["a.0.w", "a.1.w", "a.2.w", "a.7.w"], ["a.{0…2,7}.w"]),
        (["a.0.w", "a.1.w", "a.1.b"], ["a.0.w", "a.1.{w,b}"]),
        (["a", "a.b", "c"], ["a", "a.b", "c"]),
        (["a.01", "a.1"], ["a.{01,1}"]),
        (["a.00", "a.01"], ["a.0{0,1}"]),
        (["a.x1y", "a.x2y"], ["a.{x1y,x2y}"]),
        ([f"a.{'1' * 5000}", f"a.{'2' * 5000}"], [f"a.{{{'1' * 5000},{'2' * 5000}}}"]),
    ],
)
def test_keys_are_told_in_few_lines(keys: list[str], titles: list[str]) -> None:
    assert [str(group) for group in group_keys(keys)] == titles


def spelled_out(title: str) -> set[str]:
    """The keys that a title's braces stand for."""
    choices = []
    for piece in re.split(r"(\{[^}]*\})", title):
        if not piece.startswith("{"):
            choices.append([piece])
            continue
        words: list[str] = []
        for word in piece[1:-1].split(","):
            first, dots, last = word.partition("…")
            words += map(str, range(int(first), int(last) + 1)) if dots else [first]
        choices.append(words)
    return {"".join(chosen) for chosen in product(*choices)}


PARTS = some.sampled_from(["0", "1", "2", "3", "conv1", "conv2", "weight", "bias", "a"])
KEYS = some.lists(some.lists(PARTS, min_size=1, max_size=4).map(".".join), max_size=30)


@given(KEYS)
def test_a_groups_title_stands_for_its_keys_and_no_others(keys: list[str]) -> None:
    groups = group_keys(keys)
    for group in groups:
        assert spelled_out(group.title) == set(group.keys)
    assert sorted(key for group in groups for key in group.keys) == sorted(set(keys))


def test_a_resnet_is_told_in_few_lines(wanted: Signature) -> None:
    groups = group_keys(wanted)
    assert len(groups) <= 12
    assert sum(len(group.keys) for group in groups) == 122


def test_a_key_of_a_thousand_parts_is_grouped() -> None:
    deep = ".".join("a" * 1000)
    assert [group.keys for group in group_keys([deep, "b"])] == [(deep,), ("b",)]
