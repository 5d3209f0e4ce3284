"""Reads pickles without executing them: every object stays inert data.

The bytes of a pickle go in; plain values, InertTensors and Opaque objects come out, and the Python
globals that it names, each with a Verdict. No module is imported and no function is called because
a pickle names it.
"""

from core.checkpoint.pickles.constructors import CONSTRUCTORS
from core.checkpoint.pickles.inert import (
    Global,
    InertArray,
    InertDict,
    InertDtype,
    InertSubclass,
    InertTensor,
    InlineStorage,
    Key,
    LongBytes,
    LongNumber,
    Opaque,
    Storage,
    Tree,
    UnusualKey,
    inside,
)
from core.checkpoint.pickles.key_names import Names, key_kind, says_all, text_of
from core.checkpoint.pickles.numpy_values import array_tensor, array_values
from core.checkpoint.pickles.tensor_rebuilds import STORAGE_DTYPES, row_major
from core.checkpoint.pickles.unpickler import Mentions, unpickle

__all__ = [
    "CONSTRUCTORS",
    "STORAGE_DTYPES",
    "Global",
    "InertArray",
    "InertDict",
    "InertDtype",
    "InertSubclass",
    "InertTensor",
    "InlineStorage",
    "Key",
    "LongBytes",
    "LongNumber",
    "Mentions",
    "Names",
    "Opaque",
    "Storage",
    "Tree",
    "UnusualKey",
    "array_tensor",
    "array_values",
    "inside",
    "key_kind",
    "row_major",
    "says_all",
    "text_of",
    "unpickle",
]
