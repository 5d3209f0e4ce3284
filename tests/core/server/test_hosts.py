"""Under which names a server answers: its own, and any address of numbers."""

import socket

import pytest

from core.server.hosts import is_own, own_names

NAMES = own_names("10.1.2.3", ["loupe.example.com", "*.team.example"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8501", "LOCALHOST.", "127.0.0.1:8501", "192.168.1.7", "[::1]:8501",
        "[fe80::1]", "10.1.2.3", "loupe.example.com:443", "a.team.example", "a.b.team.example",
        f"{socket.gethostname()}:8501",
    ],
)  # fmt: skip
def test_its_own_names_and_addresses_of_numbers_are_answered(host: str) -> None:
    assert is_own(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        None, "", "evil.example", "evil.example:8501", "localhost.evil.example", "team.example",
        "evilteam.example", "127.0.0.1.evil.example", "x@localhost", "localhost:99999",
        "localhost:x", "localhost/", "localhost?", "[", "[::1", "http://localhost", "127.0.0.1 ",
        "é" * 300, "0x7f.1.evil", "\x00",
    ],
)  # fmt: skip
def test_every_other_name_is_not(host: str | None) -> None:
    assert not is_own(host, NAMES)


def test_a_star_answers_to_all() -> None:
    assert is_own("evil.example", own_names(None, ["*"]))
    assert not is_own("[", own_names(None, ["*"]))
