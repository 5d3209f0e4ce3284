"""The HTML report as a file: whatever the checkpoints hold, elements and scripts are its own."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import torch

from core.checkpoint import Checkpoint, open_checkpoint
from core.compare.measurability import measurable
from core.compare.metadata.metadata_diff import metadata_changes
from core.compare.numbers.measure import differences
from core.compare.report import report_html
from core.compare.rows import compare
from core.compare.sides import side
from core.compare.tensor_numbers import ALLCLOSE
from core.wording import percent

TAME = ("one.weight", "two.weight", "three.weight", "four.weight")
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "a'\"&<b>.weight",
    "{{ 7 * 7 }}{% raw %}</title></style><!--",
)


class Reader(HTMLParser):
    """The tags and the names of their attributes, all texts, and what stands in the scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attributes)))
        if ("http-equiv", "Content-Security-Policy") in attributes:
            self.policy = dict(attributes)["content"] or ""
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)


def read(folder: Path, names: tuple[str, ...]) -> Reader:
    """The report of two files whose keys, notes, sentence and metadata are these names."""
    folder.mkdir()
    a = {name: torch.full((2, 3), index + 1.0) for index, name in enumerate(names)}
    torch.save(a, folder / "a.pth")
    torch.save({name: tensor + 0.5 for name, tensor in a.items()}, folder / "b.pth")
    files = [open_checkpoint(folder / name) for name in ("a.pth", "b.pth")]
    comparison = compare(*(file.state_dict() for file in files))
    pairs = measurable(comparison)
    keys = list(pairs)
    report = report_html(
        comparison,
        *(side(file, file.state_dict()) for file in files),
        sentence=names[0],
        numbers={keys[index]: found for index, found in differences(list(pairs.values()))},
        tolerance=ALLCLOSE,
        metadata=metadata_changes({names[0]: names[1]}, {names[0]: names[2]}),
        notes=names,
    )
    reader = Reader()
    reader.feed("".join(report))
    reader.close()
    return reader


def test_hostile_names_add_no_element_and_stand_there_as_text(tmp_path: Path) -> None:
    hostile = read(tmp_path / "hostile", HOSTILE)
    assert hostile.tags == read(tmp_path / "tame", TAME).tags
    assert set(HOSTILE) < set(hostile.texts)


def test_the_policy_names_the_very_scripts_of_the_page(tmp_path: Path) -> None:
    report = read(tmp_path / "report", HOSTILE)
    *figures, library, own = report.scripts
    hashes = re.findall(r"'sha256-(\S+)'", report.policy)
    assert hashes == [
        b64encode(sha256(script.encode()).digest()).decode() for script in (library, own)
    ]
    assert "'unsafe-inline'" not in report.policy.partition("script-src")[2].partition(";")[0]
    assert all("data" in json.loads(figure) and "<" not in figure for figure in figures)
    assert len(figures) >= 2


def texts_of(a: Checkpoint, b: Checkpoint, *, measured: bool) -> list[str]:
    """All texts of the report on two files, with or without numbers."""
    comparison = compare(a.state_dict(), b.state_dict())
    pairs = measurable(comparison) if measured else {}
    keys = list(pairs)
    report = report_html(
        comparison,
        *(side(file, file.state_dict()) for file in (a, b)),
        sentence="",
        numbers={keys[index]: found for index, found in differences(list(pairs.values()))},
    )
    reader = Reader()
    reader.feed("".join(report))
    return [text.strip() for text in reader.texts if text.strip()]


def test_it_says_by_what_two_tensors_were_paired(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = {"layer.weight": torch.randn(3, 4), "layer.bias": torch.randn(3)}
    torch.save({**weights, "old.scale": torch.arange(7.0)}, tmp_path / "a.pth")
    prefixed = {f"module.{key}": value for key, value in weights.items()}
    torch.save({**prefixed, "module.renamed.gain": torch.arange(7.0)}, tmp_path / "b.pth")
    files = [open_checkpoint(tmp_path / name) for name in ("a.pth", "b.pth")]
    texts = texts_of(*files, measured=False)
    assert texts.count("paired by prefix") == 2
    (likeness,) = (text for text in texts if text.startswith("paired by likeness"))
    assert re.match(r"paired by likeness \(\d\d.%\): same shape, same elements, but", likeness)
    # Few elements prove nothing, also where no other tensor has them.
    assert "other tensors may have them too" in likeness


def test_it_has_no_figures_and_no_numbers_where_none_were_measured(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2, 3)}, tmp_path / "a.pth")
    torch.save({"w": torch.zeros(2, 3)}, tmp_path / "b.pth")
    files = [open_checkpoint(tmp_path / name) for name in ("a.pth", "b.pth")]
    drawn = {"Relative L2", "Relative change by depth"}
    assert not drawn & set(texts_of(*files, measured=False))
    assert drawn <= set(texts_of(*files, measured=True))


def test_a_number_that_is_none_is_left_empty(tmp_path: Path) -> None:
    """Zeros have no direction, and a tensor that is only in one file has no difference."""
    torch.save({"w": torch.ones(2, 3), "only": torch.ones(4)}, tmp_path / "a.pth")
    torch.save({"w": torch.zeros(2, 3)}, tmp_path / "b.pth")
    files = [open_checkpoint(tmp_path / name) for name in ("a.pth", "b.pth")]
    texts = texts_of(*files, measured=True)
    rows = texts[texts.index("w") :]
    assert rows[:9] == ["w", "2 × 3", "float32", "6", "1", "1", "1", percent(1), "checksum"]
    assert rows[9:15] == ["only in A", "only", "4", "float32", "4", "key"]
