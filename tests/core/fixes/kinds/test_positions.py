"""Position embeddings and tables for another size: what timm and torchvision make of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.layers import (
    resample_abs_pos_embed,
    resample_abs_pos_embed_nhwc,
    resize_rel_pos_bias_table,
    resize_rel_pos_bias_table_levit,
)
from timm.models.beit import Beit
from timm.models.beit import checkpoint_filter_fn as beit_filter
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer import checkpoint_filter_fn as swin_filter
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer import checkpoint_filter_fn as vit_filter
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer as TorchvisionSwin
from torchvision.models.vision_transformer import interpolate_embeddings

from core.architectures import TensorSpec
from core.errors import FixError
from core.fit import match
from core.fixes import ResamplePositions
from core.keys import COMPUTED
from core.tensors import read_tensor
from tests.core.fixes.files import applied, assert_tensors, saved, signature_of

Shape = tuple[int, ...]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:timm.*")


def resampled(
    folder: Path, key: str, tensor: torch.Tensor, shape: Shape, method: str = "timm", **more: Shape
) -> torch.Tensor:
    others = {name: torch.randn(each) for name, each in more.items()}
    wanted = signature_of({key: torch.empty(shape), **others})
    after = applied(
        saved(folder, {key: tensor, **others}), ResamplePositions("*", method), wanted=wanted
    )
    assert after.effects[0].changed == 1
    assert after.state_dict[key].shape == shape
    found = read_tensor(after.state_dict[key])
    assert found.dtype == tensor.dtype
    return found


def vit(size: int) -> VisionTransformer:
    return VisionTransformer(size, 16, embed_dim=24, depth=1, num_heads=2, num_classes=5)


def test_field_23_a_vision_transformer_loads_at_another_image_size(tmp_path: Path) -> None:
    old, new = vit(96), vit(160)
    given = saved(tmp_path, old.state_dict())
    after = applied(given, ResamplePositions(), wanted=signature_of(new.state_dict()))
    assert_tensors(after.state_dict, vit_filter(old.state_dict(), new))
    assert after.effects[0].sentence == (
        "`pos_embed` resampled from 6 × 6 to 10 × 10, assumed to be square."
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("old", "new"), [(14, 24), (24, 14), (7, 8), (3, 1)])
@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
def test_tables_of_tokens_are_resampled_as_in_timm(
    old: int, new: int, prefix: int, dtype: torch.dtype, tmp_path: Path
) -> None:
    table = torch.randn(1, old * old + prefix, 6).to(dtype)
    tokens = {"reg_token": (1, prefix - 1, 6), "cls_token": (1, 1, 6)} if prefix > 1 else {}
    found = resampled(tmp_path, "pos_embed", table, (1, new * new + prefix, 6), **tokens)
    wanted = resample_abs_pos_embed(table, [new, new], num_prefix_tokens=prefix)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(("old", "new"), [(14, 24), (24, 14), (7, 8)])
def test_tables_of_tokens_are_resampled_as_in_torchvision(
    old: int, new: int, tmp_path: Path
) -> None:
    key = "encoder.pos_embedding"
    table = torch.randn(1, old * old + 1, 6)
    found = resampled(tmp_path, key, table, (1, new * new + 1, 6), "torchvision")
    wanted = interpolate_embeddings(new * 16, 16, {key: table})[key]
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_table_without_a_batch_dimension_is_one_too(tmp_path: Path) -> None:
    table = torch.randn(50, 6)
    found = resampled(tmp_path, "visual.positional_embedding", table, (101, 6))
    wanted = resample_abs_pos_embed(table[None], [10, 10])[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("old", "new"), [((14, 14), (24, 24)), ((8, 4), (6, 10)), ((8, 8), (8, 4))]
)
def test_grids_that_show_their_sides_are_resampled_to_any_sides(
    old: tuple[int, int], new: tuple[int, int], tmp_path: Path
) -> None:
    table = torch.randn(1, *old, 6)
    wanted = resample_abs_pos_embed_nhwc(table, new)
    found = resampled(tmp_path, "pos_embed", table, (1, *new, 6))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    first = table.permute(0, 3, 1, 2)
    found = resampled(tmp_path, "pos_embed", first, (1, 6, *new))
    torch.testing.assert_close(found, wanted.permute(0, 3, 1, 2), rtol=0, atol=0)


@pytest.mark.parametrize(("old", "new"), [(7, 12), (12, 7), (24, 12), (4, 8), (1, 3)])
@pytest.mark.parametrize("extra", [0, 3])
def test_relative_position_tables_are_resampled_as_in_timm(
    old: int, new: int, extra: int, tmp_path: Path
) -> None:
    table = torch.randn((2 * old - 1) ** 2 + extra, 3)
    shape = ((2 * new - 1) ** 2 + extra, 3)
    found = resampled(tmp_path, "attn.relative_position_bias_table", table, shape)
    wanted = resize_rel_pos_bias_table(table, (new, new), shape)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_relative_position_tables_with_sides_may_be_oblong(tmp_path: Path) -> None:
    table = torch.randn(3, 13, 9)
    found = resampled(tmp_path, "rel_pos.relative_position_bias_table", table, (3, 15, 11))
    wanted = resize_rel_pos_bias_table(table, (8, 6), (3, 15, 11))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_biases_by_head_are_resampled_as_in_timm(tmp_path: Path) -> None:
    table = torch.randn(4, 49)
    found = resampled(tmp_path, "attn.attention_biases", table, (4, 144))
    torch.testing.assert_close(found, resize_rel_pos_bias_table_levit(table.T, (144, 4)).T)


def swin(window: int) -> nn.Module:
    return SwinTransformer(
        64, 4, embed_dim=12, depths=(2,), num_heads=(2,), window_size=window, num_classes=3
    )


def beit(size: int) -> nn.Module:
    return Beit(size, 16, embed_dim=16, depth=1, num_heads=2, num_classes=3, use_rel_pos_bias=True)


@pytest.mark.parametrize(
    ("old", "new", "timms"),
    [
        (swin(4), swin(8), swin_filter),
        (swin(8), swin(4), swin_filter),
        (beit(64), beit(96), beit_filter),
    ],
    ids=["larger windows", "smaller windows", "larger images"],
)
def test_windowed_transformers_load_at_another_size(
    old: nn.Module, new: nn.Module, timms: object, tmp_path: Path
) -> None:
    for table in (value for key, value in old.state_dict().items() if "table" in key):
        nn.init.normal_(table)
    wanted = signature_of(new.state_dict())
    after = applied(saved(tmp_path, old.state_dict()), ResamplePositions(), wanted=wanted)
    assert callable(timms)
    expected = timms(old.state_dict(), new)
    for key, entry in after.state_dict.items():
        torch.testing.assert_close(read_tensor(entry), expected[key], rtol=1e-5, atol=1e-5)
    assert after.state_dict.keys() == expected.keys() == wanted.keys()


def test_what_the_model_computes_itself_is_dropped_where_it_has_another_size(
    tmp_path: Path,
) -> None:
    old, new = (
        TorchvisionSwin([4, 4], 12, [1, 1], [2, 2], [window, window], num_classes=3)
        for window in (4, 7)
    )
    wanted = signature_of(new.state_dict())
    after = applied(saved(tmp_path, old.state_dict()), ResamplePositions(), wanted=wanted)
    missing = wanted.keys() - after.state_dict.keys()
    assert {key.rpartition(".")[2] for key in missing} == {"relative_position_index"}
    assert all(entry.shape == wanted[key].shape for key, entry in after.state_dict.items())
    assert (after.effects[0].changed, after.effects[0].dropped) == (2, 2)
    assert after.effects[0].sentence.endswith(
        "2 buffers of another size dropped: the model computes them itself."
    )
    new.load_state_dict({key: read_tensor(entry) for key, entry in after.state_dict.items()}, False)
    new(torch.randn(1, 3, 56, 56))


def test_a_grid_whose_sides_cannot_be_told_stays_and_is_named(tmp_path: Path) -> None:
    tensors = {
        "pos_embed": torch.randn(1, 197, 6),
        "a.relative_position_bias_table": torch.randn(49, 2),
    }
    wanted = {
        "pos_embed": torch.empty(1, 14 * 28 + 1, 6),
        "a.relative_position_bias_table": torch.empty(21, 2),
    }
    given = saved(tmp_path, tensors)
    after = applied(given, ResamplePositions(), wanted=signature_of(wanted))
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == (
        "No position embedding to resample. `pos_embed` and 1 more unchanged: the positions are "
        "not a square grid, so its height and width are unknown."
    )


@pytest.mark.parametrize(("held", "wanted"), [(197, 196), (197, 256), (196, 257), (198, 197)])
def test_a_table_with_a_token_that_the_network_has_not_stays_and_it_is_said(
    held: int, wanted: int, tmp_path: Path
) -> None:
    tensors = {"pos_embed": torch.randn(1, held, 6), "cls_token": torch.randn(1, 1, 6)}
    goal = signature_of({**tensors, "pos_embed": torch.empty(1, wanted, 6)})
    after = applied(saved(tmp_path, tensors), ResamplePositions(), wanted=goal)
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == (
        f"No position embedding to resample. `pos_embed` has {held} positions, the model "
        f"{wanted}: one counts a class token or the like."
    )


def test_where_the_shape_shows_the_sides_nothing_is_assumed(tmp_path: Path) -> None:
    given = saved(tmp_path, {"pos_embed": torch.randn(1, 4, 5, 6)})
    wanted = signature_of({"pos_embed": torch.empty(1, 7, 8, 6)})
    after = applied(given, ResamplePositions(), wanted=wanted)
    assert after.effects[0].sentence == "`pos_embed` resampled from 4 × 5 to 7 × 8."


def test_other_tensors_and_other_widths_stay(tmp_path: Path) -> None:
    tensors = {
        "pos_embed": torch.randn(1, 17, 6),
        "compose.weight": torch.randn(1, 17, 6),
        "pos_drop.weight": torch.randn(17),
        "pos_proj.weight": torch.randn(16, 6),
        "rel_pos_h": torch.randn(9, 6),
        "empty.pos_embed": torch.empty(1, 0, 6),
        "pos_index": torch.arange(17),
    }
    wanted = {
        "pos_embed": torch.empty(1, 26, 8),
        "compose.weight": torch.empty(1, 26, 6),
        "pos_drop.weight": torch.empty(26),
        "pos_proj.weight": torch.empty(25, 6),
        "rel_pos_h": torch.empty(16, 6),
        "empty.pos_embed": torch.empty(1, 25, 6),
        "pos_index": torch.arange(26),
    }
    given = saved(tmp_path, tensors)
    after = applied(given, ResamplePositions(), wanted=signature_of(wanted))
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == "No position embedding to resample."


def test_integers_stay_and_are_said(tmp_path: Path) -> None:
    tensors = {"pos_embed": torch.ones(1, 17, 6, dtype=torch.int8)}
    wanted = signature_of({"pos_embed": torch.empty(1, 26, 6)})
    after = applied(saved(tmp_path, tensors), ResamplePositions(), wanted=wanted)
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == (
        "No position embedding to resample. 1 tensor unchanged: they are not plain floats."
    )


def test_twice_is_once_and_an_architecture_is_needed(tmp_path: Path) -> None:
    old, new = vit(96), vit(160)
    given = saved(tmp_path, old.state_dict())
    wanted = signature_of(new.state_dict())
    after = applied(given, ResamplePositions(), ResamplePositions(), wanted=wanted)
    assert_tensors(after.state_dict, vit_filter(old.state_dict(), new))
    assert [effect.changed for effect in after.effects] == [1, 0]
    with pytest.raises(FixError, match="needs the shapes of an architecture"):
        applied(given, ResamplePositions())


@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_what_the_model_computes_is_dropped_and_not_missed(tmp_path: Path, name: str) -> None:
    weight = torch.randn(2, 2)
    given = saved(tmp_path, {"attn.qkv.weight": weight, f"attn.{name}": torch.zeros(49, 49)})
    wanted = signature_of({"attn.qkv.weight": weight})
    wanted[f"attn.{name}"] = TensorSpec((64, 64), "float32", "buffer")
    after = applied(given, ResamplePositions(), wanted=wanted)
    assert list(after.state_dict) == ["attn.qkv.weight"]
    assert match(after.state_dict, wanted).fits


def test_a_table_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    given = saved(tmp_path, {"pos_embed": torch.randn(1, 16, 64)})
    signature = {"pos_embed": signature_of({"a": torch.empty(0)})["a"]}
    signature["pos_embed"] = replace(signature["pos_embed"], shape=(1, 10**10, 64))
    with pytest.raises(FixError, match="would take"):
        applied(given, ResamplePositions(), wanted=signature)
