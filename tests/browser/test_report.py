"""The report of a comparison, opened from the disk in a real browser without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from core.checkpoint import open_checkpoint
from core.compare import compare, measurable, side
from core.compare.metadata import metadata_changes
from core.compare.numbers import differences
from core.compare.report import report_html
from tests.browser.conftest import Profile

HOSTILE = ("<script>alert(1)</script>", "</script><img src=x onerror=alert(2)>", "a'\"&<b>.weight")

FITS = """async () => {
    for (let tries = 0; tries < 60; tries += 1) {
        if (document.documentElement.scrollWidth <= innerWidth) return true;
        await new Promise(resolve => setTimeout(resolve, 50));
    }
    return false;
}"""
"""Whether nothing is wider than the screen, once figures have followed a change of its size."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two files with hostile keys, a hostile name and hostile metadata."""
    folder = tmp_path_factory.mktemp("report")
    a = {f"layer{index}.weight": torch.full((8,), float(index + 1)) for index in range(12)}
    a |= {key: torch.ones(2, 3) for key in HOSTILE}
    b = {key: tensor + 0.5 if key != "layer0.weight" else tensor for key, tensor in a.items()}
    torch.save(a, folder / "<img src=x onerror=alert(3)>.pth")
    torch.save(b, folder / "b.pth")
    files = [
        open_checkpoint(folder / name) for name in ("<img src=x onerror=alert(3)>.pth", "b.pth")
    ]
    found = compare(*(file.state_dict() for file in files))
    pairs = measurable(found)
    keys = list(pairs)
    numbers = {keys[at]: one for at, one in differences(list(pairs.values()))}
    path = folder / "report.html"
    path.write_text(
        "".join(
            report_html(
                found,
                *(side(file, file.state_dict()) for file in files),
                sentence=f"{found.sentence} {HOSTILE[0]}",
                numbers=numbers,
                metadata=metadata_changes({HOSTILE[0]: HOSTILE[1]}, {HOSTILE[0]: HOSTILE[2]}),
                notes=HOSTILE,
            )
        )
    )
    return path


@pytest.fixture(scope="module")
def disk_kept_open(profile: Profile) -> Iterator[None]:
    """Keeps what the report's scripts were compiled to from test to test."""
    with profile.kept_open("file:///"):
        yield


@pytest.fixture(params=[(1440, "light"), (390, "dark")], ids=["wide", "narrow"])
def opened(
    disk_kept_open: None, page: Page, report: Path, request: pytest.FixtureRequest
) -> tuple[Page, list[str]]:
    """The page, and what went wrong on it: dialogs, errors, requests."""
    width, scheme = request.param
    page.context.set_offline(True)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    trouble: list[str] = []
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda told: trouble.append(told.text) if told.type == "error" else None)
    page.on("request", lambda asked: trouble.append(asked.url))
    page.goto(report.as_uri())
    return page, trouble


def shown_keys(page: Page) -> list[str]:
    return page.locator("#rows tbody tr:not([hidden]) td.key").all_inner_texts()


def test_hostile_names_are_text_and_nothing_leaves_the_report(
    opened: tuple[Page, list[str]], report: Path
) -> None:
    page, trouble = opened
    expect(page.locator(".figure .bars path")).to_have_count(14)
    expect(page.locator(".figure .scatterlayer path.point")).to_have_count(14)
    assert set(HOSTILE) < set(shown_keys(page))
    assert page.locator("img, main script, .figure a[href^='javascript']").count() == 0
    assert HOSTILE[0] in page.locator("h1").inner_text()
    assert [one for one in trouble if one != report.as_uri()] == []


def test_names_of_any_length_leave_the_layout_whole(page: Page, tmp_path: Path) -> None:
    keys = ("L" * 100_000, "wide " * 20_000, "x" + "\u0301" * 10_000)
    for name, value in (("a.pth", 1.0), ("b.pth", 2.0)):
        torch.save({key: torch.full((4,), value) for key in keys}, tmp_path / name)
    files = [open_checkpoint(tmp_path / name) for name in ("a.pth", "b.pth")]
    found = compare(*(file.state_dict() for file in files))
    report = report_html(
        found,
        *(side(file, file.state_dict()) for file in files),
        sentence=keys[0],
        metadata=metadata_changes({keys[0]: keys[1]}, {keys[0]: keys[2]}),
        notes=keys,
    )
    (tmp_path / "report.html").write_text("".join(report))
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator("#rows tbody tr")).to_have_count(3)
    assert page.evaluate(FITS)
    assert page.evaluate("document.documentElement.scrollHeight") <= 20_000


def test_nothing_is_wider_than_the_screen(opened: tuple[Page, list[str]]) -> None:
    page, _ = opened
    expect(page.locator(".figure .main-svg").first).to_be_visible()
    for width in (page.viewport_size or {})["width"], 1001, 700:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(FITS)
    page.emulate_media(media="print")
    assert page.evaluate(FITS)


def test_the_table_sorts_by_number_and_goes_back_to_the_files_order(
    opened: tuple[Page, list[str]],
) -> None:
    page, _ = opened
    first = shown_keys(page)
    header = page.get_by_role("button", name="Relative L2")
    header.click()
    # B minus A is 0.5 everywhere: the smaller A is, the larger the relative change.
    weights = [key for key in shown_keys(page) if key.startswith("layer")]
    assert weights == [f"layer{index}.weight" for index in range(1, 12)]
    header.click()
    assert [key for key in shown_keys(page) if key.startswith("layer")] == weights[::-1]
    header.click()
    assert shown_keys(page) == first


def test_same_tensors_are_shown_when_asked_for_and_keys_are_filtered(
    opened: tuple[Page, list[str]],
) -> None:
    page, _ = opened
    assert "layer0.weight" not in shown_keys(page)
    page.get_by_label("1 same").check()
    assert shown_keys(page)[0] == "layer0.weight"
    page.get_by_label("Filter keys").fill("LAYER1")
    expect(page.locator("#shown")).to_have_text("3 of 15 tensors shown")
    assert shown_keys(page) == ["layer1.weight", "layer10.weight", "layer11.weight"]


def test_the_ink_of_figures_follows_the_ground(opened: tuple[Page, list[str]]) -> None:
    page, _ = opened
    tick = page.locator(".figure .xtick text").first
    body = page.evaluate("getComputedStyle(document.body).color")
    assert tick.evaluate("node => getComputedStyle(node).fill") == body
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        body = page.evaluate("getComputedStyle(document.body).color")
        expect(page.locator(".figure .xtick text").first).to_have_css("fill", body)


def test_five_thousand_rows_stay_usable(page: Page, tmp_path: Path) -> None:
    names = [f"blocks.{index // 10}.part{index % 10}.weight" for index in range(5000)]
    torch.save(dict.fromkeys(names, torch.ones(4)), tmp_path / "a.pth")
    torch.save({name: torch.zeros(4) for name in names}, tmp_path / "b.pth")
    a, b = (open_checkpoint(tmp_path / name) for name in ("a.pth", "b.pth"))
    found = compare(a.state_dict(), b.state_dict())
    pieces = report_html(
        found, side(a, a.state_dict()), side(b, b.state_dict()), sentence=found.sentence
    )
    path = tmp_path / "report.html"
    path.write_text("".join(pieces))
    assert path.stat().st_size < 5_000_000
    page.goto(path.as_uri())
    expect(page.locator("#shown")).to_have_text("5\u202f000 of 5\u202f000 tensors shown")
    measured = page.context.new_cdp_session(page)
    measured.send("Performance.enable")

    def layouts() -> float:
        page.evaluate("document.body.offsetHeight")
        metrics = measured.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "LayoutCount")

    before = layouts()
    page.locator("#rows th button").nth(1).click()
    assert layouts() - before < 20  # a layout for each row that moves would be thousands
