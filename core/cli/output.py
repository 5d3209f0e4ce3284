"""Prints what all commands print in the same way: lines, tables, JSON, progress, verifications."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from core.plain_text import MAX_SENTENCE_LENGTH, visible
from core.progress import Report, ignore
from core.wording import THIN, are, count, counted, have, percent

if TYPE_CHECKING:
    from core.checkpoint import Checkpoint
    from core.inspect import RecordChecks, Verification

SAME = FITS = 0
DIFFERS = 1
TROUBLE = 2
"""Exit statuses, the same as diff's."""

THOUSANDS = re.compile(rf"(?<=\d){THIN}(?=\d)")
"""What separates thousands, as wording.py writes them."""

PER_SECOND = {"bytes": "MB/s", "elements": "million elements/s"}
"""How the pace is written, by the unit that is counted."""


@contextmanager
def watched(unit: str) -> Iterator[Report]:
    """A Report that shows progress as one line on stderr, if that is a terminal.

    `unit` is what is counted: bytes and elements are shown with their pace, others, such as models,
    with the name of the one that the work is at. The line is no wider than the terminal, since `\r`
    would leave what has wrapped; it is erased at the end.
    """
    if not sys.stderr.isatty():
        yield ignore
        return
    started = last = time.monotonic()

    def show(done: int, total: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.1 or done == total:
            last = now
            if per_second := PER_SECOND.get(unit):
                what = f"{count(round(done / 1e6 / max(now - started, 1e-6)))} {per_second}"
            part = percent(done / total if total else 1)
            line = f"{count(done)} of {count(total)} {unit}, {part}, {what}"
            line = _shown(line, MAX_SENTENCE_LENGTH)[: _columns() - 1]
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _columns() -> int:
    """The width of the terminal that stderr is; of one that does not say it, 80."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def print_json(document: Mapping[str, object] | Sequence[object]) -> None:
    """Print a document as one line of JSON."""
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # A file's keys may also contain half characters (surrogates).
        text = json.dumps(document)
    print(text)


def warn_of(checkpoint: Checkpoint, *, aside: bool) -> None:
    """Print first what an opened file would have run elsewhere, if that is anything.

    The line goes to stdout, or to stderr if stdout is a document for programs (`aside`).
    """
    from core.inspect import danger_sentence

    sentence = danger_sentence(checkpoint)
    if sentence:
        say(f"danger: {sentence}", to=sys.stderr if aside else None)


WIDEST_CELL = 200
"""The most characters of a cell: one long cell would widen every row. JSON has all of them."""


def say(line: str, *, to: TextIO | None = None) -> None:
    """Print a line that may contain a file's own texts, to stdout or to `to`.

    It stays one line of bounded length without control characters. Thin spaces, which not every
    terminal shows, become commas between digits, and else plain spaces.
    """
    print(_shown(line, MAX_SENTENCE_LENGTH), file=to)


def print_columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table whose columns are as wide as their widest cells."""
    table = [header, *[[_shown(str(cell), WIDEST_CELL) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def key_cell(key: str) -> str:
    """A key in a table, in quotes where it begins or ends with white space, which nobody sees."""
    return key if key == key.strip() else f'"{key}"'


def _shown(text: str, most: int) -> str:
    return THOUSANDS.sub(",", visible(text, most)).replace(THIN, " ")


def verified(checkpoint: Checkpoint, checks: RecordChecks | None = None) -> Verification:
    """Verify the file, with progress on stderr if that is a terminal; `checks` as for `verify`."""
    from core.inspect import verify

    with watched("bytes") as progress:
        return verify(checkpoint, progress, checks)


def print_verification(verification: Verification, of: str = "") -> None:
    """Print how much was read and which records are damaged; `of` names the file."""
    checked, without = verification.checked, verification.records - verification.checked
    nbytes = counted(verification.nbytes, "byte")
    say(f"verify{of and ' '}{of}: {counted(verification.records, 'record')}, {nbytes}, all read.")
    if without:
        which = f"{count(without)} of them {have(without)}" if checked else "This format keeps"
        say(f"{which} no checksum, so a changed bit there cannot be detected.")
    if checked:
        wrong = len(verification.damaged)
        outcome = f"{count(wrong)} {are(wrong)} wrong" if wrong else "none is wrong"
        say(f"{counted(checked, 'checksum')} checked: {outcome}.")
    for damage in verification.damaged:
        tensors = ", ".join(damage.keys) or "no tensor"
        say(f"  damaged: {damage.record}, which contains {tensors}. {damage.problem}")
    if verification.damaged:
        print("Get the file again from where it came from, and check it again.")
