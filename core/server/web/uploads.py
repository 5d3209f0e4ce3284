"""The three requests of an upload, their bodies read under limits: announce, send a slice, cancel.

The bytes go to the disk as they come, so the server's memory does not grow with the weights. After
a connection broke, the upload is shorter, and continues where it ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from core.errors import StoreError, printable
from core.server.files.folders import SUFFIXES
from core.server.files.store import Upload, UploadGone
from core.server.files.upload_sets import MAX_NAME, long_name, set_manifest, set_refusal
from core.server.web.transfers import Body, Intake, Transfers

MAX_SLICE = 16 << 20
"""The most bytes of one request."""

PIECE = 256 << 10
"""Bytes of a slice that are collected in memory before they are written to the disk."""

MAX_ANNOUNCEMENT = 1 << 20
"""The most bytes of the list of files that make up one checkpoint."""


class MalformedRequest(StoreError):
    """A request that no page of this app sends."""


class ForeignRequest(StoreError):
    """A request from a page of another site, or from a page that another server drew."""


async def announce(transfers: Transfers, request: Request) -> Response:
    """Announce the files that are sent next; several make up one checkpoint.

    The body is JSON, `{name: size}`. The header `X-Loupe-Sending` names the upload, so that it can
    continue after a reload. The answer is 200 {"files", "received": {name: bytes}}, with the bytes
    that have already arrived. Raises StoreError with a sentence for the browser where they may not
    be sent, and TimeoutError.
    """
    intake = _allowed(transfers, request)
    key = request.headers.get("x-loupe-sending", "")
    if not re.fullmatch(r"([0-9a-f]{64})?", key):
        raise MalformedRequest("The request's upload name is malformed.", "Reload the page.")
    async with transfers.reading() as body:
        files = _announced_files(await _whole_body(request, body))
    alone = len(files) == 1 and next(iter(files)).lower().endswith(SUFFIXES)
    refusal = None if alone else set_refusal(files)
    if refusal is not None:
        raise refusal
    token = request.path_params["token"]
    # A file of the page before the reload may be finishing now: the lock waits until it has.
    async with _locked(intake, transfers.intake_of_key(key) or intake):
        intake.last_byte_at = time.monotonic()
        if transfers.continue_upload(token, intake, key, files):
            return await _continued(transfers, intake, files)
        refusal = transfers.store.refusal(*files.values())
        if refusal is not None:
            raise refusal
        transfers.abandon(intake)
        intake.finished = None
        intake.announced = None if alone else files
        return JSONResponse({"files": len(files), "received": {}})


async def send(transfers: Transfers, request: Request) -> Response:
    """Write one slice of a file.

    The query has the file's `name` and `size`, the slice's `offset`, and an `id` of this upload.
    The answer is 200 {"received"}, or {"received", "sha256"} after the last slice; or 409
    {"received"} where the offset is not the end of what has arrived. Raises StoreError with a
    sentence for the browser where the slice is refused, and TimeoutError where it is silent for too
    long or a newer slice replaces it.
    """
    intake = _allowed(transfers, request)
    name, size, offset = _slice_query(request.query_params, intake.announced or {})
    if (_number(request.headers.get("content-length", "")) or 0) > MAX_SLICE:
        raise StoreError("A slice of the upload is too large.", "Reload the page.")
    async with transfers.reading() as body:
        async with intake.lock:
            if intake.cancelled_id and request.query_params.get("id") == intake.cancelled_id:
                return _received(0)
            intake.disconnected_at, intake.last_byte_at = None, time.monotonic()
            if offset == 0:  # a new file, or the same one from its start
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
            return await _write_slice(transfers, intake, body, request, upload)
        except UploadGone:
            return _received(0)
        except StoreError:
            if intake.upload is upload:
                intake.abandon_upload()
            raise
        finally:
            if intake.body is body:
                intake.body = None


async def cancel(transfers: Transfers, request: Request) -> Response:
    """Delete what arrived of an upload; the query has its `id`. The answer is {"received": 0}."""
    intake = _allowed(transfers, request)
    async with intake.lock:
        intake.cancelled_id = request.query_params.get("id", "")
        if intake.body is not None:
            intake.body.drop()
            intake.body = None
        transfers.set_key(request.path_params["token"], intake, "")
        transfers.abandon(intake)
    return JSONResponse({"received": 0})


def _allowed(transfers: Transfers, request: Request) -> Intake:
    intake = transfers.intake(request.path_params["token"])
    if intake is None:
        raise ForeignRequest(
            "This page does not know the server any more.", "Reload it, and send the file."
        )
    return intake


@asynccontextmanager
async def _locked(*intakes: Intake) -> AsyncIterator[None]:
    """A context that has the locks of all intakes, always taken in the same order."""
    async with AsyncExitStack() as stack:
        for intake in sorted(set(intakes), key=id):
            await stack.enter_async_context(intake.lock)
        yield


async def _continued(transfers: Transfers, intake: Intake, files: Mapping[str, int]) -> Response:
    """The answer to the announcement of an upload that continues.

    A file or a set that has arrived to the last byte is finished now, because the browser sends
    nothing more of it.
    """
    if intake.announced is not None:
        if intake.upload is not None and intake.upload.complete:
            await _finish(transfers, intake, intake.upload)
        else:
            await _finish_set(transfers, intake)
    received = intake.received() if intake.finished is None else dict(files)
    return JSONResponse({"files": len(files), "received": received})


def _announced_files(body: bytes) -> dict[str, int]:
    try:
        files = json.loads(body)
    except (ValueError, RecursionError):
        files = None
    if not isinstance(files, dict) or not files or not all(map(_is_size, files.values())):
        raise MalformedRequest("The request lacks the files' sizes.", "Reload the page.")
    return files


async def _whole_body(request: Request, body: Body) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        body.note_bytes()
        data += chunk
        if len(data) > MAX_ANNOUNCEMENT:
            raise StoreError("The list of files is too large.", "Choose fewer files.")
    return bytes(data)


async def _write_slice(
    transfers: Transfers, intake: Intake, body: Body, request: Request, upload: Upload
) -> Response:
    """Write a slice's bytes as they come, in threads, so that other sessions are not delayed."""
    start = at = upload.received
    unwritten = bytearray()

    async def write() -> bool:
        """Write the unwritten bytes; False where a newer slice replaced this one."""
        nonlocal at
        async with intake.lock:
            if intake.body is not body:
                return False
            data = bytes(unwritten)
            unwritten.clear()
            if not await asyncio.to_thread(upload.write, data, at):
                return False
            at += len(data)
            return True

    try:
        async for chunk in request.stream():
            body.note_bytes()
            unwritten += chunk
            if at + len(unwritten) - start > MAX_SLICE:
                raise StoreError("A slice of the upload is too large.", "Reload the page.")
            if len(unwritten) >= PIECE and not await write():
                return _received(upload.received)
    except ClientDisconnect:
        # What came is kept, so that the upload continues there.
        await write()
        raise
    body.limit.reschedule(None)  # all has come: only the disk can be slow now
    if not await write():
        return _received(upload.received)
    if not upload.complete:
        return JSONResponse({"received": at})
    async with intake.lock:
        return await _finish(transfers, intake, upload)


async def _finish(transfers: Transfers, intake: Intake, upload: Upload) -> Response:
    """Store a file that has arrived; the answer comes only once its bytes are on the disk."""
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
        await _finish_set(transfers, intake)
    return JSONResponse({"received": upload.size, "sha256": stored.sha256})


async def _finish_set(transfers: Transfers, intake: Intake) -> None:
    """Store a set once all of its files have arrived; before that, do nothing.

    Raises StoreError. If its files are still there then, the next announcement of the same files
    tries again.
    """
    parts = intake.parts
    if parts is None or intake.announced is None or intake.announced.keys() - intake.arrived.keys():
        return
    files = {name: file.sha256 for name, file in intake.arrived.items()}
    try:
        stored = await asyncio.to_thread(parts.store_set, set_manifest(files))
    except StoreError:
        if not parts.is_pending:
            transfers.abandon(intake)
        raise
    intake.finished = {name: stored[digest] for name, digest in files.items()}
    intake.announced, intake.parts, intake.arrived = None, None, {}


def _slice_query(query: Mapping[str, str], announced: Mapping[str, int]) -> tuple[str, int, int]:
    """The file's name and size, and the slice's offset, in a request's query."""
    name = query.get("name", "").replace("\\", "/").rsplit("/", 1)[-1]
    if len(name) > MAX_NAME:
        raise long_name(name)
    if name not in announced and not name.lower().endswith(SUFFIXES):
        raise StoreError(
            f"{printable(name) or 'The file'} has an ending that no checkpoint has.",
            f"Loupe takes {', '.join(SUFFIXES)}.",
        )
    size, offset = _number(query.get("size", "")), _number(query.get("offset", ""))
    if size is None or offset is None or offset > size:
        raise MalformedRequest("The request lacks the file's size.", "Reload the page.")
    return name, size, offset


def _number(text: str) -> int | None:
    """A number of bytes as browsers write it; None if it is malformed, or larger than any disk."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 10**18


def _begin(transfers: Transfers, intake: Intake, name: str, size: int) -> None:
    intake.abandon_upload()
    if intake.announced is None or intake.announced.get(name) != size:
        transfers.abandon(intake)
    intake.finished = None
    intake.upload = transfers.store.begin(size)
    intake.name = name


def _received(nbytes: int) -> JSONResponse:
    return JSONResponse({"received": nbytes}, status_code=409)
