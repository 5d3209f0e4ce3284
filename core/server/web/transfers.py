"""The state of uploads and exports: the tokens of browsers, and what each of them may do.

A browser gets a token from the script that drew the page. With it, it may do what the script
allowed: upload single files one after another, or several that are announced together and make up
one checkpoint, or download one export.

An upload whose page was reloaded continues under the new page's token. The browser names it by a
key: the SHA-256 of a random secret of the tab, and of the file's name, size, date and ends. Without
the secret, nobody can name another's upload, or learn whether there is one; with it, one could only
send the same file again.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import StoreError
from core.server.files.store import ABANDONED_AFTER, Parts, Store, StoredFile, Upload

BODIES = 128
"""The most request bodies that are read at once. With `uploads.PIECE` bytes and the server's own
buffers for each, they take some 50 MB."""

BODY_SILENCE = 30.0
"""Seconds without a byte after which a request's body is dropped."""

PUSHED_OUT_AFTER = 2.0
"""Seconds without a byte after which a body may be dropped to make room for a new one."""

ABSENCE = 60.0
"""Seconds for which a session may be disconnected and still continue its upload."""

KEPT_FOR_RELOAD = 900.0
"""Seconds for which an upload waits until the reloaded page chooses the same file again."""

PREFIX = "/loupe"
"""The start of the URL paths of Loupe's own routes; none of Streamlit's begins so."""

TOKENS = 10_000
"""The most tokens that are remembered. Beyond that, those used longest ago are dropped, first those
without an upload."""


@dataclass(slots=True, eq=False)
class Body:
    """A request's body that is being read. It belongs to the server's event loop.

    `silence` is the number of seconds that it may be silent; `last_byte_at` is when a byte last
    came, on the loop's clock.
    """

    limit: asyncio.Timeout
    silence: float
    last_byte_at: float

    def note_bytes(self) -> None:
        """Note that bytes came, and restart the time limit."""
        self.last_byte_at = asyncio.get_running_loop().time()
        self.limit.reschedule(self.last_byte_at + self.silence)

    def drop(self) -> None:
        """End its reading: the reader gets a TimeoutError."""
        if not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time())


@dataclass(slots=True, eq=False)
class Intake:
    """The uploads of one token: the file that is being sent, and those that are finished.

    - `upload` and `name` are the file that is being sent.
    - `announced` has the files that make up one checkpoint, by name, with their sizes; None where a
      file is sent alone. Those that have `arrived` are in `parts`.
    - `finished` are the stored files by name, once all of them have arrived.
    - `cancelled_id` is the id of the last upload that was cancelled; slices of it may still come.
    - `body` is the slice that is being read; a newer slice replaces it.
    - `key` is the browser's name for the upload, by which it continues after a reload.
    - `last_byte_at` is when a byte last came, and `disconnected_at` when the session was
      disconnected (None while it is connected), both on the monotonic clock.
    """

    upload: Upload | None = None
    name: str = ""
    announced: Mapping[str, int] | None = None
    parts: Parts | None = None
    arrived: dict[str, StoredFile] = field(default_factory=dict)
    finished: Mapping[str, StoredFile] | None = None
    cancelled_id: str = ""
    body: Body | None = None
    key: str = ""
    last_byte_at: float = field(default_factory=time.monotonic)
    disconnected_at: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def under_way(self) -> bool:
        """Whether some bytes arrived of a file or set that is not finished yet."""
        return self.upload is not None or bool(self.arrived)

    def received(self) -> dict[str, int]:
        """The bytes that arrived of each file, by name."""
        nbytes = {name: file.size for name, file in self.arrived.items()}
        if self.upload is not None and not self.upload.gone:
            nbytes[self.name] = self.upload.received
        return nbytes

    def abandon_upload(self) -> None:
        """Delete what arrived of the file that is being sent."""
        if self.upload is not None:
            self.upload.abandon()
            self.upload = None

    def is_sending(self, files: Mapping[str, int]) -> bool:
        """Whether these files, by name and size, are the ones that are being sent."""
        if self.announced is not None:
            return self.announced == files
        return self.upload is not None and {self.name: self.upload.size} == files


@dataclass(frozen=True, slots=True)
class OfferedExport:
    """A file that a browser may download under a name."""

    path: Path
    name: str


class ServerBusy(StoreError):
    """The server reads as many bodies as it may; the browser tries again later."""


class Transfers:
    """The tokens of one server, and what each may do. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        base_path: str = "",
        *,
        tokens: int = TOKENS,
        bodies: int = BODIES,
        body_silence: float = BODY_SILENCE,
    ) -> None:
        """`base_path` is the app's path on its server, as in Streamlit's `server.baseUrlPath`.

        At most `tokens` tokens are remembered, and `bodies` request bodies read at once, each until
        no byte came for `body_silence` seconds.
        """
        self.store = store
        self._most_tokens = tokens
        self._most_bodies = bodies
        self._body_silence = body_silence
        base = base_path.strip("/")
        self.prefix = f"/{base}{PREFIX}" if base else PREFIX
        self._intakes: OrderedDict[str, Intake] = OrderedDict()
        self._exports: dict[str, OfferedExport] = {}
        self._keys: dict[str, str] = {}  # the token of each upload that the browser has named
        self._bodies: set[Body] = set()
        self._lock = threading.RLock()

    def open_intake(self) -> str:
        """A new token to upload with."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._intakes[token] = Intake()
            while len(self._intakes) > self._most_tokens:
                idle = (token for token, intake in self._intakes.items() if not intake.under_way)
                oldest = next(iter(self._intakes))
                self._close(next(idle, oldest))
        return token

    def intake(self, token: str) -> Intake | None:
        """The uploads of a token; None for an unknown token."""
        with self._lock:
            intake = self._intakes.get(token)
            if intake is not None:
                self._intakes.move_to_end(token)
            return intake

    def upload_address(self, token: str) -> str:
        """The URL path to which files are sent with a token."""
        return f"{self.prefix}/uploads/{token}"

    def session_ended(self, token: str) -> None:
        """Note that the session was disconnected: unless it returns, `sweep` drops the token."""
        intake = self._intakes.get(token)
        if intake is not None:
            intake.disconnected_at = time.monotonic()

    def session_is_back(self, token: str) -> None:
        """Note that the session is connected again."""
        intake = self._intakes.get(token)
        if intake is not None:
            intake.disconnected_at, intake.last_byte_at = None, time.monotonic()

    def sweep(
        self,
        silence: float = ABANDONED_AFTER,
        absence: float = ABSENCE,
        reload: float = KEPT_FOR_RELOAD,
    ) -> None:
        """Drop the uploads and tokens that nobody continues.

        An upload is dropped after `silence` seconds without a byte, and a token `absence` seconds
        after its session was disconnected, or `reload` seconds where a reloaded page may continue
        its upload.
        """
        now = time.monotonic()
        with self._lock:
            for token, intake in list(self._intakes.items()):
                patience = reload if intake.key and intake.under_way else absence
                if intake.disconnected_at is not None and now - intake.disconnected_at > patience:
                    self._close(token)
                elif intake.under_way and now - intake.last_byte_at > silence:
                    self.abandon(intake)

    def abandon(self, intake: Intake) -> None:
        """Delete the file that is being sent, and what arrived of an incomplete set."""
        intake.abandon_upload()
        if intake.parts is not None:
            intake.parts.abandon()
        intake.announced, intake.parts, intake.arrived = None, None, {}

    def continue_upload(
        self, token: str, intake: Intake, key: str, files: Mapping[str, int]
    ) -> bool:
        """Continue an upload of these files, by name and size, that the browser names by `key`.

        The token takes over what arrived under the token of the page before the reload. False where
        nothing did.
        """
        with self._lock:
            other = self.intake_of_key(key)
            if other is None or not other.under_way or not other.is_sending(files):
                self.set_key(token, intake, key)
                return False
            if other is not intake:
                self.abandon(intake)
                intake.upload, intake.name = other.upload, other.name
                intake.announced, intake.parts = other.announced, other.parts
                intake.arrived = other.arrived
                other.upload, other.announced, other.parts = None, None, None
                other.arrived, other.key = {}, ""
                if other.body is not None:
                    other.body.drop()
                    other.body = None
            intake.finished = None
            self.set_key(token, intake, key)
            return True

    def intake_of_key(self, key: str) -> Intake | None:
        """The uploads that the browser names by `key`, or None."""
        with self._lock:
            return self._intakes.get(self._keys.get(key, ""))

    def set_key(self, token: str, intake: Intake, key: str) -> None:
        """Set the browser's name for a token's upload; an empty `key` removes it."""
        with self._lock:
            if self._keys.get(intake.key) == token:
                del self._keys[intake.key]
            intake.key = key
            if key:
                self._keys[key] = token

    def offer(self, path: Path, name: str) -> str:
        """The URL path at which a browser can download a file under a name."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._exports[token] = OfferedExport(path, name)
            while len(self._exports) > self._most_tokens:
                self._exports.pop(next(iter(self._exports)))
        return f"{self.prefix}/exports/{token}"

    def export(self, token: str) -> OfferedExport | None:
        """The export with this token, or None."""
        return self._exports.get(token)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Body]:
        """A context in which a request's body is read.

        Raises TimeoutError where the body is silent for too long or is dropped, and ServerBusy
        where too many bodies are being read and none of them is silent.
        """
        now = asyncio.get_running_loop().time()
        if len(self._bodies) >= self._most_bodies:
            silent = min(self._bodies, key=lambda body: body.last_byte_at)
            if now - silent.last_byte_at < PUSHED_OUT_AFTER:
                raise ServerBusy(
                    f"{self._most_bodies} uploads are being received, as many as this server "
                    "takes at once.",
                    "Try again in a minute.",
                )
            silent.drop()
            self._bodies.discard(silent)
        async with asyncio.timeout(self._body_silence) as limit:
            body = Body(limit, self._body_silence, now)
            self._bodies.add(body)
            try:
                yield body
            finally:
                self._bodies.discard(body)

    def _close(self, token: str) -> None:
        intake = self._intakes.pop(token)
        self.set_key(token, intake, "")
        self.abandon(intake)
