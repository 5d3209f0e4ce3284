"""Files that appear whole or not at all, and locks on files that are being written.

`whole_file` gives a file to write to, which gets its name only once all bytes are on the disk. A
locked file belongs to the process that writes it; the system releases the lock when that process
ends, however it ends.
"""

from core.writing.locked_files import (
    create_locked,
    create_locked_folder,
    folder_onto_disk,
    remove_unlocked,
    take_unlocked,
)
from core.writing.whole_files import onto_disk, whole_file

__all__ = [
    "create_locked",
    "create_locked_folder",
    "folder_onto_disk",
    "onto_disk",
    "remove_unlocked",
    "take_unlocked",
    "whole_file",
]
