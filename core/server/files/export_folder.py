"""The paths and names of repaired files to download, each of which is made once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from core.errors import StoreError, printable
from core.server.files.store import Store

MAX_NAME = 200
"""The most bytes of a file's name; most file systems allow 255."""


def export_path(store: Store, words: str, suffix: str) -> Path:
    """The path of the export that `words` describe, which may exist; equal words, equal path.

    An export that exists is marked as used now. Raises StoreError where the folder cannot be used.
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
    """The download name of a file's repaired version: `run3.ckpt` → `run3-repaired.pth`.

    The characters that some file system forbids become `_`, and unprintable ones are escaped, so
    that the name is safe on any disk and in an HTTP header.
    """
    stem = re.sub(r"[\\/:*?\"<>|]", "_", printable(Path(name).stem)).strip(". ")
    ending = f"-repaired{suffix}"
    short = stem.encode()[: MAX_NAME - len(ending)].decode(errors="ignore")
    return f"{short or 'checkpoint'}{ending}"
