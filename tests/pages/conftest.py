"""Each test is a server of its own, though all run in one process."""

from collections.abc import Iterator

import pytest

from pages.components.resources import reset_resources


@pytest.fixture(autouse=True)
def own_server() -> Iterator[None]:
    """Nothing is left of the tests before; what a test configures is read when it is first used."""
    reset_resources()
    yield
    reset_resources()
