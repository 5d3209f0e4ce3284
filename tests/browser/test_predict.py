"""Predict in a real browser: pictures in, charts and a CSV out, equal to plain torch's numbers."""

import csv
import re
from io import BytesIO, StringIO
from urllib.parse import urlencode

import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from torchvision.models import shufflenet_v2_x0_5
from torchvision.transforms import v2

from core.fixes import Recipe, Step, StripPrefix
from core.server import SAMPLES, Bench, SlotState, bench_to_query, sample_images
from tests.browser.conftest import Profile, fresh_page
from tests.browser.driver import SETTLED_WITHIN, Server, settled
from tests.browser.sample_job import load

expect.set_options(timeout=SETTLED_WITHIN)

ARCHITECTURE = "torchvision:shufflenet_v2_x0_5?num_classes=10"
STRIP = Recipe((Step(StripPrefix("module.")),))
EARLY, FINAL = (
    SlotState(f"sample:{name}", None, ARCHITECTURE, STRIP) for name in ("early", "final")
)


def plain_torch(name, image):
    checkpoint = torch.load(SAMPLES[name].path, weights_only=True)
    weights = {k.removeprefix("module."): v for k, v in checkpoint["state_dict"].items()}
    model = shufflenet_v2_x0_5(num_classes=10).eval()
    model.load_state_dict(weights)
    fed = checkpoint["preprocessing"]
    pixels = v2.functional.pil_to_tensor(v2.CenterCrop(64)(v2.Resize(64)(image.convert("RGB"))))
    inputs = v2.functional.normalize(pixels.float() / 255, fed["mean"], fed["std"])
    with torch.inference_mode():
        probabilities = model(inputs.unsqueeze(0)).softmax(1)[0].tolist()
    return dict(zip(checkpoint["classes"], probabilities, strict=True))


@pytest.fixture(scope="module")
def bench(server: Server, profile: Profile) -> str:
    """The query of a link to the sample's two epochs, once the server has loaded their models."""
    query = urlencode(bench_to_query(Bench(EARLY, FINAL)))
    with fresh_page(profile) as page:
        page.goto(f"{server.url}/fitting?{query}")
        settled(page)
        for name in ("digits_early.pth", "digits_final.pth"):
            page.get_by_test_id("stMain").get_by_text(re.compile(f"[AB] · {name}")).first.click()
            settled(page)
            load(page)
    return query


@pytest.fixture
def both(server: Server, bench: str, page: Page) -> Page:
    """A session on Predict with the sample's two epochs loaded."""
    page.goto(f"{server.url}/prediction?{bench}")
    settled(page)
    return page


def chart(page: Page, number: int) -> dict[str, str]:
    """A chart as a reader sees it: {label: percent}."""
    box = page.get_by_test_id("stPlotlyChart").nth(number)
    box.scroll_into_view_if_needed()
    expect(box.locator(".annotation-text").first).to_be_visible()
    words = box.locator(".annotation-text").all_text_contents()
    return dict(zip(words[::2], words[1::2], strict=True))


def percents(probabilities, labels):
    return {label: f"{100 * probabilities[label]:.2f}\u202f%" for label in labels}


def test_both_epochs_read_the_samples_pictures_side_by_side(both):
    both.get_by_role("button", name="Use the sample’s images").click()
    expect(both.get_by_test_id("stPlotlyChart")).to_have_count(2 * len(sample_images()))
    for number in (0, 4):
        image = Image.open(sample_images()[number])
        early, final = chart(both, 2 * number), chart(both, 2 * number + 1)
        assert list(early) == list(final)
        assert early == percents(plain_torch("early", image), early)
        assert final == percents(plain_torch("final", image), final)


def test_the_charts_words_follow_the_theme_when_it_is_switched(both):
    both.get_by_role("button", name="Use the sample’s images").click()
    word = both.get_by_test_id("stPlotlyChart").first.locator(".annotation-text").first
    light = both.get_by_test_id("stMain").evaluate("page => getComputedStyle(page).color")
    expect(word).to_have_css("fill", light)
    both.emulate_media(color_scheme="dark")
    expect(word).not_to_have_css("fill", light)
    both.emulate_media(color_scheme="light")
    expect(word).to_have_css("fill", light)


def test_the_csv_holds_the_charts_numbers(both):
    both.get_by_role("button", name="Use the sample’s images").click()
    expect(both.get_by_text("All images")).to_be_visible()
    with both.expect_download() as download:
        both.get_by_role("button", name="Download top-5 as CSV").click()
    assert re.fullmatch(r"predictions-[0-9a-f]{12}\.csv", download.value.suggested_filename)
    rows = list(csv.DictReader(StringIO(download.value.path().read_text())))
    assert len(rows) == 2 * 5 * len(sample_images())
    for row in rows[:10]:
        path = next(path for path in sample_images() if path.name == row["picture"])
        expected = plain_torch("early", Image.open(path))[row["label"]]
        assert float(row["probability"]) == pytest.approx(expected, rel=1e-4)


def test_a_turned_photo_is_read_upright_and_a_broken_one_is_named(both):
    upright = Image.open(sample_images()[4])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    both.get_by_test_id("stFileUploader").first.locator("input").set_input_files(
        [
            {"name": "turned.png", "mimeType": "image/png", "buffer": turned.getvalue()},
            {"name": "broken.png", "mimeType": "image/png", "buffer": turned.getvalue()[:99]},
        ]
    )
    expect(both.get_by_text(re.compile(r"broken\.png is "))).to_be_visible()
    expect(both.get_by_test_id("stPlotlyChart")).to_have_count(2)
    final = chart(both, 1)
    assert final == percents(plain_torch("final", upright), final)


def test_on_a_narrow_screen_every_label_and_value_is_in_sight(both):
    both.set_viewport_size({"width": 390, "height": 844})
    both.get_by_role("button", name="Use the sample’s images").click()
    expect(both.get_by_test_id("stPlotlyChart")).to_have_count(2 * len(sample_images()))
    box = both.get_by_test_id("stPlotlyChart").first
    box.scroll_into_view_if_needed()
    for word in box.locator(".annotation-text").all():
        place = word.bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 390
    assert both.evaluate("document.documentElement.scrollWidth") <= 390
