"""Runs `loupe` as a user does."""

import os
import subprocess
import sys
from pathlib import Path

from tests.prepared import run_command

LOUPE = Path(sys.executable).with_name("loupe")


def loupe(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """What the command printed, and its exit status. `environ` goes over the test's own."""
    return run_command(LOUPE, [*map(str, arguments)], {**os.environ, **environ})
