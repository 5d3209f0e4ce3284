"""What holds on every screen: contrast and names, widths, themes, and what is above the fold."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.driver import Server, go, settled
from tests.waiting import wait_until

PAGES = ("Open", "Inspect", "Compare", "Fit", "Predict")

LEAST_IMPORTANT = {"minor", "moderate"}

COLOURS = """() => {
  const found = new Set()
  const look = root => {
    for (const each of root.querySelectorAll("*")) {
      if (each.shadowRoot) look(each.shadowRoot)
      const { width, height } = each.getBoundingClientRect()
      if (!width || !height) continue
      const style = getComputedStyle(each)
      for (const name of ["color", "backgroundColor", "borderTopColor", "fill", "stroke"]) {
        if (!style[name].startsWith("url")) found.add(`${name} ${style[name]}`)
      }
    }
  }
  look(document.querySelector("[data-testid=stMain]"))
  return [...found]
}"""
"""The colours of what is on the screen, in HTML, in charts and in the tables' shadow trees."""

CUT = """() => {
  const cut = []
  const right = document.documentElement.clientWidth
  const scrolls = each => {
    for (let at = each; at; at = at.parentElement ?? at.getRootNode().host) {
      if (["auto", "scroll"].includes(getComputedStyle(at).overflowX)
          && at.scrollWidth > at.clientWidth && at.clientWidth <= right) return true
    }
    return false
  }
  const look = root => {
    for (const each of root.querySelectorAll("*")) {
      if (each.shadowRoot) look(each.shadowRoot)
      const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim())
      const { width, height, left, right: end } = each.getBoundingClientRect()
      if (!own || width < 2 || height < 2 || each.closest("svg, code, [title], style")) continue
      const style = getComputedStyle(each)
      if (style.visibility === "hidden" || style.clipPath !== "none") continue
      const hides = style.overflowX !== "visible" && each.scrollWidth > each.clientWidth + 1
      const outside = (left < -1 || end > right + 1) && !scrolls(each)
      if (hides || outside) cut.push(each.textContent.trim().slice(0, 60))
    }
  }
  look(document.querySelector("[data-testid=stMain]"))
  return cut
}"""
"""Texts that are cut off, but for names from a file: those are whole in their titles."""


def begin(page: Page, server: Server) -> None:
    """Open the sample pair, repair and load both, and predict the sample's images."""
    page.goto(f"{server.url}/?a=sample:early&b=sample:final")
    page.locator(".st-key-next").get_by_role("button", name="Repair, load and predict").click()
    expect(page.get_by_role("heading", name="A and B agree on 4 of 8 images")).to_be_visible()
    settled(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(server: Server, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    begin(page, server)
    for name in PAGES:
        go(page, name)
        assert not _serious(page), name


def _serious(page: Page) -> dict[str, list[str]]:
    """The HTML of what axe finds, by the rule that it breaks."""
    return {
        each["id"]: [node["html"] for node in each["nodes"]]
        for each in Axe().run(page).response["violations"]
        if each["impact"] not in LEAST_IMPORTANT
    }


POPOVERS = (("Open", ".st-key-chip-A button"), ("Predict", ".st-key-fed-change button"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_what_a_page_opens(
    server: Server, page: Page, scheme: str
) -> None:
    """The theme may change meanwhile: what is drawn beside the app has its colours, too."""
    page.emulate_media(color_scheme="light")
    begin(page, server)
    page.emulate_media(color_scheme=scheme)
    for name, button in POPOVERS:
        go(page, name)
        page.locator(button).first.click()
        body = page.get_by_test_id("stPopoverBody")
        expect(body).to_be_visible()
        settled(page)
        assert not _serious(page), name
        page.keyboard.press("Escape")
        expect(body).to_have_count(0)


def test_no_label_is_cut_on_a_narrow_screen(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    begin(page, server)
    for name in PAGES:
        go(page, name)
        assert page.evaluate(CUT) == [], name


def test_a_theme_that_is_switched_leaves_no_colour_of_the_other(server: Server, page: Page) -> None:
    """Without a reload the page then has no colour that one has not which began in that theme."""
    other = page.context.new_page()
    for each in (page, other):
        begin(each, server)
    for name in PAGES:
        page.emulate_media(color_scheme="dark")
        for each in (page, other):
            go(each, name)
        wait_until(lambda: not colours(page) <= colours(other))
        page.emulate_media(color_scheme="light")
        wait_until(lambda: colours(page) <= colours(other))


def colours(page: Page) -> set[str]:
    return set(page.evaluate(COLOURS))
