"""The server lets itself have as many files open as the system allows."""

import resource
import sys
from pathlib import Path

import pytest

from tests.browser.driver import Server


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of a process from /proc")
def test_a_server_that_is_started_with_a_low_soft_limit_raises_it(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    try:
        server = Server(tmp_path)  # which inherits it
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    try:
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    finally:
        server.stop()
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert line.split()[3] == str(before[1])
