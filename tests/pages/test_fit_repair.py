"""Fit, from the file's name to its repair: what it is, one click, undo, recipes as files."""

# ruff: noqa: F811  # a fixture of another module is imported, and then a parameter
import json

import pytest
import timm
import torch
from streamlit.testing.v1 import AppTest
from torchvision.models import resnet18, shufflenet_v2_x0_5

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
from core.recipe import with_fix_at
from core.server import Bench, SlotState, bench_from_query, bench_to_query
from tests.pages.shown_table import shown_table
from tests.pages.test_fit import (  # noqa: F401  # the fixtures hold for this module too
    APP,
    FILE,
    STRIP,
    diff,
    fit_page,
    fits,
    fresh_server,
    link,
    press,
    saved,
    verdict,
    words,
    wrapped,
)
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

RESNET = "torchvision:resnet18"


def bench(at):
    return bench_from_query(link(at))


def test_the_page_says_what_the_file_is_and_takes_it_with_its_repair_in_one_click(saved):
    body = {
        f"module.{encoder}.{key}": value
        for encoder in ("encoder_q", "encoder_k")
        for key, value in timm.create_model("resnet26d").state_dict().items()
        if not key.startswith("fc.")
    }
    saved({"state_dict": body})
    at = fit_page(SlotState(FILE))
    assert verdict(at) == "2 architectures fit all 186 keys after 2 repairs"
    assert "This is a timm resnet26d, without a head, saved from DataParallel" in words(at)
    press(at, "Use with its repair")
    assert verdict(at).startswith("Fits ")
    assert bench(at).a.architecture == "timm:resnet26d?num_classes=0"
    assert bench(at).a.recipe.steps
    assert "Use with its repair" not in {button.label for button in at.button}
    at.button(key="fit-A-undo").click().run()
    assert bench(at).a.recipe == Recipe()


def test_another_candidate_and_another_model_of_the_same_keys_can_be_taken(saved):
    saved(resnet18().state_dict())
    at = fit_page(SlotState(FILE))
    box = at.selectbox(key="fit-A-namesake")
    label = next(option for option in box.options if option.startswith("timm resnet18: "))
    box.select(label).run()
    assert bench(at).a.architecture == "timm:resnet18"
    assert fits(at, 122)


def test_another_candidate_is_taken_with_its_own_repair(saved):
    model = timm.create_model("resnet26d", num_classes=3).state_dict()
    saved({f"module.{key}": value for key, value in model.items()})
    at = fit_page(SlotState(FILE))
    at.button(key="fit-A-candidate-1").click().run()
    assert not at.exception
    taken = bench(at).a
    assert taken.architecture not in (None, "timm:resnet26d?num_classes=3")
    assert taken.recipe.steps
    press(at, "Use with its repair")
    assert bench(at).a.architecture == "timm:resnet26d?num_classes=3"
    assert verdict(at).startswith("Fits ")


def test_a_share_of_the_network_is_the_whole_only_where_nothing_is_missing(saved):
    model = resnet18().state_dict()
    saved({key: value for key, value in model.items() if key != "bn1.weight"})
    at = fit_page(SlotState(FILE, None, RESNET))
    assert "<b>over 99.9\u202f%</b> of the model’s" in diff(at)


def test_of_a_file_that_fits_none_the_page_says_so_and_lets_choose(saved):
    saved({"alpha.w": torch.zeros(3, 4), "beta.w": torch.zeros(4, 3)})
    at = fit_page(SlotState(FILE))
    assert verdict(at) == "No architecture that Loupe knows fits"
    assert shown_table(at).keys == ["alpha.w", "beta.w"]
    at.selectbox(key="fit-A-architecture").select("torchvision resnet18").run()
    assert "keys need a decision" in verdict(at)


def test_a_network_that_is_to_have_no_head_is_not_offered_classes(saved):
    saved(
        {k: v for k, v in timm.create_model("test_resnet").state_dict().items() if "fc." not in k}
    )
    at = fit_page(SlotState(FILE, None, "timm:test_resnet?num_classes=0"))
    assert verdict(at).startswith("Fits ")
    assert not any("classes, as in the file" in button.label for button in at.button)


def test_changes_of_a_recipe_are_undone_and_done_again(saved):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, RESNET))
    assert at.button(key="fit-A-undo").disabled
    at.button(key="fit-A-proposal-0").click().run()
    assert bench(at).a.recipe == STRIP
    at.button(key="fit-A-undo").click().run()
    assert bench(at).a.recipe == Recipe()
    assert verdict(at).startswith("0 of 122 keys fit")
    at.button(key="fit-A-redo").click().run()
    assert bench(at).a.recipe == STRIP
    at.button(key="fit-A-remove-0").click().run()
    at.button(key="fit-A-undo").click().run()
    assert fits(at, 122)


def upload(at, key, name, data):
    next(box for box in at.file_uploader if box.key.startswith(key)).upload(name, data)
    at.run()
    assert not at.exception
    return at


def test_a_saved_recipe_is_taken_up_with_its_network(saved):
    saved(wrapped(resnet18()))
    recipe = {
        "loupe_recipe": 1,
        "architecture": RESNET,
        "steps": [{"fix": "strip_prefix", "prefix": "module."}],
    }
    at = fit_page(SlotState(FILE, None, "torchvision:resnet34"))
    upload(at, "fit-A-recipe-file", "recipe.json", json.dumps(recipe).encode())
    assert bench(at).a.architecture == RESNET
    assert fits(at, 122)


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\x80\x02", "not JSON"), (b'{"steps": 3}', "not a recipe"), (b'[{"fix": "x"}]', "recipe")],
)
def test_a_file_that_is_no_recipe_is_a_sentence_and_changes_nothing(saved, data, said):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, RESNET, STRIP))
    upload(at, "fit-A-recipe-file", "recipe.json", data)
    assert said in at.error[0].value
    assert bench(at).a.recipe == STRIP


def test_a_step_tells_each_key_before_and_after(saved):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, RESNET, STRIP))
    assert "122 keys renamed" in diff(at)
    assert "module.layer4.1.bn2.running_var → layer4.1.bn2.running_var" in diff(at)


@pytest.mark.parametrize(
    ("title", "fields", "fix"),
    [
        ("Adapt the input's channels", {}, AdaptInput("*", 0)),
        ("Resample position embeddings", {}, ResamplePositions()),
        ("Split a fused tensor", {}, Split("qkv", ("q", "k", "v"))),
        ("Fuse tensors", {"parts": "wq, wk"}, Fuse(("wq", "wk"), "qkv")),
        ("Transpose", {"pattern": "*.fc.weight"}, Transpose("*.fc.weight")),
        ("Add or remove dimensions of 1", {}, Reshape()),
        ("Weight norm", {}, WeightNorm("folded")),
        ("Pruning masks", {}, ApplyMasks()),
        ("Add BatchNorm's default statistics", {}, AddBatchStatistics()),
        ("Merge LoRA adapters", {}, MergeLora(0.0)),
        ("Dequantize", {}, Dequantize()),
        ("Untie shared storages", {}, Untie()),
    ],
)
def test_each_kind_of_fix_of_tensors_can_be_added_and_changed(saved, title, fields, fix):
    saved(shufflenet_v2_x0_5().state_dict())
    at = fit_page(SlotState(FILE, None, "torchvision:shufflenet_v2_x0_5"))
    at.selectbox(key="fit-A-kind").select(title).run()
    for name, value in fields.items():
        at.text_input(key=f"fit-A-field-{name}").input(value)
    press(at, "Add to the recipe")
    assert bench(at).a.recipe == Recipe((Step(fix),))
    at.button(key="fit-A-edit-0").click().run()
    assert at.selectbox(key="fit-A-kind").value == title
    press(at, "Change step 1")
    assert bench(at).a.recipe == Recipe((Step(fix),))


EVERY_FIX = (
    StripPrefix("module.", anywhere=True),
    AddPrefix("net."),
    Keep(r"^module\.", "regex"),
    Drop("*.num_batches_tracked"),
    Rename(r"^module\.(.*)", r"\1"),
    RenameTable((("module.fc.weight", "fc.weight"), ("module.fc.bias", "fc.bias"))),
    DropMismatched(),
    CastDtype("bfloat16"),
    SelectClasses("module.fc.*", (4, -1, 2, 2)),
    AdaptInput("module.conv1.*", 1),
    ResamplePositions("pos*", "torchvision"),
    Split("in_proj", ("q", "k")),
    Fuse(("wq", "wk"), "w"),
    Transpose("fc", "regex"),
    Reshape("head.*"),
    WeightNorm("hooked"),
    ApplyMasks(),
    AddBatchStatistics(),
    MergeLora(0.5),
    Dequantize(),
    Untie(),
)


def test_a_step_of_any_kind_that_is_opened_and_saved_unchanged_is_the_same(saved):
    saved({"state_dict": {"w": torch.zeros(2)}})
    recipe = Recipe(tuple(Step(fix, enabled=False) for fix in EVERY_FIX))
    assert {type(fix) for fix in EVERY_FIX} == set(KINDS)
    at = fit_page(SlotState(FILE, None, "timm:test_convnext", recipe))
    for i in range(len(EVERY_FIX)):
        at.button(key=f"fit-A-edit-{i}").click().run()
        press(at, f"Change step {i + 1}")
        recipe = with_fix_at(recipe, i, EVERY_FIX[i])
        assert bench(at).a.recipe == recipe
        assert at.selectbox(key="fit-A-kind").value is None


def test_a_form_that_lacks_something_is_a_sentence_beside_it(saved):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, RESNET))
    at.selectbox(key="fit-A-kind").select("Split a fused tensor").run()
    at.text_input(key="fit-A-field-parts").input("q")
    press(at, "Add to the recipe")
    assert "At least two parts are needed" in at.error[0].value
    assert bench(at).a.recipe == Recipe()


def test_the_heads_classes_are_chosen_by_their_names(saved):
    saved({"classes": ["cat", "dog", "cow"], "state_dict": resnet18(num_classes=3).state_dict()})
    at = fit_page(SlotState(FILE, None, "torchvision:resnet18?num_classes=2"))
    at.selectbox(key="fit-A-kind").select("Choose the head's classes").run()
    assert at.text_area(key="fit-A-field-old").value == "cat\ndog\ncow"
    at.text_area(key="fit-A-field-new").input("Cow\nbird")
    press(at, "Add to the recipe")
    assert fits(at, 122)
    assert bench(at).a.recipe.steps[0].fix.rows == (2, -1)


def test_a_table_of_names_is_taken_from_a_file(saved):
    saved(resnet18().state_dict() | {"old.weight": torch.zeros(2)})
    at = fit_page(SlotState(FILE, None, RESNET, Recipe((Step(Rename("^fc", "head")),))))
    at.selectbox(key="fit-A-kind").select("Rename by a table").run()
    table = {"head.weight": "fc.weight", "head.bias": "fc.bias"}
    upload(at, "fit-A-table-file", "names.json", json.dumps(table).encode())
    press(at, "Add to the recipe")
    assert "122 of 122 keys fit torchvision resnet18; 1 key needs a decision" in verdict(at)


def test_a_file_that_is_no_table_is_a_sentence_until_a_good_one_comes(saved):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, RESNET))
    at.selectbox(key="fit-A-kind").select("Rename by a table").run()
    upload(at, "fit-A-table-file", "names.json", b"[1, 2]")
    assert "This is not a table of names" in at.error[0].value
    upload(at, "fit-A-table-file", "names.json", b'{"module.fc.bias": "fc.bias"}')
    assert not at.error
    press(at, "Add to the recipe")
    assert bench(at).a.recipe == Recipe((Step(RenameTable((("module.fc.bias", "fc.bias"),))),))


def test_a_table_from_a_file_does_not_take_the_place_of_a_step_that_is_opened(saved):
    saved(wrapped(resnet18()))
    recipe = Recipe((Step(RenameTable((("module.fc.weight", "fc.weight"),))),))
    at = fit_page(SlotState(FILE, None, RESNET, recipe))
    at.selectbox(key="fit-A-kind").select("Rename by a table").run()
    upload(at, "fit-A-table-file", "names.json", b'{"module.fc.bias": "fc.bias"}')
    at.button(key="fit-A-edit-0").click().run()
    press(at, "Change step 1")
    assert bench(at).a.recipe == recipe


def test_what_an_export_keeps_is_chosen_with_its_size(saved):
    model = shufflenet_v2_x0_5(num_classes=10)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    saved({"epoch": 3, "state_dict": wrapped(model), "optimizer": optimizer.state_dict()})
    at = fit_page(SlotState(FILE, None, "torchvision:shufflenet_v2_x0_5?num_classes=10", STRIP))
    assert "Strips 2.82 MB of optimizer state: 4." in words(at).replace("\u202f", " ")
    at.segmented_control(key="fit-A-keep").set_value("Everything").run()
    assert "Strips" not in words(at)
    assert at.button(key="fit-A-export-safetensors").disabled


def test_the_open_page_says_what_a_file_is(saved):
    saved(wrapped(resnet18(num_classes=5)))
    at = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    for name, value in bench_to_query(Bench(SlotState(FILE))).items():
        at.query_params[name] = value
    at.run()
    assert "By its tensors a torchvision resnet18 with 5 classes, saved from DataParallel" in words(
        at
    )
