"""The whole job in a real browser, and the Fit page's own widgets."""

import re
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from torchvision.models import ResNet18_Weights, resnet18, shufflenet_v2_x0_5

from core.fixes import Recipe, Step, StripPrefix
from core.server import Bench, SlotState, bench_to_query
from core.wording import share_text
from tests.browser.driver import Server, go, settled
from tests.browser.key_table import key_table, row_of

CLASSES = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RESNET = "torchvision:resnet18?num_classes=10"
STRIP = Recipe((Step(StripPrefix("module.")),))


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A resnet18 of ten classes with a head that tells pictures apart."""
    torch.manual_seed(3)
    made = resnet18(num_classes=10).eval()
    with torch.no_grad():
        made.fc.weight.mul_(5)
    return made


@pytest.fixture(scope="module")
def wrapped(server: Server, model: torch.nn.Module) -> Path:
    """The model as DataParallel saves it, in the served folder."""
    path = server.root / "wrapped.pth"
    state_dict = torch.nn.DataParallel(model).state_dict()
    torch.save({"epoch": 5, "state_dict": state_dict, "classes": CLASSES}, path)
    return path


FITS = re.compile("^(Fits|Loaded as) torchvision resnet18 with 10 classes: (122 of|all) 122 keys")
"""The title of what fits; another test may have loaded the same model on the shared server."""


def press_next(page: Page, name: str) -> None:
    """Press the bar's button, which then has this label."""
    page.locator(".st-key-next").get_by_role("button", name=name).click()


def picture() -> Image.Image:
    """A picture with colours, edges and an odd size."""
    ramp = Image.linear_gradient("L").resize((401, 303))
    disc = Image.radial_gradient("L").resize((401, 303))
    return Image.merge("RGB", (ramp, disc, ramp.transpose(Image.Transpose.ROTATE_180)))


def fit(server: Server, page: Page, **slot: object) -> Page:
    bench = Bench(SlotState("root:0/wrapped.pth", **slot))
    page.goto(f"{server.url}/fitting?{urlencode(bench_to_query(bench))}")
    settled(page)
    return page


def choose_architecture(page: Page, name: str) -> None:
    box = page.get_by_label("Model", exact=True)
    box.click()
    box.fill(name)
    page.get_by_role("option", name=name).first.click()
    settled(page)


def test_from_an_upload_to_the_probabilities_that_plain_torch_computes(
    server: Server, page: Page, wrapped: Path, model: torch.nn.Module
) -> None:
    page.goto(server.url)
    settled(page)
    page.locator(".st-key-slot-A input[type=file]").set_input_files(wrapped)
    expect(page.locator(".st-key-slot-A").get_by_test_id("stMetric").first).to_contain_text("122")
    settled(page)
    go(page, "Fit")
    choose_architecture(page, "timm resnet18")
    expect(page.get_by_role("spinbutton", name="Classes")).to_have_value("10")
    expect(page.get_by_role("heading", name="0 of 122 keys fit timm resnet18")).to_be_visible()
    choose_architecture(page, "torchvision resnet18")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.get_by_role("heading", name=FITS)).to_be_visible()
    settled(page)
    press_next(page, "Load")
    expect(page.get_by_role("heading", name="all 122 keys match")).to_be_visible()
    expect(page.get_by_text("A random input gave 1 × 10 in ")).to_be_visible()
    settled(page)
    press_next(page, "Predict")
    shown = BytesIO()
    picture().save(shown, "PNG")
    page.get_by_role("button", name="Add images").click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(
        {"name": "picture.png", "mimeType": "image/png", "buffer": shown.getvalue()}
    )
    expect(page.locator(".chosen figcaption code")).to_have_text("picture.png")
    bars = page.locator(".chosen li")
    labels = bars.locator("span:first-child").all_text_contents()
    shares = bars.locator("span:last-child").all_text_contents()
    with torch.inference_mode():
        inputs = ResNet18_Weights.DEFAULT.transforms()(picture()).unsqueeze(0)
        probabilities, classes = model(inputs).softmax(1)[0].topk(5)
    assert labels == [CLASSES[i] for i in classes]
    assert shares == [share_text(p) for p in probabilities.tolist()]


def test_a_click_counts_while_the_run_before_it_still_ends(
    server: Server, page: Page, wrapped: Path
) -> None:
    running = []

    def keep_running(browser: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            told = ForwardMsg.FromString(message if isinstance(message, bytes) else b"")
            if not (running and told.WhichOneof("type") == "script_finished"):
                browser.send(message)

        browser.connect_to_server().on_message(pass_on)

    page.route_web_socket(re.compile("/_stcore/stream"), keep_running)
    fit(server, page, architecture=RESNET, recipe=STRIP)
    running.append("the run that loads")
    page.get_by_role("button", name=re.compile("^(Load the|Use the loaded) model")).click()
    expect(page.get_by_text("A random input gave 1 × 10 in ")).to_be_visible()
    page.locator(".st-key-next").get_by_role("button", name="Predict").click()
    running.clear()
    expect(page.locator(".st-key-page-predict")).to_be_visible()


def test_what_does_not_match_is_open_and_first_and_what_matches_is_closed(
    server: Server, page: Page, wrapped: Path
) -> None:
    fit(server, page, architecture="torchvision:resnet18", recipe=STRIP)
    expect(row_of(page, "fc")).to_contain_text("mismatched")
    expect(row_of(page, "module.fc.weight")).to_contain_text("10 × 512 → 1000 × 512")
    expect(row_of(page, "module.bn1.weight")).to_have_count(0)
    row_of(page, "bn1").click()
    expect(row_of(page, "module.bn1.weight")).to_contain_text("renamed")


def test_a_reload_finds_the_architecture_and_the_recipe_again(
    server: Server, page: Page, wrapped: Path
) -> None:
    fit(server, page, architecture=RESNET)
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.get_by_role("heading", name=FITS)).to_be_visible()
    settled(page)
    page.reload()
    settled(page)
    expect(page.get_by_role("heading", name=FITS)).to_be_visible()
    expect(page.get_by_text("122 keys renamed")).to_be_visible()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_the_repaired_file_comes_down_with_clean_keys_and_equal_values(
    server: Server, page: Page, wrapped: Path, model: torch.nn.Module, tmp_path: Path, ending: str
) -> None:
    from safetensors.torch import load_file

    fit(server, page, architecture=RESNET, recipe=STRIP)
    page.locator(".stButton").get_by_role("button", name=f".{ending}").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Download wrapped-repaired.{ending}").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == f"wrapped-repaired.{ending}"
    read = torch.load(saved, weights_only=True) if ending == "pth" else load_file(saved)
    wanted = model.state_dict()
    assert set(read) == set(wanted)
    assert all(torch.equal(read[key], wanted[key]) for key in wanted)


def test_on_a_narrow_screen_nothing_is_cut_off(server: Server, page: Page, wrapped: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    fit(server, page, architecture=RESNET)
    expect(page.get_by_role("button", name="Apply", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for box in (*page.locator(".fit-strip .counts div").all(), key_table(page)):
        place = box.bounding_box()
        assert place is None or place["x"] + place["width"] <= 390
    assert key_table(page).evaluate("table => table.scrollWidth <= table.clientWidth")
    assert key_table(page).get_by_role("columnheader").all_inner_texts() == ["", "Key", "Shape"]


def test_what_a_fix_strikes_out_of_a_key_is_shown_in_it(
    server: Server, page: Page, wrapped: Path
) -> None:
    fit(server, page, architecture="timm:resnet18?num_classes=10")
    expect(key_table(page).get_by_role("row").filter(has_text="missing").first).to_be_visible()
    page.get_by_role("button", name="Apply").first.click()
    expect(page.get_by_role("heading", name="Fits timm resnet18 with 10 classes")).to_be_visible()
    weight = row_of(page, "module.fc.weight")
    expect(weight.locator("del")).to_have_text("module.")
    expect(weight).to_contain_text("renamed")
    expect(row_of(page, "fc")).to_contain_text("matched")


def never_loaded(server: Server, name: str) -> SlotState:
    """A file like the sample's whose model no session of the server has loaded yet."""
    weights = shufflenet_v2_x0_5(num_classes=10).state_dict()
    wrapped = {f"module.{key}": weight for key, weight in weights.items()}
    torch.save({"arch": "shufflenet_v2_x0_5", "state_dict": wrapped}, server.root / name)
    return SlotState(f"root:0/{name}")


def show(server: Server, page: Page, *slots: SlotState) -> None:
    page.goto(f"{server.url}/fitting?{urlencode(bench_to_query(Bench(*slots)))}")
    settled(page)


def test_the_proposal_is_on_the_screen_before_anything_is_chosen(
    server: Server, page: Page
) -> None:
    show(server, page, never_loaded(server, "a.pth"), never_loaded(server, "b.pth"))
    title = "Fits torchvision shufflenet_v2_x0_5 with 10 classes after one repair"
    expect(page.get_by_role("heading", name=title)).to_be_in_viewport()
    strip = page.locator(".fit-strip")
    expect(strip.get_by_role("img")).to_have_count(2)
    expect(strip.locator(".matched b")).to_have_text("✓ 0→338")
    expect(strip.locator(".mismatched .zero").first).to_be_in_viewport()
    weight = row_of(page, "module.conv1.0.weight")
    expect(weight).to_be_in_viewport()
    expect(weight.locator("del")).to_have_text("module.")
    expect(page.locator(".st-key-panelbody-load")).to_contain_text(
        "cpu, float32 as in the model, strict: every key must match"
    )
    expect(page.locator(".st-key-panelbody-load")).to_be_in_viewport()
    press_next(page, "Apply repair")
    expect(page.get_by_role("heading", name=": 338 of 338 keys")).to_be_visible()
    expect(page.locator(".st-key-panelhead-repair")).to_contain_text("applied")


def test_a_step_that_is_switched_off_changes_the_strip_and_the_keys_at_once(
    server: Server, page: Page
) -> None:
    show(server, page, never_loaded(server, "c.pth"))
    page.locator(".st-key-fit-A-switch-0 label").first.click()
    expect(page.locator(".fit-strip .missing b")).to_have_text("− 338")
    expect(page.get_by_role("heading", name="0 of 338 keys fit")).to_be_visible()
    settled(page)
    page.locator(".st-key-fit-A-switch-0 label").first.click()
    expect(page.locator(".fit-strip .missing b")).to_have_text("− 338→0")


def test_the_keys_as_saved_are_one_click_away(server: Server, page: Page) -> None:
    show(server, page, SlotState("sample:early"))
    page.locator(".st-key-fit-right").get_by_text("As saved", exact=True).click()
    expect(row_of(page, "module.conv1")).to_contain_text("unexpected")
    page.locator(".st-key-fit-right").get_by_text("Before and after", exact=True).click()
    expect(row_of(page, "module.conv1.0.weight")).to_contain_text("renamed")


def test_candidates_that_fit_alike_are_side_by_side_and_one_is_chosen(
    server: Server, page: Page
) -> None:
    """timm's resnetblur18 takes resnet18's tensors, and nothing in this file says which it is."""
    torch.save(resnet18().state_dict(), server.root / "best.pth")
    show(server, page, SlotState("root:0/best.pth"))
    expect(page.get_by_role("heading", name="architectures fit all 122 keys")).to_be_visible()
    expect(page.locator(".st-key-next")).to_contain_text("Choose an architecture")
    first, second = (page.locator(f".st-key-choice-{at}") for at in (0, 1))
    expect(first).to_contain_text("torchvision resnet18")
    expect(second).to_contain_text("downsampling through blur pooling")
    tops = [choice.bounding_box() for choice in (first, second)]
    assert tops[0]
    assert tops[1]
    assert tops[0]["y"] == tops[1]["y"]
    expect(row_of(page, "bn1")).to_contain_text("matched")
    second.get_by_role("button", name="Choose").click()
    expect(page.get_by_role("heading", name="Fits timm resnetblur18")).to_be_visible()
    expect(page.locator(".st-key-choice-0")).to_have_count(0)


def test_a_file_that_fits_in_part_leads_to_the_keys_that_need_a_decision(
    server: Server, page: Page
) -> None:
    part = resnet18(num_classes=10).state_dict()
    part |= {"projector.weight": torch.zeros(9, 512), "layer1.0.conv1.weight": torch.zeros(3, 3)}
    torch.save(
        {k: v for k, v in part.items() if not k.startswith("layer4.1.bn2.")},
        server.root / "part.pth",
    )
    show(server, page, SlotState("root:0/part.pth", architecture=RESNET))
    title = "116 of 122 keys fit torchvision resnet18 with 10 classes; 7 keys need a decision"
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    problems = page.locator(".st-key-panel-problems")
    expect(problems).to_contain_text("5 keys of the model are not in the file")
    press_next(page, "Review 7 keys")
    expect(page.get_by_role("radio", name="to decide")).to_be_checked()
    expect(row_of(page, "layer1.0.conv1.weight")).to_contain_text("mismatched")
    expect(row_of(page, "fc")).to_have_count(0)
    settled(page)
    problems.get_by_role("button", name="Drop projector").click()
    expect(page.locator(".fit-strip .unexpected b")).to_have_text("+ 1→0")
    settled(page)
    problems.get_by_role("button", name="Load without them").click()
    expect(page.get_by_text("will not be loaded")).to_be_visible()
    press_next(page, "Load in part")
    expect(page.locator(".st-key-chip-A")).to_contain_text("loaded")


def test_a_file_that_fits_none_shows_its_keys(server: Server, page: Page) -> None:
    torch.save({"alpha.w": torch.zeros(3, 4)}, server.root / "none.pth")
    show(server, page, SlotState("root:0/none.pth"))
    title = "No architecture that Loupe knows fits"
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    expect(row_of(page, "alpha.w")).to_contain_text("3 × 4")
