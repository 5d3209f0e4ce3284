"""Many people at one server: how long their clicks take, and what stays when they are gone.

Starts the real app. Each person is a session without a browser, which does the whole job: open the
sample or upload a checkpoint, Inspect, Compare, Fit with its repair, load, predict.

    .venv/bin/python -m benchmarks.people                              # 30 at once, pauses of 5 s
    .venv/bin/python -m benchmarks.people --people 50 --minutes 5      # 50 at once for 5 minutes
    .venv/bin/python -m benchmarks.people --in-a-row                   # 500 one after the other
"""

import argparse
import asyncio
import io
import os
import random
import statistics
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.clicks import percentile
from benchmarks.peak_memory import resident
from core.server import SAMPLES
from tests.browser.driver import Server
from tests.sessions.client import push_out, session
from tests.sessions.server_process import (
    active_sessions,
    cpu_seconds,
    descriptors,
    settled_descriptors,
    threads,
    wait_until_idle,
)
from tests.sessions.whole_job import whole_job

LATE = 1.0
"""Seconds that 95 of a hundred clicks may take at most."""

WARM_UP = 200
"""Sessions in a row after which memory counts: the caches that all share are full by then, and the
allocator holds what its threads need."""

GROWTH = 30_000
"""Bytes a session by which the server may seem to grow: what stays of each would show as more."""

OWN_FILES = 4
"""Different checkpoints that are uploaded."""


@dataclass
class Seen:
    """What all people saw: seconds of each kind of click, whole jobs, runs, errors."""

    clicks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    jobs: int = 0
    runs: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """What the server's process holds at one moment."""

    nbytes: int
    descriptors: int
    threads: int
    sessions: int

    def __str__(self) -> str:
        return (
            f"{self.nbytes / 1e6:.0f} MB, {self.descriptors} descriptors, {self.threads} threads, "
            f"{self.sessions} sessions"
        )


def held(server: Server) -> Held:
    """What the server holds now."""
    process = server.process.pid
    return Held(
        resident(process), descriptors(process), threads(process), active_sessions(server.url)
    )


def held_when_forgotten(server: Server) -> Held:
    """What the server holds once it has forgotten everybody who was here, and is idle."""
    asyncio.run(push_out(server.url))
    until = time.monotonic() + 30
    while active_sessions(server.url) and time.monotonic() < until:
        time.sleep(0.1)
    settled_descriptors(server.process.pid)
    return held(server)


def own_checkpoints() -> list[bytes]:
    """Checkpoints of the sample's network, each with other weights."""
    saved = torch.load(SAMPLES["early"].path)
    files = []
    for number in range(OWN_FILES):
        saved["state_dict"]["module.fc.bias"] += number + 1
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        files.append(buffer.getvalue())
    return files


async def one_job(url: str, own: bytes | None, pause: float, seen: Seen) -> None:
    """One person comes, does the whole job with pauses of about `pause` seconds, and leaves."""
    clock = random.Random(len(seen.errors) + seen.jobs)
    try:
        started = time.perf_counter()
        async with session(url) as person:
            kind = "first look"
            seen.clicks[kind].append(time.perf_counter() - started)
            await asyncio.sleep(pause * clock.uniform(0.5, 1.5))
            started = time.perf_counter()
            async for kind in whole_job(person, own):
                seen.clicks[kind].append(time.perf_counter() - started)
                await asyncio.sleep(pause * clock.uniform(0.5, 1.5))
                started = time.perf_counter()
            seen.jobs += 1
            seen.runs += len(person.runs)
            seen.errors.extend(person.errors)
    except Exception as error:  # whatever went wrong for one person is counted, and told at the end
        where = traceback.extract_tb(error.__traceback__)[-1]
        seen.errors.append(f"{type(error).__name__} in {where.name}: {str(error)[:300]}")


async def at_once(url: str, people: int, pause: float, minutes: float | None) -> Seen:
    """That many people at once: one job each, or one after the other until the time is over."""
    seen, own = Seen(), own_checkpoints()
    until = time.monotonic() + 60 * (minutes or 0)

    async def person(number: int) -> None:
        await asyncio.sleep(pause * number / people)
        while True:
            await one_job(url, own[number % OWN_FILES] if number % 2 else None, pause, seen)
            if time.monotonic() > until:
                return

    await asyncio.gather(*(person(number) for number in range(people)))
    return seen


async def some_jobs(url: str, numbers: Sequence[int], pause: float, own: list[bytes]) -> Seen:
    """One job after the other."""
    seen = Seen()
    for number in numbers:
        await one_job(url, own[number % OWN_FILES] if number % 2 else None, pause, seen)
    return seen


def tell(seen: Seen, seconds: float, cpu: float) -> None:
    """Print the table of the clicks and what they came to."""
    print(f"\n{'seconds':<24} {'clicks':>7} {'median':>8} {'p95':>8} {'longest':>8}")
    for kind, found in sorted(seen.clicks.items(), key=lambda item: item[0]):
        print(
            f"{kind:<24} {len(found):>7} {statistics.median(found):>8.2f} "
            f"{percentile(found, 95):>8.2f} {max(found):>8.2f}"
        )
    print(f"\nwhole jobs     {seen.jobs} in {seconds:.0f} s")
    cost = cpu / max(1, seen.runs)
    print(f"runs           {seen.runs / seconds:.1f} a second, {cost:.3f} s of server CPU each")
    print(f"errors         {len(seen.errors)}")
    for sentence in sorted(set(seen.errors))[:10]:
        print(f"               {seen.errors.count(sentence)} x {sentence}")


def together(server: Server, people: int, pause: float, minutes: float | None) -> bool:
    """Everybody at once; whether the verdict is good."""
    # The first job of a server makes what all others share.
    asyncio.run(some_jobs(server.url, [0, 1], 0, own_checkpoints()))
    before, cpu = held_when_forgotten(server), cpu_seconds(server.process.pid)
    print(f"before         {before}")
    started = time.perf_counter()
    seen = asyncio.run(at_once(server.url, people, pause, minutes))
    seconds, cpu = time.perf_counter() - started, cpu_seconds(server.process.pid) - cpu
    after = held_when_forgotten(server)
    tell(seen, seconds, cpu)
    print(f"afterwards     {after}")
    every = [each for kind, found in seen.clicks.items() for each in found]
    late = percentile(every, 95)
    good = not seen.errors and late <= LATE and after.descriptors <= before.descriptors + 2
    print(
        f"\n{'GOOD' if good else 'NOT GOOD'}: {people} people at once with pauses of {pause:g} s, "
        f"{len(seen.errors)} errors; 95 of 100 clicks took at most {late:.2f} s (aim: {LATE:g} s); "
        f"{after.descriptors - before.descriptors:+d} descriptors, "
        f"{(after.nbytes - before.nbytes) / 1e6:+.0f} MB once everybody is forgotten."
    )
    return good


def in_a_row(server: Server, sessions: int, pause: float) -> bool:
    """One session after the other; whether the verdict is good."""
    own, warm = own_checkpoints(), min(WARM_UP, sessions // 20 * 10)
    seen, cpu = Seen(), cpu_seconds(server.process.pid)
    started = time.perf_counter()
    first: Held | None = None
    last = held(server)
    for begin in range(0, sessions, 10):
        if begin >= warm and first is None:
            first = held_when_forgotten(server)
            print(f"{begin:>4} sessions  {first}   from here on it counts", flush=True)
        part = asyncio.run(
            some_jobs(server.url, range(begin, min(begin + 10, sessions)), pause, own)
        )
        for kind, found in part.clicks.items():
            seen.clicks[kind].extend(found)
        seen.jobs, seen.runs = seen.jobs + part.jobs, seen.runs + part.runs
        seen.errors.extend(part.errors)
        if begin % 50 == 40:
            print(f"{begin + 10:>4} sessions  {held(server)}", flush=True)
    seconds, cpu = time.perf_counter() - started, cpu_seconds(server.process.pid) - cpu
    last = held_when_forgotten(server)
    tell(seen, seconds, cpu)
    assert first is not None
    grown, counted = last.nbytes - first.nbytes, sessions - warm
    good = (
        not seen.errors
        and grown <= GROWTH * counted
        and last.descriptors <= first.descriptors + 2
        and last.sessions == 0
    )
    print(f"after {warm:>4}     {first}\nafter {sessions:>4}     {last}")
    print(
        f"\n{'GOOD' if good else 'NOT GOOD'}: {sessions} sessions in a row, {len(seen.errors)} "
        f"errors; over the last {counted} the server grew by {grown / 1e6:+.0f} MB, "
        f"{grown / counted / 1e3:+.0f} kB each (aim: at most {GROWTH / 1e3:.0f} kB), and by "
        f"{last.descriptors - first.descriptors:+d} descriptors and "
        f"{last.threads - first.threads:+d} threads."
    )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=30, help="people at once (30)")
    parser.add_argument("--pause", type=float, help="seconds between two clicks (5; in a row 0)")
    parser.add_argument("--minutes", type=float, help="go on for so long; else one job each")
    parser.add_argument("--sessions", type=int, default=500, help="sessions in a row (500)")
    parser.add_argument("--in-a-row", action="store_true", help="one session after the other")
    chosen = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            wait_until_idle(server)
            if chosen.in_a_row:
                good = in_a_row(server, chosen.sessions, chosen.pause or 0)
            else:
                pause = 5.0 if chosen.pause is None else chosen.pause
                good = together(server, chosen.people, pause, chosen.minutes)
        finally:
            server.stop()
    print(f"load average {os.getloadavg()[0]:.1f}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
