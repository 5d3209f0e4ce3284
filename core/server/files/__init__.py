"""Files of a server: uploads in its data folder, the folders that it serves, exports, references.

A reference is a text for links (`sha256:...`, `root:0/a.pth`); `locate` returns the file that it
stands for, inside the folders that the owner named, without following a symlink out of them.
"""

from core.server.files.export_folder import export_name, export_path
from core.server.files.folders import (
    SUFFIXES,
    FolderEntry,
    holds_checkpoint,
    list_folder,
    path_of_link,
)
from core.server.files.image_folders import list_images, read_image
from core.server.files.references import LocatedFile, locate
from core.server.files.store import Store
from core.server.files.upload_sets import SET_SUFFIXES, set_reference

__all__ = [
    "SET_SUFFIXES",
    "SUFFIXES",
    "FolderEntry",
    "LocatedFile",
    "Store",
    "export_name",
    "export_path",
    "holds_checkpoint",
    "list_folder",
    "list_images",
    "locate",
    "path_of_link",
    "read_image",
    "set_reference",
]
