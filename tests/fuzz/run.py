"""Open mutated files in processes of their own, under a limit of memory and a watch."""

import contextlib
import itertools
import json
import multiprocessing
import multiprocessing.connection
import pickle
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from benchmarks.peak_memory import peak, reset_peak
from core.checkpoint import Checkpoint, TensorEntry, open_checkpoint
from core.errors import CheckpointError, LoupeError, printable
from core.inspect import verify
from tests.bounds import SECONDS, too_many_calls
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import Files, seeds

HUNG = 20.0
"""CPU time after which a file is interrupted."""

LOST = 300.0
"""Seconds without a word after which a process is ended."""

GROWTH = 256 << 20
"""Bytes by which the peak of memory may grow while a file is opened and read."""

ROOM = 1 << 30
"""Bytes of address space that a process may take over what it has, so that a bomb is an error."""

MAX_READ = 4 << 20
"""Bytes of tensors that are read of each file."""

MAX_FINDINGS = 50
"""Findings after which the run ends."""


@dataclass(frozen=True)
class Finding:
    """A file that was neither opened nor refused as it should be, and where it is kept."""

    number: int
    seed: str
    what: str
    path: Path


@dataclass
class Summary:
    """Files by what became of them: `opened` or `refused`, for each row of SEEDS."""

    opened: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def run(files: int, seed: int, folder: Path, processes: int = 2) -> Summary:
    """Mutate and open that many files; those of findings are kept in the folder.

    The same `seed` makes the same files, whatever the number of processes.
    """
    made = seeds()
    summary = Summary()
    workers: list[_Worker] = []
    # A process reads the seeds from a file: were they written to the pipe by which it starts, this
    # one would wait for ever where it ends before it has read them all.
    with tempfile.NamedTemporaryFile() as kept:
        kept.write(pickle.dumps(made))
        kept.flush()
        for first in range(processes):
            share = range(first, files, processes)
            workers.append(_Worker(made, Path(kept.name), seed, share, folder))
        _listen_to(workers, summary)
    return summary


def _listen_to(workers: list["_Worker"], summary: Summary) -> None:
    try:
        while workers and len(summary.findings) < MAX_FINDINGS:
            multiprocessing.connection.wait([worker.told for worker in workers], timeout=1)
            workers = [worker for worker in workers if worker.listen(summary)]
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that opens its share of the files; another takes its place where it is lost."""

    def __init__(
        self, made: Mapping[str, Files], kept: Path, seed: int, share: range, folder: Path
    ) -> None:
        self._made, self._kept, self._seed = made, kept, seed
        self._share, self._folder = share, folder
        self._names = list(made)
        self._start()

    def _start(self) -> None:
        self._ready = False
        context = multiprocessing.get_context("spawn")
        self.told, telling = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_open_all, args=(self._kept, self._seed, self._share, telling), daemon=True
        )
        self._process.start()
        telling.close()
        self._heard = time.monotonic()

    def listen(self, summary: Summary) -> bool:
        """Take in what it says; False once its share is done."""
        try:
            while self._share and self.told.poll():
                outcome, what = self.told.recv()
                self._heard = time.monotonic()
                self._count(outcome, what, summary)
        except EOFError:
            if not self._ready:
                raise RuntimeError("the unspoiled files cannot be opened") from None
            self._replace(f"the process ended by itself ({self._exit_code()})", summary)
        if self._share and time.monotonic() - self._heard > LOST:
            self._replace("hung in code that cannot be interrupted", summary)
        if not self._share:
            self.end()
        return bool(self._share)

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.told.close()

    def _replace(self, what: str, summary: Summary) -> None:
        self.end()
        self._count("finding", what, summary)
        if self._share:
            self._start()

    def _exit_code(self) -> int | None:
        self._process.join(10)
        return self._process.exitcode

    def _count(self, outcome: str, what: str, summary: Summary) -> None:
        if outcome == "ready":
            self._ready = True
            return
        number, self._share = self._share[0], self._share[1:]
        name = self._names[number % len(self._names)]
        if outcome == "finding":
            kept = self._folder / f"seed-{self._seed}-file-{number}"
            write(kept, mutated_file(self._made, self._seed, number))
            summary.findings.append(Finding(number, name, what, kept))
        else:
            (summary.opened if outcome == "opened" else summary.refused)[name] += 1


def mutated_file(made: Mapping[str, Files], seed: int, number: int) -> Files:
    """The files of one number of a run."""
    chance = random.Random(f"{seed} {number}")
    name = list(made)[number % len(made)]
    return mutated(made[name], chance, list(made.values()))


def write(path: Path, files: Files) -> None:
    """Make them on disk: a file, or a folder of files."""
    for name, content in files.items():
        place = path / name if name else path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _open_all(
    kept: Path,
    seed: int,
    share: range,
    telling: "multiprocessing.connection.Connection[tuple[str, str], None]",
) -> None:
    import torch

    made: Mapping[str, Files] = pickle.loads(kept.read_bytes())
    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, _interrupt)
    with tempfile.TemporaryDirectory() as folder:
        # What is loaded once, on first use, is not counted against a file.
        for number, files in enumerate(made.values()):
            write(Path(folder) / f"s{number}", files)
            assert opened_and_read(Path(folder) / f"s{number}"), list(made)[number]
        telling.send(("ready", ""))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(
            resource.RLIMIT_AS,
            (pages * resource.getpagesize() + ROOM, resource.getrlimit(resource.RLIMIT_AS)[1]),
        )
        for number in share:
            path = Path(folder) / f"m{number}"
            write(path, mutated_file(made, seed, number))
            telling.send(watched(path))
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


class _TooLong(BaseException):
    """A file took so long that it was interrupted."""


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _TooLong


def watched(path: Path) -> tuple[str, str]:
    """What became of a file: `opened`, `refused` or `finding`, and what was found."""
    before, start = reset_peak(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, HUNG)
    try:
        outcome = "opened" if opened_and_read(path) else "refused"
    except (_TooLong, Exception):
        return "finding", traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds, growth = time.process_time() - start, peak() - before
    if seconds > SECONDS and too_many_calls(lambda: opened_and_read(path)):
        return "finding", f"{outcome} in {seconds:.1f} s of CPU time"
    if growth > GROWTH:
        return "finding", f"{outcome} with {growth >> 20} MB more memory"
    return outcome, ""


def opened_and_read(path: Path) -> bool:
    """Open a file and read what every page would; whether it is a checkpoint.

    Raises AssertionError where what is said of it is not fit to be shown.
    """
    try:
        checkpoint = open_checkpoint(path)
    except LoupeError as error:
        _check_sentence(error)
        return False
    _read(checkpoint)
    return True


def _check_sentence(error: LoupeError) -> None:
    assert error.problem.rstrip('"').endswith((".", "?", "…")), f"no sentence: {error.problem!r}"
    assert error.remedy, f"no remedy: {error.problem!r}"
    assert len(str(error)) < 2000, f"a sentence of {len(str(error))} characters"
    if isinstance(error, CheckpointError):
        assert printable(str(error)) == str(error)


def _read(checkpoint: Checkpoint) -> None:
    json.dumps(checkpoint.metadata)
    assert checkpoint.best in checkpoint.state_dicts
    assert set(checkpoint.roles) == set(checkpoint.state_dicts)
    assert checkpoint.format_title
    assert all(isinstance(note, str) for note in checkpoint.notes)
    assert all(use.name is not None and use.verdict for use in checkpoint.globals)
    with _refused():
        for record in itertools.islice(checkpoint.records(), 10_000):
            assert 0 <= record.offset <= record.offset + record.nbytes <= record.source.size
    with _refused():
        assert verify(checkpoint).records >= 0
    left = MAX_READ
    for state_dict in checkpoint.state_dicts.values():
        for key, entry in state_dict.items():
            assert entry.key == key
            assert len(entry.shape) == len(entry.stride)
            assert entry.nbytes >= 0
            with _refused():
                left -= _bytes_read(entry, left)


def _bytes_read(entry: TensorEntry, most: int) -> int:
    from core.tensors import chunks

    read = elements = 0
    for chunk in chunks(entry, max_bytes=1 << 20):
        read += chunk.nbytes
        elements += chunk.numel()
        if read >= most:
            return read
    assert elements == entry.numel, f"{elements} elements of {entry}"
    return read


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """A file may be refused as late as when it is read, in a sentence."""
    try:
        yield
    except LoupeError as error:
        _check_sentence(error)
