"""Inspect in a real browser: choosing a tensor, and 20,000 of them."""

import re

import pytest
import torch
from playwright.sync_api import Page, expect
from torchvision.models import shufflenet_v2_x0_5

from tests.browser.driver import Server, open_tab, settled
from tests.browser.key_table import choose_row, key_table, row_of
from tests.core.odd_tensors import ODD


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
    choose_row(page, "conv1.0.weight")
    card(page, "conv1.0.weight")
    numbers = page.locator(".tensor-numbers")
    expect(numbers).to_contain_text(f"{float(weights['conv1.0.weight'].max()):.5g}")
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    expect(page.get_by_test_id("stImage")).to_contain_text("24 filters, 3 × 3")
    choose_row(page, "conv1.1.weight")
    card(page, "conv1.1.weight")
    expect(page.get_by_test_id("stImage")).to_have_count(0)


def test_a_click_on_a_module_of_the_map_shows_its_tensors(server, page, weights):
    page.goto(f"{server.url}/inspector?a=root:0/weights.pth")
    settled(page)
    stage = page.get_by_role("button", name=re.compile("^stage4, "))
    expect(stage).to_contain_text("stage4")
    stage.click(position={"x": 12, "y": 8})
    inside = sum(key.startswith("stage4.") for key in weights)
    expect(page.get_by_text(f"{inside} of {len(weights)} tensors")).to_be_visible()
    expect(stage).to_have_attribute("aria-pressed", "true")
    settled(page)
    page.get_by_role("button", name="Only stage4").click()
    expect(page.get_by_text(f"{len(weights)} tensors in ")).to_be_visible()
    expect(stage).to_have_attribute("aria-pressed", "false")


def test_beside_the_table_is_the_overview_or_the_chosen_tensor(server, page, weights):
    page.goto(f"{server.url}/inspector?a=root:0/weights.pth")
    settled(page)
    panels = ("Parameters by module", "Health", "Largest tensors")
    for panel in panels:
        expect(page.get_by_text(panel, exact=True)).to_be_visible()
    expect(page.locator(".loupe-dtypes")).to_contain_text("float32")
    choose_row(page, "conv1.0.weight")
    card(page, "conv1.0.weight")
    page.get_by_role("button", name="Back to overview").click()
    for panel in panels:
        expect(page.get_by_text(panel, exact=True)).to_be_visible()


def test_on_a_narrow_screen_the_overview_comes_first(server, page, weights):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/inspector?a=root:0/weights.pth")
    settled(page)
    tiles = page.get_by_role("group", name="Parameters by module")
    expect(tiles).to_be_visible()
    expect(key_table(page)).to_be_visible()
    assert tiles.bounding_box()["y"] < key_table(page).bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cut = tiles.get_by_role("button").evaluate_all(
        "all => all.filter(each => each.firstChild.offsetWidth > each.clientWidth).length"
    )
    assert cut == 0


def test_the_module_tree_and_the_safety_panel_open(server, page, weights):
    page.goto(f"{server.url}/inspector?a=root:0/weights.pth")
    settled(page)
    open_tab(page, "Modules")
    expect(page.get_by_test_id("stPlotlyChart").get_by_text("stage4").first).to_be_visible()
    open_tab(page, "Safety")
    expect(page.get_by_text("Its pickle names only constructors of tensors")).to_be_visible()


def test_twenty_thousand_keys_stay_usable(server, page):
    weights = {f"blocks.{at // 20}.mixer.{at % 20}": torch.zeros(2) for at in range(20_000)}
    torch.save(weights, server.root / "many.pth")
    page.goto(f"{server.url}/inspector?a=root:0/many.pth")
    settled(page)
    expect(key_table(page)).to_have_attribute("aria-rowcount", "1001")
    key_table(page).focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(row_of(page, "blocks.999.mixer.19")).to_be_in_viewport()
    assert key_table(page).locator("[role=row]").count() < 60
    page.get_by_label("Search keys").fill("/^blocks\\.7\\..*9$/")
    expect(page.get_by_text("2 of 20 000 tensors")).to_be_visible()
    settled(page)
    choose_row(page, "blocks.7.mixer.19")
    card(page, "blocks.7.mixer.19")


def test_a_quantized_tensor_shows_what_its_scales_give(server, page):
    torch.save({"layer.weight": ODD["per_channel"], "adjacency": ODD["csr"]}, server.root / "q.pth")
    page.goto(f"{server.url}/inspector?a=root:0/q.pth")
    settled(page)
    choose_row(page, "layer.weight")
    card(page, "layer.weight")
    largest = float(ODD["per_channel"].dequantize().max())
    expect(page.locator(".tensor-numbers")).to_contain_text(f"{largest:.5g}")
    expect(page.get_by_text("as .dequantize() computes them")).to_be_visible()
    choose_row(page, "adjacency")
    card(page, "adjacency")
    expect(page.get_by_text("the 6 values that the file contains")).to_be_visible()


def test_checksums_are_verified_and_a_flipped_bit_is_named(server, page, weights):
    page.goto(f"{server.url}/inspector?a=root:0/weights.pth")
    settled(page)
    open_tab(page, "Checksums")
    page.get_by_role("button", name="Verify checksums").click()
    expect(page.get_by_text("records are sound")).to_be_visible()
    data = bytearray((server.root / "weights.pth").read_bytes())
    data[data.index(weights["fc.bias"].numpy().tobytes()) + 1] ^= 1
    (server.root / "flipped.pth").write_bytes(data)
    page.goto(f"{server.url}/inspector?a=root:0/flipped.pth")
    settled(page)
    open_tab(page, "Checksums")
    page.get_by_role("button", name="Verify checksums").click()
    expect(page.get_by_text("is damaged: get the file again")).to_be_visible()
    expect(page.get_by_test_id("glide-cell-1-0")).to_have_text("fc.bias")
