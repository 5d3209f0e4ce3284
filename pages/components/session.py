"""The browser session that the script runs for, and whether one is still there."""

from __future__ import annotations

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx


def session_id() -> str:
    """This session's name, the same as long as its tab is open."""
    context = get_script_run_ctx()
    return context.session_id if context is not None else ""


def is_here(session: str) -> bool:
    """Whether a tab of the session is connected; True where no server runs that could know.

    A release of what is cached for a session says less: emptying the caches, which any browser may
    ask for, releases it for every session.
    """
    return not runtime.exists() or runtime.get_instance().is_active_session(session)
