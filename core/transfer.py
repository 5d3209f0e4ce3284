"""The HTTP side of files: slices of uploads in, exports out, and the app's own fonts.

A browser gets a token from the script that drew the page, and may do with it what the script
allowed: send one file after the other into one slot, or several that are announced together and are
one checkpoint, or fetch one export. Weights go straight to the disk, so the server's memory does
not grow with them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from core.errors import LoupeError, StoreError
from core.folders import SUFFIXES
from core.store import ABANDONED_AFTER, Store, StoredFile, Upload
from core.upload_sets import set_refusal

MAX_SLICE = 16 << 20
"""Bytes of one request at most."""

MAX_ANNOUNCEMENT = 1 << 20
"""Bytes of the list of files that are to be one checkpoint."""

ABSENCE = 60.0
"""Seconds for which a session may be cut off and still go on with its upload."""

SWEEP_EVERY = 15.0
"""Seconds between two looks for uploads that nobody goes on with."""

PREFIX = "/loupe"

TOKENS = 10_000
"""Tokens remembered; the oldest go first."""


@dataclass(slots=True)
class Intake:
    """What one token has sent: the upload under way and its name, and what is finished.

    `announced` are the files, by name, that are to be one checkpoint, with their sizes; None where
    a file comes alone. Those that have `arrived` become `finished`, by name, once all are here.
    `cancelled` is the id of the last sending that was stopped, of which a slice may still be on its
    way. `ended` is when its session went away, on the monotonic clock; None while it is there.
    """

    upload: Upload | None = None
    name: str = ""
    announced: Mapping[str, int] | None = None
    arrived: dict[str, StoredFile] = field(default_factory=dict)
    finished: Mapping[str, StoredFile] | None = None
    cancelled: str = ""
    ended: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Export:
    """A file that somebody may fetch under a name."""

    path: Path
    name: str


class Transfers:
    """The tokens of one server, and what each may do. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._intakes: dict[str, Intake] = {}
        self._exports: dict[str, Export] = {}
        self._lock = threading.Lock()

    def open_intake(self) -> str:
        """A token to upload with."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._intakes[token] = Intake()
            while len(self._intakes) > TOKENS:
                self.give_up(self._intakes.pop(next(iter(self._intakes))))
        return token

    def intake(self, token: str) -> Intake | None:
        """What the token has sent so far; None for an unknown token."""
        return self._intakes.get(token)

    def session_ended(self, token: str) -> None:
        """The session went away: unless it comes back soon, `sweep` drops the token."""
        intake = self._intakes.get(token)
        if intake is not None:
            intake.ended = time.monotonic()

    def session_is_back(self, token: str) -> None:
        """The session was only cut off for a moment."""
        intake = self._intakes.get(token)
        if intake is not None:
            intake.ended = None

    def sweep(self, silence: float = ABANDONED_AFTER, absence: float = ABSENCE) -> None:
        """Give up uploads that had no byte for `silence` seconds, and tokens whose sessions went
        away `absence` seconds ago."""
        now = time.monotonic()
        with self._lock:
            for token, intake in list(self._intakes.items()):
                upload = intake.upload
                gone = intake.ended is not None and now - intake.ended > absence
                if gone:
                    del self._intakes[token]
                if gone or (upload is not None and now - upload.touched > silence):
                    self.give_up(intake)

    def give_up(self, intake: Intake) -> None:
        """Forget what is under way, and what arrived of a set that never became whole."""
        _abandon(intake)
        self.store.give_up(intake.arrived.values())
        intake.announced, intake.arrived = None, {}

    def offer(self, path: Path, name: str) -> str:
        """The address under which a browser can fetch a file."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._exports[token] = Export(path, name)
            while len(self._exports) > TOKENS:
                self._exports.pop(next(iter(self._exports)))
        return f"{PREFIX}/exports/{token}"

    def export(self, token: str) -> Export | None:
        """The file behind an address, or None."""
        return self._exports.get(token)


def _abandon(intake: Intake) -> None:
    if intake.upload is not None:
        intake.upload.abandon()
        intake.upload = None


def routes(transfers: Transfers, fonts: Path) -> list[Route]:
    """The routes of a server; `fonts` is the folder of its type faces."""

    async def send(request: Request) -> Response:
        return await _send(transfers, request)

    async def announce(request: Request) -> Response:
        return await _announce(transfers, request)

    async def cancel(request: Request) -> Response:
        return await _cancel(transfers, request)

    async def fetch(request: Request) -> Response:
        export = transfers.export(request.path_params["token"])
        if export is None or not export.path.is_file():
            return _sentence(404, "This export is gone.", "Make it again on the Fit page.")
        return FileResponse(
            export.path, filename=export.name, media_type="application/octet-stream"
        )

    async def font(request: Request) -> Response:
        path = fonts / request.path_params["name"]
        if path.parent != fonts or path.suffix != ".woff2" or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path, headers={"Cache-Control": "public, max-age=31536000"})

    return [
        Route(f"{PREFIX}/uploads/{{token}}", send, methods=["PUT"]),
        Route(f"{PREFIX}/uploads/{{token}}", announce, methods=["POST"]),
        Route(f"{PREFIX}/uploads/{{token}}", cancel, methods=["DELETE"]),
        Route(f"{PREFIX}/exports/{{token}}", fetch, methods=["GET"]),
        Route(f"{PREFIX}/fonts/{{name}}", font, methods=["GET"]),
    ]


@asynccontextmanager
async def tidied(transfers: Transfers) -> AsyncIterator[None]:
    """While this is entered, uploads that nobody goes on with vanish."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            transfers.sweep()

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()


async def _announce(transfers: Transfers, request: Request) -> Response:
    """Files that are to be one checkpoint: the body is JSON, `{name: size}`.

    200 {"files"} where they may be sent one after the other; 403 for a foreign page or token; 413
    with a sentence.
    """
    intake = _allowed(transfers, request)
    if isinstance(intake, Response):
        return intake
    try:
        files = _listed(await _body(request, MAX_ANNOUNCEMENT))
        refusal = set_refusal(files) or transfers.store.refusal(*files.values())
        if refusal is not None:
            raise refusal
    except StoreError as error:
        return _sentence(413, error.problem, error.remedy)
    except ClientDisconnect:
        return Response(status_code=400)
    async with intake.lock:
        transfers.give_up(intake)
        intake.announced, intake.finished = files, None
    return JSONResponse({"files": len(files)})


def _listed(body: bytes) -> dict[str, int]:
    try:
        files = json.loads(body)
    except (ValueError, RecursionError):
        files = None
    if not isinstance(files, dict) or not files or not all(type(n) is int for n in files.values()):
        raise StoreError("The request lacks the files' sizes.", "Reload the page.")
    return files


async def _send(transfers: Transfers, request: Request) -> Response:
    """One slice: the query gives the file's `name` and `size`, the slice's `offset`, and an `id` of
    this sending.

    200 {"received"} or {"received", "sha256"} when that was the last; 409 {"received"} where the
    offset is not where the file goes on; 403 for a foreign page or token; 4xx with a sentence.
    """
    intake = _allowed(transfers, request)
    if isinstance(intake, Response):
        return intake
    try:
        name, size, offset = _description(request.query_params, intake.announced or {})
        refusal = transfers.store.refusal(size) if offset == 0 else None
        if refusal is not None:
            raise refusal
        data = await _body(request)
        async with intake.lock:
            if intake.cancelled and request.query_params.get("id") == intake.cancelled:
                return JSONResponse({"received": 0}, status_code=409)
            return await _append(transfers, intake, name, size, offset, data)
    except StoreError as error:
        return _sentence(413, error.problem, error.remedy)
    except ClientDisconnect:
        return Response(status_code=400)


async def _append(
    transfers: Transfers, intake: Intake, name: str, size: int, offset: int, data: bytes
) -> Response:
    """Write a slice that is here whole, in a thread, so that other sessions stay quick."""
    intake.ended = None
    if offset == 0:
        _begin(transfers, intake, name, size)
    upload = intake.upload
    if upload is None or upload.size != size or intake.name != name:
        return JSONResponse({"received": 0}, status_code=409)
    if offset != upload.received:
        return JSONResponse({"received": upload.received}, status_code=409)
    try:
        await asyncio.to_thread(upload.write, data)
        if not upload.complete:
            return JSONResponse({"received": upload.received})
        stored = await asyncio.to_thread(upload.finish, intake.announced is None)
    except StoreError:
        _abandon(intake)
        raise
    intake.upload = None
    intake.arrived[name] = stored
    if intake.announced is None or intake.announced.keys() == intake.arrived.keys():
        transfers.store.claim(intake.arrived.values())
        intake.finished, intake.announced, intake.arrived = intake.arrived, None, {}
    return JSONResponse({"received": size, "sha256": stored.sha256})


def _allowed(transfers: Transfers, request: Request) -> Intake | Response:
    origin = request.headers.get("origin")
    # A proxy may rewrite Host; no page of another site can add a header of its own unasked.
    hosts = {request.headers.get("host"), request.headers.get("x-forwarded-host")}
    if origin is not None and urlsplit(origin).netloc not in hosts:
        return _sentence(403, "Another site's page may not send files here.", "")
    intake = transfers.intake(request.path_params["token"])
    if intake is None:
        return _sentence(
            403, "This page does not know the server any more.", "Reload it, and send the file."
        )
    return intake


def _description(query: Mapping[str, str], announced: Mapping[str, int]) -> tuple[str, int, int]:
    name = query.get("name", "").replace("\\", "/").rsplit("/", 1)[-1][:200]
    if name not in announced and not name.lower().endswith(SUFFIXES):
        raise StoreError(
            f"{name or 'The file'} has an ending that no checkpoint has.",
            f"Loupe takes {', '.join(SUFFIXES)}.",
        )
    try:
        return name, int(query["size"]), int(query["offset"])
    except (KeyError, ValueError):
        raise StoreError("The request lacks the file's size.", "Reload the page.") from None


def _begin(transfers: Transfers, intake: Intake, name: str, size: int) -> None:
    _abandon(intake)
    if intake.announced is None or intake.announced.get(name) != size:
        transfers.give_up(intake)
    intake.finished = None
    intake.upload = transfers.store.begin(size)
    intake.name = name


async def _body(request: Request, most: int = MAX_SLICE) -> bytes:
    """The slice's bytes, in memory: only what came whole is written, so that a connection that
    dies in mid-slice leaves nothing behind and keeps nobody waiting."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise StoreError("A slice of the upload is too large.", "Reload the page.")
    return bytes(body)


async def _cancel(transfers: Transfers, request: Request) -> Response:
    intake = _allowed(transfers, request)
    if isinstance(intake, Response):
        return intake
    async with intake.lock:
        intake.cancelled = request.query_params.get("id", "")
        transfers.give_up(intake)
    return JSONResponse({"received": 0})


def _sentence(status: int, problem: str, remedy: str) -> JSONResponse:
    return JSONResponse({"error": str(LoupeError(problem, remedy))}, status_code=status)
