"""A server gives up jobs that nobody watches, and cancels all when it ends."""

import asyncio
import threading

import pytest

from core.progress import Cancelled, Progress
from core.server.job_watch import watched
from core.server.jobs import Jobs
from tests.running import run


def until_told(progress: Progress) -> None:
    while True:
        progress(0, 1)
        threading.Event().wait(0.01)


def test_a_look_that_fails_is_not_the_last() -> None:
    looks: list[int] = []

    class Failing(Jobs):
        def sweep(self, absence: float = 0.0, grace: float = 0.0) -> None:
            looks.append(1)
            raise OSError

    async def serve() -> None:
        async with watched(Failing(), every=0.001):
            while len(looks) < 3:
                await asyncio.sleep(0.001)

    run(asyncio.wait_for(serve(), 30))


def test_a_server_that_ends_leaves_no_job_behind() -> None:
    jobs = Jobs()

    async def serve() -> None:
        async with watched(jobs):
            pass

    job = jobs.start(until_told, "ada")
    run(serve())
    assert not job.unfinished
    with pytest.raises(Cancelled):
        job.result()
