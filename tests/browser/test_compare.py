"""Compare in a real browser: the sample pair from the empty page to charts, pictures and files."""

import csv
import re

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from core.server import SAMPLES
from tests.browser.driver import open_tab, settled
from tests.browser.key_table import choose_row, key_table, row_of, shown_keys


@pytest.fixture(scope="module")
def weights() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    early, final = (
        torch.load(SAMPLES[name].path, weights_only=True)["state_dict"]
        for name in ("early", "final")
    )
    return early, final


def open_the_pair(server, page: Page) -> None:
    page.goto(f"{server.url}/comparison")
    settled(page)
    page.get_by_role("button", name="Open the sample pair").click()
    expect(page.get_by_role("heading", name="B is A trained further")).to_be_visible()
    expect(page.locator(".depth .dot").first).to_be_visible()
    settled(page)


def rows_of(page: Page) -> dict[str, dict[str, str]]:
    """The table's rows, as they are downloaded."""
    settled(page)  # the button comes after the words on the rows, and has the old file till then
    with page.expect_download() as download:
        page.get_by_role("button", name="Download rows as CSV").click()
    with open(download.value.path()) as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def test_the_sample_pair_is_measured_filtered_and_downloaded(server, page, weights):
    open_the_pair(server, page)
    page.get_by_label("Search keys").fill("*fc.*")
    expect(page.get_by_text("2 of 338 rows")).to_be_visible()
    rows = rows_of(page)
    assert set(rows) == {"module.fc.weight", "module.fc.bias"}
    early, final = weights
    for key, row in rows.items():
        step = (final[key].double() - early[key].double()).abs()
        assert row["state"] == "changed"
        assert float(row["max_abs"]) == pytest.approx(float(step.max()))
        assert float(row["relative_l2"]) == pytest.approx(
            float(step.norm() / early[key].double().norm())
        )


def test_what_makes_up_most_of_the_change_comes_first_and_is_chosen(server, page, weights):
    open_the_pair(server, page)
    early, final = weights
    square = {
        key: float((final[key].double() - early[key].double()).square().sum())
        for key in early
        if early[key].is_floating_point() and "running_" not in key
    }
    largest = sorted(square, key=square.__getitem__, reverse=True)
    assert shown_keys(page) == [*largest[:10], "160 more weights", "168 BatchNorm statistics"]
    first = row_of(page, largest[0])
    expect(first).to_have_attribute("aria-selected", "true")
    expect(first).to_contain_text("changed")
    share = square[largest[0]] / sum(square.values())
    expect(first).to_contain_text(f"{100 * share:.1f}\u202f%")
    row_of(page, "168 BatchNorm statistics").click()
    expect(key_table(page)).to_have_attribute("aria-rowcount", str(1 + 10 + 2 + 168))


def block(page: Page, name: str) -> Locator:
    """The part of the chart that chooses a block."""
    return page.get_by_role("button", name=re.compile(f"^{re.escape(name)}\\. "))


def test_a_click_on_a_block_of_the_chart_shows_its_tensors(server, page, weights):
    open_the_pair(server, page)
    first = block(page, "module.conv1")
    first.hover()
    expect(page.locator(".depth .tip")).to_contain_text("conv: ")
    first.click()
    expect(page.get_by_text("6 of 338 rows")).to_be_visible()
    expect(first).to_have_attribute("aria-pressed", "true")
    settled(page)
    assert set(rows_of(page)) == {key for key in weights[0] if key.startswith("module.conv1.")}
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text("338 rows", exact=True)).to_be_visible()
    expect(first).to_have_attribute("aria-pressed", "false")


def test_the_chart_is_walked_through_by_the_keyboard(server, page):
    open_the_pair(server, page)
    block(page, "module.conv1").focus()
    page.keyboard.press("End")
    expect(block(page, "module.fc")).to_be_focused()
    expect(page.locator(".depth .tip")).to_contain_text("head: ")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 of 338 rows")).to_be_visible()


def test_the_title_says_what_b_is_and_the_line_below_it_the_evidence(server, page):
    open_the_pair(server, page)
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "B is A trained further: weights moved 8.6\u202f%, no key added or removed"
    )
    expect(page.get_by_text("BatchNorm counted 836 more batches")).to_have_text(
        "Cosine 0.9964; every tensor changed; BatchNorm counted 836 more batches; "
        "epoch 2 → 40, accuracy 85.83 → 99.72."
    )


def test_the_chart_follows_the_theme_at_run_time(server, page):
    page.emulate_media(color_scheme="light")
    open_the_pair(server, page)
    dot, label = page.locator(".depth .dot").first, page.locator(".depth .label").first
    expect(dot).to_have_css("fill", "rgb(185, 124, 20)")
    expect(label).to_have_css("fill", "rgb(27, 32, 33)")
    page.emulate_media(color_scheme="dark")
    expect(dot).to_have_css("fill", "rgb(221, 165, 46)")
    expect(label).to_have_css("fill", "rgb(231, 234, 232)")


def opened(server, page: Page, a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    for name, state_dict in (("a", a), ("b", b)):
        torch.save(state_dict, server.root / f"{name}.pth")
    page.goto(f"{server.url}/comparison?a=root:0/a.pth&b=root:0/b.pth")
    expect(page.locator(".depth .dot").first).to_be_visible()
    settled(page)


def network(layers: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    names = ("mlp.weight", "norm.weight")
    return {
        f"layers.{index}.{name}": torch.rand(4, 4) + 0.5 if "mlp" in name else torch.rand(4) + 0.5
        for index in range(layers)
        for name in names
    }


@pytest.mark.parametrize("layers", [1, 500])
def test_no_name_of_the_chart_lies_over_another(server, page, layers):
    a = network(layers)
    opened(server, page, a, {key: value * 1.1 for key, value in a.items()})
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        for texts in (".depth .name", ".depth .label", ".depth .tick"):
            boxes = page.locator(texts).evaluate_all(
                "all => all.map(each => each.getBoundingClientRect().toJSON())"
            )
            assert boxes
            for at, one in enumerate(boxes):
                for other in boxes[at + 1 :]:
                    apart = one["right"] <= other["left"] or other["right"] <= one["left"]
                    assert apart or one["bottom"] <= other["top"] or other["bottom"] <= one["top"]


def test_what_did_not_change_lies_on_a_line_of_its_own_below_the_axis(server, page):
    a = network(4)
    b = {key: value * 1.1 if key.startswith("layers.3") else value for key, value in a.items()}
    b["layers.1.mlp.weight"] = torch.ones(3, 4)
    opened(server, page, a, b)
    chart = page.locator(".depth")
    expect(chart.locator(".legend")).to_contain_text("below the axis: no change")
    expect(chart.locator(".legend")).to_contain_text("not measured")
    ticks = chart.locator(".tick").evaluate_all(
        "all => all.map(t => [t.textContent, +t.getAttribute('y')])"
    )
    heights = dict(ticks)
    assert heights["0\u202f%"] == max(heights.values())
    same = chart.locator("[data-state=same]").first
    assert float(same.get_attribute("cy")) == heights["0\u202f%"] - 4
    assert chart.locator("[data-state='not measured']").count() == 1


def test_on_a_narrow_screen_the_chart_scrolls_in_its_panel(server, page):
    page.set_viewport_size({"width": 390, "height": 844})
    open_the_pair(server, page)
    scroller = page.locator(".depth .scroller")
    assert scroller.evaluate("each => each.scrollWidth > each.clientWidth + 100")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for pill in page.locator("[class*=st-key-states-] button").all():
        box = pill.bounding_box()
        assert box["x"] + box["width"] <= 390


def test_a_chosen_tensor_is_drawn_beside_its_other(server, page, weights):
    open_the_pair(server, page)
    card = page.locator(".st-key-pair-card")
    expect(card).to_contain_text("module.conv5.0.weight")
    page.get_by_label("Search keys").fill("conv1.0")
    key = "module.conv1.0.weight"
    choose_row(page, key)
    expect(card).to_contain_text(key)
    expect(card).to_contain_text("648 parameters")
    mean = card.get_by_role("row", name="mean").get_by_role("cell")
    for cell, side in zip(mean.all(), weights, strict=True):
        assert float(cell.inner_text()) == pytest.approx(float(side[key].mean()), rel=1e-3)
    card.get_by_text("Where it changed").click()
    expect(page.get_by_text("Change of each output channel")).to_be_visible()
    expect(page.get_by_text("the 16 of 24 that changed most")).to_be_visible()


def test_the_report_opens_without_the_server(server, page, tmp_path):
    open_the_pair(server, page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Report").click()
    report = tmp_path / download.value.suggested_filename
    download.value.save_as(report)
    page.context.set_offline(True)
    page.goto(report.as_uri())
    expect(page.get_by_text("B is A trained further").first).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()


def test_the_other_tabs_tell_pairs_metadata_and_the_evidence(server, page):
    open_the_pair(server, page)
    open_tab(page, "Pairs")
    expect(page.get_by_text("338 by name; no tensor is unpaired.")).to_be_visible()
    open_tab(page, "Metadata")
    expect(page.get_by_text("B is 38 epochs later")).to_be_visible()
    open_tab(page, "Evidence")
    expect(page.get_by_text("The bytes of both were read and compared.")).to_be_visible()


def test_a_run_of_several_is_drawn_with_its_steps(server, page):
    page.goto(f"{server.url}/comparison")
    settled(page)
    page.get_by_text("Run", exact=True).click()
    page.get_by_role("combobox", name="Source of the run").click()
    page.get_by_role("option", name="The sample's two epochs").click()
    expect(page.get_by_text("ordered by the epoch in their metadata")).to_be_visible()
    expect(page.locator(".barlayer .point").first).to_be_visible()
    expect(page.get_by_role("button", name="Download run as CSV")).to_be_visible()
