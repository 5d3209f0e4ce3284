"""Loupe: navigation, page config, theme, and the server's own routes.

`streamlit run app.py` imports this file once for `app`, the ASGI application. It then runs the file
as a script, each time that a session's page is drawn.
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
"""Each page's file, title, icon and URL path; the page without a path is the first."""

STREAMLIT_INDEX = Path(st.__file__).parent / "static" / "index.html"
"""The HTML that Streamlit serves for every page."""

ICON = Path(__file__).parent / "pages" / "components" / "icon.png"

if __name__ != "__main__":
    # By default PyTorch's OpenMP threads spin while they wait for each other. On a server with many
    # users other threads need the same cores, and an operation of milliseconds takes seconds.
    # Passive threads sleep instead. The variable is read once, when PyTorch is imported.
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
    from pages.components.preloading import preload_pages
    from pages.components.resources import jobs, settings, transfers
    from pages.components.session import SessionUploads
    from pages.components.type_faces import set_font_urls

    limit_heads()
    set_font_urls(transfers().prefix)

    # Otherwise a deep link to a file in pages/ would run that page without this file.
    PagesManager.uses_pages_directory = False

    @asynccontextmanager
    async def lifespan(_app: st.App) -> AsyncIterator[None]:
        """Preload the libraries and the index of architectures, so that the first user does not
        wait for them; keep the data folder tidy; and cancel jobs that nobody watches."""
        raise_limit()
        answer_at_once()
        threading.Thread(target=preload_pages, daemon=True).start()
        async with tidied(transfers()), watched(jobs()):
            yield

    def on_script_error(error: Exception) -> bool:
        """Show a sentence on the page; write the traceback to the log."""
        from core.errors import LoupeError
        from core.plain_text import plain_sentence

        if isinstance(error, LoupeError):
            st.error(plain_sentence(str(error)), icon=":material/error:")
        else:
            logging.getLogger("loupe").error("A page failed", exc_info=error)
            st.error(
                "An internal error stopped this page. Your files are unchanged. Reload the page. "
                "If the error comes back, the server's log contains the details.",
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
            Middleware(SecurityHeaders, page=STREAMLIT_INDEX.read_text("utf-8")),
            Middleware(OwnHosts, names=names, sites=sites),
            Middleware(ImageLimit, images=SessionUploads()),
        ],
        lifespan=lifespan,
        on_script_error=on_script_error,
    )
else:
    from pages.components.frame import BRAND
    from pages.components.link.page_view import take_link
    from pages.components.resources import recheck_files
    from pages.components.top_bar import quick_demo
    from pages.components.top_bar.bench_bar import bench_bar
    from pages.components.workspace import write_link

    st.set_page_config(page_title="Loupe", page_icon=ICON, layout="wide")
    st.logo(BRAND, size="medium")
    page = st.navigation(
        [
            st.Page(file, title=title, icon=icon, url_path=url_path, default=not url_path)
            for file, title, icon, url_path in PAGES
        ],
        position="top",
    )
    recheck_files()
    take_link(page.title.lower())
    write_link()
    bench_bar(page.title.lower())
    if not quick_demo.under_way():
        page.run()
