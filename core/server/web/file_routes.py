"""The routes for files: slices of uploads in, exports out, and the app's own fonts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from core.errors import LoupeError, StoreError
from core.server.web.hosts import is_own_site
from core.server.web.transfers import OfferedExport, ServerBusy, Transfers
from core.server.web.uploads import ForeignRequest, MalformedRequest, announce, cancel, send

SWEEP_EVERY = 15.0
"""Seconds between two sweeps of uploads that nobody continues."""

COUNT_EVERY = 60.0
"""Seconds between two sweeps of the data folder."""


def routes(transfers: Transfers, fonts: Path, sites: frozenset[str] = frozenset()) -> list[Route]:
    """The routes of a server for its uploads, exports and fonts.

    `fonts` is the folder of the app's `.woff2` files. Pages of the server itself may send files,
    and pages of `sites`, as core.server.web.hosts.own_sites returns them.
    """

    def upload_route(
        work: Callable[[Transfers, Request], Awaitable[Response]], method: str
    ) -> Route:
        async def answer(request: Request) -> Response:
            return await _answer(work, transfers, request, sites)

        return Route(f"{transfers.prefix}/uploads/{{token}}", answer, methods=[method])

    async def fetch(request: Request) -> Response:
        return await _fetch(transfers, request)

    files = {path.name: path for path in fonts.glob("*.woff2")}

    async def font(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        if path is None:
            return Response(status_code=404)
        return FileResponse(path, headers={"Cache-Control": "public, max-age=31536000"})

    return [
        upload_route(send, "PUT"),
        upload_route(announce, "POST"),
        upload_route(cancel, "DELETE"),
        Route(f"{transfers.prefix}/exports/{{token}}", fetch, methods=["GET"]),
        Route(f"{transfers.prefix}/fonts/{{name}}", font, methods=["GET"]),
    ]


@asynccontextmanager
async def tidied(transfers: Transfers) -> AsyncIterator[None]:
    """A context in which abandoned uploads are removed, and the data folder is swept and counted,
    at regular intervals."""

    async def every(seconds: float, work: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(work)
            except OSError:
                # The disk may be available again at the next sweep.
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


async def _answer(
    work: Callable[[Transfers, Request], Awaitable[Response]],
    transfers: Transfers,
    request: Request,
    sites: frozenset[str],
) -> Response:
    """The answer to a request of an upload, or a sentence on why it is refused."""
    try:
        _refuse_other_sites(request, sites)
        return await work(transfers, request)
    except MalformedRequest as error:
        return _sentence(400, error)
    except ServerBusy as error:
        return _sentence(503, error)
    except ForeignRequest as error:
        return _sentence(403, error)
    except StoreError as error:
        return _sentence(413, error)
    except TimeoutError:
        # With the connection open, the server would wait for the rest of the body.
        return _sentence(408, _SILENT, close=True)
    except ClientDisconnect:
        return Response(status_code=400)


def _refuse_other_sites(request: Request, sites: frozenset[str]) -> None:
    origin = request.headers.get("origin")
    # A proxy may rewrite Host, and state the original in X-Forwarded-Host. A page of another site
    # cannot add such a header itself: the browser would first ask this server for permission.
    hosts = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
    if origin is not None and not any(is_own_site(origin, host or "", sites) for host in hosts):
        raise ForeignRequest("Another site's page may not send files here.")


class _Download(FileResponse):
    """An export, sent without compression.

    Weights hardly shrink, and gzip takes 20 times as long as sending them. An answer that states an
    encoding is not compressed by the server; so it keeps its length, and a broken download can be
    resumed.
    """

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


_SILENT = LoupeError("The upload was silent for too long.", "It continues where it stopped.")


def _sentence(status: int, error: LoupeError, close: bool = False) -> JSONResponse:
    headers = {"Connection": "close"} if close else None
    return JSONResponse({"error": str(error)}, status_code=status, headers=headers)
