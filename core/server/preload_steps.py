"""What a server does before the first person waits for it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence


def preload(modules: Sequence[str], *steps: Callable[[], object]) -> None:
    """Import the modules, and take the steps; what fails is told in the log and stops nothing else.

    Whoever needs it later tries again: Python forgets a module whose import failed.
    """
    for step in (*(_importing(name) for name in modules), *steps):
        try:
            step()
        except Exception:  # another's code, or a trouble that a page will tell in a sentence
            logging.getLogger("loupe").exception("Something could not be done ahead")


def _importing(name: str) -> Callable[[], object]:
    return lambda: importlib.import_module(name)
