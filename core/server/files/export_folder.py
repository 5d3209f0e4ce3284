"""The repaired files that somebody may download, each made once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from core.errors import StoreError, printable
from core.server.files.store import Store

MAX_NAME = 200
"""Bytes of a file's name, which most disks take (they take 255)."""


def export_path(store: Store, words: str, suffix: str) -> Path:
    """Where the export with that description lies, or will lie; equal words give the same path.

    One that is there already counts as just used. Raises StoreError where the folder cannot be
    used.
    """
    path = store.exports / f"{hashlib.sha256(words.encode()).hexdigest()}{suffix}"
    try:
        store.use_export(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(
            f"The folder for exports cannot be used: {error.strerror}.",
            "Ask the server's owner to look at the data folder.",
        ) from error
    return path


def export_name(name: str, suffix: str) -> str:
    """What the repaired download of a file is called: `run3.ckpt` → `run3-repaired.pth`.

    It is a name on any disk, and of no effect in a header: what is no letter, digit or mark of a
    name becomes `_`.
    """
    stem = re.sub(r"[\\/:*?\"<>|]", "_", printable(Path(name).stem)).strip(". ")
    ending = f"-repaired{suffix}"
    short = stem.encode()[: MAX_NAME - len(ending)].decode(errors="ignore")
    return f"{short or 'checkpoint'}{ending}"
