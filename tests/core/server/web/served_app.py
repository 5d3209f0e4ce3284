"""Serves an ASGI app in this process, as Streamlit's server serves Loupe's routes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tests.waiting import wait_until


@contextmanager
def served(config: uvicorn.Config) -> Iterator[int]:
    """The port of a uvicorn server that runs until the end; with port 0, `config` asks for any."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()
