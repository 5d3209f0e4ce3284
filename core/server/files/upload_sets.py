"""Sets of uploads that make up one checkpoint: a small file in the store, the manifest, names them.

The manifest is JSON, `{"loupe": "upload set 1", "files": {name: SHA-256}}`, and links contain its
SHA-256. A link may name any file in the store, so every part of a manifest is checked when it is
read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.checkpoint.containers import INDEX, File, FileSet
from core.checkpoint.sets import is_one_checkpoint, numbered
from core.errors import SourceError, StoreError, printable
from core.server.files.folders import SUFFIXES
from core.server.files.store import Store
from core.wording import count, listed

KIND = "upload set 1"
"""What a manifest says it is; the number would change with its form."""

SET_SUFFIXES = (".metadata", ".distcp")
"""The endings of files that are accepted only in a set (torch.distributed.checkpoint)."""

MAX_FILES = 1_000
"""The most files of one set."""

MAX_NAME = 200
"""The most characters of a file's name."""

MAX_MANIFEST = 1 << 20
"""The most bytes of a manifest."""

_SURROGATES = re.compile("[\ud800-\udfff]")
"""Lone surrogates, which JSON can contain but UTF-8 cannot."""


def set_refusal(names: Iterable[str]) -> StoreError | None:
    """Why files with these names are not accepted as one checkpoint; None where they are."""
    file_names = list(names)
    if len(file_names) > MAX_FILES:
        return StoreError(
            f"These are {count(len(file_names))} files, and at most {count(MAX_FILES)} "
            "are taken at once.",
            "Put them into a server folder instead, or ask the server's owner.",
        )
    longest = max(file_names, key=len, default="")
    if len(longest) > MAX_NAME:
        return long_name(longest)
    refused = [name for name in file_names if not _is_name(name)]
    if refused:
        return StoreError(
            f"{printable(refused[0]) or 'A file'} has an ending that no checkpoint has.",
            f"Loupe takes {', '.join((*SUFFIXES, *SET_SUFFIXES))}.",
        )
    if len(set(file_names)) < len(file_names) or not is_one_checkpoint(file_names):
        return StoreError(
            f"These files are not the parts of one checkpoint: {listed(file_names)}.",
            "Choose one of them, or all shards of one checkpoint with their index.",
        )
    return None


def long_name(name: str) -> StoreError:
    """Why a file with this name is not accepted."""
    return StoreError(
        f"The name {printable(name[:30])}… has {count(len(name))} characters, and at most "
        f"{MAX_NAME} are taken.",
        "Give the file a shorter name.",
    )


def set_manifest(files: Mapping[str, str]) -> bytes:
    """The manifest of a set, as bytes, from its files' names and SHA-256."""
    document = {"loupe": KIND, "files": dict(sorted(files.items()))}
    return json.dumps(document, ensure_ascii=False).encode()


def set_reference(files: Mapping[str, str]) -> str:
    """The reference to the set with this manifest, from its files' names and SHA-256."""
    return f"set:{hashlib.sha256(set_manifest(files)).hexdigest()}/{_title(files)}"


def find_set(store: Store, sha256: str, name: str) -> FileSet:
    """The files of the set whose manifest has this SHA-256.

    Raises SourceError where the manifest or one of the files is not in the store.
    """
    path = store.find(sha256)
    if path is None:
        raise _gone(name or "The upload")
    files: dict[str, File] = {}
    for file_name, digest in _read(path).items():
        file_path = store.find(digest)
        if file_path is None:
            raise _gone(file_name)
        files[file_name] = file_path
    return FileSet(name or f"{count(len(files))} files", files)


def _read(path: Path) -> dict[str, str]:
    """The names and SHA-256 in a manifest. Raises SourceError for any other file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST + 1)
        document = json.loads(data) if len(data) <= MAX_MANIFEST else None
    except (OSError, ValueError, RecursionError):
        document = None
    files = document.get("files") if isinstance(document, dict) else None
    if (
        not isinstance(document, dict)
        or document.keys() != {"loupe", "files"}
        or document["loupe"] != KIND
        or not isinstance(files, dict)
        or not 0 < len(files) <= MAX_FILES
        or not all(_is_name(name) and isinstance(digest, str) for name, digest in files.items())
    ):
        raise SourceError(
            "The link names a file that is not a set of uploads.",
            "Upload the files again, together.",
        )
    return files


def _is_name(name: str) -> bool:
    """Whether a file of a set may have this name: one without folders, of a checkpoint's ending."""
    return (
        0 < len(name) <= MAX_NAME
        and not _SURROGATES.search(name)
        and not {"/", "\\", "\0"} & set(name)
        and name.lower().endswith((*SUFFIXES, *SET_SUFFIXES))
    )


def _title(names: Iterable[str]) -> str:
    """The name of a set on screen: that of the file that was split into its shards."""
    ordered = sorted(names)
    for name in ordered:
        if name.endswith(INDEX):
            return name.removesuffix(INDEX)
    for name in ordered:
        shard = numbered(name)
        if shard is not None:
            return f"{shard.name}{shard.suffix}"
    return f"{count(len(ordered))} files"


def _gone(name: str) -> SourceError:
    return SourceError(f"{name[:MAX_NAME]} is not on this server any more.", "Upload it again.")
