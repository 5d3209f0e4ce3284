"""The ways of an image onto Predict besides an upload: a zip, the server, the camera, a paste."""

import zipfile
from base64 import b64encode
from io import BytesIO

import pytest
from playwright.sync_api import Locator, Page, Position, expect

from core.server import photographs
from tests.browser.driver import Server, settled
from tests.browser.key_table import key_table, shown_keys
from tests.browser.test_screens import begin

PHOTOGRAPHS = photographs()
NAMES = sorted(path.name for path in PHOTOGRAPHS)

FIRST_ROW: Position = {"x": 40, "y": 52}
"""Of a dataframe, whose header has 35 pixels."""

PASTE = """files => {
  const data = new DataTransfer()
  for (const { name, type, text } of files) {
    const bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0))
    data.items.add(new File([bytes], name, { type }))
  }
  const about = { clipboardData: data, bubbles: true, cancelable: true }
  document.body.dispatchEvent(new ClipboardEvent("paste", about))
}"""


@pytest.fixture
def predicted(server: Server, page: Page) -> Page:
    begin(page, server)
    return page


def paste(page: Page, *files: tuple[str, str, bytes]) -> None:
    """Paste files, given as (name, type, data)."""
    expect(page.get_by_text("Images can be pasted on this page.")).to_be_attached()
    encoded = [
        {"name": name, "type": kind, "text": b64encode(data).decode()} for name, kind, data in files
    ]
    page.evaluate(PASTE, encoded)


def popover(page: Page) -> Locator:
    page.locator(".st-key-next").get_by_role("button", name="Add images").click()
    body = page.get_by_test_id("stPopoverBody")
    expect(body).to_be_visible()
    return body


def has_images(page: Page, names: list[str]) -> None:
    expect(key_table(page)).to_have_attribute("aria-rowcount", str(1 + len(names)))
    settled(page)
    assert sorted(shown_keys(page)) == names


def test_the_images_in_a_zip_are_added_and_a_broken_one_is_named(predicted: Page) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in PHOTOGRAPHS:
            archive.write(path, f"photos/{path.name}")
        archive.writestr("photos/broken.png", b"none")
        archive.writestr("notes.txt", b"none")
    popover(predicted).locator("input[type=file]").set_input_files(
        [
            {"name": "photos.zip", "mimeType": "application/zip", "buffer": packed.getvalue()},
            {"name": "cut.zip", "mimeType": "application/zip", "buffer": packed.getvalue()[:999]},
        ]
    )
    has_images(predicted, [f"photos/{name}" for name in NAMES])
    said = predicted.get_by_test_id("stAlert")
    expect(said).to_contain_text("photos/broken.png is not an image that Loupe can read.")
    expect(said).to_contain_text("cut.zip is not a zip that can be read.")


def test_the_images_of_a_server_folder_are_added_one_by_one_or_all(
    server: Server, predicted: Page
) -> None:
    folder = server.root / "photos"
    folder.mkdir()
    for path in PHOTOGRAPHS:
        (folder / path.name).write_bytes(path.read_bytes())
    body = popover(predicted)
    body.get_by_text("Server folder", exact=True).click()
    table = body.get_by_test_id("stDataFrame").first
    table.click(position=FIRST_ROW)
    expect(body.get_by_text("photos", exact=True)).to_be_visible()
    settled(predicted)
    table.click(position=FIRST_ROW)
    has_images(predicted, NAMES[:1])
    body.get_by_role("button", name=f"Add {len(NAMES)} images of this folder").click()
    has_images(predicted, NAMES)


def test_an_image_is_pasted_anywhere_on_the_page(predicted: Page) -> None:
    data = PHOTOGRAPHS[0].read_bytes()
    paste(predicted, ("note.txt", "text/plain", data), ("image.png", "image/png", data))
    has_images(predicted, ["image.png"])
    paste(predicted, ("large.png", "image/png", bytes(25_000_001)))
    expect(predicted.get_by_test_id("stAlert")).to_contain_text("large.png has more than the 25.0")
    has_images(predicted, ["image.png"])


def test_a_picture_of_the_camera_is_added_and_the_next_one_too(predicted: Page) -> None:
    body = popover(predicted)
    body.get_by_text("Camera", exact=True).click()
    names = []
    for number in (1, 2):
        names.append(f"camera {number}.jpg")
        # Streamlit takes no picture before the camera has sent one.
        expect(body.locator("video")).to_have_js_property("readyState", 4)
        body.get_by_role("button", name="Take Photo").click()
        has_images(predicted, names)


def test_open_takes_a_pasted_image_too(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/?a=sample:early")
    expect(page.get_by_text("Images for the first prediction")).to_be_visible()
    settled(page)
    paste(page, ("image.png", "image/png", PHOTOGRAPHS[0].read_bytes()))
    expect(page.get_by_text("1 image", exact=True)).to_be_visible()
