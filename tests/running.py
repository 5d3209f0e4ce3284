"""Runs what is written for an event loop, in a test."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns. In a thread of its own: in the main one the browser tests' loop may
    run, and a thread has one at a time."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
