"""Opening files as a person does: uploads, server folders, bad files, links."""

import gzip
import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from playwright.sync_api import Locator, Page, expect
from torchvision.models import resnet18

from core.server import sample_images
from tests.browser.driver import Server, go, settled
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "resnet18 (1).pth"
    torch.save({"epoch": 90, "state_dict": resnet18().state_dict()}, path)
    return path


def slot(page: Page, name: str) -> Locator:
    return page.locator(f".st-key-slot-{name}")


def upload(page: Page, name: str, *paths: Path) -> None:
    slot(page, name).locator("input[type=file]").set_input_files(paths)


def wait_until_drawn(table: Locator) -> None:
    """A table's canvas comes after its cells: return once two pictures in a row are the same."""
    before = b""
    while (now := table.screenshot()) != before:
        before = now


@pytest.fixture
def nothing_half_written(server: Server) -> Callable[[], None]:
    """Fails where this test left a part of an upload; other tests' wait to be continued."""
    folder = server.data / "partial"
    before = set(folder.iterdir())

    def check() -> None:
        # A slice that was on its way when its upload ended may take the server a moment.
        wait_until(lambda: not set(folder.iterdir()) - before)

    return check


def test_an_upload_goes_to_the_disk_and_its_card_appears(
    server: Server, page: Page, resnet_file: Path, nothing_half_written: Callable[[], None]
) -> None:
    page.goto(server.url)
    settled(page)
    upload(page, "A", resnet_file)
    card = slot(page, "A")
    expect(card.get_by_test_id("stMetric")).to_contain_text(["122", "11.70", "46.8"])
    expect(page.locator(".st-key-chip-A")).to_contain_text("resnet18 (1).pth")
    expect(card).to_contain_text("PyTorch zip")
    digest = hashlib.sha256(resnet_file.read_bytes()).hexdigest()
    assert (server.data / "files" / digest).stat().st_size == resnet_file.stat().st_size
    nothing_half_written()


def two_shards(folder: Path) -> dict[str, torch.Tensor]:
    """A safetensors model as the Hub has it: two shards, their index, and a configuration."""
    weights = resnet18(num_classes=10).state_dict()
    folder.mkdir()
    save_torch_state_dict(weights, folder, max_shard_size="30MB")
    (folder / "config.json").write_text("{}")
    return weights


def test_the_shards_of_a_model_and_their_index_are_uploaded_as_one_checkpoint(
    server: Server, page: Page, tmp_path: Path, nothing_half_written: Callable[[], None]
) -> None:
    weights = two_shards(tmp_path / "model")
    files = sorted((tmp_path / "model").iterdir())
    assert len(files) == 4
    page.goto(server.url)
    settled(page)
    upload(page, "A", *files)
    card = slot(page, "A")
    expect(card.get_by_test_id("stMetric").first).to_contain_text(str(len(weights)))
    expect(page.locator(".st-key-chip-A")).to_contain_text("model.safetensors")
    expect(card).to_contain_text("safetensors shards")
    expect(card).to_contain_text("in 3 files")
    expect(page).to_have_url(re.compile(r"a=set%3A[0-9a-f]{64}%2Fmodel\.safetensors"))
    page.reload()
    settled(page)
    expect(card.get_by_test_id("stMetric").first).to_contain_text(str(len(weights)))
    nothing_half_written()


def test_several_files_tell_which_one_is_on_its_way(
    server: Server, page: Page, tmp_path: Path, nothing_half_written: Callable[[], None]
) -> None:
    files = []
    for number in (1, 2):
        files.append(tmp_path / f"model-0000{number}-of-00002.bin")
        with files[-1].open("wb") as file:
            file.truncate(number << 30)
    page.goto(server.url)
    settled(page)
    upload(page, "A", *files)
    expect(slot(page, "A").get_by_text("model-00001-of-00002.bin (1 of 2 files)")).to_be_visible()
    slot(page, "A").get_by_role("button", name="Cancel").click()
    expect(slot(page, "A").get_by_role("button", name="Choose files")).to_be_visible()
    nothing_half_written()


def test_several_files_that_are_no_one_checkpoint_are_refused_before_the_first_byte(
    server: Server, page: Page, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("early.pth", "late.pth")]
    for path in files:
        torch.save({"w": torch.ones(2)}, path)
    page.goto(server.url)
    settled(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.method))
    upload(page, "A", *files)
    expect(slot(page, "A").get_by_role("alert")).to_contain_text("early.pth and late.pth")
    assert "PUT" not in requests
    upload(page, "A", files[0])
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("1")


def test_a_reload_and_a_second_person_find_the_bench_by_the_link(
    server: Server, page: Page, resnet_file: Path
) -> None:
    page.goto(server.url)
    settled(page)
    upload(page, "A", resnet_file)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("122")
    settled(page)
    go(page, "Inspect")
    page.reload()
    settled(page)
    expect(page.get_by_text("resnet18 (1).pth").first).to_be_visible()
    other = page.context.browser.new_context().new_page()
    other.goto(page.url)
    settled(other)
    expect(other.get_by_text("resnet18 (1).pth").first).to_be_visible()
    other.context.close()


def test_a_cancelled_upload_vanishes_and_the_slot_takes_the_next(
    server: Server,
    page: Page,
    tmp_path: Path,
    resnet_file: Path,
    nothing_half_written: Callable[[], None],
) -> None:
    large = tmp_path / "large.pth"
    with large.open("wb") as file:
        file.truncate(3 << 30)
    page.goto(server.url)
    settled(page)
    upload(page, "A", large)
    expect(slot(page, "A").get_by_text("MB/s")).to_be_visible()
    slot(page, "A").get_by_role("button", name="Cancel").click()
    expect(slot(page, "A").get_by_role("button", name="Choose files")).to_be_visible()
    upload(page, "A", resnet_file)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("122")
    nothing_half_written()


def test_a_file_with_another_ending_is_refused_before_the_first_byte(
    server: Server, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(b"x" * 100)
    page.goto(server.url)
    settled(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.method))
    upload(page, "A", tmp_path / "photo.png")
    expect(slot(page, "A").get_by_role("alert")).to_contain_text("photo.png has no file extension")
    assert "PUT" not in requests


CHOSEN_AT_ONCE = """
const attachShadow = Element.prototype.attachShadow
Element.prototype.attachShadow = function (options) {
  const root = attachShadow.call(this, options)
  const observer = new MutationObserver(() => {
    const input = root.querySelector("input[type=file]")
    if (!input) return
    observer.disconnect()
    const chosen = new DataTransfer()
    chosen.items.add(new File(["x"], "photo.png"))
    input.files = chosen.files
    input.dispatchEvent(new Event("change"))
  })
  observer.observe(root, { childList: true, subtree: true })
  return root
}
"""
"""Chooses a file as soon as the upload widget is on the page: its script comes after that."""


def test_a_file_that_is_chosen_before_the_widgets_script_has_come_is_taken(
    server: Server, page: Page
) -> None:
    page.add_init_script(CHOSEN_AT_ONCE)
    page.goto(server.url)
    expect(slot(page, "A").get_by_role("alert")).to_contain_text("photo.png has no file extension")


def write_truncated(path: Path) -> None:
    torch.save(resnet18().state_dict(), path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def write_truncated_legacy(path: Path) -> None:
    torch.save(resnet18().state_dict(), path, _use_new_zipfile_serialization=False)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("epoch 1 loss 0.3\n"), "plain text"),
    "page": (
        lambda path: path.write_text("<!DOCTYPE html><title>Sign in</title>"),
        "web page titled “Sign in”",
    ),
    "pointer": (
        lambda path: path.write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 46830571\n"
        ),
        "Git LFS pointer",
    ),
    "truncated": (write_truncated, "cut off"),
    "zip": (write_zip, "ordinary zip"),
    "legacy": (write_truncated_legacy, "cut off"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "In the gzip file"),
    "pickle": (lambda path: path.write_bytes(b"\x80\x04}\x94."), "plain Python pickle"),
    "options": (lambda path: torch.save({"lr": 0.1}, path), "contains no tensor"),
    "empty": (lambda path: path.touch(), "0 bytes"),
}


def test_each_bad_file_gets_a_sentence_and_the_slot_stays_usable(
    server: Server, page: Page, tmp_path: Path, resnet_file: Path
) -> None:
    """Failure modes 10 to 14 and 37, in one session."""
    page.goto(server.url)
    settled(page)
    for name, (write, words) in BAD_FILES.items():
        path = tmp_path / f"{name}.pth"
        write(path)
        upload(page, "A", path)
        expect(slot(page, "A").get_by_role("alert").filter(has_text=words)).to_be_visible()
        settled(page)
        assert "weights_only" not in page.inner_text("body")
    upload(page, "A", resnet_file)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("122")


def test_a_server_folder_is_browsed_to_a_file(
    server: Server, page: Page, resnet_file: Path
) -> None:
    (server.root / "runs").mkdir(exist_ok=True)
    (server.root / "runs" / "last.pth").write_bytes(resnet_file.read_bytes())
    page.goto(server.url)
    settled(page)
    card = slot(page, "A")
    card.get_by_text("From a server folder").click()
    settled(page)
    # The table of the folder before stays behind the new one until the page is drawn.
    table = card.get_by_test_id("stDataFrame").first
    for name in ("runs/", "last.pth"):
        expect(table.get_by_test_id("glide-cell-0-0")).to_have_text(name)
        wait_until_drawn(table)
        table.click(position={"x": 60, "y": 52})
        settled(page)
    expect(card.get_by_test_id("stMetric").first).to_contain_text("122")
    expect(page).to_have_url(re.compile(r"a=root%3A0%2Fruns%2Flast\.pth"))


def test_a_link_to_a_page_s_file_does_not_pass_by_the_app(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/fit")
    settled(page)
    expect(page.get_by_test_id("stTopNavLink").first).to_be_visible()


def test_a_link_that_leads_nowhere_is_a_sentence(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/?a=sha256:{'0' * 64}/gone.pth")
    settled(page)
    expect(slot(page, "A").get_by_role("alert").first).to_contain_text("Upload it again")
    go(page, "Fit")
    expect(page.get_by_role("button", name="Open another file")).to_be_visible()


def test_own_images_are_chosen_before_the_first_prediction_which_takes_them(
    server: Server, page: Page
) -> None:
    page.goto(f"{server.url}/?a=sample:final")
    settled(page)
    panel = page.locator(".st-key-panel-images")
    expect(panel.get_by_role("img")).to_have_count(8)
    panel.get_by_role("button", name="Choose images").click()
    chosen = page.get_by_test_id("stPopoverBody").locator("input[type=file]")
    chosen.set_input_files(sample_images()[:2])
    expect(panel).to_contain_text("2 images")
    expect(panel.get_by_role("img")).to_have_count(2)
    page.keyboard.press("Escape")
    page.locator(".st-key-next").get_by_role("button").click()
    expect(page.get_by_role("heading", name="A predicted 2 of 2 images")).to_be_visible()


def test_the_place_for_another_file_takes_it_and_both_are_shown_beside_each_other(
    server: Server, page: Page, resnet_file: Path
) -> None:
    page.goto(f"{server.url}/?a=sample:final")
    settled(page)
    expect(slot(page, "B")).to_contain_text("Compare with another")
    upload(page, "B", resnet_file)
    expect(page.get_by_role("heading", name="Two files are open")).to_be_visible()
    settled(page)
    a, b = (slot(page, name).bounding_box() for name in "AB")
    assert a is not None
    assert b is not None
    assert a["y"] == b["y"]
    assert a["width"] == b["width"]
    page.get_by_role("button", name="Compare A with B").click()
    expect(page.locator(".st-key-page-compare")).to_be_visible()


CUT = """() => [...document.querySelectorAll(
    "[data-testid=stMain] :is(p, dt, dd, h1, code, span, strong, label, button)")]
  .filter(e => e.offsetParent && getComputedStyle(e).overflow !== "visible"
    && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1
    && !e.closest("[data-testid=stExpander], .st-key-bench"))
  .map(e => e.textContent.slice(0, 60))"""
"""Texts that are cut; the bar's chips cut a name, and have it whole in the popover."""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("query", ["", "?a=sample:early", "?a=sample:early&b=sample:final"])
def test_on_a_narrow_screen_it_is_one_column_with_no_text_cut(
    server: Server, page: Page, query: str, theme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/{query}")
    settled(page)
    expect(page.locator("[data-testid=stMain] h1")).to_be_visible()
    page.wait_for_function(
        "document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth"
    )
    assert page.evaluate(CUT) == []


def test_the_verdict_the_numbers_and_the_repair_are_above_the_fold(
    server: Server, page: Page
) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{server.url}/?a=sample:early")
    settled(page)
    for place in ("h1", ".st-key-numbers-A", ".st-key-panel-repair-A", ".st-key-panel-why-A"):
        expect(page.locator(place)).to_be_in_viewport(ratio=1)


def test_the_panels_of_one_file_follow_each_other_on_a_narrow_screen(
    server: Server, page: Page
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/?a=sample:early")
    settled(page)
    expect(slot(page, "B").get_by_role("button", name="Choose files")).to_be_visible()
    places = (
        *(".st-key-numbers-A", ".st-key-panel-repair-A", ".st-key-panel-why-A"),
        *(".st-key-panel-contents-A", ".st-key-panel-images", ".st-key-slot-B"),
    )
    boxes = [page.locator(place).bounding_box() for place in places]
    tops = [box["y"] for box in boxes if box is not None]
    assert len(tops) == len(places)
    assert tops == sorted(tops)
