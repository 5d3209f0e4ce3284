"""What is loaded before the first person waits for it, and the collector that then takes over."""

from __future__ import annotations

import importlib
import pkgutil
import time
from pathlib import Path

from core.server.garbage import IdleCollector, keep_what_is_loaded
from pages.components.resources import index_keeper

LIBRARIES = ("torchvision", "timm", "plotly.io", "scipy.optimize")
"""What the pages use, and takes long to import."""

PAUSE = 0.005
"""Seconds between two steps, in which those who are here already get on."""

COLLECTOR = IdleCollector()
"""Collects the garbage of all sessions' runs."""


def preload() -> None:
    """Import all that the pages need and read the index of architectures, then take it out of the
    garbage collector's sight."""
    components = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    for module in (*LIBRARIES, *(f"{__package__}.{name}" for name in components)):
        importlib.import_module(module)
        time.sleep(PAUSE)
    lookup = index_keeper().lookup()
    if lookup is not None:
        lookup.warm(pause=PAUSE)
    keep_what_is_loaded()
