"""Jobs tell how far they are, stop when asked, hand over what they made or raised, and share the
threads fairly."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from core.errors import JobError, LoupeError, SourceError
from core.progress import Cancelled, Progress
from core.server.jobs import Job, Jobs


class Gate:
    """Work that goes on until the gate is opened, and says when it began."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.open = threading.Event()

    def work(self, name: str) -> Callable[[Progress], str]:
        def wait(progress: Progress) -> str:
            self.began.append(name)
            while not self.open.wait(0.01):
                progress(0, 1, name)
            return name

        return wait


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def begun(job: Job[str]) -> bool:
    return job.before is None


def test_a_job_hands_over_its_result() -> None:
    job = Jobs().start(lambda progress: 6 * 7)
    assert job.result() == 42
    assert not job.unfinished


def test_who_waits_for_a_job_goes_on_at_its_end_or_when_the_patience_ends(gate: Gate) -> None:
    job = Jobs().start(gate.work("slow"))
    job.wait(0.01)
    assert job.unfinished
    gate.open.set()
    job.wait(60)
    assert not job.unfinished


def test_a_sentence_that_the_work_raises_comes_out_of_result_each_time() -> None:
    def work(progress: Progress) -> None:
        raise SourceError("The file is gone.", "Open it again.")

    job = Jobs().start(work)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"^The file is gone. Open it again.$"):
            job.result()


@pytest.mark.parametrize(
    "error", [ValueError("odd"), MemoryError(), SystemExit(3), GeneratorExit()]
)
def test_whatever_ends_a_job_is_a_sentence_and_its_traceback_is_in_the_log(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def work_of_others(progress: Progress) -> None:
        raise error

    jobs = Jobs()
    with caplog.at_level(logging.ERROR, "loupe"):
        job = jobs.start(work_of_others, "somebody", "key")
        with pytest.raises(JobError) as raised:
            job.result()
    assert not job.unfinished
    assert raised.value.remedy
    assert "work_of_others" in caplog.text
    assert jobs.start(lambda progress: "well", "somebody", "key").result() == "well"


def test_an_error_holds_nothing_of_what_the_work_had_in_hand() -> None:
    def work(progress: Progress) -> None:
        try:
            raise ValueError
        except ValueError as error:
            raise LoupeError("No.") from error

    job = Jobs().start(work)
    with pytest.raises(LoupeError) as raised:
        job.result()
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_a_cancel_stops_the_work_at_its_next_report() -> None:
    reached, go = threading.Event(), threading.Event()

    def work(progress: Progress) -> None:
        progress(1, 4, "first")
        reached.set()
        go.wait(10)
        progress(2, 4, "second")

    job = Jobs().start(work)
    reached.wait(10)
    assert (job.progress.fraction, job.progress.what, job.unfinished) == (0.25, "first", True)
    assert job.seconds_left is not None
    job.cancel()
    go.set()
    with pytest.raises(Cancelled):
        job.result()


def test_a_cancelled_job_that_waits_ends_at_once_and_never_begins(gate: Gate) -> None:
    jobs = Jobs(1)
    jobs.start(gate.work("first"), "ada")
    waiting = jobs.start(gate.work("second"), "ada")
    waiting.cancel()
    assert not waiting.unfinished
    with pytest.raises(Cancelled):
        waiting.result()
    gate.open.set()
    assert jobs.start(gate.work("third"), "ada").result() == "third"
    assert gate.began == ["first", "third"]


def test_six_jobs_of_one_person_leave_threads_to_two_others(gate: Gate) -> None:
    jobs = Jobs()
    six = [jobs.start(gate.work(f"ada {n}"), "ada") for n in range(6)]
    assert [begun(job) for job in six] == [True, True, False, False, False, False]
    other, third = (jobs.start(gate.work(name), name) for name in ("bob", "eve"))
    assert begun(other)
    assert begun(third)


def test_the_last_thread_is_for_whoever_has_none(gate: Gate) -> None:
    jobs = Jobs()
    for n in range(2):
        assert begun(jobs.start(gate.work(f"ada {n}"), "ada"))
    assert begun(jobs.start(gate.work("bob 0"), "bob"))
    assert not begun(jobs.start(gate.work("bob 1"), "bob"))
    assert begun(jobs.start(gate.work("eve 0"), "eve"))


def test_those_who_wait_take_turns_and_are_told_how_many_come_first(gate: Gate) -> None:
    jobs = Jobs(1)
    jobs.start(gate.work("ada 0"), "ada")
    waiting = [
        jobs.start(gate.work(f"{name} {n}"), name)
        for name, numbers in (("ada", (1, 2)), ("bob", (0, 1)), ("eve", (0,)))
        for n in numbers
    ]
    told = dict(zip(["ada 1", "ada 2", "bob 0", "bob 1", "eve 0"], waiting, strict=True))
    assert {name: job.before for name, job in told.items()} == {
        "bob 0": 0,
        "eve 0": 1,
        "ada 1": 2,
        "bob 1": 3,
        "ada 2": 4,
    }
    gate.open.set()
    for job in waiting:
        job.result()
    assert gate.began == ["ada 0", "bob 0", "eve 0", "ada 1", "bob 1", "ada 2"]


def test_the_servers_own_work_waits_for_nobody_and_takes_nobodys_thread(gate: Gate) -> None:
    jobs = Jobs(1)
    jobs.start(gate.work("ada"), "ada")
    own = jobs.start(gate.work("index"))
    assert begun(own)
    assert not begun(jobs.start(gate.work("bob"), "bob"))


def test_a_job_of_one_key_is_one_job_however_many_ask(gate: Gate) -> None:
    jobs = Jobs()
    first = jobs.start(gate.work("once"), "ada", "key")
    assert jobs.start(gate.work("twice"), "bob", "key") is first
    assert jobs.join("key", "eve") is first
    assert first.watchers == {"ada", "bob", "eve"}
    gate.open.set()
    assert first.result() == "once"
    assert gate.began == ["once"]


def test_a_job_ends_when_the_last_who_watches_it_leaves(gate: Gate) -> None:
    jobs = Jobs()
    job = jobs.start(gate.work("shared"), "ada", "key")
    jobs.join("key", "bob")
    job.leave("ada")
    assert not job.progress.cancelled
    job.leave("bob")
    with pytest.raises(Cancelled):
        job.result()
    assert jobs.join("key", "eve") is None
    gate.open.set()
    assert jobs.start(gate.work("anew"), "eve", "key").result() == "anew"


def test_a_job_that_others_wait_for_comes_when_it_is_their_turn(gate: Gate) -> None:
    jobs = Jobs(2)
    jobs.start(gate.work("ada 0"), "ada")
    jobs.start(gate.work("ada 1"), "ada")
    shared = jobs.start(gate.work("ada 2"), "ada", "key")
    assert not begun(shared)
    jobs.join("key", "bob")
    assert begun(shared)


def test_a_job_is_given_up_once_nobody_has_been_there_for_a_while(gate: Gate) -> None:
    here = {"ada", "bob"}
    jobs = Jobs(is_here=lambda watcher: watcher in here)
    left = jobs.start(gate.work("left"), "ada")
    shared = jobs.start(gate.work("shared"), "ada", "key")
    jobs.join("key", "bob")
    own = jobs.start(gate.work("index"))
    here.remove("ada")
    jobs.sweep(absence=3600)
    assert left.unfinished
    jobs.sweep(absence=0)
    with pytest.raises(Cancelled):
        left.result()
    assert not shared.progress.cancelled
    assert not own.progress.cancelled


def test_who_comes_back_in_time_finds_the_job_going_on(gate: Gate) -> None:
    here: set[str] = set()
    jobs = Jobs(is_here=lambda watcher: watcher in here)
    job = jobs.start(gate.work("mine"), "ada")
    jobs.sweep(absence=3600)
    here.add("ada")
    jobs.sweep(absence=0)
    here.clear()
    jobs.sweep(absence=3600)
    assert not job.progress.cancelled


def test_work_that_never_comes_to_its_next_report_keeps_no_thread_from_others(gate: Gate) -> None:
    jobs = Jobs(1)
    stuck = jobs.start(lambda progress: gate.open.wait(), "ada", "key")
    jobs.sweep(grace=0)
    assert stuck.unfinished
    waiting = jobs.start(lambda progress: "served", "bob")
    stuck.cancel()
    jobs.sweep(grace=3600)
    assert stuck.unfinished
    jobs.sweep(grace=0)
    with pytest.raises(Cancelled):
        stuck.result()
    assert waiting.result() == "served"
    gate.open.set()
    assert jobs.start(lambda progress: "anew", "ada", "key").result() == "anew"
    with pytest.raises(Cancelled):
        stuck.result()


def test_a_server_that_ends_cancels_what_runs_and_what_waits(gate: Gate) -> None:
    jobs = Jobs(1)
    all_jobs = [jobs.start(gate.work(name), name) for name in ("ada", "bob")]
    all_jobs.append(jobs.start(gate.work("index")))
    jobs.stop(patience=30)
    assert not any(job.unfinished for job in all_jobs)
    assert "bob" not in gate.began
