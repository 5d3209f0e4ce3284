"""Prints a comparison: a sentence and tables, JSON, CSV, a line for each block, or a report."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from core.cli.compared import Compared
from core.cli.output import key_cell, print_columns, print_json, print_verification, say
from core.compare import (
    ChangeShares,
    Comparison,
    Numbers,
    PairedBy,
    Row,
    Side,
    State,
    Tolerance,
    change_shares,
)
from core.compare.metadata import MetadataChange, change_words
from core.compare.texts import comparison_csv, comparison_json, same_words, stat_lines
from core.errors import SourceError
from core.wording import are, cosine, count, percent, place_in_file, share_text, small, tensors
from core.wording import shape as shape_words

MAX_CHANGES = 20
"""The most changes besides the tensors that are printed without --all."""


def show(
    compared: Compared, options: argparse.Namespace, tolerance: Tolerance | None, *, same: bool
) -> None:
    """Print the comparison in the form that the options name, or write the report.

    `same` is for JSON, and `tolerance` is that of the numbers, if they were measured.
    """
    comparison, numbers = compared.comparison, compared.numbers
    if options.json:
        document = comparison_json(
            comparison, compared.a.side, compared.b.side,
            sentence=compared.sentence, same=same, numbers=numbers, tolerance=tolerance,
            metadata=compared.metadata, beside=compared.beside, others=compared.others,
        )  # fmt: skip
        verified = {side: asdict(result) for side, result in (compared.verifications or {}).items()}
        print_json({**document, "verification": verified} if verified else document)
    elif options.csv:
        rows = _listed(comparison, every=options.all)
        shares = change_shares(comparison.rows, numbers).shares if numbers else {}
        print(comparison_csv(rows, numbers or {}, shares), end="")
    elif options.stat:
        for line in stat_lines(comparison, numbers):
            say(line)
        _print_verifications(compared)
    elif options.html is not None:
        _write_report(compared, tolerance, options.html)
        say(compared.sentence)
        print(f"The report is in {options.html}.")
        _print_verifications(compared)
    else:
        print_compared(compared, every=options.all)


def print_compared(compared: Compared, *, every: bool = False) -> None:
    """Print the sentence, both files, the rows that differ (`every`: all rows), and the notes.

    Where the rows were measured, those with the largest share of the change come first.
    """
    comparison = compared.comparison
    say(compared.sentence)
    print()
    print_columns(
        ("", "file", "format", "bytes", "state_dict", "tensors", "parameters"),
        [_facts("A", compared.a.side), _facts("B", compared.b.side)],
    )
    listed = _listed(comparison, every=every)
    if listed:
        print()
        shares = change_shares(comparison.rows, compared.numbers) if compared.numbers else None
        print_columns(
            *_table(shares.ordered(listed) if shares else listed, compared.numbers, shares)
        )
    print()
    say(_counted(comparison, every=every))
    shown = compared.metadata if every else compared.metadata[:MAX_CHANGES]
    if shown:
        print("\nbesides the tensors")
        print_columns(*_changes(shown))
    if len(shown) < len(compared.metadata):
        say(f"{count(len(compared.metadata) - len(shown))} more changes (--all lists them)")
    for note in _notes(compared):
        say(f"note: {note}")
    _print_verifications(compared)


def _print_verifications(compared: Compared) -> None:
    for side, verification in (compared.verifications or {}).items():
        print()
        print_verification(verification, side)


def _changes(changes: Sequence[MetadataChange]) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    return ("what", "change"), [(".".join(change.path), change_words(change)) for change in changes]


def _facts(slot: str, side: Side) -> tuple[str, ...]:
    return (
        slot,
        side.name,
        side.format,
        count(side.size),
        place_in_file(side.state_dict),
        count(side.tensors),
        count(side.parameters),
    )


def _listed(comparison: Comparison, *, every: bool) -> list[Row]:
    return [row for row in comparison.rows if every or row.state is not State.SAME or row.damaged]


def _table(
    rows: Sequence[Row], numbers: Mapping[str, Numbers] | None, shares: ChangeShares | None
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, without empty columns."""
    header = ["state", "key", "shape", "dtype", "evidence", "pair", "note"]
    table = [
        [
            str(row.state),
            _keys(row),
            _both(
                shape_words(row.a.shape) if row.a else "", shape_words(row.b.shape) if row.b else ""
            ),
            _both(row.a.dtype if row.a else "", row.b.dtype if row.b else ""),
            str(row.evidence),
            _paired(row),
            row.note,
        ]
        for row in rows
    ]
    if numbers and shares:
        header[5:5] = ["Δ share", "max |Δ|", "relative L2", "cosine", "changed", "sign flips"]
        for row, cells in zip(rows, table, strict=True):
            share = shares.shares.get(row.key)
            cells[5:5] = [
                "" if share is None or row.key not in numbers else share_text(share),
                *_number_cells(numbers.get(row.key)),
            ]
    filled = [column for column in range(len(header)) if any(cells[column] for cells in table)]
    return [header[column] for column in filled], [
        [cells[column] for column in filled] for cells in table
    ]


def _keys(row: Row) -> str:
    return _both(key_cell(row.key_a or ""), key_cell(row.key_b or ""))


def _both(a: str, b: str) -> str:
    return f"{a} → {b}" if a and b and a != b else a or b


def _paired(row: Row) -> str:
    if row.pair is None or row.pair.by is PairedBy.NAME:
        return ""
    if row.pair.by in (PairedBy.PREFIX, PairedBy.HAND):
        return str(row.pair.by)
    why = f": {row.pair.why}" if row.pair.why else ""
    return f"{row.pair.by} ({percent(row.pair.confidence)}){why}"


def _number_cells(numbers: Numbers | None) -> list[str]:
    if numbers is None:
        return [""] * 5
    return [
        small(numbers.max_abs, 3),
        small(numbers.relative_l2, 3),
        "" if numbers.cosine is None else cosine(numbers.cosine),
        percent(numbers.changed_share, decimal=True),
        share_text(numbers.sign_flips / numbers.count) if numbers.count else "",
    ]


def _counted(comparison: Comparison, *, every: bool) -> str:
    counts = [
        same_words(comparison) if state is State.SAME else f"{count(rows)} {state}"
        for state, rows in comparison.counts.items()
        if rows
    ]
    hidden = comparison.counts[State.SAME] and not every
    return (", ".join(counts) or "no tensor") + (
        " (--all also lists what is the same)" if hidden else ""
    )


def _notes(compared: Compared) -> Iterable[str]:
    pairing = compared.comparison.pairing
    for name, prefix in (("A", pairing.strip_a), ("B", pairing.strip_b)):
        if prefix:
            yield f"The keys of {name} pair without their prefix `{prefix}`: the names differ."
    yield from compared.comparison.notes
    unread = sum(row.by_checksum for row in compared.comparison.rows)
    if unread:
        yield (
            f"No byte was read of the {tensors(unread)} that {are(unread)} the same by checksum. "
            "`loupe compare --verify` reads and compares them."
        )
    for other in compared.others:
        yield f"The other state_dict {place_in_file(other.path)}: {other.sentence}."
    for name, side in (("A", compared.a.side), ("B", compared.b.side)):
        yield from (f"{name}: {note}" for note in side.notes)


def _write_report(compared: Compared, tolerance: Tolerance | None, path: Path) -> None:
    """Write the report under a temporary name, then rename it. Raises LoupeError."""
    from core.compare.report import report_html

    pieces = report_html(
        compared.comparison, compared.a.side, compared.b.side,
        sentence=compared.sentence, numbers=compared.numbers, tolerance=tolerance,
        metadata=compared.metadata, notes=tuple(_notes(compared)),
    )  # fmt: skip
    if path.is_dir():
        raise SourceError(f"{path} is a folder.", "Give the report a file's name.")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with partial.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(pieces)
        partial.replace(path)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be written: {error.strerror}.", "Choose another place for the report."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
