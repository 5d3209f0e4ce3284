"""Bytes and the archives around them: files, zip and tar, compression, sets of files.

A path or a file-like source goes in; records come out, each with its name, offset and size, and are
read through windows. Everything is bounded: the work for one file, the files that are open, the
depth of archives in archives. A broken archive raises CheckpointError.
"""

from core.checkpoint.containers.descriptors import Descriptor, raise_limit
from core.checkpoint.containers.file_set import (
    INDEX,
    MAX_DEPTH,
    File,
    FileSet,
    file_or_set,
    files_below,
    indexed_whole,
    unreadable,
)
from core.checkpoint.containers.served_file import ServedFile, open_folder
from core.checkpoint.containers.sources import Held, LocalFile, Within, file_of
from core.checkpoint.containers.zip_container import open_archive

__all__ = [
    "INDEX",
    "MAX_DEPTH",
    "Descriptor",
    "File",
    "FileSet",
    "Held",
    "LocalFile",
    "ServedFile",
    "Within",
    "file_of",
    "file_or_set",
    "files_below",
    "indexed_whole",
    "open_archive",
    "open_folder",
    "raise_limit",
    "unreadable",
]
