"""The browser session that the script runs for, and whether one is still there."""

from __future__ import annotations

from collections.abc import Mapping

from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
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


class HeldPictures:
    """The files that sessions have sent by Streamlit's own route, in its memory."""

    def nbytes(self) -> Mapping[str, int]:
        """Bytes of each session that has sent files."""
        held = _files().file_storage.copy()
        return {
            session: sum(len(file.data) for file in files.copy().values())
            for session, files in held.items()
        }

    def forget_absent(self) -> None:
        """Drop the files of sessions whose tab is not connected."""
        for session in list(_files().file_storage):
            if not is_here(session):
                _files().remove_session_files(session)


def _files() -> MemoryUploadedFileManager:
    manager = runtime.get_instance().uploaded_file_mgr
    assert isinstance(manager, MemoryUploadedFileManager)  # the one that Streamlit has
    return manager
