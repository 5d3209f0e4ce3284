"""Checks the Host and Origin of requests against the names of the server and the sites it trusts.

A page of another site may change its own DNS name to this server's address after it was loaded (DNS
rebinding). To the browser, both are then the same site, and the page may read everything that its
visitor could. But the Host header of such a request still contains the other site's name.
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
"""The names of the machine itself, under which a forwarded port is reached, whatever its number."""


def own_names(address: str | None, more: Iterable[str]) -> frozenset[str]:
    """The names of a server that listens on `address` (None: on all of the machine's).

    `more` are further names, such as a proxy's; `*.example.com` stands for all names below it.
    """
    names = {"localhost", socket.gethostname(), *more, *([address] if address else [])}
    return frozenset(name.strip().lower().rstrip(".") for name in names if name.strip())


def is_own(host: str | None, names: frozenset[str]) -> bool:
    """Whether a request's Host header names this server.

    Any IP address does: unlike a DNS name, nobody can make it lead to another machine.
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
    """Whether a name is one of `names`, or below one of them that begins with `*.`."""
    name = name.rstrip(".")
    parents = {f"*.{name[at + 1 :]}" for at, sign in enumerate(name) if sign == "."}
    return bool(names & {ANY, name, *parents})


def _name(host: str | None) -> str | None:
    """The name in a Host header, without its port; None where it is malformed."""
    try:
        parts = urlsplit(f"//{host or ''}")
        # Reading `port` raises ValueError for a port that is not a number up to 65535.
        port_is_valid = parts.port is None or parts.port >= 0
    except ValueError:
        return None
    if not port_is_valid or parts.netloc != host or "@" in parts.netloc or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


def own_sites(names: frozenset[str], origins: Iterable[str], closed: bool) -> frozenset[str]:
    """The names of the sites whose pages may send requests to a server with these `names`.

    They are these names (except ANY, which says nothing about other sites), and those of `origins`,
    such as `https://tools.example.com`. If the server is not `closed` to other sites, all sites.
    """
    if not closed:
        return frozenset({ANY})
    others = (_name(origin.partition("://")[2]) for origin in origins)
    return (names - {ANY}) | LOOPBACK | {name for name in others if name is not None}


def is_own_site(origin: str, host: str, sites: frozenset[str]) -> bool:
    """Whether a page of this Origin may send requests to the server, whose Host header is `host`.

    It may if its host and port are the same, or if it is one of `sites`.
    """
    scheme, _, netloc = origin.partition("://")
    name = _name(netloc)
    if name is None or scheme not in ("http", "https"):
        return False
    return netloc == host or is_named(name, sites)


class OwnHosts:
    """ASGI middleware that refuses requests under a name that is not the server's.

    It also refuses WebSockets for pages of other sites. Streamlit's `server.allowedHosts` guards
    only its WebSocket, and cannot allow every IP address, which a server in a network needs.

    For a page of another site, Streamlit first asks the internet for the server's own address, and
    answers nobody meanwhile (`get_external_ip` in net_util.py). So the Origin of an accepted
    request is replaced by the host's own.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], sites: frozenset[str]) -> None:
        """`names` are those that own_names returns, `sites` those that own_sites returns."""
        self._app = app
        self._names = names
        self._sites = sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the app if it names this server."""
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
        others = [header for header in scope["headers"] if header[0] != b"origin"]
        own = [(b"origin", f"http://{host}".encode("latin-1"))] if origins else []
        scope["headers"] = [*others, *own]
        return self._app


def _refusal(host: str | None) -> PlainTextResponse:
    name = printable(host or "")[:200]
    return PlainTextResponse(
        f"This is Loupe, and it does not answer as {name!r}. Use its address, or add this name to "
        "LOUPE_HOSTS if it is the server's own.\n",
        status_code=403,
    )
