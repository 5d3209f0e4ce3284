"""The HTML report as a file: whatever the checkpoints hold, elements and scripts are its own."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import torch

from core.checkpoint import open_checkpoint
from core.compare.measurability import measurable
from core.compare.metadata.metadata_diff import metadata_changes
from core.compare.numbers.measure import differences
from core.compare.report import report_html
from core.compare.rows import compare
from core.compare.sides import side
from core.compare.tensor_numbers import ALLCLOSE

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
