"""The names under which the server answers, so that no other site's name can be pointed at it.

A page of another site may have its own name lead to this server once it is loaded (DNS rebinding):
to the browser both are then one site, and the page may read all that its visitor could. Such a
request still carries the other site's name.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from core.errors import printable

ANY = "*"
"""Stands for every name."""


def own_names(address: str | None, more: Iterable[str]) -> frozenset[str]:
    """The names of a server that was started at an address (None: at all of the machine's), and
    `more` of them, such as a proxy's; `*.example.com` stands for all names under it."""
    names = {"localhost", socket.gethostname(), *more, *([address] if address else [])}
    return frozenset(name.strip().lower().rstrip(".") for name in names if name.strip())


def is_own(host: str | None, names: frozenset[str]) -> bool:
    """Whether a request's Host header names this server.

    Any address of numbers does: nobody can have one lead elsewhere than it says.
    """
    name = _name(host)
    if name is None:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        parents = {f"*.{name[at + 1 :]}" for at, sign in enumerate(name) if sign == "."}
        return bool(names & {ANY, name, *parents})
    return True


def _name(host: str | None) -> str | None:
    """The name in a Host header, without its port; None where it is malformed."""
    try:
        parts = urlsplit(f"//{host or ''}")
        # To ask for the port checks it.
        whole = parts.port is None or parts.port >= 0
    except ValueError:
        return None
    if not whole or parts.netloc != host or "@" in parts.netloc or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


class OwnHosts:
    """Answers no request, and opens no WebSocket, under a name that is not the server's.

    Streamlit's `server.allowedHosts` guards its WebSocket alone, and cannot say "any address of
    numbers", which a server in a network needs.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what names this server."""
        answer: ASGIApp = self._app
        if scope["type"] in ("http", "websocket"):
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            host = hosts[0] if len(hosts) == 1 else None
            if not is_own(host, self._names):
                answer = _refusal(host) if scope["type"] == "http" else WebSocketClose(1008)
        await answer(scope, receive, send)


def _refusal(host: str | None) -> PlainTextResponse:
    name = printable(host or "")[:200]
    return PlainTextResponse(
        f"This is Loupe, and it does not answer as {name!r}. Use its address, or name this host in "
        "LOUPE_HOSTS if it is the server's own.\n",
        status_code=403,
    )
