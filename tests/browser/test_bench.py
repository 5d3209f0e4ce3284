"""The bar that every page has: the files, their state, and one button to the next step."""

import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect
from torchvision.models import resnet18

from core.server import SAMPLES
from tests.browser.driver import Server, go, settled

PAGES = ("Open", "Inspect", "Compare", "Fit", "Predict")


def next_button(page: Page, name: str) -> None:
    """Wait until the main button has this label."""
    expect(page.locator(".st-key-next").get_by_role("button", name=name)).to_be_visible()


def press_next(page: Page, name: str) -> None:
    next_button(page, name)
    page.locator(".st-key-next").get_by_role("button", name=name).click()


def open_sample(page: Page) -> None:
    """Open the bundled pair, and wait until it is there.

    Streamlit drops a click if another one reaches it before the first one's run has begun.
    """
    press_next(page, "Open the sample pair")
    expect(page.locator(".st-key-chip-B")).to_contain_text("digits_final.pth")


def drop(page: Page, slot: str, path: Path) -> None:
    page.locator(f".st-key-slot-{slot}").locator("input[type=file]").set_input_files(path)


def test_a_sure_file_is_one_click_from_its_first_prediction(server: Server, page: Page) -> None:
    page.goto(server.url)
    settled(page)
    drop(page, "A", SAMPLES["final"].path)
    expect(page.locator(".st-key-chip-A")).to_contain_text("needs repair")
    press_next(page, "Repair, load and predict")
    expect(page.locator(".st-key-page-predict")).to_be_visible()
    expect(page.get_by_role("heading", name="A predicted 8 of 8 images")).to_be_visible()
    expect(page.locator(".st-key-chip-A")).to_contain_text("loaded")
    next_button(page, "Add images")
    # What the click did is what the pages' own buttons do, and each step is undone as before.
    go(page, "Fit")
    expect(
        page.get_by_role("heading", name="Loaded as torchvision shufflenet_v2_x0_5")
    ).to_be_visible()
    page.get_by_role("button", name=re.compile("undo")).click()
    expect(page.locator(".st-key-chip-A")).to_contain_text("needs repair")
    next_button(page, "Apply repair")


def test_both_files_of_the_sample_are_taken_at_once(server: Server, page: Page) -> None:
    page.goto(server.url)
    settled(page)
    open_sample(page)
    press_next(page, "Repair, load and predict")
    expect(page.get_by_role("heading", name="A and B agree on 4 of 8 images")).to_be_visible()


def test_a_file_that_proves_no_architecture_is_not_loaded_in_one_click(
    server: Server, page: Page, tmp_path: Path
) -> None:
    """timm's resnetblur18 takes resnet18's tensors, and nothing in this file says which it is."""
    torch.save(resnet18().state_dict(), tmp_path / "best.pth")
    page.goto(server.url)
    settled(page)
    drop(page, "A", tmp_path / "best.pth")
    expect(page.locator(".st-key-chip-A")).to_contain_text("several candidates")
    press_next(page, "Choose an architecture")
    expect(page.locator(".st-key-page-fit")).to_be_visible()


def test_a_file_that_cannot_be_read_is_told_in_its_chip(
    server: Server, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "page.pth").write_text("<html>Not found</html>")
    page.goto(server.url)
    settled(page)
    drop(page, "A", tmp_path / "page.pth")
    expect(page.locator(".st-key-chip-A")).to_contain_text("cannot be read")
    next_button(page, "Open another file")


def test_a_chip_has_the_facts_and_closes_swaps_and_replaces_its_file(
    server: Server, page: Page
) -> None:
    page.goto(server.url)
    settled(page)
    open_sample(page)
    go(page, "Inspect")
    page.locator(".st-key-chip-A").get_by_role("button").click()
    facts = page.get_by_test_id("stPopoverBody")
    expect(facts).to_contain_text("338 tensors, 360.1\u202fk parameters")
    facts.get_by_role("button", name="Swap A and B").click()
    expect(page.locator(".st-key-chip-A")).to_contain_text("digits_final.pth")
    settled(page)
    page.locator(".st-key-chip-B").get_by_role("button").click()
    page.get_by_test_id("stPopoverBody").get_by_role("button", name="Close").click()
    expect(page.locator(".st-key-chip-B")).to_contain_text("Add to compare")


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_the_button_is_at_one_place_on_every_page_and_nothing_scrolls_sideways(
    server: Server, page: Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900 if width > 390 else 844})
    page.goto(server.url)
    settled(page)
    open_sample(page)
    edge = "() => document.querySelector('.st-key-next button').getBoundingClientRect().right"
    first = page.evaluate(edge)
    for name in PAGES:
        go(page, name)
        expect(page.locator(".st-key-next button")).to_be_in_viewport(ratio=1)
        # A page that is being drawn may have a scroll bar for a moment.
        page.wait_for_function(f"right => Math.abs(({edge})() - right) < 1", arg=first)
        page.wait_for_function(
            "width => document.querySelector('[data-testid=stMain]').scrollWidth <= width",
            arg=width,
        )


def test_the_bar_stays_when_the_page_is_scrolled(server: Server, page: Page) -> None:
    page.goto(server.url)
    settled(page)
    open_sample(page)
    go(page, "Compare")
    expect(page.get_by_role("heading", name="B is A trained further")).to_be_visible()
    page.mouse.move(700, 600)
    page.mouse.wheel(0, 600)
    moved = "() => document.querySelector('[data-testid=stMain]').scrollTop > 0"
    page.wait_for_function(moved)
    expect(page.locator(".st-key-next button")).to_be_in_viewport()
    expect(page.locator(".st-key-chip-A")).to_be_in_viewport()
