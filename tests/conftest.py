"""What holds for all tests, in each of the processes that pytest-xdist shares them out to."""

import ctypes
import enum
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.browser.driver import Server

if sys.version_info < (3, 11, 4):
    # These alone write a member of an enum as a call of `getattr`, and tests write what others do.
    enum.Enum.__reduce_ex__ = lambda self, _protocol: (type(self), (self._value_,))

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "loupe", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("loupe")

_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _processes > 1:
    # Each process, and each server that its tests start, would otherwise keep a thread of PyTorch's
    # for every processor. It is read once, when PyTorch is imported.
    _share = max(1, (os.cpu_count() or 1) // _processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(_share))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests, those that take long go first: in the end no process has
    nothing left to do while another has just begun with a minute's file."""
    if _processes > 1:
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if folder in ("browser", "sessions"):
        return 0
    return 1 if item.get_closest_marker("slow") else 2


@pytest.fixture(autouse=True, scope="module")
def main_module_stays() -> Iterator[None]:
    """Streamlit's AppTest leaves its page as the module `__main__`, which a process that is spawned
    later in this one would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Server]":
    """A real server for the tests of sessions and of the browser, since a start costs seconds."""
    from tests.browser.driver import running  # which imports the browser's driver

    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(autouse=True, scope="module")
def freed_memory_goes_back() -> Iterator[None]:
    """After each file: else a process keeps the gigabytes that a test of large tensors freed, while
    another needs them."""
    yield
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
        if trim is not None:
            trim(0)
