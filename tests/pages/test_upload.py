"""A page's right to upload lasts as long as its session, whoever empties the caches."""

import threading

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.components.open import upload
from pages.components.resources import transfers
from tests.waiting import PATIENCE


def page() -> None:
    import streamlit as st

    from pages.components.open.upload import _token

    st.code(_token("A"))


@pytest.mark.parametrize("here", [True, False])
def test_emptied_caches_end_no_upload_of_a_session_that_is_here(
    here: bool, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path))
    monkeypatch.setattr(upload, "SETTLED", 0.0)
    monkeypatch.setattr(upload, "is_here", lambda session: here)
    app = AppTest.from_function(page, default_timeout=PATIENCE).run()
    token = app.code[0].value
    st.cache_resource.clear()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    intake = transfers().intake(token)
    assert intake is not None
    assert (intake.disconnected_at is None) == here
    assert app.run().code[0].value == token
    assert intake.disconnected_at is None
