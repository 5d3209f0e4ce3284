"""A real server for these tests: the one that the browser's tests have, too."""

import pytest

from tests.browser.driver import Server
from tests.browser.failures import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture
def server(shared_server: Server) -> Server:
    """What others uploaded and loaded is still there."""
    return shared_server
