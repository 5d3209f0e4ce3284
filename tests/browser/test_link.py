"""A link opens what its sender sees: page, files, filters, selection."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from playwright.sync_api import Browser, Page, expect

from tests.browser.driver import Server, go, new_context, open_tab, settled
from tests.browser.key_table import choose_row, key_table, row_of, shown_keys

CLIPBOARD = ["clipboard-read", "clipboard-write"]


def copied_link(page: Page) -> str:
    """What the button puts on the clipboard."""
    page.context.grant_permissions(CLIPBOARD)
    page.evaluate("navigator.clipboard.writeText('nothing yet')")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("status").get_by_text("Link copied")).to_be_attached()
    link: str = page.evaluate("navigator.clipboard.readText()")
    return link


@contextmanager
def a_colleague(browser: Browser, link: str) -> Iterator[Page]:
    """The page that somebody else sees who opens the link."""
    context = new_context(browser)
    page = context.new_page()
    page.goto(link)
    settled(page)
    yield page
    context.close()


def save_two_modules(server: Server) -> None:
    torch.save(
        {
            f"{module}.{at}.weight": torch.ones(at + 1, dtype=dtype)
            for module, dtype in (("stem", torch.half), ("head", torch.float))
            for at in range(4)
        },
        server.root / "modules.pth",
    )


def test_a_link_to_inspect_has_its_filters_and_its_tensor(
    server: Server, page: Page, browser: Browser
) -> None:
    save_two_modules(server)
    page.goto(f"{server.url}/inspector?a=root:0/modules.pth")
    expect(key_table(page)).to_be_visible()
    page.get_by_placeholder("Search keys").fill("/[12].weight/")
    page.get_by_role("button", name="float32").click()
    settled(page)
    page.get_by_role("button", name="By module").click()
    settled(page)
    expect(row_of(page, "head.2.weight")).to_be_visible()
    choose_row(page, "head.2.weight")
    link = copied_link(page)
    with a_colleague(browser, link) as other:
        expect(other.get_by_role("heading", name="head.2.weight", exact=True)).to_be_visible()
        expect(row_of(other, "head.2.weight")).to_have_attribute("aria-selected", "true")
        assert shown_keys(other) == shown_keys(page)
        # They are where one begins, and no more: what is changed then stays so.
        other.get_by_placeholder("Search keys").fill("")
        expect(row_of(other, "head.0.weight")).to_be_visible()
        go(other, "Open")
        go(other, "Inspect")
        expect(row_of(other, "stem.0.weight")).to_be_visible()


def test_a_link_to_a_tab_opens_the_tab(server: Server, page: Page, browser: Browser) -> None:
    save_two_modules(server)
    page.goto(f"{server.url}/inspector?a=root:0/modules.pth")
    expect(key_table(page)).to_be_visible()
    open_tab(page, "Checksums")
    with a_colleague(browser, copied_link(page)) as other:
        expect(other.get_by_role("tab", name="Checksums")).to_have_attribute(
            "aria-selected", "true"
        )


def test_a_link_without_filters_is_the_files_alone(server: Server, page: Page) -> None:
    save_two_modules(server)
    page.goto(f"{server.url}/inspector?a=root:0/modules.pth")
    expect(key_table(page)).to_be_visible()
    settled(page)
    assert copied_link(page) == f"{server.url}/inspector?a=root%3A0%2Fmodules.pth"


def test_a_link_that_asks_for_what_is_not_there_opens_the_page_as_it_is(
    server: Server, browser: Browser
) -> None:
    save_two_modules(server)
    wrong = "tab=Nowhere&dtypes=int4&tensor=none&order=x&slot=C&search=%2F(%2F"
    with a_colleague(browser, f"{server.url}/inspector?a=root:0/modules.pth&{wrong}") as other:
        expect(other.get_by_role("tab", name="Tensors")).to_have_attribute("aria-selected", "true")
        expect(other.get_by_placeholder("Search keys")).to_have_value("/(/")


def test_where_the_browser_has_no_clipboard_the_link_is_shown(server: Server, page: Page) -> None:
    """Browsers have none where the page's address is http and not this machine."""
    save_two_modules(server)
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto(f"{server.url}/inspector?a=root:0/modules.pth")
    expect(key_table(page)).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    by_hand = page.get_by_label("Copy the link here")
    expect(by_hand).to_have_value(f"{server.url}/inspector?a=root%3A0%2Fmodules.pth")
    page.get_by_role("button", name="Done").click()
    expect(by_hand).to_be_hidden()


def test_there_is_no_link_to_an_empty_bench(server: Server, page: Page) -> None:
    page.goto(server.url)
    settled(page)
    expect(page.get_by_role("button", name="Copy link")).to_have_count(0)
