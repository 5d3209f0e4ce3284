"""Chooses the reader of a file by its first bytes, and lists the formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from core.checkpoint.containers.file_set import FileSet
from core.checkpoint.containers.inner_places import is_legacy
from core.checkpoint.containers.packed import (
    Compression,
    Unpacking,
    compression_of,
    files_in_tar,
    files_in_zip,
    unpacked,
    unpacked_member,
)
from core.checkpoint.containers.tar_container import is_tar, tar_members
from core.checkpoint.containers.zip_container import LOCAL_MAGIC, NoDirectory, open_archive
from core.checkpoint.entries import Source
from core.checkpoint.readers import diagnose
from core.checkpoint.readers.contents import Contents
from core.checkpoint.readers.exported_program import export_folder, read_exported_program
from core.checkpoint.readers.plain_pickle import may_be_pickle, read_plain_pickle, refuse_long_old
from core.checkpoint.readers.safetensors_reader import is_safetensors, read_safetensors
from core.checkpoint.readers.torch_legacy import read_torch_legacy
from core.checkpoint.readers.torch_package import package_folder, read_torch_package
from core.checkpoint.readers.torch_tar import is_torch_tar, read_torch_tar
from core.checkpoint.readers.torch_zip import (
    only_torch_folder,
    read_torch_zip,
    torch_folder,
    truncated_zip,
)
from core.errors import CheckpointError

FORMATS: Mapping[str, str] = {
    "zip": "PyTorch zip (torch.save, since 1.6)",
    "legacy": "PyTorch stream (torch.save, before 1.6)",
    "torchscript": "TorchScript archive (torch.jit.save)",
    "tar": "PyTorch tar (torch.save, before 0.2)",
    "exported": "exported program (torch.export.save)",
    "package": "torch.package archive (PackageExporter)",
    "pickle": "plain pickle (pickle.dump)",
    "safetensors": "safetensors",
    "shards": "PyTorch shards (several files of one state_dict)",
    "safetensors shards": "safetensors shards (several files of one state_dict)",
    "distributed": "distributed checkpoint (torch.distributed.checkpoint)",
    "parts": "a folder of one checkpoint's parts",
    "archive": "an archive of several checkpoints",
}
"""The formats that Loupe reads, each with its name on screen."""


DEEPER = "The checkpoint is in the folder {} of the zip, where torch.load does not look for it."

CHUNKS = ".distcp"
"""The ending of the files in which torch.distributed.checkpoint writes one tensor behind another
(torch/distributed/checkpoint/filesystem.py, DEFAULT_SUFFIX)."""


def read_contents(source: Source) -> Contents:
    """The contents of a file that is not an archive of checkpoints.

    Raises CheckpointError, SourceError.
    """
    contents = look_into(source, "The file", None)
    if isinstance(contents, FileSet):
        raise CheckpointError(
            "A file of the checkpoint is an archive of other files.",
            "Unpack it, and open the whole checkpoint.",
        )
    return contents


def look_into(source: Source, name: str, unpacking: Unpacking | None) -> Contents | FileSet:
    """The contents of a file or, for an archive of checkpoints, the files in it.

    `name` is the file's name on screen. Without `unpacking`, compressed files are not unpacked but
    reported as such. Raises CheckpointError, SourceError.
    """
    if source.size == 0:
        raise diagnose.empty()
    head = source.read(0, diagnose.HEAD)
    if is_legacy(head):
        return read_torch_legacy(source)
    if head.startswith((LOCAL_MAGIC, b"PK\x05\x06")):
        if name.endswith(CHUNKS):
            raise diagnose.lone_chunks(name)
        return _look_into_zip(source, name, unpacking)
    if is_safetensors(head):
        return read_safetensors(source)
    if is_tar(head):
        return _look_into_tar(source, name)
    compression = compression_of(head)
    if compression is not None and unpacking is not None:
        return _look_into_packed(source, name, compression, unpacking)
    plain = read_plain_pickle(source) if may_be_pickle(head, source.size) else None
    if plain is not None:
        return plain
    refuse_long_old(source)
    raise diagnose.not_a_checkpoint(head, source.size, name)


def _look_into_zip(source: Source, name: str, unpacking: Unpacking | None) -> Contents | FileSet:
    try:
        archive = open_archive(source)
    except NoDirectory:
        raise truncated_zip(source) from None
    if unpacking is not None and archive.is_deflated:
        archive.unpack = partial(unpacked_member, archive, unpacking)
    program = export_folder(archive)
    if program is not None:
        return read_exported_program(archive, program)
    folder = torch_folder(archive)
    if folder is not None:
        return read_torch_zip(archive, folder)
    package = package_folder(archive)
    if package is not None:
        return read_torch_package(archive, package)
    deeper = only_torch_folder(archive.members)
    if deeper is not None:
        contents = read_torch_zip(archive, deeper)
        return replace(contents, notes=(DEEPER.format(deeper[:-1]), *contents.notes))
    other = diagnose.of_another_kind(archive.members, "The file")
    if other is not None:
        raise other
    files = None if unpacking is None else files_in_zip(archive, name, unpacking)
    if files is None:
        raise diagnose.ordinary_zip(list(archive.members))
    return files


def _look_into_tar(source: Source, name: str) -> Contents | FileSet:
    members = tar_members(source)
    if is_torch_tar(members):
        return read_torch_tar(source, members)
    other = diagnose.of_another_kind((member.name for member in members), "The file")
    if other is not None:
        raise other
    files = files_in_tar(source, members, name)
    if files is None:
        raise diagnose.ordinary_tar([member.name for member in members])
    return files


def _look_into_packed(
    source: Source, name: str, compression: Compression, unpacking: Unpacking
) -> Contents | FileSet:
    try:
        inner = look_into(unpacked(source, compression, unpacking), name, None)
    except CheckpointError as error:
        within = f"In the {compression.name} file: {error.problem}"
        raise CheckpointError(within, error.remedy, error.whole) from error
    if isinstance(inner, FileSet):
        return inner
    note = f"The checkpoint is packed in a {compression.name} file."
    return replace(inner, notes=(note, *inner.notes))
