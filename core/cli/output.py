"""What all commands print in the same way: columns, JSON, how far long work is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

from core.plain_text import MAX_SENTENCE_LENGTH, visible
from core.progress import Progress
from core.wording import THIN

SAME = FITS = 0
DIFFERS = 1
TROUBLE = 2
"""Exit statuses, as diff has them."""


class _Watched(Progress):
    """Progress that goes to somebody who watches, as (done, total)."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        super().__init__()
        self._tell = tell

    def report(self, done: int, total: int, what: str = "") -> None:
        """Tell it, and go on."""
        super().report(done, total, what)
        self._tell(done, total)


@contextmanager
def watched(unit: str) -> Iterator[Callable[[int, int], None] | None]:
    """What to call with (done, total) of `unit`, `bytes` for example, to show one line on stderr
    that is gone at the end; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    started = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.1 or done == total:
            last = now
            pace = done / 1e6 / max(now - started, 1e-6)
            percent = done / total if total else 1
            million = "MB/s" if unit == "bytes" else f"million {unit}/s"
            line = f"{done:,} of {total:,} {unit}, {percent:.0%}, {pace:,.0f} {million}"
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def watched_progress(unit: str) -> Iterator[Progress | None]:
    """As `watched`, for work that takes a Progress."""
    with watched(unit) as tell:
        yield None if tell is None else _Watched(tell)


def print_json(document: Mapping[str, object] | Sequence[object]) -> None:
    """One line of JSON."""
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file's names may hold halves of characters, too
        text = json.dumps(document)
    print(text)


WIDEST_CELL = 200
"""Characters of a cell: each row of a table is as wide as its widest. JSON has all of them."""


def say(line: str, *, to: TextIO | None = None) -> None:
    """Print one line in which a file's own words may stand, so that it is one line, of a bounded
    length, without effect on a terminal; thin spaces, which not every terminal has, become plain
    ones. `to` is stdout where none is given."""
    print(_shown(line, MAX_SENTENCE_LENGTH), file=to)


def print_columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table, each column as wide as its widest cell."""
    table = [header, *[[_shown(str(cell), WIDEST_CELL) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _shown(text: str, most: int) -> str:
    return visible(text, most).replace(THIN, " ")
