"""Answers leave the server at once."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import IO

import pytest

from core.server.web.connections import answer_at_once

REPOSITORY = Path(__file__).parents[4]

pytestmark = pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs /dev/fd")


def accepted_from(listening: socket.socket) -> socket.socket:
    with socket.create_connection(listening.getsockname()[:2]):
        connection, _ = listening.accept()
        return connection


def sends_at_once(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_connections_accepted_after_it_send_at_once(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listening:
        try:
            listening.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        listening.listen()
        with accepted_from(listening) as before:
            assert not sends_at_once(before)
        assert answer_at_once() >= 1
        with accepted_from(listening) as after:
            assert sends_at_once(after)


def test_what_is_no_listening_tcp_socket_is_left_alone(tmp_path: Path) -> None:
    local, other = socket.socketpair()
    with local, other, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        kept = (tmp_path / "file").open("w")
        answer_at_once()
        local.sendall(b"still open")
        assert other.recv(20) == b"still open"
        kept.write("still open")
        kept.close()


WATCHED = """
import json, socket, sys
from streamlit.web import cli

# Serves the app as `streamlit run` does, and prints of each connection whether it sends at once.
accept = socket.socket.accept

def watched(self):
    connection, address = accept(self)
    at_once = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    print(json.dumps({"at once": bool(at_once)}), flush=True)
    return connection, address

socket.socket.accept = watched
sys.argv = ["streamlit", "run", "app.py", "--server.address", "127.0.0.1", "--server.port",
            sys.argv[1], "--server.headless", "true"]
cli.main()
"""


def test_the_real_server_sends_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(port)],
        cwd=REPOSITORY,
        env=os.environ | {"LOUPE_DATA": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        # The address is printed once the socket listens; whoever connects before the app is up
        # waits in the socket's queue, and is not asked about here.
        wait_for(process.stdout, "http://")
        ask_for_health(port)
        wait_for(process.stdout, "at once")
        ask_for_health(port)
        assert json.loads(wait_for(process.stdout, "at once")) == {"at once": True}
    finally:
        process.kill()
        process.wait()


def wait_for(lines: IO[str], text: str) -> str:
    return next(line for line in lines if text in line)


def ask_for_health(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=60):
        pass
