"""Answers leave the server at once."""

import os
import socket
from pathlib import Path

import pytest

from core.server.web.connections import answer_at_once

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
