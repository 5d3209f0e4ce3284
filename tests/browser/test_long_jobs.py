"""Long work of one person leaves room for others, says when it waits, and ends with the server."""

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.driver import go, new_context, open_tab, settled
from tests.browser.slow_network import SlowNetwork


def verify(page: Page) -> None:
    open_tab(page, "Checksums")
    page.get_by_role("button", name="Verify checksums", exact=True).click()


def test_one_persons_long_work_waits_while_another_is_served_and_ends_with_the_server(
    tmp_path: Path, browser: Browser, page: Page
) -> None:
    slow = SlowNetwork(tmp_path)
    page.goto(slow.address("fitting", "a", "b"))
    settled(page)
    slow.load(page)
    page.get_by_role("radiogroup").first.get_by_text("B · b.pth").click()
    slow.load(page)
    go(page, "Inspect")
    verify(page)
    expect(page.get_by_text("Waiting: your job is next")).to_be_visible()

    context = new_context(browser)
    other = context.new_page()
    other.goto(slow.address("inspector", "other"))
    settled(other)
    verify(other)
    expect(other.get_by_role("button", name="Verify checksums again")).to_be_visible()
    expect(page.get_by_text("Waiting: your job is next")).to_be_visible()
    context.close()

    slow.server.stop()
