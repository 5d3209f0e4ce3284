"""Looks after the jobs of a server while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.server.jobs import ABSENCE, Jobs

SWEEP_EVERY = 5.0
"""Seconds between two looks for jobs that nobody watches any more."""


@asynccontextmanager
async def watched(
    jobs: Jobs, every: float = SWEEP_EVERY, absence: float = ABSENCE
) -> AsyncIterator[None]:
    """While this is entered, jobs that nobody has watched for `absence` seconds are given up; at
    its end all are cancelled, so that the process can end at once."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(every)
            try:
                jobs.sweep(absence)
            except Exception:  # one look that fails is no reason never to look again
                logging.getLogger("loupe").exception("Looking after the jobs failed")

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.to_thread(jobs.stop)
