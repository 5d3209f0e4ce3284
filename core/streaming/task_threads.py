"""Threads that share tasks on the elements of tensors, each with buffers of its own."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

PATIENCE = 0.1
"""Seconds after which a cancel is noticed while no thread reports anything."""

TaskT = TypeVar("TaskT")
EventT = TypeVar("EventT")


class Stopped(Exception):
    """Nobody waits for the work any more: what a worker may raise to end its thread."""


def cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shared_events(
    tasks: Sequence[TaskT],
    make_worker: Callable[[threading.Event], Callable[[TaskT], Iterator[EventT]]],
    threads: int,
) -> Generator[EventT | None, None, None]:
    """The events of all tasks, in any order, and a None from time to time while there are none.

    Up to `threads` threads take the tasks one after another; with one thread or one task, the
    caller's thread does the work. Each thread makes its own worker: a function that does a task and
    yields what it finds. It is made with an Event: once that is set, nobody waits for the work.
    Raises what a worker raises. Close the generator to end all threads; it returns when they have
    ended.
    """
    stop = threading.Event()
    number = min(threads, len(tasks))
    if number < 2:
        worker = make_worker(stop)
        for task in tasks:
            yield from worker(task)
        return
    left = deque(tasks)
    queue: SimpleQueue[EventT | BaseException | _TaskDone] = SimpleQueue()

    def work() -> None:
        try:
            worker = make_worker(stop)
            while (task := _next(left)) is not None:
                for event in worker(task):
                    queue.put(event)
                    if stop.is_set():
                        return
                queue.put(_TaskDone())
        except Stopped:
            return
        except BaseException as error:  # raised again in the caller's thread
            queue.put(error)

    running = [
        threading.Thread(target=work, name="loupe-measure", daemon=True) for _ in range(number)
    ]
    unfinished = len(tasks)
    try:
        for thread in running:
            thread.start()
        while unfinished:
            try:
                event = queue.get(timeout=PATIENCE)
            except Empty:
                yield None
                continue
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, _TaskDone):
                unfinished -= 1
            else:
                yield event
    finally:
        stop.set()
        for thread in running:
            thread.join()


class _TaskDone:
    """What a thread reports at the end of each task."""


def _next(left: deque[TaskT]) -> TaskT | None:
    try:
        return left.popleft()
    except IndexError:
        return None
