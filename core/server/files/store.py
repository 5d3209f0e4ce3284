"""Uploads on the disk, each under the SHA-256 of its content, and exports beside them.

The data folder holds `files`, what was taken in; `partial`, what is on its way; and `exports`. What
is on its way is locked by its writer (see `locked_file`), so that a sweep removes what a killed
server left, and nothing of another server on the same folder.
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
from core.writing import (
    create_locked,
    create_locked_folder,
    folder_onto_disk,
    remove_unlocked,
    take_unlocked,
)

ABANDONED_AFTER = 3600.0
"""Seconds without a byte after which an upload is given up."""

SILENT_AFTER = 60.0
"""Seconds without a byte after which an upload makes room for one that is active."""

MAX_UPLOADS = 256
"""Uploads under way at once: each has a descriptor of its own."""

EXPORT_KEPT_FOR = 24 * 3600.0
"""Seconds after which an export is removed: it can be made again at any time."""

EXPORT_SPARED_FOR = 600.0
"""Seconds after which an export that nobody fetched makes room for what needs it."""

WHOLE = ".whole"
"""How the folder of a set's parts ends once all of them are there: from then on they are kept."""

_BLOCK = 512
"""Bytes of one of `st_blocks`, whatever the disk's own blocks are (POSIX)."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store; `size` in bytes."""

    sha256: str
    path: Path
    size: int


class UploadGone(StoreError):
    """The upload made room for others, or was given up: it begins again."""


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
        self._exports = root / "exports"
        self._lock = threading.Lock()
        self._uploads: set[Upload] = set()
        self._reserved = 0
        self._counted = 0
        self._exported = 0
        self._changes = 0
        try:
            for folder in (self._files, self._partial, self._exports):
                folder.mkdir(parents=True, exist_ok=True)
            folder_onto_disk(root)
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

    def use_export(self, path: Path) -> os.stat_result:
        """Have an export stay for a while, and describe it. Raises OSError where it is gone."""
        status = path.stat()
        # Only when it was used, not when it was made: by that a browser knows it for the same.
        os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        return status

    @property
    def exports(self) -> Path:
        """The folder of files to fetch."""
        return self._exports

    def sweep(self) -> None:
        """Remove what nobody writes any more and exports of yesterday, and count what is left.

        A set of which all parts had arrived when its server died is taken in.
        """
        for path in _entries(self._partial):
            if path.name.endswith(WHOLE):
                self._take_in_left(path)
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
        """Bytes that uploads and exports take on the disk, kept in mind: it costs nothing to ask.

        What another process changed is in it after the next sweep.
        """
        with self._lock:
            return self._used()

    def free(self) -> int:
        """Bytes of the quota that an upload may take: what is not used, nor expected by uploads
        that are active, and what would make room."""
        with self._lock:
            free = self._free()
            silent = [upload for upload in self._uploads if upload.is_silent]
        return max(0, free + sum(upload.size for upload in silent) + self._spare_exports())

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
        have = "The file has" if len(sizes) == 1 else f"The {len(sizes):,} files have"
        return self._no_room(have, sum(sizes), self.free())

    def _no_room(self, have: str, total: int, free: int) -> StoreError | None:
        if total > free:
            return StoreError(
                f"{have} {_gigabytes(total)}, and {_gigabytes(free)} of this "
                f"server's {_gigabytes(self.quota)} for uploads are free.",
                "Ask the server's owner to make room, or use a server folder.",
            )
        try:
            left = shutil.disk_usage(self._files).free
        except OSError as error:
            return _unwritable(error)
        if total > left:
            return StoreError(
                f"{have} {_gigabytes(total)}, more than this server's disk has free.",
                "Ask the server's owner to make room, or use a server folder.",
            )
        return None

    def begin(self, size: int) -> Upload:
        """Start an upload of that many bytes. Raises StoreError.

        Where room is short, exports that nobody fetched for a while go, then silent uploads.
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
                    f"This server takes {MAX_UPLOADS} uploads at a time, and all are under way.",
                    "Try again in a minute.",
                )
            try:
                upload = Upload(self, self._partial / secrets.token_hex(16), size)
            except OSError as error:
                raise _unwritable(error) from error
            self._uploads.add(upload)
        return upload

    def begin_parts(self) -> Parts:
        """A place for files that are one checkpoint, until all are there. Raises StoreError."""
        try:
            return Parts(self, self._partial / secrets.token_hex(16))
        except OSError as error:
            raise _unwritable(error) from error

    @contextmanager
    def room_for_export(self, nbytes: int) -> Iterator[None]:
        """While this is entered so many bytes are expected in the folder of exports; what came is
        counted at the end. Raises StoreError where there is no room."""
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

    def keep(self, upload: Upload, path: Path, sha256: str) -> StoredFile:
        """Take a finished partial file in; the same content is kept once.

        It is on the disk, under its name, when this returns. Raises OSError.
        """
        return self._move(upload, path, self._files / sha256)

    def set_aside(self, upload: Upload, path: Path, folder: Path, sha256: str) -> StoredFile:
        """Put a finished partial file with the parts that it belongs to. Raises OSError."""
        return self._move(upload, path, folder / sha256)

    def _move(self, upload: Upload, path: Path, final: Path) -> StoredFile:
        with self._lock:
            self._uploads.discard(upload)
            self._change(_adopt(path, final))
        folder_onto_disk(final.parent)
        return StoredFile(final.name, final, final.stat().st_size)

    def add_to_parts(self, folder: Path, data: bytes) -> None:
        """Put a small file of Loupe's own with the parts that lie in a folder, whatever the quota.

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

    def take_in(self, folder: Path) -> dict[str, StoredFile]:
        """Move all files of a folder in, and remove the folder; by their SHA-256.

        Raises OSError.
        """
        taken = {}
        with self._lock:
            for path in _entries(folder):
                nbytes = _disk_use(path)
                final = self._files / path.name
                self._change(_adopt(path, final) - nbytes)
                taken[path.name] = StoredFile(path.name, final, final.stat().st_size)
        folder_onto_disk(self._files)
        folder.rmdir()
        return taken

    def forget(self, upload: Upload, path: Path) -> None:
        """Remove a partial file that is given up."""
        with self._lock:
            self._uploads.discard(upload)
            path.unlink(missing_ok=True)

    def drop_parts(self, folder: Path) -> None:
        """Remove the parts of a set that is given up."""
        with self._lock:
            self._change(-_disk_use(folder))
            shutil.rmtree(folder, ignore_errors=True)

    def _take_in_left(self, folder: Path) -> None:
        descriptor = take_unlocked(folder)
        if descriptor is None:
            return
        try:
            # A folder that lost this race to another server's sweep is not there any more.
            with suppress(OSError):
                self.take_in(folder)
        finally:
            os.close(descriptor)

    def _used(self) -> int:
        under_way = sum(upload.received for upload in self._uploads)
        return self._counted + self._exported + under_way

    def _free(self) -> int:
        """What of the quota nobody has, nor expects; less than 0 where a server of a larger quota
        filled it."""
        expected = sum(upload.size - upload.received for upload in self._uploads)
        return self.quota - self._used() - expected - self._reserved

    def _change(self, nbytes: int) -> None:
        self._counted += nbytes
        self._changes += 1

    def _count(self) -> None:
        """Walk the folders. Where something changed meanwhile the count of before stays, and the
        next sweep corrects it."""
        with self._lock:
            changes = self._changes
            ours = {upload.path for upload in self._uploads}
        exported = _disk_use(self._exports)
        nbytes = _disk_use(self._files)
        nbytes += sum(_disk_use(path) for path in _entries(self._partial) if path not in ours)
        with self._lock:
            if changes == self._changes and ours == {upload.path for upload in self._uploads}:
                self._counted, self._exported = nbytes, exported

    def _make_room(self, nbytes: int, uploads: int) -> None:
        """Let what nobody uses go until so many bytes and uploads more have room."""
        for export in self._idle_exports():
            with self._lock:
                if self._free() >= nbytes:
                    break
                self._exported -= _disk_use(export)
                export.unlink(missing_ok=True)
        with self._lock:
            waiting = sorted(self._uploads, key=lambda upload: upload.touched)
        for upload in waiting:
            with self._lock:
                many = len(self._uploads) + uploads > MAX_UPLOADS
                if not upload.is_silent or (self._free() >= nbytes and not many):
                    break
            upload.abandon()

    def _idle_exports(self) -> list[Path]:
        """Those that nobody made or fetched just now, the longest unused first."""
        latest = time.time() - EXPORT_SPARED_FOR
        found = {path: _last_used(path) for path in _entries(self._exports)}
        idle = [path for path in found if found[path] < latest and path.name[0] != "."]
        return sorted(idle, key=found.__getitem__)

    def _spare_exports(self) -> int:
        return sum(map(_disk_use, self._idle_exports()))


class Upload:
    """A file on its way in. Safe to use from several threads."""

    def __init__(self, store: Store, path: Path, size: int) -> None:
        self.size = size
        self.received = 0
        self.touched = time.monotonic()
        self.path = path
        self._store = store
        self._lock = threading.Lock()
        self._digest: _Digest = hashlib.sha256()
        self._file = create_locked(path, buffering=0)

    def write(self, data: bytes, offset: int | None = None) -> bool:
        """Append bytes, and say whether they were taken: not where `offset` is not the place at
        which the file goes on.

        Raises StoreError beyond the announced size, or where the disk is full; the upload is then
        gone.
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
            self.touched = time.monotonic()
            return True

    @property
    def complete(self) -> bool:
        """Whether every byte is here."""
        return self.received == self.size

    @property
    def is_silent(self) -> bool:
        """Whether it had no byte for so long that it makes room for others."""
        return time.monotonic() - self.touched > SILENT_AFTER

    @property
    def gone(self) -> bool:
        """Whether it is finished or given up."""
        return self._file.closed

    def finish(self, parts: Parts | None = None) -> StoredFile:
        """Close it and take it into the store, or put it with the other `parts` of its checkpoint.

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
                    return self._store.keep(self, self.path, digest)
                return self._store.set_aside(self, self.path, parts.folder, digest)
            except OSError as error:
                raise _unwritable(error) from error
            finally:
                # Closed, and so unlocked, only now: before it had its name a sweep would remove it.
                # Where it has its name there is nothing left to forget.
                self._abandon()

    def abandon(self) -> None:
        """Give it up; nothing of it stays."""
        with self._lock:
            if not self._file.closed:
                self._abandon()

    def _abandon(self) -> None:
        self._store.forget(self, self.path)
        self._file.close()


class Parts:
    """Files that are to be one checkpoint, kept aside until all are there.

    A set is kept as a whole or not at all, also where the server is killed in between: its folder
    is locked, and one rename says that it is whole.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.folder = folder
        self._store = store
        self._held: int | None = create_locked_folder(folder)

    @property
    def here(self) -> bool:
        """Whether they are kept aside still: neither taken into the store nor given up."""
        return self._held is not None

    def keep(self, manifest: bytes) -> dict[str, StoredFile]:
        """Take all parts into the store, and with them the file that names them; by SHA-256.

        They are on the disk when this returns. Raises StoreError; while they are `here` it can be
        tried again.
        """
        whole = self.folder.with_name(f"{self.folder.name}{WHOLE}")
        try:
            self._store.add_to_parts(self.folder, manifest)
            self.folder.rename(whole)
        except OSError as error:
            raise _unwritable(error) from error
        try:
            folder_onto_disk(whole.parent)
            return self._store.take_in(whole)
        except OSError as error:
            raise _unwritable(error) from error
        finally:
            self.let_go()

    def abandon(self) -> None:
        """Give them up; nothing of them stays."""
        if self._held is not None:
            self._store.drop_parts(self.folder)
            self.let_go()

    def let_go(self) -> None:
        """Give the lock back, as the end of the process does."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _gone() -> UploadGone:
    return UploadGone("The server gave this upload up, since it was silent.", "Send it again.")


def _unwritable(error: OSError) -> StoreError:
    return StoreError(
        f"The upload cannot be written: {error.strerror}.",
        "Ask the server's owner to look at the data folder's disk.",
    )


def _adopt(path: Path, final: Path) -> int:
    """Give a whole file its name, or remove it where that content is there; the bytes by which the
    disk is fuller now than without `path`."""
    nbytes = _disk_use(path)
    try:
        there = final.stat().st_size == path.stat().st_size
    except FileNotFoundError:
        there = False
    if there:
        path.unlink()
        return 0
    before = _disk_use(final)
    path.replace(final)
    return nbytes - before


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder now; nothing where it is gone."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _last_used(path: Path) -> float:
    """When an export was made or fetched, in seconds since 1970; now, where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return time.time()
    return max(status.st_mtime, status.st_atime)


def _disk_use(path: Path) -> int:
    """Bytes that a file, or what lies in a folder, takes on the disk, as `du` has it; 0 for what is
    gone. Never less than the file's size: a disk may put off giving it its place."""
    nbytes = 0
    waiting = [os.fspath(path)]
    while waiting:
        each = waiting.pop()
        with suppress(OSError):
            status = os.lstat(each)
            if not os.path.isdir(each) or os.path.islink(each):
                nbytes += max(status.st_size, status.st_blocks * _BLOCK)
                continue
            with os.scandir(each) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        nbytes += max(status.st_size, status.st_blocks * _BLOCK)
    return nbytes


def _gigabytes(nbytes: int) -> str:
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= divisor:
            return f"{nbytes / divisor:.1f} {unit}"
    return f"{nbytes} bytes"
