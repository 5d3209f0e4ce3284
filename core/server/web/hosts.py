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

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of the machine itself: under which a forwarded port is reached, whatever its number."""


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
        return is_named(name, names)
    return True


def is_named(name: str, names: frozenset[str]) -> bool:
    """Whether a name is among them, or below one that begins with `*.`."""
    name = name.rstrip(".")
    parents = {f"*.{name[at + 1 :]}" for at, sign in enumerate(name) if sign == "."}
    return bool(names & {ANY, name, *parents})


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


def own_sites(names: frozenset[str], origins: Iterable[str], closed: bool) -> frozenset[str]:
    """The names of the sites whose pages may talk with a server of those `names`: these, and those
    of `origins`, such as `https://tools.example.com`; all sites where it is not `closed` to others.

    That a server answers under ANY name says nothing of other sites.
    """
    if not closed:
        return frozenset({ANY})
    others = (_name(origin.partition("://")[2]) for origin in origins)
    return (names - {ANY}) | LOOPBACK | {name for name in others if name is not None}


def is_own_site(origin: str, host: str, sites: frozenset[str]) -> bool:
    """Whether a page of that Origin may talk with the server that is asked as `host`: one of the
    same host and port may, and one of those sites."""
    scheme, _, netloc = origin.partition("://")
    name = _name(netloc)
    if name is None or scheme not in ("http", "https"):
        return False
    return netloc == host or is_named(name, sites)


class OwnHosts:
    """Answers no request, and opens no WebSocket, under a name that is not the server's; and opens
    no WebSocket for a page of another site.

    Streamlit's `server.allowedHosts` guards its WebSocket alone, and cannot say "any address of
    numbers", which a server in a network needs. For the page of another site it first asks the
    internet for the server's own address, while nobody else is answered (`get_external_ip` in
    net_util.py); so it is shown no Origin but the host's own.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], sites: frozenset[str]) -> None:
        """`names` as own_names gives them, `sites` as own_sites does."""
        self._app = app
        self._names = names
        self._sites = sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what names this server."""
        answer: ASGIApp = self._app
        if scope["type"] in ("http", "websocket"):
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            host = hosts[0] if len(hosts) == 1 else None
            if host is None or not is_own(host, self._names):
                answer = _refusal(host) if scope["type"] == "http" else WebSocketClose(1008)
            elif scope["type"] == "websocket":
                answer = self._for_own_sites(scope, host)
        await answer(scope, receive, send)

    def _for_own_sites(self, scope: Scope, host: str) -> ASGIApp:
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if not all(is_own_site(origin, host, self._sites) for origin in origins):
            return WebSocketClose(1008)
        others = [each for each in scope["headers"] if each[0] != b"origin"]
        own = [(b"origin", f"http://{host}".encode("latin-1"))] if origins else []
        scope["headers"] = [*others, *own]
        return self._app


def _refusal(host: str | None) -> PlainTextResponse:
    name = printable(host or "")[:200]
    return PlainTextResponse(
        f"This is Loupe, and it does not answer as {name!r}. Use its address, or name this host in "
        "LOUPE_HOSTS if it is the server's own.\n",
        status_code=403,
    )
