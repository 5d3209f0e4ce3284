"""Decodes image files in processes of their own, so that none takes this one's time or memory.

A process stays for the next image. One that takes too long is ended, and a new one takes its place.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import LifoQueue
from signal import SIGPROF

from PIL import Image

from core.errors import ImageError
from core.images.decoding import MAX_PIXELS, Decoded
from core.images.frames import Head, read_head, write_frame
from core.wording import duration, size

SECONDS, MAX_WAIT = 8.0, 10.0
"""CPU time that one image may take, and the seconds after which its process is ended in any case,
on a machine that is busy."""

MAX_MEMORY = 2 << 30
"""Bytes of address space that a process may take, which the largest images need."""

BUDGET = 4 * 3 * MAX_PIXELS
"""Bytes of decoded images that all sessions together may hold at once: four of the largest."""

MOST = 4
"""The most processes, however many processors there are."""


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """An image's (width, height) as it is seen, a sentence on its values if one is needed, and
    small copies of it as WebP files, by the most pixels of their longer edge."""

    size: tuple[int, int]
    remark: str
    files: Mapping[int, bytes]


class ImageWorkers:
    """So many processes that decode images; each is started when it is first needed."""

    def __init__(
        self,
        number: int,
        *,
        seconds: float = SECONDS,
        wait: float = MAX_WAIT,
        memory: int = MAX_MEMORY,
        budget: int = BUDGET,
    ) -> None:
        self._idle: LifoQueue[_Worker] = LifoQueue()
        for _ in range(number):
            self._idle.put(_Worker(seconds, wait, memory))
        self._budget = _Budget(budget)

    def thumbnails(self, data: bytes, name: str, edges: Sequence[int]) -> Thumbnails:
        """The size of the image in `data`, and a small copy for each edge. Raises ImageError."""
        edges = sorted(edges, reverse=True)
        with self._worker() as worker:
            head, _ = worker.ask(data, name, edges)
            files = {
                edge: worker.read(length, name)
                for edge, length in zip(edges, head["lengths"], strict=True)
            }
        return Thumbnails(_size(head), head["remark"], files)

    @contextmanager
    def decoded(self, data: bytes, name: str) -> Iterator[Decoded]:
        """The whole image, as long as the context lasts. Raises ImageError.

        Its bytes count against the budget of all sessions: where that is used up, this waits until
        another context ends. So a context must not open a second one.
        """
        with ExitStack() as held:
            with self._worker() as worker:
                head, length = worker.ask(data, name, ())
                # Until there is room, the pixels stay in the process, which has limits of its own.
                held.enter_context(self._budget.part(length))
                pixels = worker.read(length, name)
            yield Decoded(Image.frombuffer("RGB", _size(head), pixels), head["remark"])

    def each(
        self, files: Iterable[tuple[str, bytes]], remarks: list[str] | None = None
    ) -> Generator[tuple[str, Image.Image | ImageError], None, None]:
        """The images of files, given as (name, data), one after the other; an error for each that
        cannot be decoded. An image lasts until the next one is asked for, or this is closed.

        `remarks` gets the sentence on each one's values, which is empty if none is needed.
        """
        remarks = [] if remarks is None else remarks
        for name, data in files:
            try:
                with self.decoded(data, name) as decoded:
                    remarks.append(decoded.remark)
                    yield name, decoded.image
            except ImageError as error:
                remarks.append("")
                yield name, error

    def close(self) -> None:
        """End the processes that are idle."""
        while not self._idle.empty():
            self._idle.get().end()

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        worker = self._idle.get()
        try:
            yield worker
        except BaseException as error:
            if not isinstance(error, ImageError):
                worker.end()  # its answer was not read to the end
            raise
        finally:
            self._idle.put(worker)


@cache
def image_workers() -> ImageWorkers:
    """The processes of this program, which all sessions share."""
    return ImageWorkers(min(MOST, os.cpu_count() or 1))


def _size(head: Head) -> tuple[int, int]:
    width, height = head["size"]
    return width, height


class _Worker:
    """One process, or the place of one that is not started yet."""

    def __init__(self, seconds: float, wait: float, memory: int) -> None:
        self._seconds, self._wait, self._memory = seconds, wait, memory
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, data: bytes, name: str, edges: Sequence[int]) -> tuple[Head, int]:
        """Have an image decoded. Returns the answer, and how many bytes there are to `read`; raises
        ImageError."""
        process = self._process = self._process or _started(self._memory)
        assert process.stdin is not None  # it is a pipe
        assert process.stdout is not None  # so is this
        task = {"name": name, "seconds": self._seconds, "max_pixels": MAX_PIXELS, "edges": edges}
        late = threading.Event()
        watch = threading.Timer(self._wait, _end_late, (process, late))
        watch.daemon = True
        watch.start()
        try:
            with suppress(BrokenPipeError):
                write_frame(process.stdin, task, data)
            answer = read_head(process.stdout)
        finally:
            watch.cancel()
        if answer is None:
            self.end()
            if process.returncode == -SIGPROF:
                raise _too_long(name, f"{duration(self._seconds)} of a processor")
            raise _too_long(name, duration(self._wait)) if late.is_set() else _ended(name)
        head, _ = answer
        if "memory" in head:
            raise _too_much_memory(name, self._memory)
        if "problem" in head:
            raise ImageError(head["problem"], head["remedy"])
        return answer

    def read(self, length: int, name: str) -> bytes:
        """The next bytes of the answer on that image. Raises ImageError if the process ended
        meanwhile."""
        assert self._process is not None  # it was asked
        assert self._process.stdout is not None  # it is a pipe
        data = self._process.stdout.read(length)
        if len(data) < length:
            self.end()
            raise _ended(name)
        return data

    def end(self) -> None:
        """End the process; another one is started for the next image."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _started(memory: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.images.image_process", str(memory)],
        cwd=Path(__file__).parents[2],
        # Each thread of a linear algebra library reserves address space.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _end_late(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


class _Budget:
    """So many bytes that threads share; who asks for more than is left waits."""

    def __init__(self, nbytes: int) -> None:
        self._left = nbytes
        self._returned = threading.Condition()

    @contextmanager
    def part(self, nbytes: int) -> Iterator[None]:
        """So many of them, as long as the context lasts."""
        with self._returned:
            self._returned.wait_for(lambda: self._left >= nbytes)
            self._left -= nbytes
        try:
            yield
        finally:
            with self._returned:
                self._left += nbytes
                self._returned.notify_all()


ANOTHER = "Save it again as PNG or JPEG, or choose another image."


def _too_long(name: str, limit: str) -> ImageError:
    return ImageError(
        f"{name} takes longer to decode than the {limit} that Loupe gives an image.",
        ANOTHER,
    )


def _too_much_memory(name: str, nbytes: int) -> ImageError:
    return ImageError(
        f"{name} needs more memory to decode than the {size(nbytes)} that Loupe gives an image.",
        ANOTHER,
    )


def _ended(name: str) -> ImageError:
    return ImageError(f"{name} cannot be decoded: the decoder ended without an answer.", ANOTHER)
