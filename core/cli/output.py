"""Prints what all commands print in the same way: lines, tables, JSON, progress."""

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
"""Exit statuses, the same as diff's."""


class _ShownProgress(Progress):
    """A Progress that also calls a function with (done, total)."""

    def __init__(self, show: Callable[[int, int], None]) -> None:
        super().__init__()
        self._show = show

    def report(self, done: int, total: int, what: str = "") -> None:
        """Report the progress, and show it."""
        super().report(done, total, what)
        self._show(done, total)


@contextmanager
def watched(unit: str) -> Iterator[Callable[[int, int], None] | None]:
    """A function of (done, total) that shows progress as one line on stderr; None if no terminal.

    `unit` is what is counted, such as `bytes`. The line is erased at the end.
    """
    if not sys.stderr.isatty():
        yield None
        return
    started = last = time.monotonic()

    def show(done: int, total: int) -> None:
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
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def watched_progress(unit: str) -> Iterator[Progress | None]:
    """The same as `watched`, for work that takes a Progress."""
    with watched(unit) as show:
        yield None if show is None else _ShownProgress(show)


def print_json(document: Mapping[str, object] | Sequence[object]) -> None:
    """Print a document as one line of JSON."""
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # A file's keys may also contain half characters (surrogates).
        text = json.dumps(document)
    print(text)


WIDEST_CELL = 200
"""The most characters of a cell: one long cell would widen every row. JSON has all of them."""


def say(line: str, *, to: TextIO | None = None) -> None:
    """Print a line that may contain a file's own texts, to stdout or to `to`.

    It stays one line of bounded length without control characters; thin spaces, which not every
    terminal shows, become plain ones.
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


def _shown(text: str, most: int) -> str:
    return visible(text, most).replace(THIN, " ")
