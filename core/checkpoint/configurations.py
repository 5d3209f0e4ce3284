"""The configurations beside a checkpoint in its folder, as libraries save them with weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.checkpoint.containers.bounded_json import read_json
from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.containers.file_set import File, FileSet, source_of
from core.checkpoint.tree.metadata_json import Json, metadata_of
from core.errors import SourceError, shown

CONFIGURATIONS = ("config.json", "preprocessor_config.json")
"""Files of data that timm and transformers save beside the weights, on the model and its images."""

MAX_BYTES = 1 << 20
"""The largest one that is read; that of a model with 22,000 classes has 0.9 MB."""

MAX_FOLDERS = 4
"""Folders above a file by whose names it may be known: `models--timm--NAME/snapshots/COMMIT`."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies around a file: its `folder`, with those above it, and its configurations.

    An upload has none: what lies beside it in the store belongs to other people.
    """

    folder: str = ""
    files: Mapping[str, File] = field(default_factory=dict)


def surroundings(path: Path) -> Surroundings:
    """What lies around a file or a folder that a person named on the command line."""
    # Where the file is a link, as in the cache of huggingface_hub, they are beside the link.
    folder = path.absolute() if path.is_dir() else path.absolute().parent
    files = {name: folder / name for name in CONFIGURATIONS if (folder / name).is_file()}
    return Surroundings(shown("/".join(folder.parts[-MAX_FOLDERS:])), files)


def in_set(files: FileSet) -> Mapping[str, File | None]:
    """The configurations in the own folder of a set; None for one that cannot be unpacked."""
    found: dict[str, File | None] = {
        name: files.files[name] for name in CONFIGURATIONS if name in files.files
    }
    others = files.others() if files.archive is not None else {}
    for name in CONFIGURATIONS:
        path = f"{files.within or ''}{name}"
        if path in others:
            found[name] = others[path]
    return found


def configurations(files: Mapping[str, File | None]) -> Mapping[str, Json]:
    """The configurations as JSON values; None for one that cannot be read."""
    return {name: _read(name, file) for name, file in files.items()}


def _read(name: str, file: File | None) -> Json:
    if file is None:
        return None
    try:
        source = source_of(file, name)
        if source.size > MAX_BYTES:
            return None
        document = read_json(source.read(0, source.size), name)
    except (SourceError, ValueError, MoreThanLoupeReads):
        return None
    return metadata_of(document) if isinstance(document, dict) else None
