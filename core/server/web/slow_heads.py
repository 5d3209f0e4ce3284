"""Bounds connections that do not complete a request head: each in time, and all in number.

uvicorn waits for a request head without a limit, and each connection takes a file descriptor.
"""

from __future__ import annotations

import asyncio
from typing import Any

HEAD_WITHIN = 20.0
"""Seconds from a connection's start, or a head's first byte, to its last."""

MAX_WAITING = 256
"""The most connections that may wait for their head at once; beyond that, the one that waited
longest is closed."""


class HeadLimit:
    """A mixin for uvicorn's protocol classes that closes connections whose head does not come.

    Of uvicorn's attributes it uses `transport`, and `cycle`, the request that is being answered.
    """

    head_within = HEAD_WITHIN
    max_waiting = MAX_WAITING

    cycle: Any
    transport: asyncio.Transport

    _waiting: dict[HeadLimit, asyncio.TimerHandle]

    def __init_subclass__(cls) -> None:
        cls._waiting = {}

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the time limit for the first head."""
        super().connection_made(transport)  # type: ignore[misc]
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Start or end the time limit; the bytes may be of a head, of a body, or of both."""
        super().data_received(data)  # type: ignore[misc]
        # After the upgrade to a WebSocket, another protocol object has the transport.
        handed_on = id(self.transport.get_protocol()) != id(self)
        if handed_on or (self.cycle is not None and not self.cycle.response_complete):
            self._stop_waiting()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limit."""
        self._stop_waiting()
        super().connection_lost(exc)  # type: ignore[misc]

    def _wait(self) -> None:
        if self in self._waiting:
            return
        loop = asyncio.get_running_loop()
        self._waiting[self] = loop.call_later(self.head_within, self._give_up)
        if len(self._waiting) > self.max_waiting:
            next(iter(self._waiting))._give_up()

    def _stop_waiting(self) -> None:
        timer = self._waiting.pop(self, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self) -> None:
        self._stop_waiting()
        self.transport.close()


def limit_heads() -> None:
    """Apply HeadLimit to every server that starts in this process.

    Streamlit makes uvicorn's configuration and sets no protocol; uvicorn then takes the class
    `AutoHTTPProtocol`, which is replaced here.
    """
    from uvicorn.protocols.http import auto

    if not issubclass(auto.AutoHTTPProtocol, HeadLimit):
        auto.AutoHTTPProtocol = type("LimitedProtocol", (HeadLimit, auto.AutoHTTPProtocol), {})
