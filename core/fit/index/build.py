"""Builds the index of all models of torchvision and timm, in child processes.

`python -m core.fit.index.build` writes the index that comes with Loupe.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from core.architectures import Architecture, catalogue
from core.errors import IndexFileError
from core.fit.index.find import MAY_DIE, index_path, installed_versions
from core.fit.index.index import Index, IndexedModel, make_index
from core.fit.index.index_file import save_index
from core.fit.index.model_json import to_model
from core.progress import Report, ignore

MODEL_SECONDS = 300.0
"""The longest that one model may take; the slowest takes less than a fiftieth of it."""

DIED = "The process that built it ended."
"""Why a model whose process died twice is not in the index."""

Failures = tuple[tuple[str, str], ...]

_Answer = tuple[IndexedModel | None, Failures]


def build_index(
    versions: Mapping[str, str],
    workers: int = 2,
    progress: Report = ignore,
    architectures: Iterable[Architecture] | None = None,
) -> Index:
    """An index of these architectures, by default of all of torchvision and timm.

    Takes minutes, and allocates no weights. A model that cannot be built, or whose process dies, is
    one of the index's `failures`. `progress` is called in the caller's thread; if it raises, the
    work and its processes end at once.
    """
    wanted = tuple(catalogue() if architectures is None else architectures)
    answers: dict[Architecture, _Answer] = {}
    processes = [_Process() for _ in range(max(1, min(workers, len(wanted))))]
    try:
        for done, (architecture, answer) in enumerate(_answers(wanted, processes), 1):
            answers[architecture] = answer
            progress(done, len(wanted), architecture.name)
    finally:
        for process in processes:
            process.close()
    models = [answers[architecture][0] for architecture in wanted]
    return make_index(
        versions,
        [model for model in models if model is not None],
        [failure for architecture in wanted for failure in answers[architecture][1]],
    )


def _answers(
    wanted: Sequence[Architecture], processes: Sequence[_Process]
) -> Iterator[tuple[Architecture, _Answer]]:
    """Each architecture with its answer, in the order in which the answers come."""
    waiting: queue.SimpleQueue[Architecture] = queue.SimpleQueue()
    given: queue.SimpleQueue[tuple[Architecture, _Answer | Exception]] = queue.SimpleQueue()
    for architecture in wanted:
        waiting.put(architecture)

    def ask(process: _Process) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                architecture = waiting.get_nowait()
                try:
                    given.put((architecture, process.ask(architecture)))
                except Exception as error:  # raised again where it is taken
                    given.put((architecture, error))

    for process in processes:
        # Daemon threads, so that a server that stops does not wait for them.
        threading.Thread(target=ask, args=(process,), daemon=True).start()
    for _ in wanted:
        architecture, answer = given.get()
        if isinstance(answer, Exception):
            raise answer
        yield architecture, answer


class _Process:
    """A child process that indexes models; it is started when first asked, and again if it died."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def ask(self, architecture: Architecture) -> _Answer:
        """The answer; the process is asked twice if it died, since something may have killed it."""
        answer = self._ask(architecture)
        return self._ask(architecture) if answer == _died(architecture) else answer

    def _ask(self, architecture: Architecture) -> _Answer:
        process = self._started()
        if process is None:
            return None, ()
        watch = threading.Timer(MODEL_SECONDS, process.kill)
        watch.daemon = True
        watch.start()
        try:
            line = _exchange(process, architecture.key)
        finally:
            watch.cancel()
        if not line.endswith("\n"):
            self._end()
            return _died(architecture)
        answer = json.loads(line)
        failures = tuple((str(key), str(why)) for key, why in answer["failures"])
        return to_model(answer["model"]) if "model" in answer else None, failures

    def close(self) -> None:
        """End the process; it is not started again."""
        with self._lock:
            self._closed = True
        self._end()

    def _started(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._running is None and not self._closed:
                self._running = _start()
            return self._running

    def _end(self) -> None:
        with self._lock:
            process, self._running = self._running, None
        if process is not None:
            process.kill()
            process.communicate()


def _died(architecture: Architecture) -> _Answer:
    return None, ((architecture.key, DIED),)


def _start() -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[3])
    paths = (root, *os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return subprocess.Popen(
        [sys.executable, "-m", "core.fit.index.build_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        },
    )


def _exchange(process: subprocess.Popen[str], question: str) -> str:
    """The line that the process answers with; without a line end if the process ended first."""
    asking, answering = _pipe(process.stdin), _pipe(process.stdout)
    with contextlib.suppress(OSError, ValueError):
        asking.write(question + "\n")
        asking.flush()
        return answering.readline()
    return ""


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ValueError("a process without pipes")
    return pipe


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the index of the installed versions and write it."""
    from core.fit.index.find import SHIPPED, installed_versions
    from core.fit.index.index_file import save_index

    parser = argparse.ArgumentParser(prog="python -m core.fit.index.build", description=__doc__)
    parser.add_argument("--output", type=Path, default=SHIPPED, help="where to write it")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    index = build_index(installed_versions(), chosen.workers, _say)
    save_index(index, chosen.output)
    sys.stderr.write(
        f"\n{len(index):,} models in {len(index.signatures):,} signatures, "
        f"{chosen.output.stat().st_size:,} bytes, {time.perf_counter() - started:.0f} s; "
        f"{len(index.failures)} could not be built:\n"
    )
    for key, why in index.failures:
        sys.stderr.write(f"  {key}: {why}\n")


def _say(done: int, total: int, name: str) -> None:
    sys.stderr.write(f"\r{done:,} of {total:,}  {name:<60.60}")


if __name__ == "__main__":
    main()


def make_index_in(folder: Path, workers: int = 2, progress: Report = ignore) -> Index:
    """Build the index of the installed versions and write it to `folder`, for `find_index`.

    Takes minutes; what `progress` raises ends it. If the index cannot be written, or lacks models
    because their processes died, this server uses it and the next one builds it again. Raises
    IndexFileError if more models died than were built.
    """
    versions = installed_versions()
    index = build_index(versions, workers, progress)
    died = sum(why == DIED for _, why in index.failures)
    if died > len(index):
        raise IndexFileError(
            f"The index of architectures could not be built: the processes that build it ended "
            f"before they were done, {died:,} times.",
            "Loupe tries again in a few minutes; the server may have too little memory.",
        )
    log = logging.getLogger("loupe")
    if died > MAY_DIE:
        log.warning("The index lacks %d models whose processes ended: it is not kept", died)
        return index
    try:
        save_index(index, index_path(folder, versions))
    except IndexFileError as error:
        log.warning("%s The next server builds it again.", error)
    return index
