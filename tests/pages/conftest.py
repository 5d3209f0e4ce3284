"""Each test is a server of its own, though all run in one process."""

import pytest
import streamlit as st

from core.server import Once
from pages.components import resources


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the tests before; what a test configures is read when it is first used."""
    for resource in vars(resources).values():
        if isinstance(resource, Once):
            monkeypatch.setattr(resource, "_values", [])
    resources.recheck_files()
    st.cache_resource.clear()
    st.cache_data.clear()
