"""The whole job on the bundled sample, with zero files of one's own, as a user does it."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.driver import go, settled

TAKEN = re.compile("^(Fits|Loaded as) torchvision shufflenet_v2_x0_5 with 10 classes: ")
"""The title once the repair is applied; another session may have loaded the model before."""


def open_the_sample(page: Page, url: str) -> None:
    page.goto(url)
    settled(page)
    page.get_by_role("button", name="Open the sample pair").click()
    expect(page.get_by_test_id("stMetric").nth(5)).to_be_visible()
    settled(page)


def load(page: Page) -> None:
    """Press the button of the Fit page, also if another session has loaded the model before."""
    page.get_by_role("button", name=re.compile("^(Load|Use) the (loaded )?model")).click()
    expect(page.get_by_text("A random input gave 1 × 10 in ")).to_be_visible()


def fit_and_load(page: Page, slot: str) -> None:
    """On the Fit page: take what is proposed for the slot in one click; then load it."""
    page.get_by_role("radiogroup").first.get_by_text(f"{slot} · digits").click()
    expect(page.get_by_role("heading", name="with 10 classes after one repair")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Apply repair").click()
    expect(page.get_by_role("heading", name=TAKEN)).to_be_visible()
    settled(page)
    load(page)
    settled(page)


def predict_the_samples_pictures(page: Page) -> None:
    """On the Predict page: both models are shown the sample's pictures."""
    expect(page.locator(".chosen section")).to_have_count(2)
    settled(page)


def whole_job(page: Page, url: str, at: Callable[[str], None]) -> None:
    """Go from an empty bench to predictions; `at(name)` is called on each page when it is full."""
    page.goto(url)
    settled(page)
    at("welcome")
    open_the_sample(page, url)
    at("open")
    for name in ("Inspect", "Compare", "Fit"):
        go(page, name)
        at(name.lower() if name != "Fit" else "fit-start")
    for slot in ("A", "B"):
        fit_and_load(page, slot)
    at("fit")
    go(page, "Predict")
    predict_the_samples_pictures(page)
    at("predict")
