"""The objects that all sessions of the server share, each created once.

Any browser can ask Streamlit to empty its caches. So what the server must not lose is a `Once`, and
`st.cache_resource` keeps only what can be computed again.
"""

from __future__ import annotations

import os
from typing import Any

import streamlit as st

from core.checkpoint import Checkpoint, open_checkpoint
from core.compare import NumbersCache
from core.load import ModelPool
from core.server import IndexKeeper, Jobs, NewestResults, Once, Settings, read_settings
from core.server.files import LocatedFile, Store, locate
from core.server.web import Transfers
from pages.components.cached import cached
from pages.components.session import is_here

OPEN_CHECKPOINTS = 64
"""The most checkpoints that are kept open. Only their tables of contents are in memory, no
tensors."""

_LOCATED = "loupe-files-seen"
"""The key of the session's state under which this run's references are, with their files."""


@Once
def settings() -> Settings:
    """The owner's configuration, from the environment. Raises SettingsError."""
    return read_settings(os.environ)


@Once
def store() -> Store:
    """The uploads on disk. Raises StoreError."""
    configured = settings()
    return Store(configured.data, quota=configured.quota, largest_file=configured.largest_file)


@Once
def transfers() -> Transfers:
    """The tokens of uploads and exports."""
    return Transfers(store(), st.get_option("server.baseUrlPath"))


@Once
def jobs() -> Jobs:
    """The background jobs and their threads."""
    return Jobs(is_here=is_here)


@Once
def model_pool() -> ModelPool:
    """The loaded models, within the memory that the owner allows."""
    return ModelPool(settings().model_memory)


@Once
def index_keeper() -> IndexKeeper:
    """The index of all architectures' keys and shapes."""
    return IndexKeeper(settings().data, jobs())


@Once
def numbers_cache() -> NumbersCache:
    """The numbers of all comparisons, keyed by the contents of the tensors."""
    return NumbersCache()


@Once
def _results() -> dict[str, NewestResults[Any]]:
    return {}


def results(kind: str, max_results: int) -> NewestResults[Any]:
    """The newest `max_results` results of one kind of job."""
    return _results().setdefault(kind, NewestResults(max_results))


def open_file(reference: str) -> Checkpoint:
    """Open the checkpoint behind a reference, or return it if it is open already.

    It is opened again if one of its files was written to. Each run of the page's script checks that
    once for each reference, because the fingerprint of a folder of a thousand files takes some
    30 ms. Raises SourceError, CheckpointError.
    """
    located_files: dict[str, tuple[str, LocatedFile]] = st.session_state.setdefault(_LOCATED, {})
    if reference not in located_files:
        located = locate(reference, settings(), store())
        located_files[reference] = located.fingerprint(), located
    return _opened(*located_files[reference])


def recheck_files() -> None:
    """Let `open_file` check the files for changes again: each run of the script begins with it."""
    st.session_state.pop(_LOCATED, None)


@cached(OPEN_CHECKPOINTS, show_spinner="Reading the table of contents")
def _opened(fingerprint: str, _located: LocatedFile) -> Checkpoint:
    return open_checkpoint(
        _located.path,
        name=_located.name,
        identity=_located.identity,
        scratch=store().scratch,
        quotes=_located.quotes,
        around=_located.around,
    )
