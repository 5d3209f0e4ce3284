"""What a server's process has taken so far (Linux, proc(5))."""

import os
import time
import urllib.request
from pathlib import Path

from tests.browser.driver import Server

QUIET, LOOKS = 0.05, 4
"""Seconds of CPU within half a second below which a server may be idle, and how many such half
seconds in a row say that it is: what it does with pauses takes little of each."""


def cpu_seconds(process: int) -> float:
    """Seconds of CPU that the process has used, in all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(process: int) -> int:
    """How many files and sockets the process has open."""
    return len(os.listdir(f"/proc/{process}/fd"))


def threads(process: int) -> int:
    """How many threads the process has."""
    return len(os.listdir(f"/proc/{process}/task"))


def active_sessions(url: str) -> int:
    """How many browser tabs the server believes to be connected, by its own metrics."""
    with urllib.request.urlopen(f"{url}/_stcore/metrics?families=active_sessions") as answer:
        lines = answer.read().decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("active_sessions")))


def wait_until_idle(server: Server) -> None:
    """Return once the server has nothing to do, such as importing torch."""
    used, quiet = cpu_seconds(server.process.pid), 0
    while quiet < LOOKS:
        time.sleep(0.5)
        before, used = used, cpu_seconds(server.process.pid)
        quiet = quiet + 1 if used - before < QUIET else 0


def settled_descriptors(process: int) -> int:
    """The descriptors once they have been the same for three seconds: what nobody uses any more is
    closed when garbage is collected."""
    looks = [descriptors(process)]
    while len(looks) < 7 or len(set(looks[-7:])) > 1:
        time.sleep(0.5)
        looks.append(descriptors(process))
    return looks[-1]
