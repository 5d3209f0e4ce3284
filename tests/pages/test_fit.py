"""Fit, page by page run: the diff, the fixes, the load, and what a person takes away."""

import re
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torchvision.models import resnet18, shufflenet_v2_x0_5

from core.fixes import Recipe, Rename, Step, StripPrefix
from core.server import Bench, SlotState, bench_from_query, bench_to_query
from core.wording import count
from pages.components.resources import model_pool
from tests.pages.shown_table import shown_table
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

APP = Path(__file__).parents[2] / "app.py"
SHUFFLENET = "torchvision:shufflenet_v2_x0_5?num_classes=10"
STRIP = Recipe((Step(StripPrefix("module.")),))
FILE = "root:0/model.pth"


@pytest.fixture(autouse=True)
def fresh_server(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path / "root"))


@pytest.fixture
def saved(tmp_path):
    def save(value, name="model.pth"):
        torch.save(value, tmp_path / "root" / name)

    return save


def wrapped(model):
    return torch.nn.DataParallel(model).state_dict()


def fit_page(*slots):
    """The Fit page of a session with these slots on its bench."""
    at = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    for name, value in bench_to_query(Bench(*slots)).items():
        at.query_params[name] = value
    at.run()
    at.switch_page("pages/fit.py").run()
    assert not at.exception
    return at


def verdict(at):
    return at.title[0].value.replace("\\", "")


def fits(at, keys):
    """Whether the title says that all of so many keys match."""
    return re.fullmatch(f"Fits .*: {keys} of {keys} keys", verdict(at)) is not None


def words(at):
    elements = (*at.markdown, *at.caption, *at.error, *at.warning, *at.success, *at.title)
    return " ".join(element.value for element in elements).replace("\\", "")


def diff(at):
    """The page's own HTML: the bar, the counts, the lists of keys."""
    return " ".join(element.proto.body for element in at.get("html"))


def strip_counts(at):
    """The numbers of keys by state above the panels, before and after a repair."""
    counts = re.search('<div class="counts">(.*)', diff(at))[1]
    pieces = re.findall("<div class=[^>]*>(.*?)</div>", counts)
    texts = [re.sub("<[^>]+>", " ", piece).split() for piece in pieces]
    return {name: "".join(number) for _, *number, name in texts}


def keys_of(at):
    """The table of keys: (state, shape) by the key in the file, or in the model if it lacks it."""
    table = shown_table(at)
    return dict(
        zip(table.keys, zip(table.columns[""], table.columns["Shape"], strict=True), strict=True)
    )


def link(at):
    """The page's address, as a colleague may open it."""
    return {
        name: value if isinstance(value, str) else value[0]
        for name, value in at.query_params.items()
    }


def press(at, label):
    next(one for one in at.button if one.label.replace("\\", "") == label).click()
    return at.run()


def load(at, press_button):
    """Load by a button, and wait until the page says that it is done."""
    press_button(at)
    wait_until(lambda: at.run() and (verdict(at).startswith("Loaded ") or at.error))
    assert not at.exception
    return at


def press_next(at):
    """The bar's button, which then turns to this page."""
    at.button(key="next").click().run()


def load_partially(at):
    press(at, "Load the model partially")


def test_without_a_file_the_page_teaches_and_offers_the_sample():
    at = fit_page()
    assert "Open a checkpoint first" in words(at)
    at.button(key="next").click().run()
    assert verdict(at) == "Fits torchvision shufflenet_v2_x0_5 with 10 classes after one repair"
    assert "The file says `arch` is `shufflenet_v2_x0_5`" in words(at)


def test_the_files_own_word_is_taken_with_one_click_and_its_classes_are_counted(saved):
    saved({"arch": "resnet18", "state_dict": wrapped(resnet18(num_classes=10))})
    at = fit_page(SlotState(FILE))
    at.selectbox(key="fit-A-architecture").select("timm resnet34").run()
    press(at, "Use torchvision resnet18 (num_classes=10)")
    assert verdict(at) == "Fits torchvision resnet18 with 10 classes after one repair"
    assert "The file’s last layer has 10 classes" in words(at)


def test_a_chosen_architecture_gets_the_heads_number_of_classes(saved):
    saved(resnet18(num_classes=7).state_dict())
    at = fit_page(SlotState(FILE, None, "timm:resnet34"))
    at.selectbox(key="fit-A-architecture").select("torchvision resnet18").run()
    assert at.number_input(key="fit-A-option-num_classes").value == 7
    assert fits(at, 122)
    at.number_input(key="fit-A-option-num_classes").set_value(9).run()
    assert "120 of 122 keys fit" in verdict(at)
    assert keys_of(at)["fc.weight"] == ("mismatched", "7 × 512 → 9 × 512")
    press(at, "Set 7 classes, as in the file's last layer")
    assert fits(at, 122)


def test_a_timm_model_takes_other_input_channels_too(saved):
    saved({"conv1.weight": torch.zeros(64, 1, 7, 7)})
    at = fit_page(SlotState(FILE, None, "timm:resnet18"))
    assert keys_of(at)["conv1.weight"] == ("mismatched", "64 × 1 × 7 × 7 → 64 × 3 × 7 × 7")
    at.number_input(key="fit-A-option-in_chans").set_value(1).run()
    assert "1 of 122 keys fit" in verdict(at)


def test_one_click_takes_the_proposal_and_the_diff_changes_at_once(saved):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, "torchvision:resnet18"))
    assert strip_counts(at) == {
        "matched": "0",
        "missing": "122",
        "unexpected": "122",
        "mismatched": "0",
    }
    assert keys_of(at)["conv1.weight"] == ("missing", "64 × 3 × 7 × 7")
    assert keys_of(at)["module.conv1.weight"] == ("unexpected", "64 × 3 × 7 × 7")
    at.button(key="fit-A-proposal-0").click().run()
    assert fits(at, 122)
    assert strip_counts(at) == {
        "matched": "0→122",
        "missing": "122→0",
        "unexpected": "122→0",
        "mismatched": "0",
    }
    table = shown_table(at)
    assert set(table.columns[""]) == {"renamed"}
    assert table.keys[0] == "module.conv1.weight"
    assert table.columns["In the model"][0] == "conv1.weight"
    assert table.sums("In the model")["fc"] == "2 keys"
    assert table.sums("Shape")["fc"] == f"{count(512 * 1000 + 1000)} parameters"
    assert "122 keys renamed" in diff(at)
    assert "module.conv1.weight → conv1.weight" in diff(at)


def test_a_step_is_switched_off_moved_and_removed(saved):
    saved(wrapped(resnet18()))
    recipe = Recipe((*STRIP.steps, Step(Rename("^fc", "head"))))
    at = fit_page(SlotState(FILE, None, "torchvision:resnet18", recipe))
    assert "120 of 122 keys fit" in verdict(at)
    at.checkbox(key="fit-A-switch-1").uncheck().run()
    assert fits(at, 122)
    at.button(key="fit-A-up-1").click().run()
    assert at.checkbox(key="fit-A-switch-0").value is False
    assert at.checkbox(key="fit-A-switch-1").value is True
    at.button(key="fit-A-remove-0").click().run()
    assert bench_from_query(link(at)).a.recipe == STRIP


def test_a_bad_pattern_is_a_sentence_at_its_step_and_can_be_mended(saved):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, "torchvision:resnet18", STRIP))
    at.selectbox(key="fit-A-kind").select("Rename by regex").run()
    at.text_input(key="fit-A-field-pattern").input("(fc")
    at.text_input(key="fit-A-field-replacement").input("head")
    press(at, "Add to the recipe")
    assert "The pattern `(fc` cannot be used" in at.error[0].value.replace("\\", "")
    assert fits(at, 122)
    assert "Step 2 of the recipe cannot be applied" in words(at)
    at.button(key="fit-A-edit-1").click().run()
    assert at.text_input(key="fit-A-field-pattern").value == "(fc"
    at.text_input(key="fit-A-field-pattern").input("(fc)")
    press(at, "Change step 2")
    assert not at.error
    assert "2 keys renamed" in diff(at)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("Strip a prefix", {"prefix": "module."}, "122 keys renamed"),
        ("Add a prefix", {"prefix": "x."}, "122 keys renamed"),
        ("Keep only", {"pattern": "module.fc.*"}, "120 keys dropped"),
        ("Drop", {"pattern": "module.fc.*"}, "2 keys dropped"),
        ("Drop what has another shape", {}, "No key dropped"),
        ("Cast to a dtype", {}, "No tensor cast to float32"),
    ],
)
def test_every_kind_of_fix_can_be_added(saved, kind, fields, said):
    saved(wrapped(resnet18()))
    at = fit_page(SlotState(FILE, None, "torchvision:resnet18"))
    at.selectbox(key="fit-A-kind").select(kind).run()
    for name, value in fields.items():
        at.text_input(key=f"fit-A-field-{name}").input(value)
    press(at, "Add to the recipe")
    assert not at.exception
    assert said in diff(at)


def test_a_strict_load_says_how_long_how_much_and_that_it_runs():
    at = fit_page(SlotState("sample:final", None, SHUFFLENET, STRIP))
    load(at, press_next)
    assert verdict(at).endswith("with 10 classes: all 338 keys match")
    assert "On cpu in " in words(at)
    assert "A random input gave 1 × 10 in " in words(at)
    modules = shown_table(at)
    assert modules.sums("Keys")["stage3"] == "156 of 156"
    assert model_pool().loads == 1


def test_a_partial_load_is_a_choice_that_lists_what_stays_as_initialised(saved):
    model = shufflenet_v2_x0_5(num_classes=10).state_dict()
    saved({key: value for key, value in model.items() if not key.startswith("fc.")})
    at = fit_page(SlotState(FILE, None, SHUFFLENET))
    assert "A strict load needs every key to match" in words(at)
    press(at, "Load without them")
    assert at.segmented_control(key="fit-A-strict").value == "Some (partial)"
    warning = at.warning[0].value.replace("\u202f", "")
    assert "2 of 338 keys will not be loaded" in warning
    assert "fc.{weight,bias}" in diff(at)
    assert shown_table(at).groups[0]["title"] == "fc"
    load(at, load_partially)
    assert "336 of 338 keys are from the file" in verdict(at)
    assert "2 keys keep their initial values" in diff(at)


def test_a_second_session_gets_the_loaded_model_without_loading():
    slot = SlotState("sample:final", None, SHUFFLENET, STRIP)
    load(fit_page(slot), press_next)
    second = fit_page(slot)
    assert "loaded on this server already" in words(second)
    press(second, "Use the loaded model")
    wait_until(lambda: "Already loaded on cpu and shared" in words(second.run()))
    assert model_pool().loads == 1


def test_b_takes_what_a_has_with_one_click():
    at = fit_page(SlotState("sample:early", None, SHUFFLENET, STRIP), SlotState("sample:final"))
    at.segmented_control(key="fit-slot").set_value("B").run()
    press(at, "Same as A: shufflenet_v2_x0_5?num_classes=10 with 1 repair")
    assert verdict(at).startswith("Fits ")


def test_a_nested_state_dict_can_be_chosen(saved):
    model = resnet18(num_classes=10)
    saved({"state_dict": wrapped(model), "model_ema": model.state_dict()})
    at = fit_page(SlotState(FILE, "model_ema", "torchvision:resnet18?num_classes=10"))
    assert fits(at, 122)
    at = fit_page(SlotState(FILE, "state_dict", "torchvision:resnet18?num_classes=10"))
    assert "0 of 122 keys fit" in verdict(at)


def test_the_code_on_screen_makes_the_models_outputs(saved, tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = shufflenet_v2_x0_5(num_classes=10).eval()
    saved(wrapped(model))
    at = fit_page(SlotState(FILE, None, SHUFFLENET, STRIP))
    script = next(code.value for code in at.code if "import torch" in code.value)
    monkeypatch.chdir(tmp_path / "root")
    names: dict[str, object] = {}
    exec(script, names)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(names["model"](image), model(image))


def test_an_unknown_architecture_in_a_link_is_a_sentence(saved):
    saved(resnet18().state_dict())
    at = fit_page(SlotState(FILE, None, "torchvision:resnet1999"))
    assert "No architecture is called" in at.error[0].value
    assert verdict(at).endswith("architectures fit all 122 keys")


def test_a_key_that_looks_like_markdown_stays_text(saved):
    evil = "`![x](http://evil.example/x.png)`<img src=http://evil.example/y.png>"
    saved({f"{evil}.{key}": value for key, value in resnet18().state_dict().items()})
    at = fit_page(SlotState(FILE, None, "torchvision:resnet18"))
    assert "<img" not in diff(at)
    said = " ".join(element.value for element in (*at.title, *at.markdown))
    assert "![" not in re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "code", said)


def test_the_owners_own_model_is_in_the_list_and_loads(saved, tmp_path, monkeypatch):
    (tmp_path / "owners_nets.py").write_text(
        "from torch import nn\n"
        "from torchvision.models import resnet18\n"
        "class Wrapper(nn.Module):\n"
        "    def __init__(self, num_classes=10):\n"
        "        super().__init__()\n"
        "        self.resnet = resnet18(num_classes=num_classes)\n"
        "    def forward(self, x):\n"
        "        return self.resnet(x)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LOUPE_MODELS", "owners_nets:Wrapper")
    saved({f"resnet.{key}": value for key, value in resnet18(num_classes=10).state_dict().items()})
    at = fit_page(SlotState(FILE))
    at.selectbox(key="fit-A-architecture").select("own owners_nets.Wrapper").run()
    assert fits(at, 122)
    load(at, press_next)
    assert "A random input gave 1 × 10 in " in words(at)


def test_an_owners_module_that_is_broken_leaves_all_others_usable_and_may_be_mended(
    saved, monkeypatch, tmp_path
):
    monkeypatch.setenv("LOUPE_MODELS", "owners_late_nets,owners_good_nets")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "owners_good_nets.py").write_text("def small():\n    pass\n")
    saved(resnet18().state_dict())
    at = fit_page(SlotState(FILE, None, "torchvision:resnet18"))
    assert "owners_late_nets" in at.error[0].value.replace("\\", "")
    assert fits(at, 122)
    assert "own owners_good_nets.small" in at.selectbox(key="fit-A-architecture").options
    (tmp_path / "owners_late_nets.py").write_text("def mended():\n    pass\n")
    at.run()
    assert not at.error
    assert "own owners_late_nets.mended" in at.selectbox(key="fit-A-architecture").options


def test_tied_weights_are_named_where_the_file_is_exported(saved):
    """FIELD 33."""
    weights = shufflenet_v2_x0_5(num_classes=10).state_dict()
    weights["tied"] = weights["fc.weight"]
    saved(weights)
    at = fit_page(SlotState(file=FILE, architecture=SHUFFLENET))
    assert "`fc.weight` and `tied` are one tensor. A .pth file contains it once" in words(at)


@pytest.mark.parametrize(
    "architecture",
    [
        "torchvision:resnet18?num_classes=0",
        "torchvision:googlenet?aux_logits=5",
        "torchvision:googlenet?aux_logits=0",
        "torchvision:resnet18?img_size=64",
        "timm:test_vit?num_classes=0",
        "timm:test_vit?init_values=1e-05",
    ],
)
def test_a_link_with_any_value_of_an_option_draws_the_page(saved, architecture):
    saved(resnet18().state_dict())
    at = fit_page(SlotState(file=FILE, architecture=architecture))
    assert not at.exception
    assert at.selectbox
