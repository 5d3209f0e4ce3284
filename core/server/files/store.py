"""Stores uploads on the disk, each under the SHA-256 of its contents, and exports.

The data folder contains `files` (stored uploads), `partial` (files that are being received) and
`exports`. A partial file is locked by the process that writes it (see core.writing), so that a
sweep removes what a killed server left behind, and nothing of another server on the same folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import StoreError
from core.wording import count
from core.wording import size as size_words
from core.writing import (
    create_locked,
    create_locked_folder,
    folder_onto_disk,
    remove_unlocked,
    take_unlocked,
)

ABANDONED_AFTER = 3600.0
"""Seconds without a byte after which an upload is abandoned."""

SILENT_AFTER = 60.0
"""Seconds without a byte after which an upload may be dropped to make room for another."""

MAX_UPLOADS = 256
"""Uploads that are received at once; each has an open file."""

EXPORT_KEPT_FOR = 24 * 3600.0
"""Seconds since its last use after which an export is removed; it can be made again at any time."""

EXPORT_SPARED_FOR = 600.0
"""Seconds since its last use after which an export may be removed to make room."""

WHOLE = ".whole"
"""The ending of the folder of a set's parts once all of them have arrived: from then on, a sweep
stores them instead of removing them."""

_BLOCK = 512
"""Bytes of one unit of `st_blocks`, whatever the disk's block size is (POSIX)."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store; `size` in bytes."""

    sha256: str
    path: Path
    size: int


class UploadGone(StoreError):
    """The upload was dropped to make room, or abandoned; the browser starts it again."""


class Store:
    """A folder of files that are named by the SHA-256 of their contents, with a quota in bytes."""

    def __init__(self, root: Path, *, quota: int, largest_file: int) -> None:
        """Create the folder where it is missing, and remove incomplete files of a former server.

        Raises StoreError where the folder cannot be written to.
        """
        self.quota = quota
        self.largest_file = largest_file
        self._files = root / "files"
        self._partial = root / "partial"
        self._exports = root / "exports"
        self._lock = threading.Lock()
        self._uploads: set[Upload] = set()
        self._reserved = 0  # bytes for exports that are being written
        self._counted = 0  # bytes on the disk, without exports and active uploads
        self._exported = 0  # bytes of exports on the disk
        self._changes = 0  # how often `_counted` changed, by which `_count` sees that it is late
        try:
            for folder in (self._files, self._partial, self._exports):
                folder.mkdir(parents=True, exist_ok=True)
            folder_onto_disk(root)
        except OSError as error:
            raise StoreError(
                f"The data folder {root} cannot be created: {error.strerror}.",
                "Set LOUPE_DATA to a folder that Loupe may write to.",
            ) from error
        self.sweep()

    @property
    def scratch(self) -> Path:
        """The folder for temporary files, which the sweep includes."""
        return self._partial

    def use_export(self, path: Path) -> os.stat_result:
        """Mark an export as used now, and return its status. Raises OSError where it is gone."""
        status = path.stat()
        # The modification time stays: a browser that resumes a download compares it.
        os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        return status

    @property
    def exports(self) -> Path:
        """The folder of exports."""
        return self._exports

    def sweep(self) -> None:
        """Remove abandoned partial files and old exports, and count the bytes that are left.

        A set all of whose parts had arrived when its server died is stored.
        """
        for path in _entries(self._partial):
            if path.name.endswith(WHOLE):
                self._store_complete_set(path)
            else:
                remove_unlocked(path)
        oldest = time.time() - EXPORT_KEPT_FOR
        for path in _entries(self._exports):
            if path.name.startswith("."):
                remove_unlocked(path)
            elif _last_used(path) < oldest:
                with suppress(OSError):
                    path.unlink()
        self._count()

    def used(self) -> int:
        """Bytes that uploads and exports take on the disk, from a running count.

        Changes by another process are counted at the next sweep.
        """
        with self._lock:
            return self._used()

    def free(self) -> int:
        """Bytes of the quota that a new upload may take.

        Bytes that active uploads still expect do not count as free; silent uploads and unused
        exports do, since they would make room.
        """
        with self._lock:
            free = self._free()
            silent = [upload for upload in self._uploads if upload.is_silent]
        return max(0, free + sum(upload.size for upload in silent) + self._spare_exports())

    def find(self, sha256: str) -> Path | None:
        """The path of the file with this SHA-256, or None."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            return None
        path = self._files / sha256
        return path if path.is_file() else None

    def refusal(self, *sizes: int) -> StoreError | None:
        """Why files of these sizes are not accepted; None where all of them are."""
        if min(sizes) <= 0:
            return StoreError("The file is empty: it has 0 bytes.", "Choose another file.")
        if max(sizes) > self.largest_file:
            return StoreError(
                f"The file has {size_words(max(sizes))}, and this server takes files of up to "
                f"{size_words(self.largest_file)}.",
                "Put it into a server folder instead, or ask the server's owner.",
            )
        have = "The file has" if len(sizes) == 1 else f"The {count(len(sizes))} files have"
        return self._no_room(have, sum(sizes), self.free())

    def _no_room(self, have: str, total: int, free: int) -> StoreError | None:
        if total > free:
            return StoreError(
                f"{have} {size_words(total)}, and {size_words(free)} of this "
                f"server's {size_words(self.quota)} for uploads are free.",
                "Ask the server's owner to make room, or use a server folder.",
            )
        try:
            on_disk = shutil.disk_usage(self._files).free
        except OSError as error:
            return _unwritable(error)
        if total > on_disk:
            return StoreError(
                f"{have} {size_words(total)}, more than this server's disk has free.",
                "Ask the server's owner to make room, or use a server folder.",
            )
        return None

    def begin(self, size: int) -> Upload:
        """Start an upload of so many bytes. Raises StoreError.

        Where room is short, exports that were not used for a while are removed, then silent
        uploads.
        """
        refusal = self.refusal(size)
        if refusal is not None:
            raise refusal
        self._make_room(size, uploads=1)
        with self._lock:
            refusal = self._no_room("The file has", size, max(0, self._free()))
            if refusal is not None:
                raise refusal
            if len(self._uploads) >= MAX_UPLOADS:
                raise StoreError(
                    f"This server takes {MAX_UPLOADS} uploads at a time, and as many are active.",
                    "Try again in a minute.",
                )
            try:
                upload = Upload(self, self._partial / secrets.token_hex(16), size)
            except OSError as error:
                raise _unwritable(error) from error
            self._uploads.add(upload)
        return upload

    def begin_parts(self) -> Parts:
        """A folder for files that make up one checkpoint, until all have arrived.

        Raises StoreError.
        """
        try:
            return Parts(self, self._partial / secrets.token_hex(16))
        except OSError as error:
            raise _unwritable(error) from error

    @contextmanager
    def room_for_export(self, nbytes: int) -> Iterator[None]:
        """A context that reserves so many bytes for an export.

        At its end, the bytes in the folder of exports are counted. Raises StoreError where there is
        no room.
        """
        self._make_room(nbytes, uploads=0)
        with self._lock:
            refusal = self._no_room("The repaired file has", nbytes, max(0, self._free()))
            if refusal is not None:
                raise refusal
            self._reserved += nbytes
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= nbytes
                self._exported = _disk_use(self._exports)

    def store_file(self, upload: Upload, path: Path, sha256: str) -> StoredFile:
        """Store a finished partial file; equal contents are stored once.

        When this returns, the file and its name are on the disk. Raises OSError.
        """
        return self._move(upload, path, self._files / sha256)

    def add_part_file(self, upload: Upload, path: Path, folder: Path, sha256: str) -> StoredFile:
        """Move a finished partial file to the other parts of its set. Raises OSError."""
        return self._move(upload, path, folder / sha256)

    def _move(self, upload: Upload, path: Path, final: Path) -> StoredFile:
        with self._lock:
            self._uploads.discard(upload)
            self._change(_rename_into_store(path, final))
        folder_onto_disk(final.parent)
        return StoredFile(final.name, final, final.stat().st_size)

    def add_manifest(self, folder: Path, data: bytes) -> None:
        """Write a set's manifest into the folder of its parts; it needs no room in the quota.

        It is on the disk when this returns. Raises OSError.
        """
        path = folder / hashlib.sha256(data).hexdigest()
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with self._lock:
            self._change(_disk_use(path))
        folder_onto_disk(folder)

    def store_folder(self, folder: Path) -> dict[str, StoredFile]:
        """Store all files of a folder, and remove the folder; the stored files by their SHA-256.

        Raises OSError.
        """
        stored = {}
        with self._lock:
            for path in _entries(folder):
                nbytes = _disk_use(path)
                final = self._files / path.name
                self._change(_rename_into_store(path, final) - nbytes)
                stored[path.name] = StoredFile(path.name, final, final.stat().st_size)
        folder_onto_disk(self._files)
        folder.rmdir()
        return stored

    def forget(self, upload: Upload, path: Path) -> None:
        """Remove the partial file of an abandoned upload."""
        with self._lock:
            self._uploads.discard(upload)
            path.unlink(missing_ok=True)

    def drop_parts(self, folder: Path) -> None:
        """Remove the parts of an abandoned set."""
        with self._lock:
            self._change(-_disk_use(folder))
            shutil.rmtree(folder, ignore_errors=True)

    def _store_complete_set(self, folder: Path) -> None:
        """Store a set whose parts had all arrived when its server died; another server's stays."""
        descriptor = take_unlocked(folder)
        if descriptor is None:
            return
        try:
            # The sweep of another server on the same folder may have stored it meanwhile.
            with suppress(OSError):
                self.store_folder(folder)
        finally:
            os.close(descriptor)

    def _used(self) -> int:
        received = sum(upload.received for upload in self._uploads)
        return self._counted + self._exported + received

    def _free(self) -> int:
        """Bytes of the quota that are neither used nor expected.

        Negative where a server with a larger quota filled the folder.
        """
        expected = sum(upload.size - upload.received for upload in self._uploads)
        return self.quota - self._used() - expected - self._reserved

    def _change(self, nbytes: int) -> None:
        self._counted += nbytes
        self._changes += 1

    def _count(self) -> None:
        """Count the bytes in the folders.

        If something changed meanwhile, the earlier count stays, and the next sweep corrects it.
        """
        with self._lock:
            changes = self._changes
            active = {upload.path for upload in self._uploads}
        exported = _disk_use(self._exports)
        nbytes = _disk_use(self._files)
        nbytes += sum(_disk_use(path) for path in _entries(self._partial) if path not in active)
        with self._lock:
            if changes == self._changes and active == {upload.path for upload in self._uploads}:
                self._counted, self._exported = nbytes, exported

    def _make_room(self, nbytes: int, uploads: int) -> None:
        """Remove unused exports and silent uploads until so many more bytes and uploads fit."""
        for export in self._idle_exports():
            with self._lock:
                if self._free() >= nbytes:
                    break
                self._exported -= _disk_use(export)
                export.unlink(missing_ok=True)
        with self._lock:
            by_silence = sorted(self._uploads, key=lambda upload: upload.last_byte_at)
        for upload in by_silence:
            with self._lock:
                too_many = len(self._uploads) + uploads > MAX_UPLOADS
                if not upload.is_silent or (self._free() >= nbytes and not too_many):
                    break
            # Outside of the store's lock, which `abandon` takes inside of the upload's.
            upload.abandon()

    def _idle_exports(self) -> list[Path]:
        """The exports that may make room, those used longest ago first."""
        latest = time.time() - EXPORT_SPARED_FOR
        last_used = {path: _last_used(path) for path in _entries(self._exports)}
        idle = [path for path in last_used if last_used[path] < latest and path.name[0] != "."]
        return sorted(idle, key=last_used.__getitem__)

    def _spare_exports(self) -> int:
        return sum(map(_disk_use, self._idle_exports()))


class Upload:
    """A file that is being received. Safe to use from several threads."""

    def __init__(self, store: Store, path: Path, size: int) -> None:
        self.size = size
        self.received = 0
        self.last_byte_at = time.monotonic()
        self.path = path
        self._store = store
        self._lock = threading.Lock()
        self._digest: _Digest = hashlib.sha256()
        self._file = create_locked(path, buffering=0)

    def write(self, data: bytes, offset: int | None = None) -> bool:
        """Append bytes; False where `offset` is given and is not the end of the received bytes.

        Raises StoreError beyond the announced size, or where the disk is full; the upload is then
        abandoned.
        """
        with self._lock:
            if self._file.closed:
                raise _gone()
            if offset is not None and offset != self.received:
                return False
            if self.received + len(data) > self.size:
                self._abandon()
                raise StoreError(
                    "The browser sent more bytes than the file has.", "Choose the file again."
                )
            try:
                view = memoryview(data)
                while view:
                    view = view[self._file.write(view) :]
            except OSError as error:
                self._abandon()
                raise _unwritable(error) from error
            self._digest.update(data)
            self.received += len(data)
            self.last_byte_at = time.monotonic()
            return True

    @property
    def complete(self) -> bool:
        """Whether all bytes were received."""
        return self.received == self.size

    @property
    def is_silent(self) -> bool:
        """Whether no byte came for so long that it may be dropped to make room."""
        return time.monotonic() - self.last_byte_at > SILENT_AFTER

    @property
    def gone(self) -> bool:
        """Whether it is finished or abandoned."""
        return self._file.closed

    def finish(self, parts: Parts | None = None) -> StoredFile:
        """Close the file and store it, or move it to the other `parts` of its checkpoint.

        It is on the disk when this returns. Raises StoreError while bytes are missing.
        """
        with self._lock:
            if self._file.closed:
                raise _gone()
            if not self.complete:
                raise StoreError("The upload is not complete yet.", "Send the rest of it.")
            try:
                os.fsync(self._file.fileno())
                digest = self._digest.hexdigest()
                if parts is None:
                    return self._store.store_file(self, self.path, digest)
                return self._store.add_part_file(self, self.path, parts.folder, digest)
            except OSError as error:
                raise _unwritable(error) from error
            finally:
                # It is closed, and so unlocked, only after the rename: a sweep removes unlocked
                # partial files. After the rename there is no partial file left to remove.
                self._abandon()

    def abandon(self) -> None:
        """Delete what was received."""
        with self._lock:
            if not self._file.closed:
                self._abandon()

    def _abandon(self) -> None:
        self._store.forget(self, self.path)
        self._file.close()


class Parts:
    """The files of a set, kept in a folder until all have arrived.

    A set is stored as a whole or not at all, even if the server is killed meanwhile: its folder is
    locked, and one rename marks it as complete.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.folder = folder
        self._store = store
        self._lock_descriptor: int | None = create_locked_folder(folder)

    @property
    def is_pending(self) -> bool:
        """Whether the parts are still in their folder: neither stored nor abandoned."""
        return self._lock_descriptor is not None

    def store_set(self, manifest: bytes) -> dict[str, StoredFile]:
        """Store all parts and the manifest; the stored files by their SHA-256.

        They are on the disk when this returns. Raises StoreError; while they are pending, it can be
        tried again.
        """
        complete = self.folder.with_name(f"{self.folder.name}{WHOLE}")
        try:
            self._store.add_manifest(self.folder, manifest)
            self.folder.rename(complete)
        except OSError as error:
            raise _unwritable(error) from error
        try:
            folder_onto_disk(complete.parent)
            return self._store.store_folder(complete)
        except OSError as error:
            raise _unwritable(error) from error
        finally:
            self.release_lock()

    def abandon(self) -> None:
        """Delete the parts."""
        if self._lock_descriptor is not None:
            self._store.drop_parts(self.folder)
            self.release_lock()

    def release_lock(self) -> None:
        """Release the lock, as the end of the process does."""
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None


def _gone() -> UploadGone:
    return UploadGone("The server dropped this upload, since it was silent.", "Send it again.")


def _unwritable(error: OSError) -> StoreError:
    return StoreError(
        f"The upload cannot be written: {error.strerror}.",
        "Ask the server's owner to look at the data folder's disk.",
    )


def _rename_into_store(path: Path, final: Path) -> int:
    """Rename a complete file to `final`, or remove it if `final` has the same contents.

    Returns the bytes that the disk gained, not counting those of `path` before.
    """
    nbytes = _disk_use(path)
    try:
        same_content = final.stat().st_size == path.stat().st_size
    except FileNotFoundError:
        same_content = False
    if same_content:
        path.unlink()
        return 0
    before = _disk_use(final)
    path.replace(final)
    return nbytes - before


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder; none where it is gone."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _last_used(path: Path) -> float:
    """The time at which an export was made or downloaded last, in seconds since 1970; now, where it
    is gone."""
    try:
        status = path.stat()
    except OSError:
        return time.time()
    return max(status.st_mtime, status.st_atime)


def _disk_use(path: Path) -> int:
    """Bytes that a file or the contents of a folder take on the disk, as `du` counts them.

    At least the files' sizes, because a file system may allocate blocks later; 0 for what is gone.
    """
    nbytes = 0
    paths = [os.fspath(path)]
    while paths:
        entry_path = paths.pop()
        with suppress(OSError):
            status = os.lstat(entry_path)
            if not os.path.isdir(entry_path) or os.path.islink(entry_path):
                nbytes += max(status.st_size, status.st_blocks * _BLOCK)
                continue
            with os.scandir(entry_path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        paths.append(entry.path)
                        continue
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        nbytes += max(status.st_size, status.st_blocks * _BLOCK)
    return nbytes
