"""Slices in and exports out, over real HTTP to a real server."""

import hashlib
import http.client
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import hypothesis
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_gzip_middleware import SelectiveGZipMiddleware

from core.errors import StoreError
from core.server.files.store import Store
from core.server.files.upload_sets import set_manifest, set_reference
from core.server.web.file_routes import routes
from core.server.web.transfers import BODIES, Transfers
from core.server.web.uploads import MAX_SLICE
from tests.core.server.web import served_app
from tests.waiting import PATIENCE, wait_until

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()


@dataclass
class Served:
    transfers: Transfers
    port: int

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        found = response.status, response.read(), dict(response.getheaders())
        connection.close()
        return found

    def put(
        self, token: str, offset: int, body: bytes, size: int = len(DATA), name: str = "m.pth"
    ) -> tuple[int, dict[str, object]]:
        query = urlencode({"name": name, "size": size, "offset": offset})
        status, answer, _ = self.ask("PUT", f"/loupe/uploads/{token}?{query}", body)
        return status, json.loads(answer)


class Innermost:
    """The app of one server for all of these tests, since a server takes a moment to end: whatever
    is asked goes to the innermost `serving`."""

    def __init__(self) -> None:
        self.apps: list[ASGIApp] = []
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.apps[-1](scope, receive, send)


SERVER = Innermost()


@pytest.fixture(autouse=True, scope="module")
def _one_server() -> Iterator[None]:
    config = uvicorn.Config(SERVER, port=0, log_level="error", lifespan="off")
    with served_app.served(config) as SERVER.port:
        yield


@contextmanager
def serving(
    transfers: Transfers, fonts: Path, sites: frozenset[str] = frozenset()
) -> Iterator[Served]:
    # With the middleware that Streamlit puts around it.
    packing = Middleware(SelectiveGZipMiddleware, minimum_size=500, compresslevel=9)
    SERVER.apps.append(Starlette(routes=routes(transfers, fonts, sites), middleware=[packing]))
    try:
        yield Served(transfers, SERVER.port)
    finally:
        SERVER.apps.pop()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    (fonts / "face.woff2").write_bytes(b"wOF2")
    (tmp_path / "secret.woff2").write_bytes(b"no")
    store = Store(tmp_path / "data", quota=64 << 20, largest_file=32 << 20)
    with serving(Transfers(store), fonts) as found:
        yield found


def files(served: Served) -> list[Path]:
    root = served.transfers.store._files.parent
    return [path for path in root.rglob("*") if path.is_file()]


def test_slices_become_one_file_named_by_its_content(served: Served) -> None:
    token = served.transfers.open_intake()
    assert served.put(token, 0, DATA[:5000]) == (200, {"received": 5000})
    assert served.put(token, 5000, DATA[5000:]) == (
        200,
        {"received": len(DATA), "sha256": DIGEST},
    )
    intake = served.transfers.intake(token)
    assert intake is not None
    assert intake.finished is not None
    assert list(intake.finished) == ["m.pth"]
    assert intake.finished["m.pth"].path.read_bytes() == DATA


def test_a_slice_at_the_wrong_place_is_told_where_to_go_on(served: Served) -> None:
    token = served.transfers.open_intake()
    served.put(token, 0, DATA[:5000])
    assert served.put(token, 0 + 7000, DATA[7000:]) == (409, {"received": 5000})
    assert served.put(token, 5000, DATA[5000:])[0] == 200


def test_a_slice_sent_again_after_a_broken_connection_does_no_harm(served: Served) -> None:
    token = served.transfers.open_intake()
    served.put(token, 0, DATA[:5000])
    served.put(token, 5000, DATA[5000:6000])
    assert served.put(token, 5000, DATA[5000:6000]) == (409, {"received": 6000})
    assert served.put(token, 6000, DATA[6000:])[1]["sha256"] == DIGEST


def test_an_unknown_token_may_send_nothing(served: Served) -> None:
    status, answer = served.put("x" * 32, 0, DATA)
    assert status == 403
    assert "Reload" in str(answer["error"])
    assert files(served) == []


def test_another_sites_page_may_send_nothing(served: Served) -> None:
    token = served.transfers.open_intake()
    query = urlencode({"name": "m.pth", "size": 4, "offset": 0})
    path = f"/loupe/uploads/{token}?{query}"
    assert served.ask("PUT", path, b"four", Origin="http://elsewhere.example")[0] == 403
    assert served.ask("PUT", path, b"four", Origin=f"http://127.0.0.1:{served.port}")[0] == 200


def test_a_page_under_the_owners_name_for_the_server_may_send_behind_a_proxy_with_its_own_host(
    tmp_path: Path,
) -> None:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    store = Store(tmp_path / "data", quota=64 << 20, largest_file=32 << 20)
    with serving(Transfers(store), fonts, frozenset({"loupe.example"})) as served:
        token = served.transfers.open_intake()
        query = urlencode({"name": "m.pth", "size": len(DATA), "offset": 0})
        path = f"/loupe/uploads/{token}?{query}"
        assert served.ask("PUT", path, DATA, Origin="https://other.example")[0] == 403
        assert served.ask("PUT", path, DATA, Origin="https://loupe.example")[0] == 200


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("m.exe", 10, "ending"),
        ("m.pth", 33 << 20, "takes files of up to"),
        ("m.pth", 0, "0 bytes"),
    ],
)
def test_what_is_refused_gets_a_sentence_and_leaves_nothing(
    served: Served, name: str, size: int, words: str
) -> None:
    token = served.transfers.open_intake()
    status, answer = served.put(token, 0, b"x", size=size, name=name)
    assert status == 413
    assert words in str(answer["error"])
    assert files(served) == []


def test_a_slice_beyond_the_bound_is_refused(served: Served) -> None:
    token = served.transfers.open_intake()
    status, _ = served.put(token, 0, b"x" * (MAX_SLICE + 1), size=30 << 20)
    assert status == 413
    assert files(served) == []


def test_a_path_in_the_name_is_cut_off(served: Served) -> None:
    token = served.transfers.open_intake()
    served.put(token, 0, DATA, name="../../etc/m.pth")
    intake = served.transfers.intake(token)
    assert intake is not None
    assert intake.name == "m.pth"


def test_a_cancelled_upload_vanishes(served: Served) -> None:
    token = served.transfers.open_intake()
    served.put(token, 0, DATA[:5000])
    assert len(files(served)) == 1
    assert served.ask("DELETE", f"/loupe/uploads/{token}")[0] == 200
    assert files(served) == []


def test_a_slice_that_arrives_after_its_cancel_begins_nothing(served: Served) -> None:
    token = served.transfers.open_intake()
    for sending, status in (("one", 409), ("two", 200)):
        served.ask("DELETE", f"/loupe/uploads/{token}?id=one")
        query = urlencode({"name": "m.pth", "size": len(DATA), "offset": 0, "id": sending})
        assert served.ask("PUT", f"/loupe/uploads/{token}?{query}", DATA[:5000])[0] == status
        assert len(files(served)) == (status == 200)


def test_an_upload_vanishes_with_its_session_and_after_a_silence(served: Served) -> None:
    ended, silent = served.transfers.open_intake(), served.transfers.open_intake()
    served.put(ended, 0, DATA[:10])
    served.put(silent, 0, DATA[:10])
    served.transfers.session_ended(ended)
    served.transfers.sweep(absence=-1)
    assert len(files(served)) == 1
    served.transfers.sweep(silence=-1)
    assert files(served) == []
    assert served.put(ended, 10, DATA[10:])[0] == 403
    assert served.put(silent, 10, DATA[10:]) == (409, {"received": 0})


def test_a_session_that_is_cut_off_for_a_moment_goes_on_with_its_upload(served: Served) -> None:
    token = served.transfers.open_intake()
    served.put(token, 0, DATA[:5000])
    served.transfers.session_ended(token)
    served.transfers.sweep()
    assert served.put(token, 5000, DATA[5000:])[1]["sha256"] == DIGEST
    served.transfers.sweep(absence=-1)
    assert served.transfers.intake(token) is not None


def test_a_connection_that_dies_in_mid_slice_keeps_nobody_waiting(served: Served) -> None:
    token = served.transfers.open_intake()
    query = urlencode({"name": "m.pth", "size": len(DATA), "offset": 0})
    with socket.create_connection(("127.0.0.1", served.port)) as half_dead:
        request = f"PUT /loupe/uploads/{token}?{query} HTTP/1.1\r\nHost: x\r\n"
        half_dead.sendall(f"{request}Content-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:100])
        assert served.put(token, 0, DATA)[1] == {"received": len(DATA), "sha256": DIGEST}
    assert served.put(token, 0, DATA)[1]["sha256"] == DIGEST


def test_an_export_comes_down_under_its_name_and_only_by_its_address(
    served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "repaired"
    path.write_bytes(DATA)
    address = served.transfers.offer(path, "repaired é.pth")
    status, body, headers = served.ask("GET", address)
    assert (status, body) == (200, DATA)
    assert headers["content-disposition"] == "attachment; filename*=utf-8''repaired%20%C3%A9.pth"
    other = "A" if address.endswith("_") else "_"
    assert served.ask("GET", address[:-1] + other)[0] == 404
    path.unlink()
    status, body, _ = served.ask("GET", address)
    assert status == 404
    assert "Fit page" in json.loads(body)["error"]


def test_only_the_type_faces_are_served(served: Served) -> None:
    assert served.ask("GET", "/loupe/fonts/face.woff2")[:2] == (200, b"wOF2")
    assert served.ask("GET", "/loupe/fonts/..%2Fsecret.woff2")[0] == 404
    for name in ("none", "n" * 5_000, "%00", "%ff", "\\"):
        assert served.ask("GET", f"/loupe/fonts/{name}.woff2")[0] == 404, name[:10]


NAMES = ("m-00001-of-00002.bin", "m-00002-of-00002.bin", "m.bin.index.json")


def announce(served: Served, token: str, files: object) -> tuple[int, dict[str, object]]:
    status, answer, _ = served.ask("POST", f"/loupe/uploads/{token}", json.dumps(files).encode())
    return status, json.loads(answer)


def finished(served: Served, token: str) -> list[str] | None:
    intake = served.transfers.intake(token)
    assert intake is not None
    return None if intake.finished is None else list(intake.finished)


def test_several_files_that_are_announced_are_finished_together(served: Served) -> None:
    token = served.transfers.open_intake()
    assert announce(served, token, dict.fromkeys(NAMES, len(DATA))) == (
        200,
        {"files": 3, "received": {}},
    )
    for number, name in enumerate(NAMES):
        assert finished(served, token) is None
        served.put(token, 0, DATA[:5000], name=name)
        answer = served.put(token, 5000, DATA[5000:], name=name)
        assert answer == (200, {"received": len(DATA), "sha256": DIGEST}), number
    assert finished(served, token) == list(NAMES)
    served.put(token, 0, DATA)
    assert finished(served, token) == ["m.pth"]


def test_a_file_sent_again_in_a_set_does_no_harm(served: Served) -> None:
    token = served.transfers.open_intake()
    announce(served, token, dict.fromkeys(NAMES, len(DATA)))
    for name in (NAMES[0], *NAMES):
        served.put(token, 0, DATA, name=name)
    assert finished(served, token) == list(NAMES)


def test_a_file_that_was_not_announced_comes_alone(served: Served) -> None:
    token = served.transfers.open_intake()
    announce(served, token, dict.fromkeys(NAMES, len(DATA)))
    served.put(token, 0, DATA, name=NAMES[0])
    served.put(token, 0, DATA, name="other.pth")
    assert finished(served, token) == ["other.pth"]
    served.put(token, 0, DATA, name=NAMES[1])
    assert finished(served, token) == [NAMES[1]]


def test_a_distributed_checkpoints_files_come_only_in_a_set(served: Served) -> None:
    token = served.transfers.open_intake()
    assert served.put(token, 0, DATA, name="__0_0.distcp")[0] == 413
    files = {".metadata": len(DATA), "__0_0.distcp": len(DATA)}
    assert announce(served, token, files)[0] == 200
    for name in files:
        assert served.put(token, 0, DATA, name=name)[0] == 200
    assert finished(served, token) == list(files)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.pth": 10, "b.pth": 10}, "not the parts of one checkpoint: a.pth and b.pth"),
        ({"a.exe": 10, "m.bin.index.json": 10}, "ending"),
        ({"../m.bin.index.json": 10, "a.bin": 1}, "ending"),
        ({NAMES[0]: 0, NAMES[1]: 10}, "0 bytes"),
        ({NAMES[0]: 33 << 20, NAMES[1]: 10}, "takes files of up to"),
        ({f"m-0000{number}-of-00003.bin": 25 << 20 for number in (1, 2, 3)}, "The 3 files have"),
        ({f"m-{number:05}-of-02000.bin": 1 for number in range(1, 2001)}, "2\u202f000 files"),
        ("x" * (1 << 20), "too large"),
    ],
)  # fmt: skip
def test_what_is_no_set_is_refused_before_the_first_byte(
    served: Served, files: object, words: str
) -> None:
    token = served.transfers.open_intake()
    status, answer = announce(served, token, files)
    assert status == 413
    assert words in str(answer["error"])


def half_a_set(served: Served, token: str) -> None:
    """One file whole, and one under way."""
    announce(served, token, dict.fromkeys(NAMES, len(DATA)))
    served.put(token, 0, DATA, name=NAMES[0])
    served.put(token, 0, DATA[::-1][:5000], name=NAMES[1])
    assert len(files(served)) == 2


def test_a_cancelled_set_leaves_nothing_and_the_next_file_comes_alone(served: Served) -> None:
    token = served.transfers.open_intake()
    half_a_set(served, token)
    served.ask("DELETE", f"/loupe/uploads/{token}")
    assert files(served) == []
    served.put(token, 0, DATA, name=NAMES[1])
    assert finished(served, token) == [NAMES[1]]


def test_a_set_that_never_became_whole_vanishes_with_its_session(served: Served) -> None:
    token = served.transfers.open_intake()
    half_a_set(served, token)
    served.transfers.session_ended(token)
    served.transfers.sweep(absence=-1)
    assert files(served) == []


def test_a_set_given_up_takes_nobody_elses_file_along(served: Served) -> None:
    first, other, token = (served.transfers.open_intake() for _ in range(3))
    served.put(first, 0, DATA[::-1])
    announce(served, token, dict.fromkeys(NAMES, len(DATA)))
    served.put(token, 0, DATA, name=NAMES[0])
    served.put(token, 0, DATA[::-1], name=NAMES[1])
    served.put(other, 0, DATA)
    served.ask("DELETE", f"/loupe/uploads/{token}")
    assert len(files(served)) == 2


def test_a_whole_set_stays_when_its_session_ends(served: Served) -> None:
    token = served.transfers.open_intake()
    announce(served, token, dict.fromkeys(NAMES[:2], len(DATA)))
    served.put(token, 0, DATA, name=NAMES[0])
    served.put(token, 0, DATA[::-1], name=NAMES[1])
    served.ask("DELETE", f"/loupe/uploads/{token}")
    served.transfers.session_ended(token)
    served.transfers.sweep(absence=-1)
    digests = {NAMES[0]: DIGEST, NAMES[1]: hashlib.sha256(DATA[::-1]).hexdigest()}
    manifest = hashlib.sha256(set_manifest(digests)).hexdigest()
    assert {path.name for path in files(served)} == {*digests.values(), manifest}
    assert set_reference(digests).startswith(f"set:{manifest}/")


def test_an_unknown_token_and_another_site_may_announce_nothing(served: Served) -> None:
    assert announce(served, "x" * 32, dict.fromkeys(NAMES, 10))[0] == 403
    path = f"/loupe/uploads/{served.transfers.open_intake()}"
    assert served.ask("POST", path, b"{}", Origin="http://elsewhere.example")[0] == 403


@pytest.mark.parametrize(
    "body", [b"", b"nothing", b"[]", b"{}", b"[" * 100_000, b"1", b'{"m.pth": NaN}',
             b'{"m.pth": 1e400}', b'{"m.pth": -1}', b'{"m.pth": true}', b'{"m.pth": "10"}',
             b'{"m.pth": ' + b"9" * 4_000 + b"}", b'{"m.pth": ' + b"9" * 5_000 + b"}", b"\xff"]
)  # fmt: skip
def test_a_malformed_list_of_files_is_refused_with_a_sentence(served: Served, body: bytes) -> None:
    token = served.transfers.open_intake()
    status, answer, _ = served.ask("POST", f"/loupe/uploads/{token}", body)
    assert status == 400
    assert "lacks the files' sizes" in json.loads(answer)["error"]


def test_half_a_character_in_a_name_is_refused_with_a_sentence(served: Served) -> None:
    token = served.transfers.open_intake()
    status, answer = announce(served, token, {"a\ud800.pth": 1, "b.pth": 1})
    assert status == 413
    assert r"a\ud800.pth" in str(answer["error"])


NUMBERS = st.one_of(
    st.sampled_from(
        ["-1", "NaN", "1e3", "9" * 5_000, "9" * 18, "٣", "²", "0x10", "1_0", " 1", "+1", "", "1.0"]
    ),
    st.integers(-(10**20), 10**20).map(str),
    st.text(max_size=20),
)
HEADERS = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=30)
ORIGINS = st.one_of(
    st.sampled_from(
        ["http://[", "http://[::1", "null", "http://]", "//", "http://a b", "http://x:99999999", ""]
    ),
    HEADERS,
)


@given(
    method=st.sampled_from(["PUT", "POST", "DELETE", "GET", "PATCH"]),
    known=st.booleans(),
    name=st.text(max_size=300) | st.just("m.pth"),
    size=NUMBERS,
    offset=NUMBERS,
    origin=st.none() | ORIGINS,
    key=st.none() | HEADERS | st.just("a" * 64),
    body=st.binary(max_size=200) | st.just(b'{"a\\ud800.pth": 3}') | st.just(b"[" * 5_000),
)
@hypothesis.settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_whatever_a_request_holds_the_answer_is_no_500_and_a_refusal_is_a_sentence(
    served: Served, method: str, known: bool, name: str, size: str, offset: str,
    origin: str | None, key: str | None, body: bytes,
) -> None:  # fmt: skip
    token = served.transfers.open_intake() if known else "x" * 32
    query = urlencode({"name": name, "size": size, "offset": offset}, errors="replace")
    headers = {"Origin": origin, "X-Loupe-Sending": key}
    given = {word: value.strip() for word, value in headers.items() if value is not None}
    status, answer, _ = served.ask(method, f"/loupe/uploads/{token}?{query}", body, **given)
    assert status in ((200, 400, 403, 409, 413) if method in ("PUT", "POST", "DELETE") else (405,))
    if status in (400, 403, 413):
        assert json.loads(answer)["error"].endswith(".")


def stalled(served: Served, token: str, sent: bytes, size: int = len(DATA)) -> socket.socket:
    """A connection that stops in the middle of a slice."""
    query = urlencode({"name": "m.pth", "size": size, "offset": 0})
    request = f"PUT /loupe/uploads/{token}?{query} HTTP/1.1\r\nHost: x\r\n"
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)
    connection.sendall(f"{request}Content-Length: {size}\r\n\r\n".encode() + sent)
    return connection


def test_a_body_that_falls_silent_is_dropped_and_its_upload_goes_on(
    served: Served, tmp_path: Path
) -> None:
    impatient = Transfers(served.transfers.store, body_silence=0.2)
    with serving(impatient, tmp_path) as other:
        token = impatient.open_intake()
        with stalled(other, token, DATA[:100]) as connection:
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
            while connection.recv(1000):
                pass
        status, answer = other.put(token, 7000, DATA[7000:])
        assert status == 409
        arrived = answer["received"]
        assert isinstance(arrived, int)
        assert arrived <= 100
        assert other.put(token, arrived, DATA[arrived:])[1]["sha256"] == DIGEST


def test_of_a_hundred_bodies_with_one_token_one_is_read(served: Served) -> None:
    token = served.transfers.open_intake()
    connections = [stalled(served, token, b"x" * (1 << 20), 4 << 20) for _ in range(100)]
    assert served.put(token, 0, DATA)[1]["sha256"] == DIGEST
    for connection in connections:
        assert connection.recv(1000).startswith(b"HTTP/1.1 40")
        connection.close()


def test_silent_bodies_of_many_tokens_make_place_for_one_that_is_active(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.server.web.transfers.PUSHED_OUT_AFTER", 0.2)
    few = Transfers(served.transfers.store, bodies=3)
    with serving(few, tmp_path) as other:
        connections = [stalled(other, few.open_intake(), DATA[:100]) for _ in range(3)]
        token = few.open_intake()
        wait_until(lambda: other.put(token, 0, DATA)[0] != 503)
        intake = few.intake(token)
        assert intake is not None
        assert intake.finished is not None
        for connection in connections:
            connection.close()
    assert BODIES > 3


def test_a_slice_that_is_cut_off_is_kept_as_far_as_it_came(served: Served) -> None:
    token = served.transfers.open_intake()
    stalled(served, token, DATA[:5000]).close()
    wait_until(lambda: served.put(token, 9000, DATA[9000:])[1] == {"received": 5000})
    assert served.put(token, 5000, DATA[5000:])[1]["sha256"] == DIGEST


def test_the_tokens_that_are_used_outlive_those_that_are_not(
    served: Served, tmp_path: Path
) -> None:
    few = Transfers(served.transfers.store, tokens=3)
    with serving(few, tmp_path) as other:
        busy, asked, idle = (few.open_intake() for _ in range(3))
        other.put(busy, 0, DATA[:5000])
        few.intake(asked)
        few.open_intake()
        assert few.intake(idle) is None
        few.open_intake()
        assert few.intake(asked) is None
        assert other.put(busy, 5000, DATA[5000:])[1]["sha256"] == DIGEST


def test_a_download_is_not_packed_and_goes_on_where_it_broke_off(
    served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "repaired"
    path.write_bytes(DATA)
    address = served.transfers.offer(path, "m.pth")
    status, body, headers = served.ask("GET", address, **{"Accept-Encoding": "gzip"})
    assert (status, body, headers["content-encoding"]) == (200, DATA, "identity")
    assert (headers["content-length"], headers["accept-ranges"]) == (str(len(DATA)), "bytes")
    again = {"Range": "bytes=5000-", "If-Range": headers["etag"], "Accept-Encoding": "gzip"}
    status, body, headers = served.ask("GET", address, **again)
    assert (status, body) == (206, DATA[5000:])
    assert headers["content-range"] == f"bytes 5000-{len(DATA) - 1}/{len(DATA)}"
    path.write_bytes(DATA[::-1])
    assert served.ask("GET", address, **again)[:2] == (200, DATA[::-1])
    assert served.ask("GET", address, Range=f"bytes={len(DATA)}-")[0] == 416
    assert served.ask("GET", address, Range="bytes=x")[0] == 400
    status, body, headers = served.ask("HEAD", address)
    assert (status, body, headers["content-length"]) == (200, b"", str(len(DATA)))


def test_a_base_path_is_in_front_of_every_address(served: Served, tmp_path: Path) -> None:
    based = Transfers(served.transfers.store, "/team/loupe/")
    (tmp_path / "repaired").write_bytes(DATA)
    with serving(based, tmp_path / "fonts") as other:
        address = based.offer(tmp_path / "repaired", "m.pth")
        assert address.startswith("/team/loupe/loupe/exports/")
        assert other.ask("GET", address)[:2] == (200, DATA)
        assert other.ask("GET", "/team/loupe/loupe/fonts/face.woff2")[0] == 200
        upload = based.upload_address(based.open_intake())
        query = urlencode({"name": "m.pth", "size": len(DATA), "offset": 0})
        assert other.ask("PUT", f"{upload}?{query}", DATA)[0] == 200
        assert other.ask("GET", "/loupe/fonts/face.woff2")[0] == 404


KEY = hashlib.sha256(b"a tab's secret, and what it sends").hexdigest()


def sending(
    served: Served, token: str, sizes: dict[str, int], key: str = KEY
) -> tuple[int, dict[str, object]]:
    body = json.dumps(sizes).encode()
    status, answer, _ = served.ask(
        "POST", f"/loupe/uploads/{token}", body, **{"X-Loupe-Sending": key}
    )
    return status, json.loads(answer)


def test_a_page_that_was_reloaded_goes_on_with_its_upload(served: Served) -> None:
    before, after = served.transfers.open_intake(), served.transfers.open_intake()
    assert sending(served, before, {"m.pth": len(DATA)})[1]["received"] == {}
    served.put(before, 0, DATA[:5000])
    served.transfers.session_ended(before)
    served.transfers.sweep(absence=-1)
    assert sending(served, after, {"m.pth": len(DATA)})[1]["received"] == {"m.pth": 5000}
    assert served.put(before, 5000, DATA[5000:]) == (409, {"received": 0})
    assert served.put(after, 5000, DATA[5000:])[1]["sha256"] == DIGEST
    assert finished(served, after) == ["m.pth"]


def test_a_reloaded_page_goes_on_with_a_set_after_the_parts_that_are_here(served: Served) -> None:
    before, after = served.transfers.open_intake(), served.transfers.open_intake()
    sizes = dict.fromkeys(NAMES, len(DATA))
    sending(served, before, sizes)
    served.put(before, 0, DATA, name=NAMES[0])
    served.put(before, 0, DATA[::-1][:5000], name=NAMES[1])
    received = {NAMES[0]: len(DATA), NAMES[1]: 5000}
    assert sending(served, after, sizes)[1] == {"files": 3, "received": received}
    served.put(after, 5000, DATA[::-1][5000:], name=NAMES[1])
    served.put(after, 0, DATA, name=NAMES[2])
    assert finished(served, after) == list(NAMES)


def test_a_set_that_just_fits_the_quota_is_taken(served: Served) -> None:
    store, token = served.transfers.store, served.transfers.open_intake()
    contents = [bytes([number]) * 4096 for number in range(3)]
    store.quota = 3 * 4096
    announce(served, token, dict.fromkeys(NAMES, 4096))
    for name, data in zip(NAMES, contents, strict=True):
        assert served.put(token, 0, data, size=4096, name=name)[0] == 200
    assert finished(served, token) == list(NAMES)


def test_a_data_folder_that_is_gone_is_told_in_a_sentence(served: Served) -> None:
    token = served.transfers.open_intake()
    shutil.rmtree(served.transfers.store.exports.parent)
    for status, answer in (
        served.put(token, 0, DATA),
        announce(served, token, {"m.pth": len(DATA)}),
    ):
        assert status == 413
        assert "look at the data folder" in str(answer["error"])
    with pytest.raises(StoreError), served.transfers.store.room_for_export(10):
        pass


def test_a_set_that_could_not_be_kept_is_tried_again(served: Served) -> None:
    token, sizes = served.transfers.open_intake(), dict.fromkeys(NAMES, len(DATA))
    sending(served, token, sizes)
    for name in NAMES[:2]:
        served.put(token, 0, DATA, name=name)
    intake = served.transfers.intake(token)
    assert intake is not None
    assert intake.parts is not None
    manifest = set_manifest(dict.fromkeys(NAMES, DIGEST))
    in_its_place = intake.parts.folder / hashlib.sha256(manifest).hexdigest()
    in_its_place.mkdir()
    status, answer = served.put(token, 0, DATA, name=NAMES[2])
    assert (status, "cannot be written" in str(answer["error"])) == (413, True)
    assert sending(served, token, sizes)[0] == 413
    served.transfers.store.sweep()
    in_its_place.rmdir()
    assert sending(served, token, sizes) == (200, {"files": 3, "received": sizes})
    assert finished(served, token) == list(NAMES)
    assert {path.name for path in files(served)} == {DIGEST, in_its_place.name}


def test_a_page_reloaded_while_a_part_is_finished_goes_on_after_it(served: Served) -> None:
    before, after = served.transfers.open_intake(), served.transfers.open_intake()
    sizes = {f"m-0000{number}-of-00002.bin": len(DATA) for number in (1, 2)}
    first, second = sizes
    sending(served, before, sizes)
    served.put(before, 0, DATA[:-1], name=first)
    intake = served.transfers.intake(before)
    assert intake is not None
    upload = intake.upload
    assert upload is not None
    last = threading.Thread(
        target=served.put, args=(before, len(DATA) - 1, DATA[-1:]), kwargs={"name": first}
    )
    answers: list[tuple[int, dict[str, object]]] = []
    reload = threading.Thread(target=lambda: answers.append(sending(served, after, sizes)))
    with served.transfers.store._lock:  # so that the part cannot be finished yet
        last.start()
        wait_until(lambda: upload.complete)
        reload.start()
        wait_until(lambda: answers or intake.lock._waiters)
    last.join()
    reload.join()
    assert answers == [(200, {"files": 2, "received": {first: len(DATA)}})]
    assert served.put(after, 0, DATA[::-1], name=second)[0] == 200
    assert finished(served, after) == [first, second]


def test_nobody_else_goes_on_with_an_upload_or_learns_of_it(served: Served) -> None:
    owner, other = served.transfers.open_intake(), served.transfers.open_intake()
    size = {"m.pth": len(DATA)}
    nothing = sending(served, other, size, "b" * 64)
    sending(served, owner, size)
    served.put(owner, 0, DATA[:5000])
    for key in ("b" * 64, ""):
        assert sending(served, other, size, key) == nothing
    assert sending(served, other, {"m.pth": len(DATA) + 1})[1]["received"] == {}
    assert sending(served, other, size, KEY.upper())[0] == 400
    assert served.put(owner, 5000, DATA[5000:])[1]["sha256"] == DIGEST


def test_what_was_cancelled_or_finished_begins_anew(served: Served) -> None:
    token, size = served.transfers.open_intake(), {"m.pth": len(DATA)}
    sending(served, token, size)
    served.put(token, 0, DATA[:5000])
    served.ask("DELETE", f"/loupe/uploads/{token}")
    assert sending(served, token, size)[1]["received"] == {}
    served.put(token, 0, DATA)
    assert sending(served, served.transfers.open_intake(), size)[1]["received"] == {}


def test_an_upload_waits_for_its_page_for_a_while_only(served: Served) -> None:
    token = served.transfers.open_intake()
    sending(served, token, {"m.pth": len(DATA)})
    served.put(token, 0, DATA[:5000])
    served.transfers.session_ended(token)
    served.transfers.sweep(reload=-1)
    assert files(served) == []
    after = served.transfers.open_intake()
    assert sending(served, after, {"m.pth": len(DATA)})[1]["received"] == {}
