"""Open each hostile file in this process, watched, and print a line of JSON for each.

`python -m tests.core.checkpoint.watched_open [WORDS]` in an empty folder; WORDS choose the files
that have them in their names.
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peak_memory import peak, reset_peak
from core.checkpoint import open_checkpoint
from core.errors import LoupeError
from tests.bounds import SECONDS, too_many_calls
from tests.core.checkpoint.files_by_hand import CANARY_MODULE, zip_file
from tests.core.checkpoint.hostile_containers import Hostile
from tests.core.checkpoint.hostile_files import hostile_files

ROOM = 1 << 30
"""Bytes of address space that a file may take before it is stopped, to spare the machine."""


SCRATCH = "scratch"
"""The folder in which room may be made for what is unpacked."""


def main(words: str) -> None:
    """Warm up on a sound file, then open all."""
    folder = Path.cwd()
    (folder / f"{CANARY_MODULE}.py").write_text("open('loupe-canary', 'w').close()\n")
    sys.path.insert(0, str(folder))
    path = folder / "file"
    (folder / SCRATCH).mkdir()
    path.write_bytes(zip_file(b"N."))
    with contextlib.suppress(LoupeError):
        open_checkpoint(path)
    events: list[tuple[str, str]] = []

    def hook(event: str, given: tuple[object, ...]) -> None:
        if event != "builtins.id" and not _is_harmless(event, given, str(path)):
            events.append((event, repr(given)[:300]))

    sys.addaudithook(hook)
    for name, hostile in hostile_files().items():
        if words in name:
            _write(path, hostile.make())
            print(json.dumps({"name": name, **_watched(path, hostile, events)}), flush=True)


def _write(path: Path, contents: bytes | Mapping[str, bytes]) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    if isinstance(contents, bytes):
        path.write_bytes(contents)
        return
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)


def _watched(path: Path, hostile: Hostile, events: list[tuple[str, str]]) -> dict[str, object]:
    gc.collect()
    _trim()
    modules, files = set(sys.modules), set(os.listdir())
    before = reset_peak()
    with _limited_memory():
        started = time.process_time()
        events.clear()
        outcome = _outcome(path)
        seen = list(events)
        seconds = time.process_time() - started
    return {
        **outcome,
        "seconds": round(seconds, 3),
        "too many calls": seconds > SECONDS and too_many_calls(lambda: _outcome(path)),
        "grown": peak() - before,
        "events": list(dict(seen).items()),
        "modules": sorted(set(sys.modules) - modules),
        "files": sorted(set(os.listdir()) - files),
    }


def _outcome(path: Path) -> dict[str, object]:
    try:
        checkpoint = open_checkpoint(path, scratch=path.with_name(SCRATCH))
    except LoupeError as error:
        return {"opened": False, "problem": error.problem, "remedy": error.remedy}
    except BaseException as error:
        return {"opened": False, "crash": f"{type(error).__name__}: {error}"[:500]}
    return {
        "opened": True,
        "notes": checkpoint.notes,
        "keys": list(checkpoint.state_dict())[:3],
        "globals": {use.name: str(use.verdict) for use in checkpoint.globals[:200]},
        "where": {use.name: use.where for use in checkpoint.globals[:200]},
    }


def _is_harmless(event: str, given: tuple[object, ...], path: str) -> bool:
    """Whether the event is that the file itself is read, or room for what is packed in it is made
    in the folder that was given for this, or that one of our own objects becomes frozen."""
    if event == "open":
        name, flags = str(given[0]), int(str(given[2]))
        if name == str(Path(path).with_name(SCRATCH)):
            return True  # of a folder, this makes a file without a name
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return not writes and (name == path or name.startswith(f"{path}/"))
    if event == "os.scandir":
        folder = given[0]
        if isinstance(folder, int):
            return os.path.samestat(os.fstat(folder), os.stat(path))
        return folder == path or str(folder).startswith(f"{path}/")
    return (
        event == "object.__setattr__"
        and given[1] == "__class__"
        and str(getattr(given[2], "__module__", "")).startswith("core.")
    )


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _trim() -> None:
    """Give freed memory back, so that a file cannot use what an earlier one took."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
