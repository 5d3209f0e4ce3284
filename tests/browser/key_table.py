"""The table of keys in a browser: its rows by their keys."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.driver import settled


def key_table(page: Page) -> Locator:
    """The page's table; its rows are in a shadow tree, which Playwright looks into."""
    return page.get_by_role("treegrid")


def row_of(page: Page, key: str) -> Locator:
    """The row with this whole key, or the line of the module with this path."""
    return key_table(page).get_by_role("row").filter(has=page.get_by_title(key, exact=True))


def choose_row(page: Page, key: str) -> None:
    """Click the row with this key, and wait until it is chosen and the page has run.

    The click is near the left edge: in the middle there may be the button that copies the key.
    """
    row_of(page, key).click(position={"x": 40, "y": 14})
    expect(row_of(page, key)).to_have_attribute("aria-selected", "true")
    settled(page)


def shown_keys(page: Page) -> list[str]:
    """The keys of the rows and modules on the screen, from top to bottom."""
    rows = key_table(page).locator("[role=row]:has(> [role=gridcell])")
    lines: list[tuple[int, str]] = rows.evaluate_all(
        """rows => rows.map(row =>
            [Number(row.ariaRowIndex), row.querySelector(".key").title])"""
    )
    return [key for _, key in sorted(lines)]
