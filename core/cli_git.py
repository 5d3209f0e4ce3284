"""What git calls: `loupe text FILE` as a textconv, `loupe git-diff ...` as an external diff.

Git stops a whole `git diff` or `git log -p` where such a program fails, so a file that cannot be
read is told of in the output, and the exit status stays 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from core.checkpoint import open_checkpoint
from core.checkpoint.containers.file_set import file_or_set
from core.cli_compare import find, opened, print_found
from core.cli_output import SAME, say
from core.compare.comparison import Choices
from core.compare.report.textconv import text_lines
from core.compare.sides import is_nothing
from core.errors import CheckpointError, LoupeError, printable

CHUNK_BYTES = 1 << 20


def text_command(given: Sequence[str]) -> int:
    """Print a checkpoint as lines; of a file that is none, why, its size and its checksum."""
    parser = argparse.ArgumentParser(
        prog="loupe text",
        description="A checkpoint as lines of text, equal for equal contents: the metadata, and a "
        "line a tensor with its key, dtype, shape and CRC-32. Made for git: "
        "git config diff.loupe.textconv 'loupe text'",
        epilog="exit status: 0, also for a file that is no checkpoint, since git would stop its "
        "diff otherwise; 2 where there is nothing to read",
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a checkpoint, its folder, or its shards' index"
    )
    options = parser.parse_args(given)
    if is_nothing(options.file):
        return SAME
    try:
        for line in text_lines(open_checkpoint(file_or_set(options.file))):
            print(line)
    except CheckpointError as error:
        if not options.file.is_file():
            raise
        nbytes, checksum = _whole_file(options.file)
        problem = str(error).replace(options.file.name, "the file")
        say(f"not read: {problem}")
        print(f"{nbytes:,} bytes  crc32:{checksum:08x}")
    return SAME


def _whole_file(path: Path) -> tuple[int, int]:
    nbytes = checksum = 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            nbytes += len(piece)
            checksum = crc32(piece, checksum)
    return nbytes, checksum


def git_diff_command(given: Sequence[str]) -> int:
    """Compare as git's external diff: path, then file, hex and mode of the old and of the new.

    A rename adds the new path and what git says of it; an unmerged file comes as its path alone
    (git, GIT_EXTERNAL_DIFF).
    """
    parser = argparse.ArgumentParser(
        prog="loupe git-diff",
        description="Git's external diff driver: git config diff.loupe.command 'loupe git-diff'",
        epilog="exit status: 0, since git would stop its diff otherwise",
    )
    parser.add_argument("path", metavar="PATH")
    parser.add_argument("old", nargs="*", metavar="FILE HEX MODE (old, new)")
    options = parser.parse_args(given)
    if not options.old:
        print(printable(f"* Unmerged path {options.path}"))
        return SAME
    if len(options.old) < 6:
        parser.error("git gives seven arguments: PATH, then FILE HEX MODE twice")
    old, _, old_mode, new, _, new_mode, *renamed = options.old
    new_path = renamed[0] if renamed else options.path
    print(printable(f"loupe compare a/{options.path} b/{new_path}"))
    if old_mode != new_mode and "." not in (old_mode, new_mode):
        print(f"mode {old_mode} → {new_mode}")
    try:
        print_found(find(opened(Path(old)), opened(Path(new)), Choices(), numbers=False))
    except LoupeError as error:
        say(f"not compared: {error}")
    print()
    return SAME
