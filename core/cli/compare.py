"""`loupe compare A B`: what changed between two checkpoints, in the terminal or in a file.

It imports torch only for elements that numpy cannot read, and Numba only to measure large files.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.output import DIFFERS, SAME
from core.errors import LoupeError, printable

if TYPE_CHECKING:
    from core.cli.compared import Opened
    from core.cli.options import Commands
    from core.compare import Choices, Tolerance

DESCRIPTION = """\
What changed from checkpoint A to checkpoint B: a sentence, then the tensors that differ.

It compares keys, shapes, dtypes and bytes. In files with more than 64 MB of tensors, the checksums
that torch.save keeps stand for the bytes: what is equal is then "the same by checksum", unread.
--verify reads all of both files, and reports what is damaged. How far the tensors differ is
measured too, if that takes less than 512 MB to read. --numbers always measures and reads;
--no-numbers never measures, so that the answer comes at once.
"""

EPILOG = """\
exit status: 0 if both contain the same tensors under the same keys, 1 if anything differs (the same
weights under other keys, or in another dtype, differ) or was found to be damaged, 2 on an error.
Tensors that are the same by checksum count as the same; --verify reads them. With --rtol or --atol,
tensors count as the same if all their elements are within that tolerance, whatever their dtypes;
with --ignore-names, whatever their keys. Numpy arrays beside the tensors count as tensors do. Other
changes besides the tensors (epoch, options, the other state_dicts) are reported and do not count.
"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="what changed between two checkpoints",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_sides(parser)
    _add_measures(parser)
    _add_reading(parser)
    _add_pairing(parser)
    _add_forms(parser)
    parser.set_defaults(run=_compare)


def _add_sides(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(
            name,
            type=Path,
            metavar=name.upper(),
            help="a checkpoint, its folder, the .index.json of its shards, or /dev/null for no "
            "tensors",
        )
    parser.add_argument(
        "--state-dict", metavar="PATH", help="the state_dict in both files (default: the best ones)"
    )
    parser.add_argument("--state-dict-b", metavar="PATH", help="the state_dict in B, if it differs")


def _add_measures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--numbers",
        action=argparse.BooleanOptionalAction,
        help="measure what differs always, or never; --html, --rtol and --atol always measure",
    )
    # ALLCLOSE's values, repeated here: importing core.compare for them would slow every command.
    for name, default in (("rtol", "1e-05"), ("atol", "1e-08")):
        parser.add_argument(
            f"--{name}",
            type=float,
            metavar=name[0].upper(),
            help=f"elements are the same if |a - b| ≤ atol + rtol · |b| (default: {default} if "
            "only the other is given)",
        )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read all of both files: compare the bytes, and check the files' checksums",
    )


def _add_pairing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ignore-names", action="store_true", help="tensors under other keys count as the same"
    )
    parser.add_argument(
        "--pair",
        action="append",
        default=[],
        metavar="A_KEY=B_KEY",
        help="pair these two tensors; may be repeated",
    )


def _add_forms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="list the tensors that are the same too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document, for programs")
    form.add_argument("--csv", action="store_true", help="print the rows as CSV")
    form.add_argument(
        "--stat", action="store_true", help="print a line for each block, like git diff --stat"
    )
    form.add_argument(
        "--html", type=Path, metavar="FILE", help="write a report that needs only a browser"
    )


def _compare(options: argparse.Namespace) -> int:
    from core.cli.compare_output import show
    from core.cli.compared import compare_opened, open_sides
    from core.compare import ALLCLOSE

    a, b = open_sides(
        options.a,
        options.b,
        options.state_dict,
        options.state_dict_b or options.state_dict,
        aside=options.json or options.csv,
    )
    tolerance = _tolerance(options)
    numbers = _numbers_wanted(options, tolerance)
    choices = _choices(options.pair, a, b)
    compared = compare_opened(a, b, choices, tolerance, numbers=numbers, verify=options.verify)
    same = compared.same(tolerated=tolerance is not None, ignore_names=options.ignore_names)
    measured = ALLCLOSE if compared.numbers is not None else None
    show(compared, options, tolerance or measured, same=same)
    return SAME if same else DIFFERS


def _numbers_wanted(options: argparse.Namespace, tolerance: Tolerance | None) -> bool | None:
    """Whether to measure what differs; None: if that is quick."""
    wanted: bool | None = options.numbers
    if wanted is False and tolerance is not None:
        raise LoupeError("--rtol and --atol need the numbers.", "Remove --no-numbers.")
    if wanted is None and (tolerance is not None or options.html is not None):
        return True
    return wanted


def _choices(given: Sequence[str], a: Opened, b: Opened) -> Choices:
    from core.compare import Choices

    return Choices(accepted=tuple(_pair(text, a, b) for text in given))


def _pair(text: str, a: Opened, b: Opened) -> tuple[str, str]:
    """The two keys of A_KEY=B_KEY; a key may contain an equals sign itself."""
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
    """The tolerance of the options; None without --rtol and --atol.

    If only one is given, the other is torch.allclose's.
    """
    from core.compare import ALLCLOSE, Tolerance

    if options.rtol is None and options.atol is None:
        return None
    given = Tolerance(
        ALLCLOSE.rtol if options.rtol is None else options.rtol,
        ALLCLOSE.atol if options.atol is None else options.atol,
    )
    if not (given.rtol >= 0 and given.atol >= 0):
        raise LoupeError("A tolerance is a number of at least 0.", "Correct --rtol or --atol.")
    return given
