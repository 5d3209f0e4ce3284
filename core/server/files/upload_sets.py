"""Several uploads that are one checkpoint: a small file of the store names them.

It is JSON, `{"loupe": "upload set 1", "files": {name: SHA-256}}`, and its own SHA-256 stands in
links. A link may name any file of the store, so what is read is checked to the last sign.
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

KIND = "upload set 1"

BESIDE = (".metadata", ".distcp")
"""How files end that are taken beside others only (torch.distributed.checkpoint)."""

MAX_FILES = 1_000
"""Files of one set."""

MAX_NAME = 200
"""Signs of a file's name."""

MAX_MANIFEST = 1 << 20
"""Bytes of the file that names them."""


_HALVES = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON can hold and no answer."""


def set_refusal(names: Iterable[str]) -> StoreError | None:
    """Why files of these names would not be taken as one checkpoint; None where they would."""
    given = list(names)
    if len(given) > MAX_FILES:
        return StoreError(
            f"These are {len(given):,} files, and up to {MAX_FILES:,} are taken at once.",
            "Put them into a server folder instead, or ask the server's owner.",
        )
    odd = [name for name in given if not _is_name(name)]
    if odd:
        return StoreError(
            f"{printable(odd[0][:MAX_NAME]) or 'A file'} has an ending that no checkpoint has.",
            f"Loupe takes {', '.join((*SUFFIXES, *BESIDE))}.",
        )
    if len(set(given)) < len(given) or not is_one_checkpoint(given):
        more = f" and {len(given) - 3:,} more" if len(given) > 3 else ""
        return StoreError(
            f"These files are not the parts of one checkpoint: {', '.join(given[:3])}{more}.",
            "Choose one of them, or all shards of one checkpoint with their index.",
        )
    return None


def set_manifest(files: Mapping[str, str]) -> bytes:
    """The file that says which uploads are one checkpoint, by name → SHA-256."""
    document = {"loupe": KIND, "files": dict(sorted(files.items()))}
    return json.dumps(document, ensure_ascii=False).encode()


def set_reference(files: Mapping[str, str]) -> str:
    """The reference by which the set with that manifest is opened."""
    return f"set:{hashlib.sha256(set_manifest(files)).hexdigest()}/{_title(files)}"


def find_set(store: Store, sha256: str, name: str) -> FileSet:
    """The files of a set, by their names. Raises SourceError where it, or one of them, is gone."""
    path = store.find(sha256)
    if path is None:
        raise _gone(name or "The upload")
    files: dict[str, File] = {}
    for each, digest in _read(path).items():
        found = store.find(digest)
        if found is None:
            raise _gone(each)
        files[each] = found
    return FileSet(name or f"{len(files):,} files", files)


def _read(path: Path) -> dict[str, str]:
    """Name → SHA-256, as set_manifest wrote it; a file that is anything else is refused."""
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
        or not all(_is_name(each) and isinstance(digest, str) for each, digest in files.items())
    ):
        raise SourceError(
            "The link names a file that is no set of uploads.", "Upload the files again, together."
        )
    return files


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= MAX_NAME
        and not _HALVES.search(name)
        and not {"/", "\\", "\0"} & set(name)
        and name.lower().endswith((*SUFFIXES, *BESIDE))
    )


def _title(names: Iterable[str]) -> str:
    """What to call the whole: the file that would be there if it had not been cut."""
    given = sorted(names)
    for name in given:
        if name.endswith(INDEX):
            return name.removesuffix(INDEX)
    for name in given:
        shard = numbered(name)
        if shard is not None:
            return f"{shard.name}{shard.suffix}"
    return f"{len(given):,} files"


def _gone(name: str) -> SourceError:
    return SourceError(f"{name[:MAX_NAME]} is not on this server any more.", "Upload it again.")
