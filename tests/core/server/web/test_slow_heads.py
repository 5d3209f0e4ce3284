"""Half-sent heads of requests are bounded; whole ones take what time they need."""

import asyncio
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from websockets.sync.client import connect

from core.server.web.slow_heads import HeadLimit, limit_heads
from tests.core.server.web.served_app import served
from tests.waiting import PATIENCE

WITHIN = 0.3
LONGER = 1.5 * WITHIN


class Quick(HeadLimit, AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    head_within = WITHIN
    max_waiting = 5


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())}")


async def slow_length(request: Request) -> PlainTextResponse:
    body = await request.body()
    await asyncio.sleep(LONGER)
    return PlainTextResponse(f"{len(body)}")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())


@contextmanager
def serving(protocol: type[asyncio.Protocol]) -> Iterator[int]:
    app = Starlette(
        routes=[
            Route("/", length, methods=["PUT"]),
            Route("/slow", slow_length, methods=["PUT"]),
            WebSocketRoute("/ws", echo),
        ]
    )
    config = uvicorn.Config(app, port=0, log_level="error", http=protocol)
    with served(config) as port:
        yield port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(Quick) as port:
        yield port


def is_closed(connection: socket.socket) -> bool:
    """Waits for it."""
    connection.settimeout(PATIENCE)
    return connection.recv(100) == b""


def trickle(connection: socket.socket) -> None:
    for _ in range(2000):
        connection.sendall(b"x")
        time.sleep(0.01)


@pytest.mark.parametrize("sent", [b"", b"PUT / HTTP/1.1\r\nHost: x\r\nX-Half: "])
def test_a_head_that_does_not_come_is_not_waited_for(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        assert is_closed(connection)


def test_nor_is_one_that_comes_letter_by_letter(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nX-Half: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            trickle(connection)


def test_nor_the_second_of_a_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"PUT / HTTP/1.1\r\nHost")
        while connection.recv(1000):
            pass


def test_a_whole_request_takes_the_time_it_needs(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for _ in range(2):
        connection.putrequest("PUT", "/slow")
        connection.putheader("Content-Length", "4")
        connection.endheaders(b"ab")
        time.sleep(LONGER)
        connection.send(b"cd")
        assert connection.getresponse().read() == b"4"
    connection.close()


def test_a_websocket_stays(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/ws") as websocket:
        time.sleep(LONGER)
        websocket.send("still here")
        assert websocket.recv() == "still here"


def test_of_many_that_wait_the_longest_goes_first() -> None:
    class Few(HeadLimit, AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        max_waiting = 5

    with serving(Few) as port:
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        for connection in waiting[:3]:
            assert is_closed(connection)
        for connection in waiting[3:]:
            connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            connection.settimeout(PATIENCE)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            connection.close()


def test_every_server_of_the_process_takes_the_bounded_class() -> None:
    limit_heads()
    limit_heads()
    config = uvicorn.Config(Starlette())
    config.load()
    assert issubclass(config.http_protocol_class, HeadLimit)
    assert config.http_protocol_class.__mro__.count(HeadLimit) == 1
