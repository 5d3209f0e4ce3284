"""Bounds the images that browsers send through Streamlit's own route, which keeps them in memory.

Streamlit bounds the size of one file, but neither the bytes of a session nor the number of files
that are received at once.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Mapping
from typing import Protocol

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_OF_ONE = 256 << 20
"""The most bytes of one session: some 50 photographs of a phone."""

MOST_OF_ALL = 1 << 30
"""The most bytes of all sessions together."""

AT_ONCE = 64
"""The most files that are received at once."""

SILENCE = 30.0
"""Seconds without a byte after which a body is dropped."""

_FILE = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+$")
"""Streamlit's route for files, below the app's base path: the session, then the file."""


class ImagesInMemory(Protocol):
    """The images of sessions in memory."""

    def nbytes(self) -> Mapping[str, int]:
        """Bytes of each session that has sent files."""

    def forget_absent(self) -> None:
        """Drop the files of sessions whose tab is not connected."""


class ImageLimit:
    """ASGI middleware that refuses a file if there is no room for it in memory."""

    def __init__(
        self,
        app: ASGIApp,
        images: ImagesInMemory,
        *,
        most_of_one: int = MOST_OF_ONE,
        most_of_all: int = MOST_OF_ALL,
        at_once: int = AT_ONCE,
        silence: float = SILENCE,
    ) -> None:
        """`most_of_one` and `most_of_all` are bytes, `at_once` files, `silence` seconds."""
        self._app = app
        self._images = images
        self._most_of_one = most_of_one
        self._most_of_all = most_of_all
        self._at_once = at_once
        self._silence = silence
        self._receiving: dict[int, tuple[str, int]] = {}
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a file if there is room for it, and every other request."""
        match = _FILE.search(scope["path"]) if scope["type"] == "http" else None
        if match is None or scope["method"] != "PUT":
            await self._app(scope, receive, send)
            return
        session, length = match[1], dict(scope["headers"]).get(b"content-length", b"")
        nbytes = int(length) if re.fullmatch(rb"[0-9]{1,18}", length) else None
        if nbytes is None:
            await _refused(411, "The request lacks the file's size.")(scope, receive, send)
            return
        refusal = self._refusal(session, nbytes)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        number = next(self._numbers)
        self._receiving[number] = session, nbytes
        try:
            await self._app(scope, self._until_silent(receive), send)
        finally:
            del self._receiving[number]

    def _refusal(self, session: str, nbytes: int) -> PlainTextResponse | None:
        if len(self._receiving) >= self._at_once:
            return _refused(503, "Too many files are being received. Try again.")
        own, total = self._bytes_taken(session)
        if total + nbytes > self._most_of_all:
            self._images.forget_absent()
            own, total = self._bytes_taken(session)
        if own + nbytes > self._most_of_one or total + nbytes > self._most_of_all:
            return _refused(413, "There is no room for more files. Remove some of yours.")
        return None

    def _bytes_taken(self, session: str) -> tuple[int, int]:
        """Bytes in memory or being received: those of the session, and those of all."""
        files = [*self._images.nbytes().items(), *self._receiving.values()]
        own = sum(nbytes for owner, nbytes in files if owner == session)
        return own, sum(nbytes for _, nbytes in files)

    def _until_silent(self, receive: Receive) -> Receive:
        """`receive`, with the end of the connection in place of a long silence."""

        async def receive_in_time() -> Message:
            try:
                return await asyncio.wait_for(receive(), self._silence)
            except TimeoutError:
                return {"type": "http.disconnect"}

        return receive_in_time


def _refused(status: int, sentence: str) -> PlainTextResponse:
    return PlainTextResponse(f"{sentence}\n", status_code=status)
