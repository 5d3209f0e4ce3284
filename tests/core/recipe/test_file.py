"""A recipe's file: what it was made for travels with it, and nothing else is taken for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.architectures import Architecture
from core.errors import FixError
from core.fixes import AdaptInput, Drop, Recipe, RenameTable, Step, StripPrefix
from core.recipe import RecipeFile, recipe_file_from_json, recipe_file_to_json

RECIPE = Recipe(
    (
        Step(StripPrefix("module.", anywhere=True)),
        Step(Drop("fc.*"), enabled=False),
        Step(RenameTable((("conv1.weight", "stem.weight"), ("é", "b")))),
        Step(AdaptInput(in_chans=1)),
    )
)


def through_a_file(file: RecipeFile) -> RecipeFile:
    return recipe_file_from_json(json.loads(json.dumps(recipe_file_to_json(file))))


@pytest.mark.parametrize(
    "file",
    [
        RecipeFile(Recipe()),
        RecipeFile(RECIPE),
        RecipeFile(RECIPE, state_dict=""),
        RecipeFile(RECIPE, "model_ema.state", Architecture("timm", "resnet50d")),
        RecipeFile(
            RECIPE,
            architecture=Architecture(
                "torchvision", "vit_b_16", (("image_size", 384), ("num_classes", 10))
            ),
        ),
        RecipeFile(RECIPE, architecture=Architecture("own", "my_models.tiny")),
    ],
)
def test_a_recipe_comes_back_from_its_file(file: RecipeFile) -> None:
    assert through_a_file(file) == file


def test_the_file_is_plain_to_read() -> None:
    file = RecipeFile(
        Recipe((Step(StripPrefix("module.")),)),
        "state_dict",
        Architecture("torchvision", "resnet18", (("num_classes", 10),)),
    )
    assert recipe_file_to_json(file) == {
        "loupe_recipe": 1,
        "state_dict": "state_dict",
        "architecture": "torchvision:resnet18?num_classes=10",
        "steps": [{"fix": "strip_prefix", "prefix": "module."}],
    }


def test_a_bare_list_of_steps_is_a_recipe_for_anything() -> None:
    steps = [{"fix": "strip_prefix", "prefix": "module.", "anywhere": True}]
    assert recipe_file_from_json(steps) == RecipeFile(Recipe(RECIPE.steps[:1]))


def test_an_architecture_of_another_version_is_kept_for_whoever_builds_it() -> None:
    words = {"loupe_recipe": 1, "architecture": "timm:not_there_yet", "steps": []}
    assert recipe_file_from_json(words).architecture == Architecture("timm", "not_there_yet")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "not a recipe"),
        ("strip_prefix", "not a recipe"),
        (7, "not a recipe"),
        ({}, "loupe_recipe"),
        ({"steps": []}, "loupe_recipe"),
        ({"state_dict": {"fc.weight": 1}}, "loupe_recipe"),
        ({"loupe_recipe": 2, "steps": []}, "version 2"),
        ({"loupe_recipe": True, "steps": []}, "version True"),
        ({"loupe_recipe": "1", "steps": []}, "version 1"),
        ({"loupe_recipe": 1}, "`steps`"),
        ({"loupe_recipe": 1, "steps": {}}, "list of at most"),
        (
            {"loupe_recipe": 1, "steps": [{"fix": "untie"}, {"fix": "explode"}]},
            "`explode` is not a fix",
        ),
        ([{"fix": "untie"}, {"fix": "untie"}, {"fix": "keep"}], "in step 3, `keep` takes"),
        ([{"fix": "untie"}, {"name": "untie"}], "in step 2, the field `fix` is missing"),
        ([7], "in step 1, there is no object with the field `fix`"),
        ([{"fix": 7}], "in step 1, `fix` is not a text"),
        ([{"fix": "untie", "enabled": 1}], "`enabled` is not true or false"),
        ([{"fix": "adapt_input", "in_chans": True}], "`in_chans` is not a whole number."),
        ([{"fix": "adapt_input", "in_chans": 1.0}], "`in_chans` is not a whole number."),
        ([{"fix": "adapt_input", "in_chans": 1 << 60}], "`in_chans` is not a number of at most 9"),
        ([{"fix": "merge_lora", "alpha": float("nan")}], "`alpha` is not a number of at most 9"),
        ([{"fix": "merge_lora", "alpha": "16"}], "`alpha` is not a number."),
        (
            [{"fix": "select_classes", "pattern": "fc.*", "rows": 1}],
            "`rows` is not a list of at most",
        ),
        ([{"fix": "rename_table", "table": []}], "`table` is not an object of at most"),
        ({"loupe_recipe": 1, "steps": [], "code": "print()"}, "`code`"),
        ({"loupe_recipe": 1, "steps": [], "state_dict": 3}, "`state_dict`"),
        ({"loupe_recipe": 1, "steps": [], "state_dict": "x" * 1001}, "`state_dict`"),
        ({"loupe_recipe": 1, "steps": [], "architecture": ["timm"]}, "`architecture`"),
        ({"loupe_recipe": 1, "steps": [], "architecture": "resnet18"}, "`architecture`"),
        ({"loupe_recipe": 1, "steps": [], "architecture": "os:system"}, "`architecture`"),
        ({"loupe_recipe": 1, "steps": [], "architecture": "timm:a?b=c"}, "`architecture`"),
        ({"loupe_recipe": 1, "steps": [], "architecture": "timm:a?b=" + "9" * 9}, "`architecture`"),
        ([{"fix": "strip_prefix"}], "`strip_prefix` takes"),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_sentence(value: object, says: str) -> None:
    with pytest.raises(FixError) as refused:
        recipe_file_from_json(value)
    assert says in refused.value.problem
    assert refused.value.remedy


ANY_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(
            some.sampled_from(
                ["loupe_recipe", "steps", "state_dict", "architecture", "fix", "prefix", "table"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(ANY_JSON | some.fixed_dictionaries({"loupe_recipe": some.just(1), "steps": ANY_JSON}))
def test_any_json_is_a_recipe_or_is_refused_in_a_sentence(value: object) -> None:
    try:
        file = recipe_file_from_json(value)
    except FixError:
        return
    assert through_a_file(file) == file
