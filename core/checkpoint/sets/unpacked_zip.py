"""Reads an unpacked zip of torch.save: a folder with `data.pkl` and a file per storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.checkpoint.containers.file_set import File, source_of
from core.checkpoint.containers.zip_container import Archive, Member
from core.checkpoint.entries import Record, Source, make_record
from core.checkpoint.readers.torch_zip import only_torch_folder, read_torch_zip
from core.checkpoint.sets.shards import NumberedPart

NOTE = "This folder is a zip of torch.save that was unpacked: torch.load reads the zip only."


def unpacked_zip(files: Mapping[str, File]) -> NumberedPart | None:
    """The checkpoint in the folder with the only `data.pkl`; None where there is no such folder.

    Raises CheckpointError, SourceError.
    """
    folder = only_torch_folder(files)
    if folder is None:
        return None
    sources = {
        name: source_of(file, name) for name, file in files.items() if name.startswith(folder)
    }
    archive = _Folder(sources, f"{folder}data.pkl")
    contents = read_torch_zip(archive, folder)
    contents = replace(contents, notes=(NOTE, *contents.notes), records=archive.every_record)
    return NumberedPart(contents.tree, (contents,), tuple(sources.values()), contents.notes)


class _Folder(Archive):
    """The unpacked files by name, each as a member that is stored uncompressed."""

    def __init__(self, sources: Mapping[str, Source], pickle: str) -> None:
        super().__init__(
            sources[pickle],
            {name: Member(name, 0, file.size, 0, 0, False) for name, file in sources.items()},
        )
        self._sources = sources

    def record(self, name: str) -> Record:
        """A file's bytes; raises CheckpointError where it is missing."""
        source = self._sources.get(name)
        if source is None:
            return super().record(name)
        return make_record(name, 0, source.size, None, source)

    def peek(self, member: Member, limit: int) -> bytes:
        """A file's first bytes."""
        return self._sources[member.name].read(0, limit)
