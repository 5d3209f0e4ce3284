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
from torchvision.models import ResNet18_Weights, resnet18

from core.fixes import Recipe, Step, StripPrefix
from core.server import Bench, SlotState, bench_to_query
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
    box = page.get_by_label("Architecture")
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
    choose_architecture(page, "torchvision resnet18")
    expect(page.get_by_role("spinbutton", name="Classes")).to_have_value("10")
    expect(page.get_by_text("Does not fit: 0 of 122 keys match.")).to_be_visible()
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.get_by_text("Fits: 122 of 122 keys.")).to_be_visible()
    page.get_by_role("button", name="Load the model").click()
    expect(page.get_by_text(re.compile("^Loaded on cpu in "))).to_be_visible()
    expect(page.get_by_text("output 1 × 10.")).to_be_visible()
    page.get_by_role("button", name="Predict with this model").click()
    shown = BytesIO()
    picture().save(shown, "PNG")
    page.get_by_test_id("stFileUploader").first.locator("input").set_input_files(
        {"name": "picture.png", "mimeType": "image/png", "buffer": shown.getvalue()}
    )
    chart = page.get_by_test_id("stPlotlyChart").first
    expect(chart.locator(".annotation-text").first).to_be_visible()
    words = chart.locator(".annotation-text").all_text_contents()
    with torch.inference_mode():
        inputs = ResNet18_Weights.DEFAULT.transforms()(picture()).unsqueeze(0)
        probabilities, classes = model(inputs).softmax(1)[0].topk(5)
    assert words[::2] == [CLASSES[i] for i in classes]
    assert words[1::2] == [f"{100 * p:.2f}\u202f%" for p in probabilities.tolist()]


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
    expect(page.get_by_text("output 1 × 10.")).to_be_visible()
    page.locator('[data-retained="true"] .stButton').first.wait_for(state="attached")
    page.get_by_role("button", name="Predict with this model").click()
    running.clear()
    expect(page.locator(".st-key-page-predict")).to_be_visible()


def test_the_diff_opens_to_single_keys_and_shapes(
    server: Server, page: Page, wrapped: Path
) -> None:
    fit(server, page, architecture="torchvision:resnet18", recipe=STRIP)
    expect(row_of(page, "fc.{weight,bias}")).to_contain_text("mismatched")
    expect(row_of(page, "module.fc.weight")).to_have_count(0)
    row_of(page, "fc.{weight,bias}").click()
    expect(row_of(page, "module.fc.weight")).to_contain_text("10 × 512 → 1000 × 512")


def test_a_reload_finds_the_architecture_and_the_recipe_again(
    server: Server, page: Page, wrapped: Path
) -> None:
    fit(server, page, architecture=RESNET)
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.get_by_text("Fits: 122 of 122 keys.")).to_be_visible()
    settled(page)
    page.reload()
    settled(page)
    expect(page.get_by_text("Fits: 122 of 122 keys.")).to_be_visible()
    expect(page.get_by_text("122 keys renamed.")).to_be_visible()


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
    for box in (*page.locator(".fit-counts span").all(), key_table(page)):
        place = box.bounding_box()
        assert place is None or place["x"] + place["width"] <= 390
    assert key_table(page).evaluate("table => table.scrollWidth <= table.clientWidth")
    assert key_table(page).get_by_role("columnheader").all_inner_texts() == ["", "Key", "Shape"]


def test_what_a_fix_strikes_out_of_a_key_is_shown_in_it(
    server: Server, page: Page, wrapped: Path
) -> None:
    fit(server, page, architecture=RESNET)
    expect(key_table(page).get_by_role("row").filter(has_text="missing").first).to_be_visible()
    page.get_by_role("button", name="Apply").first.click()
    expect(page.get_by_text("Fits: 122 of 122 keys.")).to_be_visible()
    row_of(page, "fc").click()
    weight = row_of(page, "module.fc.weight")
    expect(weight.locator("del")).to_have_text("module.")
    expect(weight).to_contain_text("renamed")
    expect(row_of(page, "fc")).to_contain_text("matched")
