"""A served folder full of odd names: it is browsed, opened from and linked to as any other."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
import torch
from playwright.sync_api import Page, expect

from tests.browser.driver import Server, settled


@pytest.fixture
def odd(server: Server) -> Path:
    """A folder whose own name is no UTF-8, with one such file, and what cannot be opened."""
    folder = server.root / "run\udcff\n1"
    if not folder.exists():
        folder.mkdir()
        torch.save({"w": torch.ones(2)}, folder / "caf\udce9 <b>x.pth")
        (folder / "loop.pth").symlink_to("loop.pth")
        (server.root / "loop").symlink_to("loop")
        os.mkfifo(server.root / "pipe.pth")
    return folder


def test_a_folder_with_an_odd_name_is_browsed_to_a_file_that_a_link_finds_again(
    server: Server, page: Page, odd: Path
) -> None:
    page.goto(server.url)
    settled(page)
    card = page.locator(".st-key-slot-A")
    card.get_by_text("From a server folder").click()
    settled(page)
    table = card.get_by_test_id("stDataFrame").first
    for name, then in (
        ("run\\xff\\n1/", ".stCode"),
        ("caf\\xe9 <b>x.pth", "[data-testid=stMetric]"),
    ):
        expect(table.get_by_test_id("glide-cell-0-0")).to_have_text(name)
        table.click(position={"x": 60, "y": 52})
        expect(card.locator(then).first).to_be_visible()
        settled(page)
    expect(page.locator(".st-key-chip-A")).to_contain_text("caf\\xe9 <b>x.pth")
    assert "a=root%3A0%2F%2Frun%25FF%250A1%2Fcaf%25E9" in page.url
    other = page.context.new_page()
    other.goto(page.url)
    settled(other)
    expect(other.locator(".st-key-chip-A")).to_contain_text("caf\\xe9 <b>x.pth")
    expect(other.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("path", ["loop", "pipe.pth", "/run%FF%0A1/loop.pth", "/%FF\udcff%"])
def test_a_link_to_what_cannot_be_opened_is_a_sentence(
    server: Server, page: Page, odd: Path, path: str
) -> None:
    page.goto(f"{server.url}/?a={quote(f'root:0/{path}', errors='surrogateescape')}")
    settled(page)
    expect(page.get_by_role("alert")).to_contain_text("There is no")
