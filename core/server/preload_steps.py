"""The steps that a server takes ahead, so that the first person need not wait for them."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence


def preload(modules: Sequence[str], *steps: Callable[[], object]) -> None:
    """Import the modules and call the steps; a failure is logged, and the others go on.

    A failed import is tried again when the module is needed: Python forgets such a module.
    """
    for step in (*(_importing(name) for name in modules), *steps):
        try:
            step()
        except Exception:  # other people's code, or an error that a page will show as a sentence
            logging.getLogger("loupe").exception("A step of the preload failed")


def _importing(name: str) -> Callable[[], object]:
    return lambda: importlib.import_module(name)
