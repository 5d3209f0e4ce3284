"""What is loaded before the first person waits for it."""

from __future__ import annotations

import pkgutil
from pathlib import Path

from core.compare.numbers import load_kernel
from core.server import IdleCollector, keep_what_is_loaded, preload
from pages.components.resources import index_keeper

LIBRARIES = ("torchvision", "timm", "plotly.io", "scipy.optimize")
"""What the pages use, and takes long to import."""

PAUSE = 0.005
"""Seconds between two architectures, in which those who are here already get on."""


def load_ahead() -> None:
    """Import all that the pages need and read the index of architectures, then take it out of the
    garbage collector's sight, and have the rest collected in the idle."""
    folder = [str(Path(__file__).parent)]
    components = (found.name for found in pkgutil.walk_packages(folder, f"{__package__}."))
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
