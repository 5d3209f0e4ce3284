"""Preloads what the pages need, so that the first user does not wait for it."""

from __future__ import annotations

import pkgutil
from pathlib import Path

from core.compare.numbers import load_kernel
from core.server import IdleCollector, keep_what_is_loaded, preload
from pages.components.resources import index_keeper

LIBRARIES = ("torchvision", "timm", "plotly.io", "scipy.optimize")
"""Libraries that the pages use and that take long to import."""

PAUSE = 0.005
"""Seconds of sleep between two architectures, so that the threads of open pages get the GIL."""


def preload_pages() -> None:
    """Import what the pages need and read the index of architectures.

    These objects live as long as the server, so the garbage collector is then told to skip them;
    the rest is collected while the server is idle.
    """
    folder = [str(Path(__file__).parent)]
    components = (module.name for module in pkgutil.walk_packages(folder, f"{__package__}."))
    preload(
        (*LIBRARIES, *components),
        load_kernel,
        _warm_index,
        keep_what_is_loaded,
        IdleCollector().start,
    )


def _warm_index() -> None:
    lookup = index_keeper().lookup()
    if lookup is not None:
        lookup.warm(pause=PAUSE)
