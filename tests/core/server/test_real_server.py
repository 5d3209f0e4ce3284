"""What Loupe sets in the process of a real server, which is started once for these tests."""

import json
import os
import resource
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs /dev/fd")

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

LOW = 256
"""The files that the server may have open when it starts; the hard limit stays as it is."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A server that is up, the lines that it prints, and the hard limit of its open files."""

    pid: int
    port: int
    printed: IO[str]
    hard_limit: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(LOW, hard), hard))
    try:
        process = subprocess.Popen(  # which inherits it
            [sys.executable, "-c", WATCHED, str(port)],
            cwd=REPOSITORY,
            env=os.environ | {"LOUPE_DATA": str(tmp_path_factory.mktemp("data"))},
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert process.stdout is not None
        # The address is printed once the socket listens; whoever connects before the app is up
        # waits in the socket's queue, and is not asked about here.
        wait_for(process.stdout, "http://")
        ask_for_health(port)
        wait_for(process.stdout, "at once")
        yield Watched(process.pid, port, process.stdout, hard)
    finally:
        process.kill()
        process.wait()


def wait_for(lines: IO[str], text: str) -> str:
    return next(line for line in lines if text in line)


def ask_for_health(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=PATIENCE):
        pass


def test_its_answers_leave_at_once(server: Watched) -> None:
    ask_for_health(server.port)
    assert json.loads(wait_for(server.printed, "at once")) == {"at once": True}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of a process from /proc")
def test_a_low_soft_limit_of_open_files_is_raised_as_far_as_the_system_allows(
    server: Watched,
) -> None:
    limits = Path(f"/proc/{server.pid}/limits").read_text()
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert line.split()[3] == str(server.hard_limit)
