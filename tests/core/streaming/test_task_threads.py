"""Threads share tasks: every event arrives, an error is the caller's, and closing ends them all."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from core.streaming import shared_events


def counting(stop: threading.Event) -> Callable[[int], Iterator[tuple[int, int]]]:
    def work(task: int) -> Iterator[tuple[int, int]]:
        for step in range(3):
            yield task, step

    return work


@pytest.mark.parametrize("threads", [1, 3])
def test_every_event_of_every_task_arrives_once(threads: int) -> None:
    events = [event for event in shared_events(range(40), counting, threads) if event is not None]
    assert sorted(events) == [(task, step) for task in range(40) for step in range(3)]


def test_no_task_is_no_event() -> None:
    assert list(shared_events([], counting, 2)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_what_a_worker_raises_reaches_the_caller(threads: int) -> None:
    def failing(stop: threading.Event) -> Callable[[int], Iterator[int]]:
        def work(task: int) -> Iterator[int]:
            yield task
            raise ValueError("damaged")

        return work

    with pytest.raises(ValueError, match="damaged"):
        list(shared_events(range(5), failing, threads))


def test_closing_ends_the_threads_while_tasks_are_left() -> None:
    done = []

    def slow(stop: threading.Event) -> Callable[[int], Iterator[int]]:
        def work(task: int) -> Iterator[int]:
            time.sleep(0.01)
            done.append(task)
            yield task

        return work

    events = shared_events(range(10_000), slow, 2)
    assert next(event for event in events if event is not None) in range(10_000)
    events.close()
    finished = len(done)
    assert finished < 1000
    time.sleep(0.05)
    assert len(done) == finished


def test_a_caller_hears_of_waiting_so_that_it_can_cancel() -> None:
    def waiting(stop: threading.Event) -> Callable[[int], Iterator[int]]:
        def work(task: int) -> Iterator[int]:
            stop.wait(20)
            yield task

        return work

    events = shared_events(range(2), waiting, 2)
    assert next(events) is None
    events.close()
