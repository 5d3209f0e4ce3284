"""Predict in a real browser: pictures in, bars and a CSV out, equal to plain torch's numbers."""

import csv
import re
from io import BytesIO, StringIO
from typing import Literal
from urllib.parse import urlencode

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from torchvision.models import shufflenet_v2_x0_5
from torchvision.transforms import v2

from core.fixes import Recipe, Step, StripPrefix
from core.server import SAMPLES, Bench, SlotState, bench_to_query, photographs, sample_images
from core.wording import share_text
from tests.browser.conftest import Profile, fresh_page
from tests.browser.driver import SETTLED_WITHIN, Server, go, settled
from tests.browser.key_table import choose_row, key_table, row_of, shown_keys
from tests.browser.sample_job import load
from tests.browser.test_policy import Watch

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
    expect(key_table(page)).to_have_attribute("aria-rowcount", str(1 + len(sample_images())))
    settled(page)
    return page


def section(page: Page, slot: str) -> Locator:
    """What the card of the chosen image says of a slot."""
    return page.get_by_role("region", name=slot, exact=True)


def top_of(page: Page, slot: str) -> dict[str, str]:
    """The bars of a slot as a reader sees them: {label: percent}."""
    rows = section(page, slot).get_by_role("listitem")
    return dict(row.inner_text().split("\n") for row in rows.all())


def percents(probabilities: dict[str, float], k: int = 5) -> dict[str, str]:
    top = sorted(probabilities, key=lambda label: -probabilities[label])[:k]
    return {label: share_text(probabilities[label]) for label in top}


def choose(page: Page, name: str) -> None:
    choose_row(page, name)
    expect(page.locator(".chosen figcaption code")).to_have_text(name)
    settled(page)


def add(page: Page, button: str) -> None:
    """Press a button of the bar's popover, and close it."""
    page.get_by_role("button", name="Add images").click()
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("button", name="Clear")).to_be_visible()
    settled(page)
    page.keyboard.press("Escape")


def no_serious_violation(page: Page) -> None:
    found = Axe().run(page, context=".stMain").response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], node["html"]) for each in serious for node in each["nodes"]] == []


def test_both_epochs_read_the_samples_pictures_side_by_side(both: Page) -> None:
    expect(both.get_by_role("heading", name="A and B agree on 4 of 8 images")).to_be_visible()
    expect(both.get_by_text("These images came with Loupe. Add your own.")).to_be_visible()
    for path in (sample_images()[0], sample_images()[4]):
        choose(both, path.name)
        image = Image.open(path)
        assert top_of(both, "A") == percents(plain_torch("early", image))
        assert top_of(both, "B") == percents(plain_torch("final", image))
    expect(both.locator(".chosen figcaption")).to_contain_text("128 × 128, fed 64 × 64")


def test_the_images_that_differ_come_first_and_the_first_is_chosen(both: Page) -> None:
    names = shown_keys(both)
    words = [row_of(both, name).locator(".state").inner_text() for name in names]
    assert [word[0] for word in words] == ["~"] * 4 + ["="] * 4
    expect(row_of(both, names[0])).to_have_attribute("aria-selected", "true")
    expect(both.locator(".chosen figcaption code")).to_have_text(names[0])


def test_the_keyboard_chooses_an_image_and_a_rerun_keeps_it(both: Page) -> None:
    names = shown_keys(both)
    key_table(both).focus()
    both.keyboard.press("ArrowDown")
    both.keyboard.press("ArrowDown")
    both.keyboard.press("Enter")
    expect(both.locator(".chosen figcaption code")).to_have_text(names[2])
    settled(both)
    go(both, "Fit")
    go(both, "Predict")
    expect(both.locator(".chosen figcaption code")).to_have_text(names[2])
    expect(row_of(both, names[2])).to_have_attribute("aria-selected", "true")


def test_thumbnails_are_images_that_loupe_made_and_the_policy_lets_them_in(
    server: Server, both: Page
) -> None:
    watch = Watch(both, server.url)
    add(both, "Add Loupe’s photographs")
    images = key_table(both).locator("img")
    expect(images).to_have_count(len(photographs()))
    for image in [*images.all(), both.locator(".chosen img")]:
        assert image.get_attribute("src").startswith("data:image/webp;base64,")
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 0
    assert watch.complaints == []
    assert watch.foreign == []


def test_the_line_tells_what_is_fed_and_change_opens_the_settings(both: Page) -> None:
    line = both.locator(".st-key-fed")
    expect(line).to_contain_text("bilinear, mean/std 0.5, classes zero … nine, all from the")
    both.get_by_role("button", name="Change").click()
    mean = both.get_by_label("Mean per channel (0 to 1)").first
    before = top_of(both, "A")
    mean.fill("0.1, 0.1, 0.1")
    mean.press("Enter")
    expect(line).to_contain_text("A: 64\u202fpx, bilinear, mean 0.1, std 0.5 (changed by hand).")
    settled(both)
    assert top_of(both, "A") != before
    both.get_by_role("button", name="Undo my changes").click()
    expect(line).to_contain_text("all from the checkpoints.")


@pytest.fixture
def two_lists(server: Server, page: Page) -> Page:
    """A session on Predict with a model whose file names its classes in two ways."""
    saved = torch.load(SAMPLES["final"].path, weights_only=True)
    names = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
    torch.save(saved | {"label_names": names}, server.root / "two_lists.pth")
    slot = SlotState("root:0/two_lists.pth", None, ARCHITECTURE, STRIP)
    query = urlencode(bench_to_query(Bench(slot, SlotState())))
    page.goto(f"{server.url}/fitting?{query}")
    settled(page)
    load(page)
    go(page, "Predict")
    expect(section(page, "A")).to_be_visible()
    settled(page)
    return page


def pick(page: Page, question: str, answer: str) -> None:
    """Answer a selectbox of the settings."""
    page.get_by_role("combobox", name=question).click()
    page.get_by_role("option", name=answer).click()
    settled(page)


def test_of_two_lists_of_names_and_of_two_columns_the_person_chooses(two_lists: Page) -> None:
    line = two_lists.locator(".st-key-fed")
    expect(line).to_contain_text("the checkpoint's classes and label_names differ: choose one")
    assert next(iter(top_of(two_lists, "A"))).startswith("class ")
    two_lists.get_by_role("button", name="Change").click()
    pick(two_lists, "Which of the checkpoint's lists of names?", "label_names: null, eins, zwei, …")
    expect(line).to_contain_text("classes null … neun, all from the checkpoint.")
    table = "id,name,latin\n" + "\n".join(f"{n},name {n},nomen {n}" for n in range(10))
    upload = two_lists.get_by_test_id("stPopoverBody").locator("input[type=file]")
    upload.set_input_files({"name": "digits.csv", "mimeType": "text/csv", "buffer": table.encode()})
    pick(two_lists, "Which column of digits.csv?", "latin: nomen 0, nomen 1, nomen 2, …")
    expect(line).to_contain_text("Classes nomen 0 … nomen 9 (column latin of digits.csv).")
    two_lists.get_by_role("button", name="Remove my list").click()
    expect(line).to_contain_text("classes null … neun")


def test_a_label_file_without_an_order_is_refused_with_a_sentence(both: Page) -> None:
    both.get_by_role("button", name="Change").click()
    upload = both.get_by_test_id("stPopoverBody").locator("input[type=file]").first
    counts = b'{"cat": 120, "dog": 80}'
    upload.set_input_files({"name": "n.json", "mimeType": "text/json", "buffer": counts})
    refusal = "n.json has numbers that do not count from 0 or 1: 80 and 120."
    expect(both.get_by_role("alert").filter(has_text=refusal)).to_be_visible()
    expect(both.locator(".st-key-fed")).to_contain_text("classes zero … nine")


def test_the_colours_follow_the_theme_when_it_is_switched(both: Page) -> None:
    filled = section(both, "A").locator(".track b").first
    word = section(both, "A").get_by_role("heading")
    expect(filled).to_have_css("background-color", "rgb(11, 118, 108)")
    light = both.get_by_test_id("stMain").evaluate("page => getComputedStyle(page).color")
    expect(word).to_have_css("color", light)
    both.emulate_media(color_scheme="dark")
    expect(filled).to_have_css("background-color", "rgb(52, 195, 179)")
    expect(word).not_to_have_css("color", light)


def test_the_csv_holds_the_bars_numbers(both: Page) -> None:
    with both.expect_download() as download:
        both.get_by_role("button", name="Results as CSV").click()
    assert re.fullmatch(r"predictions-[0-9a-f]{12}\.csv", download.value.suggested_filename)
    rows = list(csv.DictReader(StringIO(download.value.path().read_text())))
    assert len(rows) == 2 * 5 * len(sample_images())
    for row in rows[:10]:
        path = next(path for path in sample_images() if path.name == row["image"])
        expected = plain_torch("early", Image.open(path))[row["label"]]
        assert float(row["probability"]) == pytest.approx(expected, rel=1e-4)


def test_a_turned_photo_is_read_upright_and_a_broken_one_is_named(both: Page) -> None:
    upright = Image.open(sample_images()[4])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    both.get_by_role("button", name="Add images").click()
    both.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(
        [
            {"name": "turned.png", "mimeType": "image/png", "buffer": turned.getvalue()},
            {"name": "broken.png", "mimeType": "image/png", "buffer": turned.getvalue()[:99]},
        ]
    )
    expect(both.get_by_text(re.compile(r"broken\.png is "))).to_be_visible()
    expect(both.locator(".chosen figcaption code")).to_have_text("turned.png")
    settled(both)
    assert shown_keys(both) == ["turned.png"]
    assert top_of(both, "B") == percents(plain_torch("final", upright))
    both.keyboard.press("Escape")
    both.get_by_role("button", name="Clear").click()
    expect(both.get_by_text("These images came with Loupe")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(both: Page, scheme: Literal["light", "dark"]) -> None:
    both.emulate_media(color_scheme=scheme)
    add(both, "Add Loupe’s photographs")
    no_serious_violation(both)


def test_on_a_narrow_screen_every_label_and_value_is_in_sight(both: Page) -> None:
    both.set_viewport_size({"width": 390, "height": 844})
    expect(key_table(both).locator(".row")).to_have_count(1 + len(sample_images()))
    rows = [
        *section(both, "A").get_by_role("listitem").all(),
        *key_table(both).locator(".row").all(),
    ]
    assert len(rows) == 5 + 1 + len(sample_images())
    for row in rows:
        for part in row.locator("xpath=./*").all():
            place = part.bounding_box()
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= 390
    for cell in key_table(both).locator(".cell.key, .cell.label").all():
        assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth"), cell.inner_text()
    assert both.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_the_model_sees_is_opened_and_a_mistake_is_used_on_purpose(both: Page) -> None:
    names = shown_keys(both)
    both.get_by_text("What the model sees", exact=True).click()
    tables = both.locator(".seen ol")
    expect(tables).to_have_count(2)
    settled(both)
    images = both.get_by_role("img", name="What the model sees")
    assert [images.nth(slot).bounding_box()["width"] >= 192 for slot in (0, 1)] == [True, True]
    image = Image.open(next(path for path in sample_images() if path.name == names[0]))
    for slot, name in enumerate(("early", "final")):
        ((label, share),) = percents(plain_torch(name, image), 1).items()
        assert tables.nth(slot).get_by_role("listitem").first.inner_text().split("\n") == [
            *("This preprocessing", label, share)
        ]
    no_serious_violation(both)
    row = tables.first.get_by_role("listitem").filter(has_text="Leaving out mean/std")
    label, share = row.inner_text().split("\n")[1:3]
    expect(row).to_contain_text("differ")

    both.get_by_role("button", name="Use another preprocessing").first.click()
    both.get_by_role("menuitem", name="Leaving out mean/std").click()
    expect(both.get_by_text("mean 0, std 1 (changed by hand)")).to_be_visible()
    settled(both)
    choose(both, names[0])
    assert next(iter(top_of(both, "A").items())) == (label, share)
    assert top_of(both, "B") == percents(plain_torch("final", image))


def test_why_shows_a_map_of_each_model_and_is_asked_again(both: Page) -> None:
    both.get_by_text("Why", exact=True).click()
    maps = both.get_by_role("img", name="What speaks for the class")
    expect(maps).to_have_count(2)
    settled(both)
    first = maps.first.get_attribute("src")
    no_serious_violation(both)
    both.get_by_role("combobox", name="Method").click()
    both.get_by_role("option", name="Occlusion").click()
    expect(both.get_by_text("pixels have the mean colour")).to_have_count(2)
    settled(both)
    assert maps.first.get_attribute("src") != first
    both.set_viewport_size({"width": 390, "height": 844})
    expect(maps).to_have_count(2)
    assert both.evaluate("document.documentElement.scrollWidth") <= 390
