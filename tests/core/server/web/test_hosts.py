"""Under which names a server answers: its own, and any address of numbers."""

import socket

import pytest

from core.server.web.hosts import is_own, is_own_site, own_names, own_sites

NAMES = own_names("10.1.2.3", ["loupe.example.com", "*.team.example"])
SITES = own_sites(NAMES, ["https://portal.example", "http://p.example:8080", "no address"], True)


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


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://10.9.9.9:8501", "10.9.9.9:8501"), ("https://[::1]:1", "[::1]:1"),
        ("http://localhost:3000", "127.0.0.1:8501"), ("http://127.0.0.1", "localhost:8501"),
        ("https://loupe.example.com", "127.0.0.1:8501"), ("https://a.team.example", "box:8501"),
        ("https://portal.example", "10.1.2.3"), ("http://p.example:8080", "10.1.2.3"),
    ],
)  # fmt: skip
def test_pages_of_the_server_and_of_named_sites_are_its_own(origin: str, host: str) -> None:
    assert is_own_site(origin, host, SITES)


@pytest.mark.parametrize(
    "origin",
    [
        "", "null", "http://", "http://[", "http://evil.example", "http://10.9.9.9",
        "http://10.1.2.3:8501@evil.example", "http://10.1.2.4:8501", "file://10.1.2.3:8501",
        "10.1.2.3:8501", "http://localhost.evil.example", "http://10.1.2.3:99999", "http://team.example",
        "http://10.1.2.3:8501/", "http://\xff",
    ],
)  # fmt: skip
def test_every_other_site_is_not(origin: str) -> None:
    assert not is_own_site(origin, "10.1.2.99:8501", SITES)


def test_a_server_of_any_name_is_not_open_to_any_site() -> None:
    any_name = own_names(None, ["*"])
    assert not is_own_site("http://evil.example", "box:1", own_sites(any_name, [], True))
    assert is_own_site("http://evil.example", "box:1", own_sites(any_name, [], False))
