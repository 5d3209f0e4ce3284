"""A click counts, whatever the run before it does at its end."""

from streamlit.testing.v1 import AppTest

from tests.waiting import PATIENCE


def page() -> None:
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    from pages.components.pressed import pressed

    context = get_script_run_ctx()
    assert context is not None
    context.session_state.on_script_finished(frozenset(), remove_stale_widgets=False)
    if st.button("Plain"):
        st.write("The plain one.")
    if pressed("Sure", key="sure"):
        st.write("The sure one.")


def test_a_click_counts_though_the_run_before_it_ends_meanwhile() -> None:
    app = AppTest.from_function(page, default_timeout=PATIENCE).run()
    assert not app.exception
    app.button[0].click().run()
    assert [text.value for text in app.markdown] == []
    app.button(key="sure").click().run()
    assert [text.value for text in app.markdown] == ["The sure one."]


def test_a_click_counts_once() -> None:
    app = AppTest.from_function(page, default_timeout=PATIENCE).run()
    app.button(key="sure").click().run()
    app.run()
    assert [text.value for text in app.markdown] == []
