"""What git calls: `loupe text FILE` as a textconv, `loupe git-diff ...` as an external diff.

Git stops a whole `git diff` or `git log -p` if such a program fails. So a file that cannot be read
is reported in the output, and the exit status stays 0.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from core.checkpoint import open_checkpoint
from core.checkpoint.containers import file_or_set
from core.cli.options import file_parent
from core.cli.output import SAME, say, warn_of
from core.errors import CheckpointError, LoupeError, printable
from core.wording import counted

if TYPE_CHECKING:
    from core.cli.options import Commands

CHUNK_BYTES = 1 << 20


def add_parser(commands: Commands) -> None:
    """Add the two commands."""
    text = commands.add_parser(
        "text",
        parents=[file_parent()],
        help="a checkpoint as lines of text, for git's textconv",
        description="A checkpoint as lines of text, equal for equal contents: what it would have "
        "run elsewhere, the metadata, and a line for each tensor with its key, dtype, shape and "
        "CRC-32. Made for git: "
        "git config diff.loupe.textconv 'loupe text'",
        epilog="exit status: 0, also for a file that is not a checkpoint, since git would stop its "
        "diff otherwise; 2 if there is nothing to read",
    )
    text.set_defaults(run=_text)
    git_diff = commands.add_parser(
        "git-diff",
        help="what changed between two checkpoints, as git's external diff",
        description="Git's external diff driver: git config diff.loupe.command 'loupe git-diff'",
        epilog="exit status: 0, since git would stop its diff otherwise",
    )
    git_diff.add_argument("path", metavar="PATH")
    git_diff.add_argument("versions", nargs="*", metavar="FILE HEX MODE (old, new)")
    git_diff.set_defaults(run=_git_diff, error=git_diff.error)


def _text(options: argparse.Namespace) -> int:
    """Print a checkpoint as lines; for another file, why it is none, its size and its CRC-32."""
    from core.compare import is_nothing
    from core.compare.texts import text_lines

    if is_nothing(options.file):
        return SAME
    try:
        checkpoint = open_checkpoint(file_or_set(options.file))
        # The lines have no file name, so that equal contents give equal lines.
        warn_of(replace(checkpoint, name="The file"), aside=False)
        for line in text_lines(checkpoint):
            print(line)
    except CheckpointError as error:
        if not options.file.is_file():
            raise
        nbytes, checksum = _size_and_crc32(options.file)
        problem = str(error).replace(options.file.name, "the file")
        say(f"not read: {problem}")
        say(f"{counted(nbytes, 'byte')}  crc32:{checksum:08x}")
    return SAME


def _size_and_crc32(path: Path) -> tuple[int, int]:
    nbytes = checksum = 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            nbytes += len(piece)
            checksum = crc32(piece, checksum)
    return nbytes, checksum


def _git_diff(options: argparse.Namespace) -> int:
    """Compare as git's external diff: PATH, then FILE HEX MODE of the old and of the new version.

    A rename adds the new path and git's message; an unmerged file has its path alone
    (GIT_EXTERNAL_DIFF in git's manual).
    """
    if not options.versions:
        print(printable(f"* Unmerged path {options.path}"))
        return SAME
    if len(options.versions) < 6:
        options.error("git gives seven arguments: PATH, then FILE HEX MODE twice")
    old, _, old_mode, new, _, new_mode, *renamed = options.versions
    new_path = renamed[0] if renamed else options.path
    print(printable(f"loupe compare a/{options.path} b/{new_path}"))
    if old_mode != new_mode and "." not in (old_mode, new_mode):
        print(f"mode {old_mode} → {new_mode}")
    _print_comparison(Path(old), Path(new))
    print()
    return SAME


def _print_comparison(old: Path, new: Path) -> None:
    from core.cli.compare_output import print_compared
    from core.cli.compared import compare_opened, open_sides
    from core.compare import Choices

    try:
        a, b = open_sides(old, new, aside=False)
        print_compared(compare_opened(a, b, Choices(), numbers=False))
    except LoupeError as error:
        say(f"not compared: {error}")
