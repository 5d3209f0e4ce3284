"""Inspect in a real browser: choosing a tensor, and 20,000 of them."""

import pytest
import torch
from playwright.sync_api import Page, expect
from torchvision.models import shufflenet_v2_x0_5

from tests.browser.driver import Server, settled


def choose_row(page: Page, row: int) -> None:
    """Click the box of a row; the table is a canvas, so by its place."""
    frame = page.get_by_test_id("stDataFrame").first
    expect(frame.locator("canvas").first).to_be_visible()
    place = frame.bounding_box()
    page.mouse.click(place["x"] + 20, place["y"] + 50 + 33 * row)


def card(page: Page, key: str) -> None:
    expect(page.get_by_role("heading", name=key, exact=True)).to_be_visible()
    settled(page)


@pytest.fixture
def weights(server: Server) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    weights = shufflenet_v2_x0_5().state_dict()
    torch.save(weights, server.root / "weights.pth")
    return weights


def test_a_chosen_row_shows_the_tensors_card(server, page, weights):
    page.goto(f"{server.url}/inspector?a=root:0/weights.pth")
    settled(page)
    choose_row(page, 0)
    card(page, "conv1.0.weight")
    numbers = page.locator(".tensor-numbers")
    expect(numbers).to_contain_text(f"{float(weights['conv1.0.weight'].max()):.5g}")
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    expect(page.get_by_test_id("stImage")).to_contain_text("24 filters, 3 × 3")
    choose_row(page, 1)
    card(page, "conv1.1.weight")
    expect(page.get_by_test_id("stImage")).to_have_count(0)


def test_the_module_tree_and_the_safety_panel_open(server, page, weights):
    page.goto(f"{server.url}/inspector?a=root:0/weights.pth")
    settled(page)
    page.get_by_role("tab", name="Modules").click()
    expect(page.get_by_test_id("stPlotlyChart").get_by_text("stage4").first).to_be_visible()
    page.get_by_role("tab", name="Safety").click()
    expect(page.get_by_text("Its pickle names only the constructors of tensors")).to_be_visible()


def test_twenty_thousand_keys_stay_usable(server, page):
    weights = {f"blocks.{at // 20}.mixer.{at % 20}": torch.zeros(2) for at in range(20_000)}
    torch.save(weights, server.root / "many.pth")
    page.goto(f"{server.url}/inspector?a=root:0/many.pth")
    settled(page)
    page.get_by_label("Search keys").fill("/^blocks\\.7\\..*9$/")
    expect(page.get_by_text("2 of 20 000 tensors")).to_be_visible()
    settled(page)
    choose_row(page, 1)
    card(page, "blocks.7.mixer.19")
