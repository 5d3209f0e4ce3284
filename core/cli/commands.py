"""What `loupe` runs: the command that its first argument names, else the app.

Exit status: 0, 1 (the checkpoint does not fit, is damaged, differs, or is less right than asked), 2
(an error: one sentence on stderr). `loupe inspect` and `loupe identify` import no torch, nor do
`loupe compare` without numbers and `loupe fit` for an architecture that the index knows.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from core.checkpoint.containers import raise_limit
from core.cli.output import TROUBLE, say
from core.errors import LoupeError, SourceError, shown

COMMANDS: Mapping[str, str] = {
    "inspect": "inspect",
    "identify": "identify",
    "fit": "fit",
    "fix": "fix",
    "predict": "predict",
    "explain": "image_commands.explain",
    "evaluate": "image_commands.evaluate",
    "compare": "compare",
    "text": "git",
    "git-diff": "git",
}
"""The commands, each with the module in this package that adds its parser. Only the module of the
command that runs is imported: those of all take as long as opening a small file."""

MOST_FILES = 8
"""The most checkpoints that the app is started with: those of one run."""

APP = Path(__file__).resolve().parents[2] / "app.py"

USAGE = """\
loupe [FILE ...] [--port PORT] [--address ADDRESS]
       loupe COMMAND ..."""

DESCRIPTION = """\
Without a command, start the app. Its pages open the first file as A and the second as B; up to
eight files are a run on the Compare page.
"""


def dispatch(given: Sequence[str]) -> int:
    """Run the command of these arguments; returns the exit status."""
    # Python has None for what is closed from the start (`>&-`): what is written there is lost.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that stdout's encoding lacks is printed as an escape, not an error.
        sys.stdout.reconfigure(errors="backslashreplace")
    raise_limit()
    try:
        options = _parsed(given)
        status: int = options.run(options)
        return status
    except LoupeError as error:
        say(f"loupe: {error}", to=sys.stderr)
        return TROUBLE
    except BrokenPipeError:
        # The reader of stdout is gone. Python would fail once more when it flushes at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    except OSError as error:
        problem = f"{error.strerror}."
        if error.filename:
            place = shown(str(error.filename))
            problem = f"{place} cannot be reached: {problem} Check the path and its permissions."
        say(f"loupe: {problem}", to=sys.stderr)
        return TROUBLE


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    """The options of a command, and its function `run`.

    argparse exits if they are wrong, and after `--help`.
    """
    app = argparse.ArgumentParser(prog="loupe", usage=USAGE, add_help=False)
    app.add_argument("--port", type=int, default=8501, help="the app's port (8501)")
    app.add_argument("--address", default="127.0.0.1", help="the app's address (127.0.0.1)")
    loupe = argparse.ArgumentParser(
        prog="loupe",
        usage=USAGE,
        description=DESCRIPTION,
        epilog="`loupe COMMAND --help` lists the options of a command.",
        parents=[app],
    )
    commands = loupe.add_subparsers(prog="loupe", title="commands", metavar="COMMAND")
    is_command = bool(given) and given[0] in COMMANDS
    for module in dict.fromkeys([COMMANDS[given[0]]] if is_command else COMMANDS.values()):
        import_module(f"core.cli.{module}").add_parser(commands)
    if is_command:
        # Not by the tree's parse_args: its errors begin with `loupe:`, not with the command.
        return commands.choices[given[0]].parse_args(given[1:])
    # A file of any name may follow an option, so the app's parser knows no commands.
    app.add_argument("files", nargs="*", type=Path)
    app.add_argument("-h", "--help", action="store_true")
    app.set_defaults(run=_start_app, error=app.error)
    options = app.parse_args(given)
    if options.help:
        loupe.print_help()
        loupe.exit()
    return options


def _start_app(options: argparse.Namespace) -> int:
    if len(options.files) > MOST_FILES:
        options.error(f"at most {MOST_FILES} files")
    for file in options.files:
        if not file.exists():
            raise SourceError(f"There is no file {file}.", "Check the path.")
    environ = dict(os.environ)
    if options.files:
        from core.server import paths_setting

        environ["LOUPE_BENCH"] = paths_setting(map(Path.absolute, options.files))
    import subprocess

    print(f"Loupe is starting at http://{options.address}:{options.port}", flush=True)
    return subprocess.call(
        [
            *(sys.executable, "-m", "streamlit", "run", str(APP)),
            *("--server.address", options.address, "--server.port", str(options.port)),
            *("--server.headless", "true"),
        ],
        env=environ,
        cwd=APP.parent,
    )
