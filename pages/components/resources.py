"""What all sessions of the server share, made once."""

from __future__ import annotations

import os

import streamlit as st

from core.checkpoint import Checkpoint, open_checkpoint
from core.compare.numbers_cache import NumbersCache
from core.files import LocatedFile, locate
from core.identify.keeper import IndexKeeper
from core.jobs import Jobs
from core.pool import ModelPool
from core.settings import Settings, read_settings
from core.store import Store
from core.transfer import Transfers

OPEN_CHECKPOINTS = 64
"""Checkpoints kept open: their tables of contents, never their tensors."""


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The owner's configuration; raises SettingsError."""
    return read_settings(os.environ)


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """The uploads on the disk; raises StoreError."""
    configured = settings()
    return Store(configured.data, quota=configured.quota, largest_file=configured.largest_file)


@st.cache_resource(show_spinner=False)
def transfers() -> Transfers:
    """The tokens of uploads and exports."""
    return Transfers(store())


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The threads of long work."""
    return Jobs()


@st.cache_resource(show_spinner=False)
def model_pool() -> ModelPool:
    """The loaded models."""
    return ModelPool(settings().model_memory)


@st.cache_resource(show_spinner=False)
def index_keeper() -> IndexKeeper:
    """The keys and shapes of all architectures."""
    return IndexKeeper(settings().data, jobs())


@st.cache_resource(show_spinner=False)
def numbers_cache() -> NumbersCache:
    """The numbers of all comparisons, by the contents of the tensors."""
    return NumbersCache()


def open_file(reference: str) -> Checkpoint:
    """Open the file behind a reference, or take it from the ones that are open.

    It is opened anew once one of its files was written to. Raises SourceError, CheckpointError.
    """
    located = locate(reference, settings(), store())
    return _opened(located.fingerprint(), located)


@st.cache_resource(max_entries=OPEN_CHECKPOINTS, show_spinner="Reading the table of contents")
def _opened(fingerprint: str, _located: LocatedFile) -> Checkpoint:
    return open_checkpoint(
        _located.path,
        name=_located.name,
        identity=_located.identity,
        scratch=store().scratch,
        quotes=_located.quotes,
    )
