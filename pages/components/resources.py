"""What all sessions of the server share, made once.

Any browser may ask Streamlit to empty its caches. So what the server cannot lose is a `Once`, and
`st.cache_resource` holds only what is worked out again where it is gone.
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
"""Checkpoints kept open: their tables of contents, never their tensors."""

_SEEN = "loupe-files-seen"


@Once
def settings() -> Settings:
    """The owner's configuration; raises SettingsError."""
    return read_settings(os.environ)


@Once
def store() -> Store:
    """The uploads on the disk; raises StoreError."""
    configured = settings()
    return Store(configured.data, quota=configured.quota, largest_file=configured.largest_file)


@Once
def transfers() -> Transfers:
    """The tokens of uploads and exports."""
    return Transfers(store(), st.get_option("server.baseUrlPath"))


@Once
def jobs() -> Jobs:
    """The threads of long work."""
    return Jobs(is_here=is_here)


@Once
def model_pool() -> ModelPool:
    """The loaded models."""
    return ModelPool(settings().model_memory)


@Once
def index_keeper() -> IndexKeeper:
    """The keys and shapes of all architectures."""
    return IndexKeeper(settings().data, jobs())


@Once
def numbers_cache() -> NumbersCache:
    """The numbers of all comparisons, by the contents of the tensors."""
    return NumbersCache()


@Once
def _results() -> dict[str, NewestResults[Any]]:
    return {}


def results(kind: str, most: int) -> NewestResults[Any]:
    """Where the results of one kind of job are kept, `most` of them."""
    return _results().setdefault(kind, NewestResults(most))


def begin_anew() -> None:
    """Forget all of it, as a server that starts does; the configuration is read again."""
    for one in (settings, store, transfers, jobs, model_pool, index_keeper, numbers_cache):
        one.clear()
    _results.clear()
    look_again()
    st.cache_resource.clear()
    st.cache_data.clear()


def open_file(reference: str) -> Checkpoint:
    """Open the file behind a reference, or take it from the ones that are open.

    It is opened anew once one of its files was written to, which a run looks for once: a folder of
    a thousand files takes some 30 ms. Raises SourceError, CheckpointError.
    """
    seen: dict[str, tuple[str, LocatedFile]] = st.session_state.setdefault(_SEEN, {})
    if reference not in seen:
        located = locate(reference, settings(), store())
        seen[reference] = located.fingerprint(), located
    return _opened(*seen[reference])


def look_again() -> None:
    """Have `open_file` look anew at the files: a run of the app begins."""
    st.session_state.pop(_SEEN, None)


@cached(OPEN_CHECKPOINTS, show_spinner="Reading the table of contents")
def _opened(fingerprint: str, _located: LocatedFile) -> Checkpoint:
    return open_checkpoint(
        _located.path,
        name=_located.name,
        identity=_located.identity,
        scratch=store().scratch,
        quotes=_located.quotes,
    )
