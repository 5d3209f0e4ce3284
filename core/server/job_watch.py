"""Sweeps the jobs of a server while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.server.jobs import ABSENCE, Jobs

SWEEP_EVERY = 5.0
"""Seconds between two searches for jobs that nobody watches any more."""


@asynccontextmanager
async def watched(
    jobs: Jobs, every: float = SWEEP_EVERY, absence: float = ABSENCE
) -> AsyncIterator[None]:
    """A context in which jobs that nobody watched for `absence` seconds are cancelled.

    At its end all jobs are cancelled, so that the process can end at once.
    """

    async def sweep() -> None:
        while True:
            await asyncio.sleep(every)
            try:
                jobs.sweep(absence)
            except Exception:  # a failed sweep must not end the later ones
                logging.getLogger("loupe").exception("The jobs could not be swept")

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.to_thread(jobs.stop)
