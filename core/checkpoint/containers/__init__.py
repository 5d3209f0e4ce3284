"""Bytes and the archives around them: files, zip and tar, compression, sets of files.

A path or a source of bytes goes in; records come out, each with its name, offset and size, and are
read through windows. Everything is bounded: the work for one file, the number of open files, the
depth of archives in archives. A damaged archive raises CheckpointError.
"""

from core.checkpoint.containers.descriptors import Descriptor, raise_limit
from core.checkpoint.containers.file_set import (
    INDEX,
    MAX_DEPTH,
    File,
    FileSet,
    file_or_set,
    files_below,
    unreadable,
    unsharded_name,
)
from core.checkpoint.containers.served_file import ServedFile, open_folder
from core.checkpoint.containers.sources import InMemory, LocalFile, Within, file_of
from core.checkpoint.containers.zip_container import open_archive

__all__ = [
    "INDEX",
    "MAX_DEPTH",
    "Descriptor",
    "File",
    "FileSet",
    "InMemory",
    "LocalFile",
    "ServedFile",
    "Within",
    "file_of",
    "file_or_set",
    "files_below",
    "open_archive",
    "open_folder",
    "raise_limit",
    "unreadable",
    "unsharded_name",
]
