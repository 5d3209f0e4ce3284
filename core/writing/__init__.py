"""Files that appear whole or not at all, and locks on what is being written.

`whole_file` gives a file to write to, which takes its name only once all bytes are on the disk; a
locked file belongs to its process, and loses its lock when that ends, however it ends.
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
