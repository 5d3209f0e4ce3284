"""Loupe: navigation, page config, theme, and the server's own routes.

`streamlit run app.py` imports this file for `app`, the server, and then runs it as a script for
each session.
"""

import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st

PAGES = (
    ("pages/open.py", "Open", ":material/folder_open:", ""),
    ("pages/inspect.py", "Inspect", ":material/search:", "inspector"),
    ("pages/compare.py", "Compare", ":material/difference:", "comparison"),
    ("pages/fit.py", "Fit", ":material/handyman:", "fitting"),
    ("pages/predict.py", "Predict", ":material/bar_chart:", "prediction"),
)

STREAMLITS_PAGE = Path(st.__file__).parent / "static" / "index.html"

ICON = Path(__file__).parent / "pages" / "components" / "icon.png"

if __name__ != "__main__":
    # PyTorch's threads wait for each other by spinning. Where others want the processors too, as on
    # a server of many people, that takes seconds for what milliseconds do where they sleep. It is
    # read once, when PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from starlette.middleware import Middleware
    from streamlit.runtime.pages_manager import PagesManager

    from core.checkpoint.containers import raise_limit
    from core.server import watched
    from core.server.web import (
        ImageLimit,
        OwnHosts,
        SecurityHeaders,
        answer_at_once,
        limit_heads,
        own_names,
        own_sites,
        routes,
        tidied,
    )
    from pages.components.preloading import load_ahead
    from pages.components.resources import jobs, settings, transfers
    from pages.components.session import HeldPictures
    from pages.components.type_faces import place_type_faces

    limit_heads()
    place_type_faces(transfers().prefix)

    # Else a deep link to a page's file would run that page without this file.
    PagesManager.uses_pages_directory = False

    @asynccontextmanager
    async def lifespan(_app: st.App) -> AsyncIterator[None]:
        """Import torch and read the index of architectures before the first person waits for them,
        keep the data folder clean, and give up jobs that nobody watches."""
        raise_limit()
        answer_at_once()
        threading.Thread(target=load_ahead, daemon=True).start()
        async with tidied(transfers()), watched(jobs()):
            yield

    def on_script_error(error: Exception) -> bool:
        """A sentence on the screen; the traceback goes to the log."""
        from core.errors import LoupeError
        from core.plain_text import plain_sentence

        if isinstance(error, LoupeError):
            st.error(plain_sentence(str(error)), icon=":material/error:")
        else:
            logging.getLogger("loupe").error("A page failed", exc_info=error)
            st.error(
                "Something in Loupe broke on this page; your files are as they were. Reload the "
                "page; if it happens again, the server's log says what broke.",
                icon=":material/error:",
            )
        return True

    names = own_names(
        st.get_option("server.address"),
        [
            *settings().hosts,
            *st.get_option("server.allowedHosts"),
            st.get_option("browser.serverAddress"),
        ],
    )
    sites = own_sites(
        names,
        st.get_option("server.corsAllowedOrigins"),
        closed=st.get_option("server.enableCORS"),
    )
    fonts = Path(__file__).parent / "pages" / "components" / "fonts"
    app = st.App(
        __file__,
        routes=routes(transfers(), fonts, sites),
        middleware=[
            Middleware(SecurityHeaders, page=STREAMLITS_PAGE.read_text("utf-8")),
            Middleware(OwnHosts, names=names, sites=sites),
            Middleware(ImageLimit, images=HeldPictures()),
        ],
        lifespan=lifespan,
        on_script_error=on_script_error,
    )
else:
    from pages.components.resources import look_again
    from pages.components.workspace import keep_link

    st.set_page_config(page_title="Loupe", page_icon=ICON, layout="wide")
    chosen = st.navigation(
        [
            st.Page(file, title=title, icon=icon, url_path=url_path, default=not url_path)
            for file, title, icon, url_path in PAGES
        ],
        position="top",
    )
    look_again()
    keep_link()
    chosen.run()
