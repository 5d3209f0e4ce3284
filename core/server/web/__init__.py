"""The HTTP side of a server: routes for uploads and downloads, and the limits around every request.

Each part is an ASGI middleware or a Starlette route, which `app.py` adds to Streamlit's app.
"""

from core.server.web.connections import answer_at_once
from core.server.web.file_routes import routes, tidied
from core.server.web.headers import SecurityHeaders
from core.server.web.hosts import OwnHosts, own_names, own_sites
from core.server.web.image_limit import MOST_OF_ALL, MOST_OF_ONE, ImageLimit
from core.server.web.slow_heads import limit_heads
from core.server.web.transfers import KEPT_FOR_RELOAD, PREFIX, Transfers

__all__ = [
    "KEPT_FOR_RELOAD",
    "MOST_OF_ALL",
    "MOST_OF_ONE",
    "PREFIX",
    "ImageLimit",
    "OwnHosts",
    "SecurityHeaders",
    "Transfers",
    "answer_at_once",
    "limit_heads",
    "own_names",
    "own_sites",
    "routes",
    "tidied",
]
