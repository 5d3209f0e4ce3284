"""The table of keys in a real browser: groups, keyboard, choosing, sorting, copying, all widths."""

import csv
import re
from io import StringIO

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.browser.driver import Server, go, settled
from tests.browser.hostile_texts import TEXTS, write_pth
from tests.browser.key_table import choose_row, key_table, row_of, shown_keys
from tests.browser.test_policy import Watch

LAYERS = {"stem": 2, "body": 30, "head": 3}
"""Tensors by module; `body` is too large to be open at first."""


@pytest.fixture
def weights(server: Server) -> dict[str, torch.Tensor]:
    """Tensors of different sizes, the largest last."""
    weights = {
        f"{module}.{at}.weight": torch.full((at + 1, 2), float(number))
        for number, (module, layers) in enumerate(LAYERS.items())
        for at in range(layers)
    }
    torch.save(weights, server.root / "modules.pth")
    return weights


@pytest.fixture
def table(server: Server, page: Page, weights: dict[str, torch.Tensor]) -> Locator:
    """The table of the Inspect page; its module body is closed."""
    page.goto(f"{server.url}/inspector?a=root:0/modules.pth")
    expect(row_of(page, "stem")).to_be_visible()
    settled(page)
    return key_table(page)


def card(page: Page, key: str) -> Locator:
    return page.get_by_role("heading", name=key, exact=True)


def active(page: Page) -> str:
    """The key of the row that the keyboard is on."""
    return key_table(page).evaluate(
        """table => table.getRootNode().getElementById(
            table.getAttribute("aria-activedescendant")).querySelector(".key").title"""
    )


def test_rows_are_grouped_by_module_with_their_sums(table, page, weights):
    expect(table).to_have_attribute("aria-rowcount", str(1 + 3 + 2 + 3))
    assert shown_keys(page)[:4] == ["stem", "stem.0.weight", "stem.1.weight", "body"]
    body = row_of(page, "body")
    expect(body).to_have_attribute("aria-expanded", "false")
    expect(body).to_have_attribute("aria-level", "1")
    expect(body).to_contain_text("30 tensors")
    expect(row_of(page, "stem.0.weight")).to_have_attribute("aria-level", "2")
    expect(row_of(page, "stem.0.weight")).to_have_attribute("aria-rowindex", "3")


def test_a_group_opens_without_a_run_and_stays_open(table, page):
    messages = []
    page.on("websocket", lambda socket: socket.on("framesent", messages.append))
    row_of(page, "body").click()
    expect(row_of(page, "body")).to_have_attribute("aria-expanded", "true")
    expect(row_of(page, "body.0.weight")).to_be_visible()
    expect(table).to_have_attribute("aria-rowcount", str(1 + 3 + 2 + 30 + 3))
    assert messages == []
    choose_row(page, "body.1.weight")
    expect(card(page, "body.1.weight")).to_be_visible()
    expect(row_of(page, "body")).to_have_attribute("aria-expanded", "true")
    go(page, "Open")
    go(page, "Inspect")
    expect(row_of(page, "body")).to_have_attribute("aria-expanded", "true")
    expect(row_of(page, "body.1.weight")).to_have_attribute("aria-selected", "true")
    expect(card(page, "body.1.weight")).to_be_visible()
    page.get_by_role("button", name="Close all").click()
    expect(table).to_have_attribute("aria-rowcount", "4")
    page.get_by_role("button", name="Open all").click()
    expect(table).to_have_attribute("aria-rowcount", str(1 + 3 + 35))


def test_the_keyboard_alone_reaches_everything(table, page):
    table.focus()
    assert active(page) == "stem"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(card(page, "stem.0.weight")).to_be_visible()
    settled(page)
    assert active(page) == "stem.0.weight"
    page.keyboard.press("ArrowLeft")
    assert active(page) == "stem"
    page.keyboard.press("ArrowLeft")
    expect(row_of(page, "stem")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert active(page) == "stem.0.weight"
    page.keyboard.press("Escape")
    expect(card(page, "stem.0.weight")).to_have_count(0)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert active(page) == "stem"
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    expect(row_of(page, "body")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("End")
    expect(row_of(page, "head.2.weight")).to_be_in_viewport()
    assert active(page) == "head.2.weight"
    page.keyboard.press("PageUp")
    assert active(page).startswith("body.")
    page.keyboard.press("PageDown")
    page.keyboard.press("Enter")
    expect(card(page, "head.2.weight")).to_be_visible()


def test_a_second_click_and_another_row_change_the_choice(table, page):
    choose_row(page, "stem.0.weight")
    expect(card(page, "stem.0.weight")).to_be_visible()
    choose_row(page, "head.1.weight")
    expect(card(page, "head.1.weight")).to_be_visible()
    expect(table.get_by_role("row", selected=True)).to_have_count(1)
    row_of(page, "head.1.weight").click()
    expect(card(page, "head.1.weight")).to_have_count(0)
    expect(table.get_by_role("row", selected=True)).to_have_count(0)


def test_a_click_on_a_title_sorts_in_the_browser(table, page):
    def sort(title: str, order: str) -> None:
        table.get_by_role("button", name=title).click()
        head = table.get_by_role("columnheader", name=re.compile(title))
        expect(head).to_have_attribute("aria-sort", order)

    page.get_by_role("button", name="Open all").click()
    sort("Parameters", "descending")
    assert shown_keys(page)[:3] == ["body", "body.29.weight", "body.28.weight"]
    sort("Parameters", "ascending")
    assert shown_keys(page)[:3] == ["stem", "stem.0.weight", "stem.1.weight"]
    sort("Parameters", "none")
    assert shown_keys(page)[0] == "stem"
    sort("Key", "ascending")
    assert shown_keys(page)[:4] == ["body", *(f"body.{at}.weight" for at in range(3))]


def test_a_key_is_copied_by_its_button_and_by_the_keyboard(table, page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row_of(page, "stem.1.weight").hover()
    row_of(page, "stem.1.weight").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_contain_text("stem.1.weight")
    assert page.evaluate("navigator.clipboard.readText()") == "stem.1.weight"
    expect(card(page, "stem.1.weight")).to_have_count(0)
    table.focus()
    page.keyboard.press("ArrowDown")
    assert active(page) == "body"
    page.keyboard.press("Control+c")
    expect(page.get_by_role("status").filter(has_text="Copied")).to_contain_text("body")
    assert page.evaluate("navigator.clipboard.readText()") == "body"


def test_all_rows_are_saved_as_csv_in_the_order_on_show(table, page):
    table.get_by_role("button", name="Size").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(StringIO(download.value.path().read_text("utf-8"))))
    assert len(rows) == sum(LAYERS.values())
    assert rows[0] == {
        "Key": "body.29.weight",
        "Shape": "30 × 2",
        "Dtype": "float32",
        "Parameters": "60",
        "Share": str(60 / 948),
        "Size": "240",
    }


def test_a_narrow_table_has_the_key_and_two_numbers_and_does_not_scroll(table, page):
    page.set_viewport_size({"width": 390, "height": 844})
    heads = table.get_by_role("columnheader")
    expect(heads).to_have_count(3)
    assert heads.all_inner_texts() == ["Key", "Share", "Size"]
    for name in ("Open all", "Close all"):
        page.get_by_role("button", name=name).click()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
        assert table.evaluate("table => table.scrollWidth <= table.clientWidth")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(heads).to_have_count(6)


def test_texts_of_a_file_are_text_in_the_table(server, page):
    write_pth(server.root / "hostile.pth", 0)
    watch = Watch(page, server.url)
    page.goto(f"{server.url}/?a=root:0/hostile.pth")
    settled(page)
    go(page, "Inspect")
    table = key_table(page)
    assert table.locator("a, img, script, b").count() == 0
    expect(table).to_contain_text("<img src=http://")
    table.focus()
    for _ in TEXTS:
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    settled(page)
    assert watch.foreign == []
    assert watch.complaints == []


def test_colours_follow_the_theme_when_it_is_switched(table, page):
    cell = row_of(page, "stem").locator(".key")
    light = cell.evaluate("cell => getComputedStyle(cell).color")
    ground = row_of(page, "stem").evaluate("row => getComputedStyle(row).backgroundColor")
    page.emulate_media(color_scheme="dark")
    expect(cell).not_to_have_css("color", light)
    expect(row_of(page, "stem")).not_to_have_css("background-color", ground)
    page.emulate_media(color_scheme="light")
    expect(cell).to_have_css("color", light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_table(table, page, scheme):
    page.emulate_media(color_scheme=scheme)
    choose_row(page, "stem.0.weight")
    expect(card(page, "stem.0.weight")).to_be_visible()
    host = {"include": [[["[data-testid=stBidiComponentIsolated]", ".frame"]]]}
    found = Axe().run(page, context=host).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
