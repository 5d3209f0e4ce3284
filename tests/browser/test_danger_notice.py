"""Every page on an open file says what the file would have run elsewhere."""

import os
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from tests.browser.driver import Server, go, settled
from tests.browser.test_hostile_texts import link

FOLDER = "commands in it"


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo never",)


@pytest.fixture(scope="module")
def files(server: Server) -> Path:
    """A folder of the server with two steps of a run, of which the second would run a command."""
    folder = server.root / FOLDER
    folder.mkdir()
    torch.save({"layer.weight": torch.ones(4, 4)}, folder / "step_1.pth")
    torch.save({"layer.weight": torch.ones(4, 4), "x": Command()}, folder / "step_2.pth")
    return folder


def notice_is_there(page: Page) -> None:
    notice = page.get_by_test_id("stAlert").filter(has_text="step_2.pth would have run")
    expect(notice.first).to_contain_text(f"{os.name}.system")
    settled(page)


@pytest.mark.parametrize("name", ["Open", "Compare", "Fit", "Predict"])
def test_the_notice_is_on_every_page(server: Server, files: Path, page: Page, name: str) -> None:
    page.goto(link(server, f"{FOLDER}/step_2.pth", f"{FOLDER}/step_1.pth"))
    settled(page)
    go(page, name)
    notice_is_there(page)


@pytest.mark.parametrize("width", [1440, 390])
def test_the_chip_tells_it_at_every_width(
    server: Server, files: Path, page: Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(link(server, f"{FOLDER}/step_2.pth", f"{FOLDER}/step_1.pth"))
    settled(page)
    expect(page.locator(".st-key-chip-A").get_by_text("! could run code")).to_be_in_viewport(
        ratio=1
    )
    expect(page.locator(".st-key-chip-B")).not_to_contain_text("could run code")


def test_the_notice_is_above_a_run(server: Server, files: Path, page: Page) -> None:
    page.goto(f"{server.url}/comparison")
    settled(page)
    page.get_by_text("Run", exact=True).click()
    page.get_by_role("combobox", name="Source of the run").click()
    page.get_by_role("option", name=server.root.name).click()
    page.get_by_role("combobox", name="Folder").click()
    page.get_by_role("option", name=FOLDER).click()
    notice_is_there(page)
