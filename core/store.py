"""Uploads on the disk, each under the SHA-256 of its content."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import StoreError

ABANDONED_AFTER = 3600.0
"""Seconds without a byte after which an upload is given up."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store; `size` in bytes."""

    sha256: str
    path: Path
    size: int


class Store:
    """A folder of files named by their content, with a quota in bytes."""

    def __init__(self, root: Path, *, quota: int, largest_file: int) -> None:
        """Make the folder where it is missing, and sweep what a former server left half-written.

        Raises StoreError where it cannot be written to.
        """
        self.quota = quota
        self.largest_file = largest_file
        self._files = root / "files"
        self._partial = root / "partial"
        self._lock = threading.Lock()
        self._expected: dict[Path, int] = {}
        self._unclaimed: set[str] = set()
        try:
            self._files.mkdir(parents=True, exist_ok=True)
            self._partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The data folder {root} cannot be made: {error.strerror}.",
                "Let LOUPE_DATA name a folder that Loupe may write to.",
            ) from error
        self.sweep()

    @property
    def scratch(self) -> Path:
        """The folder for temporary files, which the sweep looks after too."""
        return self._partial

    def sweep(self) -> None:
        """Remove what nobody has written to for an hour."""
        oldest = time.time() - ABANDONED_AFTER
        for path in self._partial.iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def used(self) -> int:
        """Bytes that the uploads take, those under way at their full size."""
        kept = sum(path.stat().st_size for path in self._files.iterdir())
        return kept + sum(tuple(self._expected.values()))

    def find(self, sha256: str) -> Path | None:
        """The file of that content, or None."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            return None
        path = self._files / sha256
        return path if path.is_file() else None

    def refusal(self, *sizes: int) -> StoreError | None:
        """Why files of these sizes would not be taken; None where all of them would."""
        if min(sizes) <= 0:
            return StoreError("The file is empty: it has 0 bytes.", "Choose another file.")
        if max(sizes) > self.largest_file:
            return StoreError(
                f"The file has {_gigabytes(max(sizes))}, and this server takes files of up to "
                f"{_gigabytes(self.largest_file)}.",
                "Put it into a server folder instead, or ask the server's owner.",
            )
        total = sum(sizes)
        have = "The file has" if len(sizes) == 1 else f"The {len(sizes):,} files have"
        free = self.quota - self.used()
        if total > free:
            return StoreError(
                f"{have} {_gigabytes(total)}, and {_gigabytes(max(0, free))} of this "
                f"server's {_gigabytes(self.quota)} for uploads are free.",
                "Ask the server's owner to make room, or use a server folder.",
            )
        if total > shutil.disk_usage(self._files).free:
            return StoreError(
                f"{have} {_gigabytes(total)}, more than this server's disk has free.",
                "Ask the server's owner to make room, or use a server folder.",
            )
        return None

    def begin(self, size: int) -> Upload:
        """Start an upload of that many bytes. Raises StoreError."""
        with self._lock:
            refusal = self.refusal(size)
            if refusal is not None:
                raise refusal
            path = self._partial / secrets.token_hex(16)
            self._expected[path] = size
        return Upload(self, path, size)

    def keep(self, path: Path, sha256: str, claimed: bool = True) -> StoredFile:
        """Take a finished partial file in; the same content is kept once.

        One that is not `claimed` yet, since others are to come with it, can still be given up.
        """
        final = self._files / sha256
        with self._lock:
            self._expected.pop(path, None)
            if final.is_file():
                path.unlink()
                self._unclaimed.discard(sha256)
            else:
                path.replace(final)
                if not claimed:
                    self._unclaimed.add(sha256)
        return StoredFile(sha256, final, final.stat().st_size)

    def claim(self, files: Iterable[StoredFile]) -> None:
        """Keep these files for good."""
        with self._lock:
            self._unclaimed.difference_update(file.sha256 for file in files)

    def give_up(self, files: Iterable[StoredFile]) -> None:
        """Remove those of these files that nobody has claimed."""
        with self._lock:
            for file in files:
                if file.sha256 in self._unclaimed:
                    self._unclaimed.remove(file.sha256)
                    file.path.unlink(missing_ok=True)

    def drop(self, path: Path) -> None:
        """Forget a partial file."""
        with self._lock:
            self._expected.pop(path, None)
            path.unlink(missing_ok=True)


class Upload:
    """A file on its way in. Not for several threads at once."""

    def __init__(self, store: Store, path: Path, size: int) -> None:
        self.size = size
        self.received = 0
        self.touched = time.monotonic()
        self._store = store
        self._path = path
        self._digest: _Digest = hashlib.sha256()
        self._file = path.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append bytes. Raises StoreError beyond the announced size, or where the disk is full;
        the upload is then gone."""
        if self.received + len(data) > self.size:
            self.abandon()
            raise StoreError(
                "The browser sent more bytes than the file has.", "Choose the file again."
            )
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self.abandon()
            raise StoreError(
                f"The upload cannot be written: {error.strerror}.",
                "Ask the server's owner to look at the data folder's disk.",
            ) from error
        self._digest.update(data)
        self.received += len(data)
        self.touched = time.monotonic()

    @property
    def complete(self) -> bool:
        """Whether every byte is here."""
        return self.received == self.size

    def finish(self, claimed: bool = True) -> StoredFile:
        """Close it and take it into the store, see Store.keep. Raises StoreError while bytes are
        missing."""
        if not self.complete:
            raise StoreError("The upload is not complete yet.", "Send the rest of it.")
        os.fsync(self._file.fileno())
        self._file.close()
        return self._store.keep(self._path, self._digest.hexdigest(), claimed)

    def abandon(self) -> None:
        """Give it up; nothing of it stays."""
        self._file.close()
        self._store.drop(self._path)


def _gigabytes(nbytes: int) -> str:
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= divisor:
            return f"{nbytes / divisor:.1f} {unit}"
    return f"{nbytes} bytes"
