"""The security headers of every answer: a second line of defence after the escaping of text."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED = "default-src 'none'; frame-ancestors 'self'; sandbox"
"""The policy for answers that are not pages of the app: opened alone, they can do nothing."""

SAME_FOR_ALL = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}
"""The headers of all answers. The referrer is withheld because the URL of a page names the files on
the bench, which no other site should learn."""

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
"""A script in the page itself, with its text."""


def content_policy(page: str) -> str:
    """The Content-Security-Policy for the app's `page`, the HTML that Streamlit serves.

    Nothing is loaded from, or sent to, another host. The scripts that may run are files of this
    server, the page's own inline scripts (by their hashes), and blobs, from which Streamlit imports
    the code of components. Inline styles are allowed, because Streamlit uses them.
    """
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(page)
    )
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' blob: {hashes}".strip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data:",  # Streamlit reads a camera's picture from its own URL
            "media-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )


class SecurityHeaders:
    """ASGI middleware that adds the headers that an answer does not have itself.

    `page` is the HTML of the app. Streamlit's media, such as a report that is downloaded, do not
    count as pages, even if they are HTML.
    """

    def __init__(self, app: ASGIApp, page: str) -> None:
        self._app = app
        self._policy = content_policy(page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                # A 304 has no content type, and its headers replace those of the page in the
                # browser's cache.
                is_page = is_page or message["status"] == 304
                is_media = "/media/" in scope["path"]
                policy = self._policy if is_page and not is_media else CLOSED
                headers.setdefault("Content-Security-Policy", policy)
                for name, value in SAME_FOR_ALL.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
