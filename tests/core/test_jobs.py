"""Jobs tell how far they are, stop when asked, and hand over what they made or raised."""

import threading

import pytest

from core.jobs import Cancelled, Jobs, Progress


def test_a_job_hands_over_its_result() -> None:
    job = Jobs().start(lambda progress: 6 * 7)
    assert job.result() == 42
    assert not job.running


def test_what_the_work_raises_comes_out_of_result() -> None:
    def work(progress: Progress) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Jobs().start(work).result()


def test_a_cancel_stops_the_work_at_its_next_report() -> None:
    reached, go = threading.Event(), threading.Event()

    def work(progress: Progress) -> None:
        progress.report(1, 4, "first")
        reached.set()
        go.wait(10)
        progress.report(2, 4, "second")

    job = Jobs().start(work)
    reached.wait(10)
    assert (job.progress.fraction, job.progress.what, job.running) == (0.25, "first", True)
    assert job.seconds_left is not None
    job.cancel()
    go.set()
    with pytest.raises(Cancelled):
        job.result()
