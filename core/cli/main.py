"""What the script `loupe` calls: runs the command line, and ends with a line at Ctrl-C.

It imports the commands inside of its `try`, so that a Ctrl-C while Python loads them is no
traceback either.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended, as a shell gives it: 128 + SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        from core.fast_objects import paused_collector

        # Imports make many objects and no garbage: with the collector on, they take a quarter
        # longer.
        with paused_collector():
            from core.cli.commands import dispatch

        return dispatch(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("loupe: stopped.", file=sys.stderr)
        return INTERRUPTED
