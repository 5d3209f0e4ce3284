"""The index of architectures: the keys and shapes of all models of torchvision and timm.

`python -m core.fit.index.build` writes the index of the installed versions, `find_index` reads it,
and a Lookup compares a file's keys and shapes with all models within milliseconds.
"""

from core.fit.index.build import build_index, make_index_in
from core.fit.index.find import SHIPPED, find_index, index_path, installed_versions
from core.fit.index.index import Index, IndexedModel, Variation, make_index
from core.fit.index.index_file import save_index
from core.fit.index.indexing import index_model
from core.fit.index.known_signature import known_names, known_signature, same_tensors
from core.fit.index.lookup import Lookup

__all__ = [
    "SHIPPED",
    "Index",
    "IndexedModel",
    "Lookup",
    "Variation",
    "build_index",
    "find_index",
    "index_model",
    "index_path",
    "installed_versions",
    "known_names",
    "known_signature",
    "make_index",
    "make_index_in",
    "same_tensors",
    "save_index",
]
