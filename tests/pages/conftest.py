"""Each test is a server of its own, though all run in one process."""

from collections.abc import Iterator

import pytest
from streamlit.components.v2 import manifest_scanner

from pages.components.resources import reset_resources


@pytest.fixture(autouse=True)
def own_server() -> Iterator[None]:
    """Nothing is left of the tests before; what a test configures is read when it is first used."""
    reset_resources()
    yield
    reset_resources()


@pytest.fixture(autouse=True, scope="session")
def packages_are_searched_once() -> Iterator[None]:
    """Each AppTest reads the metadata of every installed package, a quarter of a second, to look
    for components; none is installed while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        manifests = manifest_scanner.scan_component_manifests()
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: manifests)
        yield
