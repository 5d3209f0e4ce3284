"""Files of a server: uploads in its data folder, the folders that it serves, exports, references.

A reference is a text that a link can hold (`sha256:...`, `root:0/a.pth`); `locate` gives the file
that it stands for, within the folders that the owner named, without following a link out of them.
"""

from core.server.files.export_folder import export_name, export_path
from core.server.files.folders import SUFFIXES, holds_checkpoint, list_folder, path_of_link
from core.server.files.references import LocatedFile, locate
from core.server.files.store import Store
from core.server.files.upload_sets import BESIDE, set_reference

__all__ = [
    "BESIDE",
    "SUFFIXES",
    "LocatedFile",
    "Store",
    "export_name",
    "export_path",
    "holds_checkpoint",
    "list_folder",
    "locate",
    "path_of_link",
    "set_reference",
]
