"""What sessions send into the server's memory is bounded, on a real server."""

import asyncio
import http.client
import socket
import uuid
from urllib.parse import urlsplit

import pytest

from core.server.web import MOST_OF_ALL, MOST_OF_ONE
from tests.browser.driver import Server
from tests.running import run
from tests.sessions.client import Session, session
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

PICTURE = 48 << 20


def put(url: str, person: Session, nbytes: int) -> int:
    """The status with which a file of so many bytes is answered."""
    cookie = person._cookie
    token = dict(part.partition("=")[::2] for part in cookie.split("; "))["_streamlit_xsrf"]
    head = b'--X\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n'
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    connection.request(
        "PUT",
        f"/_stcore/upload_file/{person.screen.session}/{uuid.uuid4()}",
        head + bytes(nbytes) + b"\r\n--X--\r\n",
        {"Content-Type": "multipart/form-data; boundary=X", "Cookie": cookie, "X-Xsrftoken": token},
    )
    try:
        return connection.getresponse().status
    finally:
        connection.close()


async def fill(url: str, person: Session) -> int:
    """Send pictures until one is refused, or more were taken than may be; how many were taken."""
    for taken in range(2 * MOST_OF_ONE // PICTURE):
        if await asyncio.to_thread(put, url, person, PICTURE) == 413:
            return taken
    raise AssertionError("none was refused")


def test_one_session_cannot_fill_the_memory_and_keeps_nobody_out(server: Server) -> None:
    async def filled() -> None:
        async with session(server.url) as one, session(server.url) as other:
            assert await fill(server.url, one) == MOST_OF_ONE // PICTURE
            assert await asyncio.to_thread(put, server.url, one, 1000) == 204
            assert await asyncio.to_thread(put, server.url, other, PICTURE) == 204

    run(filled())


def test_the_pictures_of_closed_tabs_make_room_for_those_of_open_ones(server: Server) -> None:
    async def filled() -> None:
        for _ in range(MOST_OF_ALL // MOST_OF_ONE + 1):
            async with session(server.url) as gone:
                assert await fill(server.url, gone) == MOST_OF_ONE // PICTURE

    run(filled())


def test_a_file_of_unknown_size_is_refused(server: Server) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as straight:
        head = f"PUT /_stcore/upload_file/a/b HTTP/1.1\r\nHost: {address.netloc}\r\n"
        straight.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert straight.recv(100).startswith(b"HTTP/1.1 411")
