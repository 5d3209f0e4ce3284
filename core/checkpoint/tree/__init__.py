"""Finds the state_dicts in a file's object tree, and its metadata.

The tree of inert values goes in; state_dicts by their path, each with its role (model, EMA,
optimizer), and the metadata as JSON come out.
"""

from core.checkpoint.tree.discover import PACKED_PARAMS, ROLES, find_state_dicts, nearly_alike
from core.checkpoint.tree.fingerprints import NOTHING, Fingerprints
from core.checkpoint.tree.metadata_json import MAX_KEY, Json
from core.checkpoint.tree.numpy_arrays import NumpyArray
from core.checkpoint.tree.tensor_entries import entry_maker, inline_record, storage_of

__all__ = [
    "MAX_KEY",
    "NOTHING",
    "PACKED_PARAMS",
    "ROLES",
    "Fingerprints",
    "Json",
    "NumpyArray",
    "entry_maker",
    "find_state_dicts",
    "inline_record",
    "nearly_alike",
    "storage_of",
]
