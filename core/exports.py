"""The folder of repaired files that somebody may download, each made once."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from core.errors import StoreError

KEPT_FOR = 24 * 3600.0
"""Seconds after which an export is removed: it can be made again at any time."""


def export_path(folder: Path, words: str, suffix: str) -> Path:
    """Where the export with that description lies, or will lie.

    Equal words give the same path. Makes the folder, and removes exports of more than a day
    ago. Raises StoreError where the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        oldest = time.time() - KEPT_FOR
        for old in folder.iterdir():
            if old.stat().st_mtime < oldest:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder for exports cannot be used: {error.strerror}.",
            "Ask the server's owner to look at the data folder.",
        ) from error
    return folder / f"{hashlib.sha256(words.encode()).hexdigest()}{suffix}"


def export_name(name: str, suffix: str) -> str:
    """What the repaired download of a file is called: `run3.ckpt` → `run3-repaired.pth`."""
    return f"{Path(name).stem or 'checkpoint'}-repaired{suffix}"
