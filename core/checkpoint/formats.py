"""Which format a file is of, by its first bytes, and which reader takes it."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint import diagnose
from core.checkpoint.contents import Contents
from core.checkpoint.entries import Source
from core.checkpoint.exported_program import export_folder, read_exported_program
from core.checkpoint.safetensors_file import is_safetensors, read_safetensors
from core.checkpoint.tar_container import is_tar, tar_members
from core.checkpoint.torch_legacy import is_legacy, read_torch_legacy
from core.checkpoint.torch_tar import is_torch_tar, read_torch_tar
from core.checkpoint.torch_zip import read_torch_zip, torch_folder, truncated_zip
from core.checkpoint.unpickle import Mentions, PickleError, no_persistent_ids, unpickle
from core.checkpoint.zip_container import LOCAL_MAGIC, NoDirectory, open_archive

FORMATS: Mapping[str, str] = {
    "zip": "PyTorch zip (torch.save, since 1.6)",
    "legacy": "PyTorch stream (torch.save, before 1.6)",
    "torchscript": "TorchScript archive (torch.jit.save)",
    "tar": "PyTorch tar (torch.save, before 0.2)",
    "exported": "exported program (torch.export.save)",
    "safetensors": "safetensors",
    "shards": "PyTorch shards (several files of one state_dict)",
    "safetensors shards": "safetensors shards (several files of one state_dict)",
    "distributed": "distributed checkpoint (torch.distributed.checkpoint)",
    "parts": "a folder of one checkpoint's parts",
}
"""The formats that Loupe reads, in words."""

MAX_PLAIN_PICKLE = 16 << 20
"""Bytes of a plain pickle that are read to tell whether it is one."""


def read_contents(source: Source) -> Contents:
    """A file's contents, by whichever reader takes it. Raises CheckpointError, SourceError."""
    if source.size == 0:
        raise diagnose.empty()
    head = source.read(0, diagnose.HEAD)
    if is_legacy(head):
        return read_torch_legacy(source)
    if head.startswith((LOCAL_MAGIC, b"PK\x05\x06")):
        return _read_zip(source)
    if is_safetensors(head):
        return read_safetensors(source)
    if is_tar(head):
        return _read_tar(source)
    if _is_plain_pickle(source, head):
        raise diagnose.plain_pickle()
    raise diagnose.not_a_checkpoint(head, source.size)


def _read_zip(source: Source) -> Contents:
    try:
        archive = open_archive(source)
    except NoDirectory:
        raise truncated_zip(source) from None
    program = export_folder(archive)
    if program is not None:
        return read_exported_program(archive, program)
    folder = torch_folder(archive)
    if folder is None:
        raise diagnose.ordinary_zip(list(archive.members))
    return read_torch_zip(archive, folder)


def _read_tar(source: Source) -> Contents:
    members = tar_members(source)
    if is_torch_tar(members):
        return read_torch_tar(source, members)
    raise diagnose.not_a_checkpoint(source.read(0, diagnose.HEAD), source.size)


def _is_plain_pickle(source: Source, head: bytes) -> bool:
    """Whether the file is a pickle; protocols 2 and later begin with byte 0x80, the older ones
    with whatever the object begins with."""
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return True
    if head[0] not in b"(c]})ISVNLFXUTKMJG" or source.size > MAX_PLAIN_PICKLE:
        return False
    try:
        data = source.read(0, MAX_PLAIN_PICKLE)
        return unpickle(data, Mentions(), no_persistent_ids).end == len(data)
    except PickleError:
        return False
