"""Compare in a real browser: the sample pair from the empty page to charts, pictures and files."""

import csv
from contextlib import suppress

import pytest
import torch
from playwright.sync_api import Page, expect

from core.server import SAMPLES
from tests.browser.driver import open_tab, settled
from tests.browser.key_table import choose_row, key_table, row_of, shown_keys
from tests.waiting import wait_until

CLICK_LOST_AFTER = 20_000
"""Milliseconds without an answer, which takes some ten, after which a click is given again."""


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
    expect(page.locator(".barlayer .point").first).to_be_visible()
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


def test_a_click_on_a_bar_shows_the_tensors_of_its_block(server, page, weights):
    open_the_pair(server, page)
    faded = page.locator('.barlayer .point path[style*="opacity: 0.2"]')

    def takes_the_click():
        bar = page.locator(".barlayer .point").first.bounding_box()
        page.mouse.move(bar["x"] + bar["width"] / 2 - 2, bar["y"] + 20)
        page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + 20)
        if not page.locator(".hoverlayer .hovertext").count():
            return False
        page.mouse.down()
        page.mouse.up()
        # Plotly fades the other bars at once; a click on a chart that is drawn anew is lost. Two
        # clicks in a row would choose the bar and let it go again.
        with suppress(AssertionError):
            expect(faded.first).to_be_attached(timeout=CLICK_LOST_AFTER)
        return faded.count()

    wait_until(takes_the_click)
    expect(page.get_by_role("strong").filter(has_text="module.conv1")).to_be_visible()
    expect(page.get_by_text("6 of 338 rows")).to_be_visible()
    assert set(rows_of(page)) == {key for key in weights[0] if key.startswith("module.conv1.")}
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text("338 rows", exact=True)).to_be_visible()


def test_a_chosen_tensor_is_drawn_beside_its_other(server, page):
    open_the_pair(server, page)
    expect(page.get_by_role("heading", name="module.conv5.0.weight")).to_be_visible()
    page.get_by_label("Search keys").fill("conv1.0")
    choose_row(page, "module.conv1.0.weight")
    expect(page.get_by_role("heading", name="module.conv1.0.weight")).to_be_visible()
    expect(page.get_by_text("Values of A and B")).to_be_visible()
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
