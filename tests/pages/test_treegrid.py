"""What a table of keys sends to the browser, and what its bundle was built from."""

import hashlib
import json
import re
from base64 import b64decode
from pathlib import Path

import pytest

from core.theme import STATE_MARKS
from pages.components.treegrid.table_data import Column, RowGroup, Table, packed
from pages.components.treegrid.tree_table import widget_key
from tests.pages.shown_table import unpacked

WIDGET = Path(__file__).parents[2] / "pages" / "components" / "treegrid" / "widget"
BUNDLE = WIDGET / "treegrid.js"


def table(*columns: Column, keys: tuple[str, ...] = ("a", "b", "c"), **options) -> Table:
    return Table("Keys", [Column("Key", "key", keys), *columns], **options)


def column(document: dict, title: str) -> dict:
    return next(column for column in document["columns"] if column["title"] == title)


def test_equal_values_are_written_once():
    numbers = Column("N", "number", [7, 9, 7], lambda number: f"{number} things")
    sent = column(unpacked(packed(table(numbers))).document, "N")
    assert (sent["texts"], sent["values"], sent["codes"]) == (
        ["7 things", "9 things"],
        [7, 9],
        [0, 1, 0],
    )


def test_numbers_sort_by_themselves_and_texts_by_what_they_say():
    sent = unpacked(
        packed(
            table(
                Column("D", "muted", ["x", "y", "x"]),
                Column("S", "code", [1, 2, 3], sort=lambda n: -n),
            )
        )
    ).document
    assert column(sent, "D")["values"] is None
    assert column(sent, "S")["values"] == [-1, -2, -3]


def test_infinities_sort_last_and_nothing_breaks_the_json():
    odd = Column("N", "number", [float("inf"), float("-inf"), float("nan")])
    sent = column(unpacked(packed(table(odd))).document, "N")
    assert sent["values"] == [1e308, -1e308, None]


def test_texts_of_files_are_made_visible():
    keys = ("\x1b[31mred", "half \ud800", "L" * 100_000)
    sent = unpacked(packed(table(Column("D", "muted", ["\u202egnp", "", ""]), keys=keys)))
    assert sent.keys[:2] == ["\\x1b[31mred", "half \\ud800"]
    assert len(sent.keys[2]) < 400
    assert sent.columns["D"][0] == "\\u202egnp"


def test_groups_say_sums_or_texts():
    groups = [RowGroup("m", 2, "m.", {"N": 5, "D": "2 keys"}, open=True), RowGroup(None, 1)]
    sent = unpacked(
        packed(
            table(
                Column("N", "number", [2, 3, 4]),
                Column("D", "muted", ["x", "x", "x"]),
                groups=groups,
            )
        )
    )
    assert sent.keys == ["m.a", "m.b", "c"]
    assert sent.sums("N") == {"m": "5"}
    assert sent.document["groups"][0]["cells"][1] == {"text": "5", "value": 5}
    assert sent.sums("D") == {"m": "2 keys"}


def test_states_go_with_their_mark_word_and_colour():
    states = Column("", "state", ["missing", "matched", "missing"])
    sent = unpacked(packed(table(states))).document
    assert set(sent["states"]) == {"missing", "matched"}
    assert sent["states"]["missing"]["mark"] == STATE_MARKS["missing"].sign
    assert sent["states"]["missing"]["colour"] == "light-dark(#BF2F2C, #F0716D)"


def test_an_image_goes_as_a_data_address_whole():
    webp = bytes(range(256)) * 4
    sent = column(unpacked(packed(table(Column("Image", "image", [webp] * 3)))).document, "Image")
    (address,) = sent["texts"]
    kind, _, body = address.partition(",")
    assert (kind, b64decode(body)) == ("data:image/webp;base64", webp)
    assert sent["values"] is None


def test_titles_are_made_visible_as_texts_are():
    sent = unpacked(packed(table(Column("\u202egnp", "muted", ["x", "x", "x"])))).document
    assert sent["columns"][1]["title"] == "\\u202egnp"


def test_a_digest_tells_tables_apart():
    assert packed(table()).digest == packed(table()).digest
    assert packed(table()).digest != packed(table(foot="3 keys")).digest
    assert "__" not in widget_key("a__b\ud800")


@pytest.fixture(scope="module")
def bundle() -> str:
    return BUNDLE.read_text("utf-8")


def test_the_bundle_was_built_from_these_sources(bundle):
    """Else `make table` was forgotten."""
    digest = hashlib.sha256()
    sources = sorted(path.name for path in (WIDGET / "src").iterdir())
    names = ["build.mjs", "package-lock.json", "package.json", *(f"src/{name}" for name in sources)]
    for name in names:
        digest.update(f"{name}\n".encode() + (WIDGET / name).read_bytes() + b"\n")
    assert f"sources sha256 {digest.hexdigest()}" in bundle


def test_the_bundle_names_its_packages_with_their_licences(bundle):
    packages = json.loads((WIDGET / "package.json").read_text())["dependencies"]
    banner = bundle.partition("*/")[0]
    for name, version in packages.items():
        assert f"{name} {version}" in banner
    assert banner.count("MIT License") == len(packages)


def test_the_bundle_reads_no_html_and_no_code(bundle):
    """Texts of files go in as text: nothing in the sources makes elements or code of a text."""
    code = bundle.partition("*/")[2]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code
    )


def test_the_lock_file_names_no_registry():
    assert '"resolved"' not in (WIDGET / "package-lock.json").read_text()
