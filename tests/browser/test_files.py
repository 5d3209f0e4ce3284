"""Files on a real server: uploads over a reload, a base path, foreign host names, downloads."""

import hashlib
import http.client
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from urllib.parse import urlencode, urlsplit

import pytest
import torch
from playwright.sync_api import Page, Route, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from core.server import Bench, SlotState, bench_to_query
from tests.browser.driver import Server, settled
from tests.browser.test_open import slot, upload
from tests.waiting import PATIENCE

SLICE = 8 << 20
"""Bytes that the browser sends at once."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of four slices whose bytes are all others."""
    path = tmp_path_factory.mktemp("files") / "large.pth"
    random = torch.Generator().manual_seed(0)
    torch.save({"w": torch.randn(8 << 20, generator=random)}, path)
    assert 4 * SLICE < path.stat().st_size < 5 * SLICE
    return path


def partial(server: Server) -> set[Path]:
    """What is half-written now; tests before may have left an upload that waits for its page."""
    return set((server.data / "partial").iterdir())


def offsets(page: Page) -> list[int]:
    """Where the slices begin that the page sends, as they go."""
    found: list[int] = []

    def note(url: str) -> None:
        offset = re.search(r"[?&]offset=(\d+)", url)
        if offset:
            found.append(int(offset[1]))

    page.on("request", lambda request: note(request.url))
    return found


def stop_after(page: Page, nbytes: int) -> Callable[[], None]:
    """Let no slice through that begins later, so that an upload stays under way.

    Returns what lets all through again. A route is not removed while a page loads: of the requests
    that Playwright holds at that moment some never end.
    """
    opened = False

    def gate(route: Route) -> None:
        offset = re.search(r"[?&]offset=(\d+)", route.request.url)
        if opened or offset is None or int(offset[1]) < nbytes:
            route.continue_()

    def open_gate() -> None:
        nonlocal opened
        opened = True

    page.route("**/loupe/uploads/**", gate)
    return open_gate


def test_an_upload_goes_on_where_it_was_after_a_reload(
    server: Server, page: Page, large: Path
) -> None:
    before = partial(server)
    page.goto(server.url)
    settled(page)
    go_on = stop_after(page, 2 * SLICE)
    upload(page, "A", large)
    expect(slot(page, "A").get_by_text("49 % of")).to_be_visible()
    page.reload()
    go_on()
    settled(page)
    hint = slot(page, "A").get_by_text("large.pth stopped at 49 %. Choose it again")
    expect(hint).to_be_visible()
    sent = offsets(page)
    upload(page, "A", large)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("1")
    # Of the slice that the reload cut off some may have come.
    assert 2 * SLICE <= sent[0] < 3 * SLICE
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    assert (server.data / "files" / digest).is_file()
    assert partial(server) <= before


def test_a_file_that_changed_meanwhile_begins_anew(
    server: Server, page: Page, large: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.pth"
    changed.write_bytes(large.read_bytes())
    page.goto(server.url)
    settled(page)
    go_on = stop_after(page, 2 * SLICE)
    upload(page, "A", changed)
    expect(slot(page, "A").get_by_text("49 % of")).to_be_visible()
    page.reload()
    go_on()
    settled(page)
    status = changed.stat()
    with changed.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"x")
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    sent = offsets(page)
    upload(page, "A", changed)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("1")
    assert sent[0] == 0
    digest = hashlib.sha256(changed.read_bytes()).hexdigest()
    assert (server.data / "files" / digest).is_file()


def test_another_tab_does_not_go_on_with_it(server: Server, page: Page, large: Path) -> None:
    page.goto(server.url)
    settled(page)
    stop_after(page, SLICE)
    upload(page, "A", large)
    expect(slot(page, "A").get_by_text("24 % of")).to_be_visible()
    other = page.context.new_page()
    other.goto(server.url)
    settled(other)
    expect(slot(other, "A").get_by_text("shards with their index")).to_be_visible()
    sent = offsets(other)
    upload(other, "A", large)
    expect(slot(other, "A").get_by_test_id("stMetric").first).to_contain_text("1")
    assert sent[0] == 0


def test_shards_go_on_where_they_were_after_a_reload(
    server: Server, page: Page, tmp_path: Path
) -> None:
    random = Random(1)
    files = [tmp_path / f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for path in files:
        path.write_bytes(random.randbytes(2 * SLICE))
    before = partial(server)
    page.goto(server.url)
    settled(page)
    go_on = stop_after(page, SLICE)
    upload(page, "A", *files)
    expect(slot(page, "A").get_by_text("25 % of")).to_be_visible()
    page.reload()
    go_on()
    settled(page)
    hint = slot(page, "A").get_by_text("and 1 more stopped at 25 %. Choose it again")
    expect(hint).to_be_visible()
    sent = offsets(page)
    upload(page, "A", *files)
    expect(slot(page, "A").get_by_role("alert").first).to_be_visible()
    assert SLICE <= sent[0] < 2 * SLICE
    assert sent[1:] == [0, SLICE]
    kept = {path.name for path in (server.data / "files").iterdir()}
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in files} <= kept
    assert partial(server) <= before


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose owner gave it a base path and names, and that a test may kill."""
    names = {"LOUPE_HOSTS": "loupe.example, *.team.example"}
    server = Server(tmp_path_factory.mktemp("owned"), names, base_path="/team/loupe")
    yield server
    server.stop()


def test_of_a_killed_app_what_was_acknowledged_stays_and_nothing_half_made(
    owned: Server, page: Page, large: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.pth"
    torch.save({"w": torch.arange(100)}, small)
    page.goto(f"{owned.url}/")
    settled(page)
    upload(page, "A", small)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("1")
    settled(page)
    before = set((owned.data / "files").iterdir())
    assert hashlib.sha256(small.read_bytes()).hexdigest() in {path.name for path in before}
    go_on = stop_after(page, 2 * SLICE)
    upload(page, "B", large)
    expect(slot(page, "B").get_by_text("49 % of")).to_be_visible()
    assert partial(owned)
    owned.kill_and_restart()
    assert partial(owned) == set()
    assert set((owned.data / "files").iterdir()) == before
    go_on()
    page.reload()
    settled(page)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("1")
    upload(page, "B", large)
    expect(slot(page, "B").get_by_test_id("stMetric").first).to_contain_text("1")


def test_under_a_base_path_uploads_type_faces_and_exports_work(
    owned: Server, page: Page, large: Path
) -> None:
    outside: list[str] = []
    fonts: list[tuple[str, int]] = []

    def note(url: str, status: int) -> None:
        path = urlsplit(url).path
        if not path.startswith("/team/loupe/"):
            outside.append(url)
        if path.endswith(".woff2") and "/fonts/" in path and "/static/" not in path:
            fonts.append((path, status))

    page.on("response", lambda response: note(response.url, response.status))
    page.goto(f"{owned.url}/")
    settled(page)
    upload(page, "A", large)
    expect(slot(page, "A").get_by_test_id("stMetric").first).to_contain_text("1")
    page.evaluate("document.fonts.ready")
    assert ("/team/loupe/loupe/fonts/inter-latin-variable.woff2", 200) in fonts
    (owned.root / "large.pth").write_bytes(large.read_bytes())
    bench = Bench(SlotState(file="root:0/large.pth", architecture="torchvision:resnet18"))
    page.goto(f"{owned.url}/fitting?{urlencode(bench_to_query(bench))}")
    settled(page)
    page.get_by_role("button", name=".safetensors").last.click()
    link = page.get_by_role("link", name=re.compile("^Download "))
    expect(link).to_be_visible()
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename.endswith("-repaired.safetensors")
    assert download.value.path().stat().st_size > 1000
    assert [url for url in outside if not url.startswith("blob:")] == []


def websocket(server: Server, host: str, origin: str | None = None) -> int:
    """The status with which a WebSocket under those headers is answered."""
    straight = socket.create_connection(("127.0.0.1", server.port))
    try:
        with connect(f"ws://{host}{server.base_path}/_stcore/stream", sock=straight, origin=origin):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example", 403), ("evil.example:{port}", 403), ("localhost.evil.example", 403),
     ("127.0.0.1:{port}", 101), ("localhost:{port}", 101), ("192.168.7.7:8501", 101)],
)  # fmt: skip
def test_a_host_name_that_is_not_ours_gets_no_websocket(
    server: Server, host: str, status: int
) -> None:
    assert websocket(server, host.format(port=server.port)) == status


def test_a_page_of_another_site_gets_no_websocket_and_asks_the_server_nothing(
    server: Server,
) -> None:
    own = f"127.0.0.1:{server.port}"
    for origin in ("http://evil.example", "null", "http://[", "", "http://10.9.9.9"):
        assert websocket(server, own, origin) == 403, origin
    for origin in (f"http://{own}", "http://localhost:3000"):
        assert websocket(server, own, origin) == 101, origin
    # Streamlit's own refusal comes after it has asked the internet for the server's address.
    assert "disallowed Origin" not in server.log()
    assert "external IP" not in server.log()


@pytest.mark.parametrize(
    "path", ["/", "/_stcore/health", "/loupe/fonts/inter-latin-variable.woff2"]
)
def test_a_host_name_that_is_not_ours_gets_a_sentence(server: Server, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", path, headers={"Host": "evil.example"})
    response = connection.getresponse()
    assert response.status == 403
    assert "LOUPE_HOSTS" in response.read().decode()
    connection.close()


def test_a_name_that_the_owner_gave_gets_a_websocket(owned: Server) -> None:
    assert websocket(owned, "loupe.example") == 101
    assert websocket(owned, "a.team.example:443") == 101
    assert websocket(owned, "evil.example") == 403
    assert websocket(owned, "127.0.0.1:8501", "https://loupe.example") == 101
