"""Long work of one person leaves room for others, says when it waits, and ends with the server."""

from playwright.sync_api import Browser, Page, expect

from tests.browser.driver import SETTLED_WITHIN, Server, go, settled
from tests.browser.long_files import long_file


def verify(page: Page) -> None:
    page.get_by_role("tab", name="Checksums").click()
    page.get_by_role("button", name="Verify checksums", exact=True).click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()


def test_one_persons_long_work_waits_while_another_is_served_and_ends_with_the_server(
    server: Server, browser: Browser, page: Page
) -> None:
    for name in "ab":
        long_file(server.root / f"{name}.safetensors", 1 << 38)
    long_file(server.root / "short.safetensors", 1 << 20)
    files = "a=root:0/a.safetensors&b=root:0/b.safetensors"
    page.goto(f"{server.url}/inspector?{files}")
    settled(page)
    verify(page)
    page.get_by_role("radiogroup").first.get_by_text("B · b.safetensors").click()
    verify(page)
    go(page, "Compare")
    expect(page.get_by_text("Waiting: yours is next")).to_be_visible()
    page.screenshot(path="/tmp/jobs_waiting.png")

    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(SETTLED_WITHIN)
    other = context.new_page()
    other.goto(f"{server.url}/inspector?a=root:0/short.safetensors")
    settled(other)
    other.get_by_role("tab", name="Checksums").click()
    other.get_by_role("button", name="Verify checksums", exact=True).click()
    expect(other.get_by_role("button", name="Verify checksums again")).to_be_visible()

    other.goto(f"{server.url}/inspector?{files}")
    settled(other)
    other.get_by_role("tab", name="Checksums").click()
    expect(other.get_by_role("button", name="Cancel")).to_be_visible()
    other.get_by_role("button", name="Cancel").click()
    expect(other.get_by_role("button", name="Verify checksums", exact=True)).to_be_visible()
    go(page, "Inspect")
    page.get_by_role("tab", name="Checksums").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    context.close()

    server.process.terminate()
    assert server.process.wait(timeout=20) is not None
