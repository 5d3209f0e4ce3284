"""Each test is a server of its own, though all run in one process."""

from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from core.server import Once
from pages.components import resources


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the tests before; what a test configures is read when it is first used.

    Only the index of architectures stays: it is the same for all, and takes half a second.
    """
    for resource in vars(resources).values():
        if isinstance(resource, Once) and resource is not resources.index_keeper:
            monkeypatch.setattr(resource, "_values", [])
    resources.recheck_files()
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(autouse=True, scope="session")
def packages_are_searched_once() -> Iterator[None]:
    """Each AppTest reads the metadata of every installed package, a quarter of a second, to look
    for components; none is installed while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        manifests = manifest_scanner.scan_component_manifests()
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: manifests)
        yield
