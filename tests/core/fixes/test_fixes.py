"""Fixes: what they make of keys, dtypes and versions, and how they travel."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import nn

from core.architectures import TensorSpec
from core.checkpoint import Cast, StateDict, TensorEntry
from core.errors import FixError
from core.fixes import (
    KINDS,
    AdaptInput,
    AddBatchStatistics,
    AddPrefix,
    ApplyMasks,
    CastDtype,
    Dequantize,
    Drop,
    DropMismatched,
    Effect,
    Fix,
    Fuse,
    Keep,
    MergeLora,
    Recipe,
    Rename,
    RenameTable,
    ResamplePositions,
    Reshape,
    SelectClasses,
    Split,
    Step,
    StripPrefix,
    Transpose,
    Untie,
    WeightNorm,
)
from core.recipe import apply_recipe, recipe_from_json, recipe_to_json


def entry(key: str, shape: tuple[int, ...] = (2,), dtype: str = "float32") -> TensorEntry:
    return TensorEntry(key, dtype, shape, (1,) * len(shape), 0, None)


def of_keys(*keys: str) -> StateDict:
    return StateDict([entry(key) for key in keys], "state_dict")


def keys_after(fix: Fix, *keys: str) -> list[str]:
    return list(apply_recipe(Recipe((Step(fix),)), of_keys(*keys)).state_dict)


@pytest.mark.parametrize(
    ("fix", "before", "after"),
    [
        (StripPrefix("module."), ["module.a", "b"], ["a", "b"]),
        (StripPrefix("module."), ["module.module.a"], ["module.a"]),
        (StripPrefix("module."), ["module.", "encoder.module.a"], ["module.", "encoder.module.a"]),
        (StripPrefix("module.", anywhere=True), ["encoder.module.a", "b"], ["encoder.a", "b"]),
        (StripPrefix("module.", anywhere=True), ["my_module.a"], ["my_module.a"]),
        (StripPrefix("encoder_*."), ["encoder_q.a", "encoder_k.b"], ["a", "b"]),
        (StripPrefix("encoder_*."), ["encoder_.a", "encoder.q.a"], ["a", "encoder.q.a"]),
        (StripPrefix("fold*.net."), ["fold1.net.a", "fold.1.net.a"], ["a", "fold.1.net.a"]),
        (StripPrefix("*."), ["a.b.c", "d"], ["b.c", "d"]),
        (StripPrefix("a*a."), ["aba.x", "aabaa.y", "a.z"], ["x", "y", "a.z"]),
        (StripPrefix("mod*"), ["model_a", "models.a"], ["model_a", ".a"]),
        (StripPrefix("wrap_*.", anywhere=True), ["a.wrap_1.wrap_2.b"], ["a.b"]),
        (StripPrefix("[x].*.", anywhere=True), ["a.[x].y.b", "a.x.y.b"], ["a.b", "a.x.y.b"]),
        (RenameTable((("a.b", "c"), ("gone", "d"))), ["a.b", "a.b.c", "e"], ["c", "a.b.c", "e"]),
        (RenameTable((("a", "b"), ("b", "a"))), ["a", "b"], ["b", "a"]),
        (RenameTable(()), ["a"], ["a"]),
        (AddPrefix("model."), ["a", "b.c"], ["model.a", "model.b.c"]),
        (Keep("a.*"), ["a.b.c", "b.a.c"], ["a.b.c"]),
        (Drop("*.bias"), ["a.bias", "a.weight"], ["a.weight"]),
        (Keep(r"^layer\d+\.", "regex"), ["layer10.a", "layers.0"], ["layer10.a"]),
        (Drop("momentum", "regex"), ["a.momentum.b", "a.b"], ["a.b"]),
        (Rename(r"gamma$", "weight"), ["norm.gamma", "gamma.a"], ["norm.weight", "gamma.a"]),
        (Rename(r"norm\.(\d)", r"norm\1"), ["denselayer.norm.1.a"], ["denselayer.norm1.a"]),
    ],
)
def test_a_fix_changes_keys_and_keeps_their_order(
    fix: Fix, before: list[str], after: list[str]
) -> None:
    assert keys_after(fix, *before) == after


def test_field_1_data_parallel_prefix_goes_away_also_in_the_middle_of_a_key() -> None:
    assert keys_after(
        StripPrefix("module.", anywhere=True), "module.encoder.module.conv.weight"
    ) == ["encoder.conv.weight"]


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.module.", "module._orig_mod.", "_orig_mod._orig_mod."]
)
def test_field_2_compile_and_parallel_wrappers_go_away_in_any_order(prefix: str) -> None:
    recipe = Recipe(
        (Step(StripPrefix("_orig_mod.", anywhere=True)), Step(StripPrefix("module.", True)))
    )
    backwards = Recipe(recipe.steps[::-1])
    wrapped = of_keys(f"{prefix}fc.weight")
    assert list(apply_recipe(recipe, wrapped).state_dict) == ["fc.weight"]
    assert list(apply_recipe(backwards, wrapped).state_dict) == ["fc.weight"]


def test_field_3_a_head_of_another_shape_is_dropped_and_nothing_else() -> None:
    file = StateDict([entry("conv.weight", (4, 3)), entry("fc.weight", (10, 4)), entry("extra")])
    wanted = {
        "conv.weight": TensorSpec((4, 3), "float32", "parameter"),
        "fc.weight": TensorSpec((1000, 4), "float32", "parameter"),
    }
    applied = apply_recipe(Recipe((Step(DropMismatched()),)), file, wanted)
    assert list(applied.state_dict) == ["conv.weight", "extra"]
    assert applied.effects == (Effect(0, 1, "1 key dropped."),)
    with pytest.raises(FixError, match="needs the shapes of an architecture"):
        apply_recipe(Recipe((Step(DropMismatched()),)), file)


def test_every_step_has_an_effect_and_works_on_what_the_steps_before_it_made() -> None:
    recipe = Recipe(
        (
            Step(StripPrefix("module.")),
            Step(Drop("*"), enabled=False),
            Step(Keep("fc.*")),
            Step(Drop("nothing")),
        )
    )
    applied = apply_recipe(recipe, of_keys("module.fc.weight", "module.fc.bias", "module.conv"))
    assert list(applied.state_dict) == ["fc.weight", "fc.bias"]
    assert applied.state_dict.path == "state_dict"
    assert applied.effects == (
        Effect(3, 0, "3 keys renamed."),
        Effect(0, 0, "Switched off."),
        Effect(0, 1, "1 key dropped."),
        Effect(0, 0, "No key dropped."),
    )


def test_an_entry_keeps_the_key_of_the_file_through_several_fixes() -> None:
    recipe = Recipe((Step(StripPrefix("module.")), Step(AddPrefix("net."))))
    file = of_keys("module.a", "b")
    repaired = apply_recipe(recipe, file).state_dict
    assert {new.key: new.origin for new in repaired.values()} == {"net.a": "module.a", "net.b": "b"}
    assert list(file) == ["module.a", "b"]


def test_a_cast_is_lazy_and_leaves_integers_alone() -> None:
    file = StateDict([entry("w"), entry("steps", (), "int64"), entry("half", (2,), "float16")])
    applied = apply_recipe(Recipe((Step(CastDtype("float16")), Step(CastDtype("bfloat16")))), file)
    weight, steps, half = applied.state_dict.values()
    assert weight.dtype == "bfloat16"
    assert weight.stored_dtype == "float32"
    assert weight.transforms == (Cast("float32", "float16"), Cast("float16", "bfloat16"))
    assert steps == file["steps"]
    assert half.transforms == (Cast("float16", "bfloat16"),)
    assert [effect.changed for effect in applied.effects] == [1, 2]
    with pytest.raises(FixError, match="cannot be cast to `int8`"):
        apply_recipe(Recipe((Step(CastDtype("int8")),)), file)


def test_floats_that_pytorch_cannot_turn_into_numbers_keep_their_dtype() -> None:
    file = StateDict([entry("w"), entry("packed", (2,), "float4_e2m1fn_x2")])
    applied = apply_recipe(Recipe((Step(CastDtype("float16")),)), file)
    assert applied.state_dict["packed"] == file["packed"]
    assert applied.effects[0].sentence == (
        "1 tensor cast to float16. 1 tensor unchanged: PyTorch cannot convert their dtype."
    )


def versions_of(model: nn.Module) -> tuple[StateDict, dict[str, int]]:
    state_dict = model.state_dict()
    versions = {path: meta["version"] for path, meta in state_dict._metadata.items()}
    return StateDict([entry(key) for key in state_dict], "", versions), versions


def test_versions_follow_the_modules_that_the_keys_are_in() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    plain, versions = versions_of(model)
    wrapped, _ = versions_of(nn.DataParallel(model))
    stripped = apply_recipe(Recipe((Step(StripPrefix("module.")),)), wrapped).state_dict
    assert list(stripped) == list(plain)
    assert stripped.versions == {path: versions[path] for path in ("", "0", "1")}
    assert stripped.versions["1"] == 2
    only_conv = apply_recipe(Recipe((Step(Keep("0.*")),)), plain).state_dict
    assert only_conv.versions == {"": 1, "0": 1}
    unchanged = apply_recipe(Recipe((Step(StripPrefix("module.")),)), plain).state_dict
    assert unchanged.versions == versions


def test_two_keys_that_would_become_one_are_refused_by_name() -> None:
    with pytest.raises(FixError, match=r"`module\.a` and `a` would both become `a`"):
        keys_after(StripPrefix("module."), "module.a", "a")


def test_a_table_that_gives_two_keys_one_name_is_refused_by_name() -> None:
    with pytest.raises(FixError, match=r"`a` and `b` would both become `b`"):
        keys_after(RenameTable((("a", "b"),)), "a", "b")


def test_a_prefix_of_many_stars_ends_soon_on_a_key_made_against_it() -> None:
    stars = StripPrefix("*a" * 400 + "*b.", anywhere=True)
    assert keys_after(stars, "a" * 4_000 + ".c", "a" * 500 + "b.c") == ["a" * 4_000 + ".c", "c"]


@pytest.mark.parametrize(
    ("fix", "problem"),
    [
        (Rename("(", "x"), "cannot be used"),
        (Rename("a", r"\2"), "cannot be used"),
        (Rename("a", ""), "Nothing would be left"),
        (Drop("[", "regex"), "cannot be used"),
        (Keep(""), "is empty"),
        (StripPrefix(""), "is empty"),
        (AddPrefix("x" * 1001), "1\u202f001 characters"),
        (Rename("a", "x" * 1001), "1\u202f001 characters"),
        (RenameTable((("a", ""),)), "Nothing would be left"),
        (RenameTable((("a", "x" * 5_000),)), "5\u202f000 characters"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_remedy(fix: Fix, problem: str) -> None:
    with pytest.raises(FixError, match=problem) as caught:
        keys_after(fix, "a")
    assert caught.value.remedy


TEXTS = some.text(max_size=20)
SYNTAXES = some.sampled_from(["glob", "regex"])
COUNTS = some.integers(0, 2**31)
PARTS = some.lists(TEXTS, max_size=4).map(tuple)
TABLES = some.dictionaries(TEXTS, TEXTS, max_size=4).map(lambda table: tuple(table.items()))
FIXES = {
    StripPrefix: some.builds(StripPrefix, TEXTS, some.booleans()),
    AddPrefix: some.builds(AddPrefix, TEXTS),
    Keep: some.builds(Keep, TEXTS, SYNTAXES),
    Drop: some.builds(Drop, TEXTS, SYNTAXES),
    Rename: some.builds(Rename, TEXTS, TEXTS),
    RenameTable: some.builds(RenameTable, TABLES),
    DropMismatched: some.just(DropMismatched()),
    CastDtype: some.builds(CastDtype, TEXTS),
    SelectClasses: some.builds(
        SelectClasses, TEXTS, some.lists(some.integers(-1, 999), max_size=4).map(tuple)
    ),
    AdaptInput: some.builds(AdaptInput, TEXTS, COUNTS),
    ResamplePositions: some.builds(
        ResamplePositions, TEXTS, some.sampled_from(["timm", "torchvision"])
    ),
    Split: some.builds(Split, TEXTS, PARTS),
    Fuse: some.builds(Fuse, PARTS, TEXTS),
    Transpose: some.builds(Transpose, TEXTS, SYNTAXES),
    Reshape: some.builds(Reshape, TEXTS),
    WeightNorm: some.builds(WeightNorm, some.sampled_from(["folded", "parametrized", "hooked"])),
    ApplyMasks: some.just(ApplyMasks()),
    AddBatchStatistics: some.just(AddBatchStatistics()),
    MergeLora: some.builds(MergeLora, some.floats(-1e6, 1e6)),
    Dequantize: some.just(Dequantize()),
    Untie: some.just(Untie()),
}
RECIPES = some.builds(
    Recipe,
    some.lists(
        some.builds(Step, some.one_of(list(FIXES.values())), some.booleans()), max_size=5
    ).map(tuple),
)


def test_every_fix_there_is_goes_through_json_below() -> None:
    assert set(FIXES) == set(KINDS)


@given(RECIPES)
def test_a_recipe_survives_its_way_through_json(recipe: Recipe) -> None:
    assert recipe_from_json(json.loads(json.dumps(recipe_to_json(recipe)))) == recipe


@pytest.mark.parametrize("kind", FIXES, ids=lambda kind: kind.__name__)
@given(data=some.data())
def test_every_fix_survives_its_way_through_json(kind: type[Fix], data: some.DataObject) -> None:
    recipe = Recipe((Step(data.draw(FIXES[kind])),))
    assert recipe_from_json(json.loads(json.dumps(recipe_to_json(recipe)))) == recipe


def test_a_recipe_in_json_is_short() -> None:
    recipe = Recipe((Step(StripPrefix("module.")), Step(Drop("fc.*"), enabled=False)))
    assert recipe_to_json(recipe) == [
        {"fix": "strip_prefix", "prefix": "module."},
        {"fix": "drop", "pattern": "fc.*", "enabled": False},
    ]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "strip_prefix",
        {"fix": "drop"},
        [None],
        [{}],
        [{"fix": "explode"}],
        [{"fix": ["drop"]}],
        [{"fix": "drop"}],
        [{"fix": "drop", "pattern": 3}],
        [{"fix": "drop", "pattern": "a", "syntax": "sql"}],
        [{"fix": "drop", "pattern": "a", "enabled": 1}],
        [{"fix": "strip_prefix", "prefix": "a", "extra": "b"}],
        [{"fix": "drop_mismatched"}] * 101,
        [{"fix": "rename_table"}],
        [{"fix": "rename_table", "table": [["a", "b"]]}],
        [{"fix": "rename_table", "table": {"a": 1}}],
        [{"fix": "select_classes", "pattern": "fc.*", "rows": "12"}],
        [{"fix": "select_classes", "pattern": "fc.*", "rows": [0.5]}],
        [{"fix": "select_classes", "pattern": "fc.*", "rows": [True]}],
        [{"fix": "select_classes", "pattern": "fc.*", "rows": [10**400]}],
        [{"fix": "select_classes", "pattern": "fc.*", "rows": {"0": 1}}],
        [{"fix": "adapt_input", "in_chans": "3"}],
        [{"fix": "resample_positions", "method": "nearest"}],
        [{"fix": "resample_positions", "method": ["timm"]}],
        [{"fix": "split", "fused": "qkv", "parts": ["q", 1]}],
        [{"fix": "fuse", "parts": ["q"]}],
        [{"fix": "weight_norm", "to": "gone"}],
        [{"fix": "merge_lora", "alpha": "16"}],
        [{"fix": "merge_lora", "alpha": math.nan}],
        [{"fix": "merge_lora", "alpha": math.inf}],
        [{"fix": "merge_lora", "alpha": 10**400}],
        [{"fix": "dequantize", "enabled": None}],
    ],
)
def test_json_that_is_no_recipe_is_refused(value: object) -> None:
    with pytest.raises(FixError, match="not a recipe"):
        recipe_from_json(value)


def test_a_fix_is_described_by_what_it_does() -> None:
    assert [
        fix.words()
        for fix in (
            StripPrefix("module."),
            StripPrefix("module.", anywhere=True),
            AddPrefix("net."),
            Keep("a.*"),
            Drop("^fc", "regex"),
            Rename("a", "b"),
            Rename("a", ""),
            RenameTable((("a", "b"), ("c", "d"))),
            DropMismatched(),
            CastDtype("float16"),
        )
    ] == [
        "Strip `module.`",
        "Strip `module.` anywhere",
        "Add `net.`",
        "Keep only `a.*`",
        "Drop keys with the regex `^fc`",
        "Rename `a` to `b`",
        "Cut out `a`",
        "Rename 2 keys by a table",
        "Drop what has another shape",
        "Cast to float16",
    ]


@given(some.lists(some.sampled_from(["module", "_orig_mod", "a", "b"]), min_size=1, max_size=6))
def test_stripping_anywhere_leaves_no_such_part_but_the_last(parts: list[str]) -> None:
    (key,) = keys_after(StripPrefix("module.", anywhere=True), ".".join(parts))
    expected = [part for part in parts[:-1] if part != "module"] + parts[-1:]
    assert key == ".".join(expected)


def test_torch_loads_what_a_fix_gives_keys_to() -> None:
    model = nn.Linear(3, 2)
    wrapped = nn.DataParallel(model).state_dict()
    file = StateDict([entry(key, tuple(value.shape)) for key, value in wrapped.items()])
    fixed = apply_recipe(Recipe((Step(StripPrefix("module.")),)), file).state_dict
    tensors: dict[str, torch.Tensor] = {new.key: wrapped[new.origin] for new in fixed.values()}
    assert str(nn.Linear(3, 2).load_state_dict(tensors)) == "<All keys matched successfully>"
