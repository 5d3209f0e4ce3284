"""The browser session that the script runs for, and whether a session is still connected."""

from __future__ import annotations

from collections.abc import Mapping

from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx


def session_id() -> str:
    """This session's id, which stays the same as long as its tab is open; "" outside a session."""
    context = get_script_run_ctx()
    return context.session_id if context is not None else ""


def is_here(session: str) -> bool:
    """Whether a tab of the session is connected; True if no server runs, as in tests.

    The release of a session's cached resources does not show that the session ended: any browser
    can ask to empty the caches, and that releases the resources of every session.
    """
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


class SessionUploads:
    """The files that sessions uploaded by Streamlit's own route, which keeps them in memory."""

    def nbytes(self) -> Mapping[str, int]:
        """The bytes of each session that has uploaded files, by session id."""
        # Other threads add files meanwhile, so both dicts are copied before they are walked.
        sessions = _manager().file_storage.copy()
        return {
            session: sum(len(file.data) for file in files.copy().values())
            for session, files in sessions.items()
        }

    def forget_absent(self) -> None:
        """Drop the files of sessions that are not connected."""
        for session in list(_manager().file_storage):
            if not is_here(session):
                _manager().remove_session_files(session)


def _manager() -> MemoryUploadedFileManager:
    manager = runtime.get_instance().uploaded_file_mgr
    assert isinstance(manager, MemoryUploadedFileManager)  # the only manager that Streamlit has
    return manager
