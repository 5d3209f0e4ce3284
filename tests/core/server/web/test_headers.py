"""Every answer says what a browser may do with it."""

from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from core.server.web.headers import CLOSED, SAME_FOR_ALL, SecurityHeaders, content_policy

PAGE = "<html><script>\n  window.ready = false\n</script><script src='x.js'></script></html>"


@pytest.fixture
def client() -> TestClient:
    async def html(_: object) -> Response:
        return HTMLResponse(PAGE)

    async def text(_: object) -> Response:
        return PlainTextResponse("x")

    async def unchanged(_: object) -> Response:
        return Response(status_code=304)

    async def own(_: object) -> Response:
        return HTMLResponse("x", headers={"Content-Security-Policy": "default-src 'self'"})

    app = Starlette(
        routes=[
            Route("/", html),
            Route("/media/report.html", html),
            Route("/text", text),
            Route("/unchanged", unchanged),
            Route("/own", own),
        ],
        middleware=[Middleware(SecurityHeaders, page=PAGE)],
    )
    return TestClient(app)


def test_a_page_gets_the_policy_with_the_hash_of_its_inline_script(client: TestClient) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    assert policy == content_policy(PAGE)
    assert policy.count("'sha256-") == 1
    assert "unsafe-eval" not in policy
    assert "script-src 'self' blob: 'sha256-" in policy


def test_a_page_that_the_browser_keeps_keeps_its_policy(client: TestClient) -> None:
    assert client.get("/unchanged").headers["Content-Security-Policy"] == content_policy(PAGE)


@pytest.mark.parametrize("path", ["/text", "/media/report.html", "/missing"])
def test_what_is_no_page_can_do_nothing(client: TestClient, path: str) -> None:
    assert client.get(path).headers["Content-Security-Policy"] == CLOSED


def test_an_answers_own_policy_stays(client: TestClient) -> None:
    assert client.get("/own").headers["Content-Security-Policy"] == "default-src 'self'"


@pytest.mark.parametrize("path", ["/", "/text", "/media/report.html", "/missing", "/unchanged"])
def test_all_answers_have_the_other_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    for name, value in SAME_FOR_ALL.items():
        assert headers[name] == value


def test_streamlits_own_page_has_its_inline_script_allowed() -> None:
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    assert content_policy(page).count("'sha256-") == page.count("<script>")
