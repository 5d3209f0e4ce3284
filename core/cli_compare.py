"""`loupe compare A B`: what changed between two checkpoints, in the terminal or in a file.

Nothing here imports torch before a number is asked for, or two tensors must be read as elements.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.checkpoint import Checkpoint, StateDict, open_checkpoint
from core.checkpoint.containers.file_set import file_or_set
from core.cli_output import DIFFERS, SAME, print_columns, print_json, say, watched_progress
from core.compare.comparison import Choices, Comparison, PairedBy, Row, State
from core.compare.metadata.metadata_diff import Change, change_words, metadata_changes
from core.compare.numbers.measurability import BY_ITSELF, bytes_to_measure, measurable
from core.compare.numbers.tensor_numbers import ALLCLOSE, Numbers, Tolerance
from core.compare.pairing.pair_entries import pair
from core.compare.report.csv_rows import comparison_csv
from core.compare.report.json_rows import comparison_json
from core.compare.report.stat import stat_lines
from core.compare.rows import compare
from core.compare.same_weights import alike
from core.compare.sides import NOTHING, Side, is_nothing, side
from core.compare.verdict.judgement import verdict
from core.errors import LoupeError, SourceError, printable
from core.wording import tensors

DESCRIPTION = """\
What changed from checkpoint A to checkpoint B: a sentence, then the tensors that differ.

It compares keys, shapes, dtypes and the checksums that torch.save keeps; of files without checksums
the bytes are read. How far the tensors that differ are from each other is measured too, where that
is less than 512 MB to read; --numbers measures whatever the size, and --no-numbers never does, so
that the answer is there at once.
"""

EPILOG = """\
exit status: 0 where both hold the same tensors under the same keys, 1 where anything differs (the
same weights under other keys, or in another dtype, differ), 2 in trouble. With --rtol or --atol,
tensors count as the same whose elements all are within that tolerance, whatever their dtypes; with
--ignore-names, whatever their keys. What is no tensor (epoch, options) is told, and has no effect.
"""


MAX_CHANGES = 20
"""Changes beside the tensors that are printed where not all are asked for."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One of the two, as it is compared; `checkpoint` is None for the null device."""

    side: Side
    state_dict: StateDict
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Found:
    """All that is known of the two; `numbers` is None where they were not taken."""

    a: Opened
    b: Opened
    comparison: Comparison
    numbers: Mapping[str, Numbers] | None
    sentence: str
    metadata: tuple[Change, ...]


def compare_command(given: Sequence[str]) -> int:
    """Run it; returns the exit status."""
    options = _parser().parse_args(given)
    a = opened(options.a, options.state_dict)
    b = opened(options.b, options.state_dict_b or options.state_dict)
    tolerance = _tolerance(options)
    wanted: bool | None = options.numbers
    if wanted is None and (tolerance is not None or options.html is not None):
        wanted = True
    elif wanted is False and tolerance is not None:
        raise LoupeError("--rtol and --atol need the numbers.", "Leave --no-numbers out.")
    found = find(a, b, _choices(options.pair, a, b), tolerance, numbers=wanted)
    close = found.numbers if tolerance is not None else None
    same = alike(found.comparison.rows, close, ignore_names=options.ignore_names)
    measured = ALLCLOSE if found.numbers is not None else None
    _show(found, options, tolerance or measured, same=same)
    return SAME if same else DIFFERS


def opened(path: Path, state_dict: str | None = None) -> Opened:
    """What a path names: a file, a folder, an index, or the null device, which holds nothing.

    Raises LoupeError with the path in its sentence.
    """
    if is_nothing(path):
        return Opened(NOTHING, StateDict(()), None)
    checkpoint = open_checkpoint(file_or_set(path))
    chosen = checkpoint.state_dict(state_dict)
    return Opened(side(checkpoint, chosen), chosen, checkpoint)


def find(
    a: Opened,
    b: Opened,
    choices: Choices,
    tolerance: Tolerance | None = None,
    *,
    numbers: bool | None = None,
) -> Found:
    """Compare the two, telling how far it is where a person watches; `numbers` says whether to
    measure what differs, None: where that is quick."""
    with watched_progress("bytes") as progress:
        pairing = pair(a.state_dict, b.state_dict, choices, progress=progress)
        comparison = compare(a.state_dict, b.state_dict, pairing, progress=progress)
    if numbers is None:
        numbers = 0 < bytes_to_measure(comparison) <= BY_ITSELF
    taken = _numbers(comparison, tolerance or ALLCLOSE) if numbers else None
    metadata = _metadata(a, b)
    return Found(a, b, comparison, taken, _sentence(a, b, comparison, taken), metadata)


def _numbers(comparison: Comparison, tolerance: Tolerance) -> Mapping[str, Numbers]:
    from core.compare.numbers.measure import differences

    pairs = measurable(comparison)
    keys = list(pairs)
    with watched_progress("elements") as progress:
        return {
            keys[index]: found
            for index, found in differences(list(pairs.values()), tolerance, progress=progress)
        }


def _sentence(
    a: Opened, b: Opened, comparison: Comparison, numbers: Mapping[str, Numbers] | None
) -> str:
    nothing = [name for name, one in (("A", a), ("B", b)) if one.checkpoint is None]
    if len(nothing) == 1:
        other = "B" if nothing == ["A"] else "A"
        return (
            f"{nothing[0]} is {NOTHING.name}, which holds nothing: "
            f"{tensors(len(comparison.rows))} only in {other}."
        )
    told = verdict(comparison.rows, numbers, path_a=a.state_dict.path, path_b=b.state_dict.path)
    return told.sentence


def _metadata(a: Opened, b: Opened) -> tuple[Change, ...]:
    """What changed beside the tensors; nothing where one of the two is no file."""
    if a.checkpoint is None or b.checkpoint is None:
        return ()
    return metadata_changes(a.checkpoint.metadata, b.checkpoint.metadata)


def _choices(given: Sequence[str], a: Opened, b: Opened) -> Choices:
    return Choices(accepted=tuple(_pair(text, a, b) for text in given))


def _pair(text: str, a: Opened, b: Opened) -> tuple[str, str]:
    """A_KEY=B_KEY, where a key may have an equals sign of its own."""
    cuts = [index for index, sign in enumerate(text) if sign == "="]
    for cut in cuts:
        key_a, key_b = text[:cut], text[cut + 1 :]
        if key_a in a.state_dict and key_b in b.state_dict:
            return key_a, key_b
    if not cuts:
        raise LoupeError(f"--pair {text} names one key.", "Write --pair KEY_IN_A=KEY_IN_B.")
    key_a, _, key_b = text.partition("=")
    which = f"{key_a} in A" if key_a not in a.state_dict else f"{key_b} in B"
    raise LoupeError(printable(f"--pair: there is no tensor {which}."), "--all lists the keys.")


def _tolerance(options: argparse.Namespace) -> Tolerance | None:
    """What is not given is as torch.allclose has it."""
    if options.rtol is None and options.atol is None:
        return None
    given = Tolerance(
        ALLCLOSE.rtol if options.rtol is None else options.rtol,
        ALLCLOSE.atol if options.atol is None else options.atol,
    )
    if not (given.rtol >= 0 and given.atol >= 0):
        raise LoupeError("A tolerance is a number from 0 on.", "Correct --rtol or --atol.")
    return given


def _show(
    found: Found, options: argparse.Namespace, tolerance: Tolerance | None, *, same: bool
) -> None:
    comparison, numbers = found.comparison, found.numbers
    if options.json:
        document = comparison_json(
            comparison, found.a.side, found.b.side,
            sentence=found.sentence, same=same, numbers=numbers, tolerance=tolerance,
            metadata=found.metadata,
        )  # fmt: skip
        print_json(document)
    elif options.csv:
        print(comparison_csv(_listed(comparison, every=options.all), numbers or {}), end="")
    elif options.stat:
        for line in stat_lines(comparison, numbers):
            say(line)
    elif options.html is not None:
        _write_report(found, tolerance, options.html)
        say(found.sentence)
        print(f"The report is in {options.html}.")
    else:
        print_found(found, every=options.all)


def print_found(found: Found, *, every: bool = False) -> None:
    """The sentence, both files, the rows that differ (all where `every`), what else is known."""
    comparison = found.comparison
    say(found.sentence)
    print()
    print_columns(
        ("", "file", "format", "bytes", "state_dict", "tensors", "parameters"),
        [_facts(name, one.side) for name, one in (("A", found.a), ("B", found.b))],
    )
    listed = _listed(comparison, every=every)
    if listed:
        print()
        print_columns(*_table(listed, found.numbers))
    print(f"\n{_counted(comparison, every=every)}")
    shown = found.metadata if every else found.metadata[:MAX_CHANGES]
    if shown:
        print("\nbeside the tensors")
        print_columns(*_changes(shown))
    if len(shown) < len(found.metadata):
        print(f"{len(found.metadata) - len(shown):,} more changes (--all lists them)")
    for note in _notes(found):
        say(f"note: {note}")


def _changes(changes: Sequence[Change]) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    return ("what", "change"), [(".".join(one.path), change_words(one)) for one in changes]


def _facts(name: str, one: Side) -> tuple[str, ...]:
    return (
        name,
        one.name,
        one.format,
        f"{one.size:,}",
        one.state_dict or "(the file itself)",
        f"{one.tensors:,}",
        f"{one.parameters:,}",
    )


def _listed(comparison: Comparison, *, every: bool) -> list[Row]:
    return [row for row in comparison.rows if every or row.state is not State.SAME]


def _table(
    rows: Sequence[Row], numbers: Mapping[str, Numbers] | None
) -> tuple[list[str], list[list[str]]]:
    """Header and rows; columns that have nothing to tell are left out."""
    header = ["state", "key", "shape", "dtype", "evidence", "pair", "note"]
    table = [
        [
            str(row.state),
            _keys(row),
            _both(_shape(row.a.shape) if row.a else "", _shape(row.b.shape) if row.b else ""),
            _both(row.a.dtype if row.a else "", row.b.dtype if row.b else ""),
            str(row.evidence),
            _paired(row),
            row.note,
        ]
        for row in rows
    ]
    if numbers:
        header[5:5] = ["max |Δ|", "relative L2", "cosine", "changed"]
        for row, cells in zip(rows, table, strict=True):
            cells[5:5] = _told(numbers.get(row.key))
    filled = [column for column in range(len(header)) if any(cells[column] for cells in table)]
    return [header[column] for column in filled], [
        [cells[column] for column in filled] for cells in table
    ]


def _keys(row: Row) -> str:
    return _both(row.key_a or "", row.key_b or "")


def _both(a: str, b: str) -> str:
    return f"{a} → {b}" if a and b and a != b else a or b


def _shape(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes)) or "scalar"


def _paired(row: Row) -> str:
    if row.pair is None or row.pair.by is PairedBy.NAME:
        return ""
    if row.pair.by in (PairedBy.PREFIX, PairedBy.HAND):
        return str(row.pair.by)
    why = f": {row.pair.why}" if row.pair.why else ""
    return f"{row.pair.by} ({row.pair.confidence:.0%}){why}"


def _told(found: Numbers | None) -> list[str]:
    if found is None:
        return [""] * 4
    cosine = "" if found.cosine is None else f"{found.cosine:.6f}"
    share = f"{found.changed_share:.1%}"
    return [f"{found.max_abs:.3g}", f"{found.relative_l2:.3g}", cosine, share]


def _counted(comparison: Comparison, *, every: bool) -> str:
    told = [f"{count:,} {state}" for state, count in comparison.counts.items() if count]
    hidden = comparison.counts[State.SAME] and not every
    return (", ".join(told) or "no tensor") + (" (--all lists these too)" if hidden else "")


def _notes(found: Found) -> Iterable[str]:
    pairing = found.comparison.pairing
    for name, prefix in (("A", pairing.strip_a), ("B", pairing.strip_b)):
        if prefix:
            yield f"The keys of {name} pair once {prefix} is taken off: the names differ."
    yield from found.comparison.notes
    for name, one in (("A", found.a.side), ("B", found.b.side)):
        if one.others:
            others = ", ".join(path or "(the file itself)" for path in one.others)
            yield f"{name} holds other state_dicts too, which were not compared: {others}."
        yield from (f"{name}: {note}" for note in one.notes)


def _write_report(found: Found, tolerance: Tolerance | None, path: Path) -> None:
    """Write it under a temporary name, then rename. Raises LoupeError where there is no way to."""
    from core.compare.report.html_report import report_html

    pieces = report_html(
        found.comparison, found.a.side, found.b.side,
        sentence=found.sentence, numbers=found.numbers, tolerance=tolerance,
        metadata=found.metadata, notes=tuple(_notes(found)),
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loupe compare",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("a", "b"):
        parser.add_argument(
            name,
            type=Path,
            metavar=name.upper(),
            help="a checkpoint, its folder, its shards' index, or /dev/null for nothing",
        )
    parser.add_argument(
        "--state-dict", metavar="PATH", help="the state_dict to take of both (the best ones)"
    )
    parser.add_argument("--state-dict-b", metavar="PATH", help="another one to take of B")
    parser.add_argument(
        "--numbers",
        action=argparse.BooleanOptionalAction,
        help="measure what differs, whatever the size, or never; --html, --rtol and --atol measure",
    )
    for name, default in (("rtol", ALLCLOSE.rtol), ("atol", ALLCLOSE.atol)):
        parser.add_argument(
            f"--{name}",
            type=float,
            metavar=name[0].upper(),
            help=f"elements are the same where |a - b| ≤ atol + rtol · |b| ({default:g} once "
            "the other is given)",
        )
    parser.add_argument(
        "--ignore-names", action="store_true", help="other keys do not make a difference"
    )
    parser.add_argument(
        "--pair",
        action="append",
        default=[],
        metavar="A_KEY=B_KEY",
        help="let these two stand together; may be repeated",
    )
    parser.add_argument("--all", action="store_true", help="list the tensors that are the same too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document, for programs")
    form.add_argument("--csv", action="store_true", help="print the rows as CSV")
    form.add_argument(
        "--stat", action="store_true", help="print a line a block, as git diff --stat does"
    )
    form.add_argument(
        "--html", type=Path, metavar="FILE", help="write a report that needs nothing but a browser"
    )
    return parser
