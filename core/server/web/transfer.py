"""The HTTP side of files: slices of uploads in, exports out, and the app's own fonts.

A browser gets a token from the script that drew the page, and may do with it what the script
allowed: send one file after the other into one slot, or several that are announced together and
are one checkpoint, or fetch one export. Weights go to the disk as they come, so the server's
memory does not grow with them, and a connection that dies leaves a shorter upload that goes on
where it ends.

An upload whose page was reloaded goes on under the new page's token. The browser names it by a key:
the SHA-256 of a random secret that the tab keeps to itself, and of the file's name, size, date and
ends. Whoever lacks the secret can neither name another's upload nor learn whether there is one; who
has it could only send the same file again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from core.errors import LoupeError, StoreError, printable
from core.server.files.folders import SUFFIXES
from core.server.files.store import ABANDONED_AFTER, Parts, Store, StoredFile, Upload, UploadGone
from core.server.files.upload_sets import set_manifest, set_refusal
from core.server.web.hosts import is_own_site

MAX_SLICE = 16 << 20
"""Bytes of one request at most."""

PIECE = 256 << 10
"""Bytes of a slice that are in memory before they go to the disk."""

MAX_ANNOUNCEMENT = 1 << 20
"""Bytes of the list of files that are to be one checkpoint."""

BODIES = 128
"""Requests whose bodies are read at once: with PIECE and the server's own buffers, some 50 MB."""

BODY_SILENCE = 30.0
"""Seconds for which a request's body may be silent before it is dropped."""

PUSHED_OUT_AFTER = 2.0
"""Seconds of silence after which a body makes room for a new one."""

ABSENCE = 60.0
"""Seconds for which a session may be cut off and still go on with its upload."""

KEPT_FOR_RELOAD = 900.0
"""Seconds for which an upload waits for the page that was reloaded and chooses the file again."""

SWEEP_EVERY = 15.0
"""Seconds between two looks for uploads that nobody goes on with."""

COUNT_EVERY = 60.0
"""Seconds between two sweeps of the data folder."""

PREFIX = "/loupe"

TOKENS = 10_000
"""Tokens remembered; those go first that nobody used for longest, and that have no upload."""


@dataclass(slots=True, eq=False)
class Body:
    """A request's body that is being read. Lives in the server's event loop."""

    limit: asyncio.Timeout
    silence: float
    touched: float

    def heard(self) -> None:
        """Bytes came."""
        self.touched = asyncio.get_running_loop().time()
        self.limit.reschedule(self.touched + self.silence)

    def drop(self) -> None:
        """Have its reader stop waiting."""
        if not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time())


@dataclass(slots=True, eq=False)
class Intake:
    """What one token has sent: the upload under way and its name, and what is finished.

    `announced` are the files, by name, that are to be one checkpoint, with their sizes; None where
    a file comes alone. Those that have `arrived` lie in `parts` and become `finished`, by name,
    once all are here. `cancelled` is the id of the last sending that was stopped, of which a slice
    may still be on its way. `body` is the slice that is being read; a newer one takes its place.
    `key` is what the browser calls the sending. `heard` is when something last came, and `ended`
    when its session went away (None while it is there), on the monotonic clock.
    """

    upload: Upload | None = None
    name: str = ""
    announced: Mapping[str, int] | None = None
    parts: Parts | None = None
    arrived: dict[str, StoredFile] = field(default_factory=dict)
    finished: Mapping[str, StoredFile] | None = None
    cancelled: str = ""
    body: Body | None = None
    key: str = ""
    heard: float = field(default_factory=time.monotonic)
    ended: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def under_way(self) -> bool:
        """Whether anything of a file is here that is not finished yet."""
        return self.upload is not None or bool(self.arrived)

    def received(self) -> dict[str, int]:
        """What is here of each file of the sending, in bytes."""
        here = {name: file.size for name, file in self.arrived.items()}
        if self.upload is not None and not self.upload.gone:
            here[self.name] = self.upload.received
        return here


@dataclass(frozen=True, slots=True)
class OfferedExport:
    """A file that somebody may fetch under a name."""

    path: Path
    name: str


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
        """`base_path` is where the app lies on its server, as in Streamlit's
        `server.baseUrlPath`; so many `tokens` are remembered, and at most `bodies` requests read at
        once, each until it is silent for `body_silence` seconds."""
        self.store = store
        self._most_tokens = tokens
        self._most_bodies = bodies
        self._body_silence = body_silence
        base = base_path.strip("/")
        self.prefix = f"/{base}{PREFIX}" if base else PREFIX
        self._intakes: OrderedDict[str, Intake] = OrderedDict()
        self._exports: dict[str, OfferedExport] = {}
        self._keys: dict[str, str] = {}
        self._bodies: set[Body] = set()
        self._lock = threading.RLock()

    def open_intake(self) -> str:
        """A token to upload with."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._intakes[token] = Intake()
            while len(self._intakes) > self._most_tokens:
                idle = (each for each in self._intakes if not self._intakes[each].under_way)
                self._close(next(idle, next(iter(self._intakes))))
        return token

    def intake(self, token: str) -> Intake | None:
        """What the token has sent so far; None for an unknown token."""
        with self._lock:
            found = self._intakes.get(token)
            if found is not None:
                self._intakes.move_to_end(token)
            return found

    def upload_address(self, token: str) -> str:
        """The path to which files are sent with a token."""
        return f"{self.prefix}/uploads/{token}"

    def session_ended(self, token: str) -> None:
        """The session went away: unless it comes back soon, `sweep` drops the token."""
        intake = self._intakes.get(token)
        if intake is not None:
            intake.ended = time.monotonic()

    def session_is_back(self, token: str) -> None:
        """The session was only cut off for a moment."""
        intake = self._intakes.get(token)
        if intake is not None:
            intake.ended, intake.heard = None, time.monotonic()

    def sweep(
        self,
        silence: float = ABANDONED_AFTER,
        absence: float = ABSENCE,
        reload: float = KEPT_FOR_RELOAD,
    ) -> None:
        """Give up uploads that had no byte for `silence` seconds, and tokens whose sessions went
        away `absence` seconds ago, or `reload` seconds where the page may go on with its upload."""
        now = time.monotonic()
        with self._lock:
            for token, intake in list(self._intakes.items()):
                patience = reload if intake.key and intake.under_way else absence
                if intake.ended is not None and now - intake.ended > patience:
                    self._close(token)
                elif intake.under_way and now - intake.heard > silence:
                    self.give_up(intake)

    def give_up(self, intake: Intake) -> None:
        """Forget what is under way, and what arrived of a set that never became whole."""
        _abandon(intake)
        if intake.parts is not None:
            intake.parts.abandon()
        intake.announced, intake.parts, intake.arrived = None, None, {}

    def go_on(self, token: str, intake: Intake, key: str, files: Mapping[str, int]) -> bool:
        """Whether something is here of a sending of these files, by name and size, that the browser
        calls by that key; the token then has what another token of the same page had."""
        with self._lock:
            other = self.sending(key)
            if other is None or not other.under_way or not _same_files(other, files):
                self.name_sending(token, intake, key)
                return False
            if other is not intake:
                self.give_up(intake)
                intake.upload, intake.name = other.upload, other.name
                intake.announced, intake.parts = other.announced, other.parts
                intake.arrived = other.arrived
                other.upload, other.announced, other.parts = None, None, None
                other.arrived, other.key = {}, ""
                if other.body is not None:
                    other.body.drop()
                    other.body = None
            intake.finished = None
            self.name_sending(token, intake, key)
            return True

    def sending(self, key: str) -> Intake | None:
        """What is sent by that key, or None."""
        with self._lock:
            return self._intakes.get(self._keys.get(key, ""))

    def name_sending(self, token: str, intake: Intake, key: str) -> None:
        """Find what this token sends by that key from now on; by none where it is empty."""
        with self._lock:
            if self._keys.get(intake.key) == token:
                del self._keys[intake.key]
            intake.key = key
            if key:
                self._keys[key] = token

    def offer(self, path: Path, name: str) -> str:
        """The address under which a browser can fetch a file."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._exports[token] = OfferedExport(path, name)
            while len(self._exports) > self._most_tokens:
                self._exports.pop(next(iter(self._exports)))
        return f"{self.prefix}/exports/{token}"

    def export(self, token: str) -> OfferedExport | None:
        """The file behind an address, or None."""
        return self._exports.get(token)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Body]:
        """While this is entered a request's body is read.

        Raises TimeoutError where it is silent for too long, or dropped; StoreError where too many
        are being read, each of them active.
        """
        now = asyncio.get_running_loop().time()
        if len(self._bodies) >= self._most_bodies:
            silent = min(self._bodies, key=lambda body: body.touched)
            if now - silent.touched < PUSHED_OUT_AFTER:
                raise _Busy(
                    f"{self._most_bodies} uploads come in, as many as this server takes at once.",
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
        self.name_sending(token, intake, "")
        self.give_up(intake)


class _Malformed(StoreError):
    """A request that no page of ours sends."""


class _Busy(StoreError):
    """More than the server does at once; the browser tries again."""


def _abandon(intake: Intake) -> None:
    if intake.upload is not None:
        intake.upload.abandon()
        intake.upload = None


def _same_files(intake: Intake, files: Mapping[str, int]) -> bool:
    if intake.announced is not None:
        return intake.announced == files
    return intake.upload is not None and {intake.name: intake.upload.size} == files


def routes(transfers: Transfers, fonts: Path, sites: frozenset[str] = frozenset()) -> list[Route]:
    """The routes of a server; `fonts` is the folder of its type faces, and pages of those `sites`,
    as core.server.web.hosts.own_sites gives them, may send files beside its own."""

    async def of_own_page(
        work: Callable[[Transfers, Request], Awaitable[Response]], request: Request
    ) -> Response:
        _refuse_other_sites(request, sites)
        return await work(transfers, request)

    async def send(request: Request) -> Response:
        return await _answered(of_own_page(_send, request))

    async def announce(request: Request) -> Response:
        return await _answered(of_own_page(_announce, request))

    async def cancel(request: Request) -> Response:
        return await _answered(of_own_page(_cancel, request))

    async def fetch(request: Request) -> Response:
        return await _fetch(transfers, request)

    faces = {path.name: path for path in fonts.glob("*.woff2")}

    async def font(request: Request) -> Response:
        path = faces.get(request.path_params["name"])
        if path is None:
            return Response(status_code=404)
        return FileResponse(path, headers={"Cache-Control": "public, max-age=31536000"})

    prefix = transfers.prefix
    return [
        Route(f"{prefix}/uploads/{{token}}", send, methods=["PUT"]),
        Route(f"{prefix}/uploads/{{token}}", announce, methods=["POST"]),
        Route(f"{prefix}/uploads/{{token}}", cancel, methods=["DELETE"]),
        Route(f"{prefix}/exports/{{token}}", fetch, methods=["GET"]),
        Route(f"{prefix}/fonts/{{name}}", font, methods=["GET"]),
    ]


@asynccontextmanager
async def tidied(transfers: Transfers) -> AsyncIterator[None]:
    """While this is entered, uploads that nobody goes on with vanish, and the data folder is swept
    and counted."""

    async def every(seconds: float, work: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(work)
            except OSError:
                # The disk may be back at the next one.
                logging.getLogger("loupe").exception("The data folder cannot be swept")

    tasks = [
        asyncio.create_task(every(SWEEP_EVERY, transfers.sweep)),
        asyncio.create_task(every(COUNT_EVERY, transfers.store.sweep)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _answered(work: Coroutine[None, None, Response]) -> Response:
    """What the work answers, and a sentence for each trouble."""
    try:
        return await work
    except _Malformed as error:
        return _sentence(400, error)
    except _Busy as error:
        return _sentence(503, error)
    except _Foreign as error:
        return _sentence(403, error)
    except StoreError as error:
        return _sentence(413, error)
    except TimeoutError:
        # Else the rest of the body would be waited for.
        return _sentence(408, _SILENT, close=True)
    except ClientDisconnect:
        return Response(status_code=400)


async def _announce(transfers: Transfers, request: Request) -> Response:
    """Files that are sent next: the body is JSON, `{name: size}`. Several are to be one checkpoint.

    A header `X-Loupe-Sending` names the sending, so that it can go on after a reload. 200 {"files",
    "received": {name: bytes}} with what is here already, where they may be sent one after the
    other; else a sentence.
    """
    intake = _allowed(transfers, request)
    key = request.headers.get("x-loupe-sending", "")
    if not re.fullmatch(r"([0-9a-f]{64})?", key):
        raise _Malformed("The request's name for the upload is malformed.", "Reload the page.")
    async with transfers.reading() as body:
        files = _listed(await _whole(request, body))
    alone = len(files) == 1 and next(iter(files)).lower().endswith(SUFFIXES)
    refusal = None if alone else set_refusal(files)
    if refusal is not None:
        raise refusal
    token = request.path_params["token"]
    # What the reloaded page sent is finished first where it is being finished.
    async with _locked(intake, transfers.sending(key) or intake):
        intake.heard = time.monotonic()
        if transfers.go_on(token, intake, key, files):
            return await _went_on(transfers, intake, files)
        refusal = transfers.store.refusal(*files.values())
        if refusal is not None:
            raise refusal
        transfers.give_up(intake)
        intake.finished = None
        intake.announced = None if alone else files
        return JSONResponse({"files": len(files), "received": {}})


@asynccontextmanager
async def _locked(*intakes: Intake) -> AsyncIterator[None]:
    """Holds the locks of all of them, taken in an order that is the same for everybody."""
    async with AsyncExitStack() as stack:
        for intake in sorted(set(intakes), key=id):
            await stack.enter_async_context(intake.lock)
        yield


async def _went_on(transfers: Transfers, intake: Intake, files: Mapping[str, int]) -> Response:
    """What is here of a sending that goes on. Of a set, whatever is here to the last byte is
    finished now, since the browser sends nothing more of it."""
    if intake.announced is not None:
        if intake.upload is not None and intake.upload.complete:
            await _finish(transfers, intake, intake.upload)
        else:
            await _keep_whole(transfers, intake)
    received = intake.received() if intake.finished is None else dict(files)
    return JSONResponse({"files": len(files), "received": received})


def _listed(body: bytes) -> dict[str, int]:
    try:
        files = json.loads(body)
    except (ValueError, RecursionError):
        files = None
    if not isinstance(files, dict) or not files or not all(map(_is_size, files.values())):
        raise _Malformed("The request lacks the files' sizes.", "Reload the page.")
    return files


async def _whole(request: Request, body: Body) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        body.heard()
        data += chunk
        if len(data) > MAX_ANNOUNCEMENT:
            raise StoreError("The list of files is too large.", "Choose fewer files.")
    return bytes(data)


async def _send(transfers: Transfers, request: Request) -> Response:
    """One slice: the query gives the file's `name` and `size`, the slice's `offset`, and an `id` of
    this sending.

    200 {"received"} or {"received", "sha256"} when that was the last; 409 {"received"} where the
    offset is not where the file goes on; 403 for a foreign page or token; 408 where the slice was
    silent for too long, or another took its place; 4xx with a sentence.
    """
    intake = _allowed(transfers, request)
    name, size, offset = _description(request.query_params, intake.announced or {})
    if (_number(request.headers.get("content-length", "")) or 0) > MAX_SLICE:
        raise StoreError("A slice of the upload is too large.", "Reload the page.")
    async with transfers.reading() as body:
        async with intake.lock:
            if intake.cancelled and request.query_params.get("id") == intake.cancelled:
                return _received(0)
            intake.ended, intake.heard = None, time.monotonic()
            if offset == 0:
                _begin(transfers, intake, name, size)
            upload = intake.upload
            if upload is None or upload.gone or upload.size != size or intake.name != name:
                return _received(0)
            if offset != upload.received:
                return _received(upload.received)
            if intake.body is not None:
                intake.body.drop()
            intake.body = body
        try:
            return await _slice(transfers, intake, body, request, upload)
        except UploadGone:
            return _received(0)
        except StoreError:
            if intake.upload is upload:
                _abandon(intake)
            raise
        finally:
            if intake.body is body:
                intake.body = None


async def _slice(
    transfers: Transfers, intake: Intake, body: Body, request: Request, upload: Upload
) -> Response:
    """Write what comes, in threads, so that other sessions stay quick."""
    start = at = upload.received
    waiting = bytearray()

    async def write() -> bool:
        """False where another slice took this one's place."""
        nonlocal at
        async with intake.lock:
            if intake.body is not body:
                return False
            data = bytes(waiting)
            waiting.clear()
            if not await asyncio.to_thread(upload.write, data, at):
                return False
            at += len(data)
            return True

    try:
        async for chunk in request.stream():
            body.heard()
            waiting += chunk
            if at + len(waiting) - start > MAX_SLICE:
                raise StoreError("A slice of the upload is too large.", "Reload the page.")
            if len(waiting) >= PIECE and not await write():
                return _received(upload.received)
    except ClientDisconnect:
        await write()
        raise
    body.limit.reschedule(None)
    if not await write():
        return _received(upload.received)
    if not upload.complete:
        return JSONResponse({"received": at})
    async with intake.lock:
        return await _finish(transfers, intake, upload)


async def _finish(transfers: Transfers, intake: Intake, upload: Upload) -> Response:
    """Answers once all that it says is on the disk."""
    if intake.upload is not upload:
        return _received(0)
    if intake.announced is None:
        stored = await asyncio.to_thread(upload.finish)
        intake.upload, intake.finished = None, {intake.name: stored}
    else:
        if intake.parts is None:
            intake.parts = await asyncio.to_thread(transfers.store.begin_parts)
        stored = await asyncio.to_thread(upload.finish, intake.parts)
        intake.upload = None
        intake.arrived[intake.name] = stored
        await _keep_whole(transfers, intake)
    return JSONResponse({"received": upload.size, "sha256": stored.sha256})


async def _keep_whole(transfers: Transfers, intake: Intake) -> None:
    """Take a set in once all of its files are here. Raises StoreError; where it is not given up by
    that, the next announcement of the same files tries again."""
    parts = intake.parts
    if parts is None or intake.announced is None or intake.announced.keys() - intake.arrived.keys():
        return
    files = {name: file.sha256 for name, file in intake.arrived.items()}
    try:
        kept = await asyncio.to_thread(parts.keep, set_manifest(files))
    except StoreError:
        if not parts.here:
            transfers.give_up(intake)
        raise
    intake.finished = {name: kept[digest] for name, digest in files.items()}
    intake.announced, intake.parts, intake.arrived = None, None, {}


def _refuse_other_sites(request: Request, sites: frozenset[str]) -> None:
    origin = request.headers.get("origin")
    # A proxy may rewrite Host; no page of another site can add a header of its own unasked.
    hosts = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
    if origin is not None and not any(is_own_site(origin, host or "", sites) for host in hosts):
        raise _Foreign("Another site's page may not send files here.")


def _allowed(transfers: Transfers, request: Request) -> Intake:
    intake = transfers.intake(request.path_params["token"])
    if intake is None:
        raise _Foreign(
            "This page does not know the server any more.", "Reload it, and send the file."
        )
    return intake


class _Foreign(StoreError):
    """A request of another site's page, or of a page that was drawn by another server."""


def _description(query: Mapping[str, str], announced: Mapping[str, int]) -> tuple[str, int, int]:
    name = query.get("name", "").replace("\\", "/").rsplit("/", 1)[-1][:200]
    if name not in announced and not name.lower().endswith(SUFFIXES):
        raise StoreError(
            f"{printable(name) or 'The file'} has an ending that no checkpoint has.",
            f"Loupe takes {', '.join(SUFFIXES)}.",
        )
    size, offset = (_number(query.get(each, "")) for each in ("size", "offset"))
    if size is None or offset is None or offset > size:
        raise _Malformed("The request lacks the file's size.", "Reload the page.")
    return name, size, offset


def _number(text: str) -> int | None:
    """Bytes, as browsers write them; None for what is malformed, or more than any disk has."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 10**18


def _begin(transfers: Transfers, intake: Intake, name: str, size: int) -> None:
    _abandon(intake)
    if intake.announced is None or intake.announced.get(name) != size:
        transfers.give_up(intake)
    intake.finished = None
    intake.upload = transfers.store.begin(size)
    intake.name = name


async def _cancel(transfers: Transfers, request: Request) -> Response:
    intake = _allowed(transfers, request)
    async with intake.lock:
        intake.cancelled = request.query_params.get("id", "")
        if intake.body is not None:
            intake.body.drop()
            intake.body = None
        transfers.name_sending(request.path_params["token"], intake, "")
        transfers.give_up(intake)
    return JSONResponse({"received": 0})


class _Download(FileResponse):
    """A file as it is: weights hardly shrink, and to gzip them takes 20 times as long as to send
    them. That it names its encoding keeps the server from packing it, so that it has a length, and
    what broke off goes on where it was."""

    chunk_size = 1 << 20

    def __init__(self, export: OfferedExport, status: os.stat_result) -> None:
        super().__init__(
            export.path,
            filename=export.name,
            media_type="application/octet-stream",
            headers={"Content-Encoding": "identity"},
            stat_result=status,
        )


async def _fetch(transfers: Transfers, request: Request) -> Response:
    export = transfers.export(request.path_params["token"])
    if export is not None:
        try:
            return _Download(export, transfers.store.use_export(export.path))
        except OSError:
            pass
    return _sentence(404, LoupeError("This export is gone.", "Make it again on the Fit page."))


_SILENT = LoupeError("The upload was silent for too long.", "It goes on where it was.")


def _received(nbytes: int) -> JSONResponse:
    return JSONResponse({"received": nbytes}, status_code=409)


def _sentence(status: int, error: LoupeError, close: bool = False) -> JSONResponse:
    headers = {"Connection": "close"} if close else None
    return JSONResponse({"error": str(error)}, status_code=status, headers=headers)
