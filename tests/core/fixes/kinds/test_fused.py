"""qkv into q, k and v and back: rows cut and joined, keys, versions and origins in step."""

from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.errors import FixError
from core.fixes import ZEROS, CastDtype, Fuse, Recipe, SelectClasses, Split
from core.recipe import recipe_code, recipe_from_json, recipe_to_json
from core.tensors import read_tensor
from tests.core.fixes.files import applied, assert_tensors, saved

QKV = Split("qkv", ("q", "k", "v"))
BACK = Fuse(("q", "k", "v"), "qkv")

TENSORS = {
    "norm.weight": torch.randn(4),
    "blocks.0.attn.qkv.weight": torch.randn(12, 4),
    "blocks.0.attn.qkv.bias": torch.randn(12).half(),
    "blocks.0.attn.qkv.bn.num_batches_tracked": torch.tensor(5),
    "blocks.1.attn.qkv.weight": torch.randn(4, 12).t(),
    "qkv_norm.weight": torch.randn(4),
}


def cut(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    made = {}
    for key, value in tensors.items():
        if ".qkv." not in key:
            made[key] = value
            continue
        for index, name in enumerate("qkv"):
            rows = value[4 * index : 4 * index + 4] if value.dim() else value
            made[key.replace("qkv", name)] = rows
    return made


def test_a_fused_tensor_is_cut_into_views_of_the_same_bytes(tmp_path: Path) -> None:
    after = applied(saved(tmp_path, TENSORS), QKV)
    assert_tensors(after.state_dict, cut(TENSORS))
    assert all(entry.form is None for entry in after.state_dict.values())
    assert after.effects[0].sentence == "4 tensors split into 12 tensors."
    assert after.state_dict["blocks.0.attn.k.bias"].origin == "blocks.0.attn.qkv.bias"


def test_parts_are_joined_in_their_order_whatever_order_they_come_in(tmp_path: Path) -> None:
    parts = cut(TENSORS)
    after = applied(saved(tmp_path, dict(sorted(parts.items()))), BACK)
    assert {key: TENSORS[key].shape for key in sorted(TENSORS)} == {
        key: entry.shape for key, entry in sorted(after.state_dict.items())
    }
    assert_tensors(after.state_dict, {key: TENSORS[key] for key in after.state_dict})
    assert after.state_dict["blocks.0.attn.qkv.weight"].origin == "blocks.0.attn.q.weight"


@pytest.mark.parametrize("between", [(), (CastDtype("float16"),)])
def test_a_split_and_a_fuse_undo_one_another(
    between: tuple[CastDtype, ...], tmp_path: Path
) -> None:
    wanted = {
        key: value.half() if between and value.is_floating_point() else value
        for key, value in TENSORS.items()
    }
    given = saved(tmp_path, TENSORS)
    assert_tensors(applied(given, QKV, *between, BACK).state_dict, wanted)
    again = applied(given, QKV, BACK, *between, QKV).state_dict
    assert_tensors(again, cut(wanted))


def test_split_twice_does_nothing_the_second_time(tmp_path: Path) -> None:
    after = applied(saved(tmp_path, TENSORS), QKV, QKV)
    assert after.effects[1].sentence == "No key split."
    assert_tensors(after.state_dict, cut(TENSORS))


def test_parts_of_the_path_may_be_several_and_the_last_one_counts(tmp_path: Path) -> None:
    tensors = {"attn.attn.in_proj_weight": torch.randn(6, 2), "in_proj.weight": torch.randn(2)}
    fix = Split("attn.in_proj_weight", ("a.q.weight", "a.k.weight"))
    wanted = {
        "attn.a.q.weight": tensors["attn.attn.in_proj_weight"][:3],
        "attn.a.k.weight": tensors["attn.attn.in_proj_weight"][3:],
        "in_proj.weight": tensors["in_proj.weight"],
    }
    assert_tensors(applied(saved(tmp_path, tensors), fix).state_dict, wanted)


def test_parts_of_unequal_length_are_joined_too(tmp_path: Path) -> None:
    tensors = {"q": torch.randn(6, 2), "k": torch.randn(2, 2), "v": torch.randn(0, 2)}
    after = applied(saved(tmp_path, tensors), BACK).state_dict
    assert_tensors(after, {"qkv": torch.cat([*tensors.values()])})


def test_what_lacks_a_part_stays_and_is_said(tmp_path: Path) -> None:
    tensors = {"a.q.bias": torch.randn(2), "a.v.bias": torch.randn(2), "b.weight": torch.ones(1)}
    after = applied(saved(tmp_path, tensors), BACK)
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == (
        "No key fused. In 1 place, some parts are missing, so the others are unchanged."
    )


def test_the_modules_versions_go_with_the_keys(tmp_path: Path) -> None:
    model = nn.ModuleDict({"qkv": nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6))})
    path = tmp_path / "model.pth"
    torch.save(model.state_dict(), path)
    parts = applied(open_checkpoint(path).state_dict(""), QKV).state_dict
    assert {f"{name}.1": 2 for name in "qkv"}.items() <= parts.versions.items()
    assert "qkv.1" not in parts.versions
    assert applied(parts, BACK).state_dict.versions["qkv.1"] == 2


UNBIASED_KEY = Fuse(("q_bias", ZEROS, "v_bias"), "qkv.bias")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_part_that_the_file_lacks_may_be_zeros(tmp_path: Path, dtype: torch.dtype) -> None:
    weight, q, v = torch.randn(12, 4, dtype=dtype), *torch.randn(2, 4, dtype=dtype)
    tensors = {"0.attn.qkv.weight": weight, "0.attn.q_bias": q, "0.attn.v_bias": v}
    wanted = {
        "0.attn.qkv.weight": weight,
        "0.attn.qkv.bias": torch.cat((q, torch.zeros(4, dtype=dtype), v)),
    }
    given = saved(tmp_path, tensors)
    after = applied(given, UNBIASED_KEY)
    assert_tensors(after.state_dict, wanted)
    assert after.effects[0].sentence == "2 tensors and zeros fused into 1 tensor."
    assert UNBIASED_KEY.words() == "Fuse `q_bias`, zeros, `v_bias` into `qkv.bias`"
    apart = applied(given, UNBIASED_KEY, Split("qkv.bias", ("q.bias", "k.bias", "v.bias")))
    assert torch.equal(read_tensor(apart.state_dict["0.attn.k.bias"]), torch.zeros(4, dtype=dtype))


def test_a_part_that_is_called_0_is_a_tensor_and_zeros_have_their_own_word(tmp_path: Path) -> None:
    tensors = {"q.0": torch.ones(2), "q.1": torch.ones(2) * 2}
    wanted = {"q.both": torch.tensor([1.0, 1.0, 2.0, 2.0])}
    assert_tensors(applied(saved(tmp_path, tensors), Fuse(("0", "1"), "both")).state_dict, wanted)
    words = [{"fix": "fuse", "parts": ["q_bias", "(zeros)", "v_bias"], "fused": "qkv.bias"}]
    assert recipe_to_json(Recipe.of([UNBIASED_KEY])) == words
    assert recipe_from_json(words) == Recipe.of([UNBIASED_KEY])


def test_the_script_joins_zeros_as_the_fix_does(tmp_path: Path) -> None:
    tensors = {"a.q_bias": torch.randn(3), "b": torch.ones(1), "a.v_bias": torch.randn(3)}
    given = saved(tmp_path, tensors)
    code = recipe_code("file.pth", "", Recipe.of([UNBIASED_KEY]))
    scope: dict[str, dict[str, torch.Tensor]] = {}
    exec(code.replace('"file.pth"', repr(str(tmp_path / "file.pth"))), scope)
    assert_tensors(applied(given, UNBIASED_KEY).state_dict, scope["state_dict"])


@pytest.mark.slow
def test_parts_that_are_split_again_and_again_do_not_fill_the_memory(tmp_path: Path) -> None:
    given = saved(tmp_path, {"q": torch.tensor(1.0), "w.q": torch.empty(0, 3)})
    doubled = Split("q", ("a.q", "b.q"))
    with pytest.raises(FixError, match="too many tensors"):
        applied(given, *[doubled] * 60)
    with pytest.raises(FixError, match="too many tensors"):
        applied(given, Split("q", tuple(f"{'x' * 900}{index}" for index in range(100_000))))


def test_steps_that_compute_a_tensor_again_and_again_are_refused(tmp_path: Path) -> None:
    given = saved(tmp_path, {f"{name}.weight": torch.randn(2, 2) for name in "qkv"})
    around = BACK, SelectClasses("*", tuple(range(5, -1, -1))), QKV
    with pytest.raises(FixError, match="operations"):
        applied(given, *around * 33)
    after = applied(given, *(BACK, CastDtype("float64"), QKV, CastDtype("float32")) * 20)
    assert_tensors(after.state_dict, {key: read_tensor(entry) for key, entry in given.items()})


@pytest.mark.parametrize(
    ("fix", "tensors", "message"),
    [
        (QKV, {"qkv.weight": torch.ones(4, 2)}, "4 rows of `qkv.weight` cannot be split into 3"),
        (QKV, {"qkv": torch.ones(3), "k": torch.ones(1)}, "get the key `k`"),
        (BACK, {"q": torch.ones(3), "k": torch.ones(3), "v": torch.ones(3).half()}, "float16"),
        (BACK, {"q": torch.ones(3, 2), "k": torch.ones(3), "v": torch.ones(3)}, "3 × 2"),
        (BACK, {"q": torch.ones(3), "k": torch.ones(()), "v": torch.ones(3)}, "scalar of"),
        (Split("qkv", ("q",)), {"qkv": torch.ones(3)}, "at least two parts"),
        (Split("", ("q", "k")), {"qkv": torch.ones(3)}, "name is empty"),
        (Fuse(("q", "q"), "qkv"), {"q": torch.ones(3)}, "at least two parts"),
        (QKV, {"qkv": torch.ones(3, 3).to_sparse()}, "sparse"),
        (Fuse(("q", ZEROS), "qk"), {"q": torch.ones(3, 3)}, "a bias alone.*`q` is 3 × 3"),
        (Fuse(("q", ZEROS), "qk"), {"q": torch.ones(())}, "a bias alone"),
        (
            Fuse(("q", ZEROS, "v"), "qkv"),
            {"q": torch.ones(3), "v": torch.ones(2)},
            "as long as the other parts: `v` is 2",
        ),
        (Fuse((ZEROS, ZEROS), "qk"), {"q": torch.ones(3)}, "at least two parts"),
        (Split("qk", ("q", ZEROS)), {"qk": torch.ones(4)}, "fused, but not split off"),
    ],
)
def test_what_cannot_be_cut_or_joined_is_a_sentence(
    fix: Split | Fuse, tensors: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FixError, match=message):
        applied(saved(tmp_path, tensors), fix)
