"""Commands and scripts in processes of their own that need not import the large libraries again.

A child is forked from a process that has imported PyTorch and its like, and nothing of Loupe. What
it runs finds these imported, and is otherwise as alone as in any process.
"""

import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).resolve().parents[1]

_children = get_context("forkserver")
_children.set_forkserver_preload(["tests.preloaded"])


def run_command(
    program: Path, arguments: Sequence[str], environ: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a program that is a Python script, such as `loupe`."""
    modules = [*filter(None, environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path]
    return _run([str(program), *arguments], environ, Path.cwd(), modules)


def run_script(script: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script in its folder, where nothing but installed libraries can be imported."""
    libraries = [path for path in sys.path if Path(path).resolve() != REPOSITORY]
    return _run([str(script)], os.environ, script.parent, libraries)


def _run(
    words: Sequence[str], environ: Mapping[str, str], folder: Path, modules: Sequence[str]
) -> "subprocess.CompletedProcess[str]":
    with tempfile.TemporaryDirectory() as scratch:
        outputs = Path(scratch, "stdout"), Path(scratch, "stderr")
        child = _children.Process(
            target=_run_here, args=(words, dict(environ), folder, modules, outputs)
        )
        child.start()
        child.join(PATIENCE)
        if child.exitcode is None:
            child.kill()
            raise subprocess.TimeoutExpired(list(words), PATIENCE)
        out, err = (path.read_text(encoding="utf-8") for path in outputs)
    return subprocess.CompletedProcess(list(words), child.exitcode, out, err)


def _run_here(
    words: Sequence[str],
    environ: Mapping[str, str],
    folder: Path,
    modules: Sequence[str],
    outputs: tuple[Path, Path],
) -> None:
    os.environ.clear()
    os.environ.update(environ)
    for number, path in enumerate(outputs, 1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    os.chdir(folder)
    sys.argv[:], sys.path[:] = words, modules
    runpy.run_path(words[0], run_name="__main__")
