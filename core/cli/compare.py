"""`loupe compare A B`: what changed between two checkpoints, in the terminal or in a file.

Nothing here imports torch before a number is asked for, or two tensors must be read as elements.
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
    _add_pairing(parser)
    _add_forms(parser)
    parser.set_defaults(run=_compare)


def _add_sides(parser: argparse.ArgumentParser) -> None:
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


def _add_measures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--numbers",
        action=argparse.BooleanOptionalAction,
        help="measure what differs, whatever the size, or never; --html, --rtol and --atol measure",
    )
    # ALLCLOSE's own, written out: importing the comparison for them would slow every command.
    for name, default in (("rtol", "1e-05"), ("atol", "1e-08")):
        parser.add_argument(
            f"--{name}",
            type=float,
            metavar=name[0].upper(),
            help=f"elements are the same where |a - b| ≤ atol + rtol · |b| ({default} once "
            "the other is given)",
        )


def _add_pairing(parser: argparse.ArgumentParser) -> None:
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


def _add_forms(parser: argparse.ArgumentParser) -> None:
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


def _compare(options: argparse.Namespace) -> int:
    from core.cli.compare_output import show
    from core.cli.compared import compare_opened, opened
    from core.compare import ALLCLOSE, alike

    a = opened(options.a, options.state_dict)
    b = opened(options.b, options.state_dict_b or options.state_dict)
    tolerance = _tolerance(options)
    numbers = _numbers_wanted(options, tolerance)
    compared = compare_opened(a, b, _choices(options.pair, a, b), tolerance, numbers=numbers)
    close = compared.numbers if tolerance is not None else None
    same = alike(compared.comparison.rows, close, ignore_names=options.ignore_names)
    measured = ALLCLOSE if compared.numbers is not None else None
    show(compared, options, tolerance or measured, same=same)
    return SAME if same else DIFFERS


def _numbers_wanted(options: argparse.Namespace, tolerance: Tolerance | None) -> bool | None:
    """Whether to measure what differs; None: where that is quick."""
    wanted: bool | None = options.numbers
    if wanted is False and tolerance is not None:
        raise LoupeError("--rtol and --atol need the numbers.", "Leave --no-numbers out.")
    if wanted is None and (tolerance is not None or options.html is not None):
        return True
    return wanted


def _choices(given: Sequence[str], a: Opened, b: Opened) -> Choices:
    from core.compare import Choices

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
    """The tolerance of the options, each as in torch.allclose where only the other is given; None
    without either."""
    from core.compare import ALLCLOSE, Tolerance

    if options.rtol is None and options.atol is None:
        return None
    given = Tolerance(
        ALLCLOSE.rtol if options.rtol is None else options.rtol,
        ALLCLOSE.atol if options.atol is None else options.atol,
    )
    if not (given.rtol >= 0 and given.atol >= 0):
        raise LoupeError("A tolerance is a number from 0 on.", "Correct --rtol or --atol.")
    return given
