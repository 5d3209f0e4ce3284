"""The sockets that the server listens on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

DESCRIPTORS = "/dev/fd"
"""Lists the process's open descriptors, on Linux and macOS."""


def answer_at_once() -> int:
    """Set TCP_NODELAY on the TCP sockets that this process listens on; the number of sockets.

    Accepted connections inherit it, and then send their bytes as soon as they are written. Without
    it, a small answer waits until the peer acknowledges the one before, which takes a browser up to
    40 ms. On Windows, which lists no descriptors, it returns 0.

    Asyncio does this itself for sockets that are made with IPPROTO_TCP. Streamlit 1.67 makes its
    listening socket with protocol 0 (`_bind_socket` in web/server/starlette/starlette_server.py),
    and asyncio skips such sockets (`_set_nodelay` in asyncio/base_events.py). Once Streamlit fixes
    that, this function can be removed.
    """
    listening = 0
    for descriptor in _descriptors():
        with _borrowed(descriptor) as sock:
            if sock is not None and _listens(sock):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listening += 1
    return listening


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir(DESCRIPTORS)]
    except OSError:
        return []


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket | None]:
    """The socket of a descriptor, or None where it is not a socket; the descriptor stays open."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        yield None
        return
    try:
        yield sock
    finally:
        sock.detach()


def _listens(sock: socket.socket) -> bool:
    tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
    return tcp and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
