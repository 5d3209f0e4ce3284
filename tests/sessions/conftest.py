"""A real server for all of these tests, since a start costs seconds."""

from collections.abc import Iterator

import pytest

from tests.browser.driver import Server, running
from tests.browser.failures import pytest_runtest_makereport
from tests.sessions.server_process import wait_until_idle

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        wait_until_idle(server)
        yield server
