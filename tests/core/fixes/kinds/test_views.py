"""The same elements in another shape, or in a storage of their own."""

from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import ties
from core.errors import FixError
from core.export import export_state_dict
from core.fixes import AddPrefix, Dequantize, Drop, Fuse, Reshape, Transpose, Untie
from tests.core.fixes.files import applied, assert_tensors, saved, signature_of

TENSORS = {
    "h.c_attn.weight": torch.randn(4, 12),
    "h.c_attn.bias": torch.randn(12),
    "h.strided.weight": torch.randn(6, 4)[::2].t(),
    "h.empty.weight": torch.randn(0, 3),
    "conv.weight": torch.randn(8, 4, 1, 1),
}


def test_matrices_are_transposed_without_being_computed(tmp_path: Path) -> None:
    after = applied(saved(tmp_path, TENSORS), Transpose("h.*"))
    wanted = {key: value.t() if value.dim() == 2 else value for key, value in TENSORS.items()}
    assert_tensors(after.state_dict, wanted)
    assert all(entry.form is None for entry in after.state_dict.values())
    assert after.effects[0].sentence == "3 matrices transposed."


def test_a_transpose_twice_changes_nothing(tmp_path: Path) -> None:
    fix = Transpose(r"weight$", "regex")
    assert_tensors(applied(saved(tmp_path, TENSORS), fix, fix).state_dict, TENSORS)


def test_what_is_computed_can_be_transposed(tmp_path: Path) -> None:
    tensors = {"q.weight": torch.randn(3, 4), "k.weight": torch.randn(3, 4)}
    fused = applied(saved(tmp_path, tensors), Fuse(("q", "k"), "qk"), Transpose("qk.weight"))
    assert_tensors(fused.state_dict, {"qk.weight": torch.cat([*tensors.values()]).t()})


def test_no_key_that_matches_is_said(tmp_path: Path) -> None:
    given = saved(tmp_path, TENSORS)
    after = applied(given, Transpose("nothing*"))
    assert after.effects[0].sentence == "No matrix transposed."
    assert after.state_dict is given


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((8, 4, 1, 1), (8, 4)),
        ((8, 4), (8, 4, 1, 1)),
        ((6,), (1, 1, 6)),
        ((6,), (6, 1, 1)),
        ((1, 6, 1), (6,)),
        ((1,), ()),
        ((), (1, 1)),
        ((0, 1, 3), (0, 3)),
    ],
)
@pytest.mark.parametrize("fused", [False, True])
def test_dimensions_of_1_come_and_go_as_the_model_wants_them(
    shape: tuple[int, ...], wanted: tuple[int, ...], fused: bool, tmp_path: Path
) -> None:
    tensor = torch.randn(shape)
    signature = signature_of({"a.weight": torch.empty(wanted)})
    found = applied(saved(tmp_path, {"a.weight": tensor}), Reshape(), wanted=signature)
    assert_tensors(found.state_dict, {"a.weight": tensor.reshape(wanted)})
    assert found.effects[0].sentence == "1 key reshaped."


def test_a_strided_tensor_keeps_its_elements_in_order(tmp_path: Path) -> None:
    tensor = torch.randn(4, 8).t()
    signature = signature_of({"a": torch.empty(1, 8, 1, 4)})
    found = applied(saved(tmp_path, {"a": tensor}), Reshape(), wanted=signature).state_dict
    assert_tensors(found, {"a": tensor.reshape(1, 8, 1, 4)})
    assert found["a"].form is None


def test_other_shapes_and_other_keys_stay(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(2, 3), "b": torch.randn(4, 1), "c": torch.randn(4, 1)}
    wanted = signature_of({"a": torch.empty(3, 2), "b": torch.empty(4), "c": torch.empty(4)})
    found = applied(saved(tmp_path, tensors), Reshape("[ab]"), wanted=wanted)
    assert_tensors(found.state_dict, {**tensors, "b": tensors["b"].reshape(4)})


def test_which_shapes_are_wanted_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(FixError, match="needs the shapes of an architecture"):
        applied(saved(tmp_path, TENSORS), Reshape())


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
def test_a_quantized_matrix_is_dequantized_first(tmp_path: Path) -> None:
    quantized = torch.quantize_per_tensor(torch.randn(2, 3), 0.1, 3, torch.qint8)
    given = saved(tmp_path, {"a": quantized, "s": torch.eye(2).to_sparse()})
    with pytest.raises(FixError, match=r"`a` is quantized.*Dequantize"):
        applied(given, Transpose("a"))
    with pytest.raises(FixError, match="sparse"):
        applied(given, Transpose("s"))
    after = applied(given, Dequantize(), Drop("s"), Transpose("a"))
    assert_tensors(after.state_dict, {"a": quantized.dequantize().t()})


def test_a_linear_layer_takes_a_1_by_1_convolutions_weights(tmp_path: Path) -> None:
    conv, linear = nn.Conv2d(4, 8, 1), nn.Linear(4, 8)
    signature = signature_of(linear.state_dict())
    found = applied(saved(tmp_path, conv.state_dict()), Reshape(), wanted=signature).state_dict
    assert_tensors(found, {"weight": conv.weight.detach()[:, :, 0, 0], "bias": conv.bias.detach()})


def test_field_33_shared_storages_come_apart_in_the_export(tmp_path: Path) -> None:
    tied, whole = torch.randn(4, 3), torch.randn(6)
    tensors = {
        "embed.weight": tied,
        "head.weight": tied,
        "again.weight": tied,
        "view": whole[:3],
        "whole": whole,
        "empty.a": torch.empty(0),
        "empty.b": torch.empty(0),
    }
    after = applied(saved(tmp_path, tensors), AddPrefix("m."), Untie(), Untie())
    assert_tensors(after.state_dict, {f"m.{key}": value for key, value in tensors.items()})
    assert [effect.sentence for effect in after.effects[1:]] == ["2 keys untied.", "No key untied."]
    assert ties(after.state_dict) == ()
    export_state_dict(after.state_dict, tmp_path / "out.pth", "pth")
    read = torch.load(tmp_path / "out.pth", weights_only=True)
    held = [value for value in read.values() if value.numel()]
    assert len({value.untyped_storage().data_ptr() for value in held}) == len(held)
    assert torch.equal(read["m.head.weight"], tied)


def test_without_the_fix_the_export_keeps_them_tied(tmp_path: Path) -> None:
    tied = torch.randn(4, 3)
    given = saved(tmp_path, {"a": tied, "b": tied})
    export_state_dict(given, tmp_path / "out.pth", "pth")
    read = torch.load(tmp_path / "out.pth", weights_only=True)
    assert read["a"].data_ptr() == read["b"].data_ptr()
