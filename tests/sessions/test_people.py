"""Several people at one server, and what they leave behind."""

import asyncio
import io
from collections.abc import Iterator

import pytest
import torch

from core.server import SAMPLES
from tests.browser.driver import Server, running
from tests.running import run
from tests.sessions.client import push_out, session
from tests.sessions.server_process import (
    active_sessions,
    descriptors,
    settled_descriptors,
    wait_until_idle,
)
from tests.sessions.whole_job import whole_job
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that nobody else has been to, so that what is open and logged is these people's."""
    with running(tmp_path_factory.mktemp("server")) as server:
        wait_until_idle(server)
        yield server


def own_checkpoint(number: int) -> bytes:
    """The sample's network with other weights for each number."""
    saved = torch.load(SAMPLES["early"].path)
    saved["state_dict"]["module.fc.bias"] += number
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return buffer.getvalue()


async def job(url: str, own: bytes | None = None) -> tuple[list[str], list[str], str]:
    """One person's whole job: what was done, the errors that were shown, the bench's link."""
    async with session(url) as person:
        done = [what async for what in whole_job(person, own)]
        return done, person.errors, person.screen.query


def test_three_people_do_the_whole_job_at_once_without_an_error(server: Server) -> None:
    async def all_at_once() -> list[tuple[list[str], list[str], str]]:
        owns = (None, own_checkpoint(1), own_checkpoint(2))
        return await asyncio.gather(*(job(server.url, own) for own in owns))

    outcomes = run(all_at_once())
    assert [errors for _, errors, _ in outcomes] == [[], [], []]
    assert {done[-1] for done, _, _ in outcomes} == {"predict"}
    benches = [query for _, _, query in outcomes]
    assert len(set(benches)) == 3
    assert "sample%3Aearly" in benches[0]
    assert all("own.pth" in bench for bench in benches[1:])
    assert "Traceback" not in server.log()


def test_twenty_sessions_in_a_row_leave_nothing_open(server: Server) -> None:
    process = server.process.pid
    run(job(server.url))  # opens what all sessions share
    run(push_out(server.url))
    left_alone(server)
    before = settled_descriptors(process)
    for _ in range(20):
        done, errors, _ = run(job(server.url))
        assert (done[-1], errors) == ("predict", [])
    run(push_out(server.url))
    left_alone(server)
    # A session that is not let go of keeps the three descriptors of its event loop open.
    wait_until(lambda: descriptors(process) <= before)


def left_alone(server: Server) -> None:
    """Wait until the server knows that nobody is connected."""
    wait_until(lambda: active_sessions(server.url) == 0)
