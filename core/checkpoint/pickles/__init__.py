"""Pickles read without running them: every object stays inert data.

The bytes of a pickle go in; plain values, InertTensors and Opaque objects come out, together with
the Python globals that it names and a Verdict for each. No module is imported and no function
called, whatever the pickle says.
"""

from core.checkpoint.pickles.constructors import CONSTRUCTORS
from core.checkpoint.pickles.inert import (
    Global,
    HeldStorage,
    InertArray,
    InertDict,
    InertDtype,
    InertSubclass,
    InertTensor,
    Key,
    LongBytes,
    Opaque,
    Storage,
    Tree,
    inside,
)
from core.checkpoint.pickles.numpy_values import array_tensor, array_values
from core.checkpoint.pickles.tensor_rebuilds import STORAGE_DTYPES, row_major
from core.checkpoint.pickles.unpickler import Mentions, unpickle

__all__ = [
    "CONSTRUCTORS",
    "STORAGE_DTYPES",
    "Global",
    "HeldStorage",
    "InertArray",
    "InertDict",
    "InertDtype",
    "InertSubclass",
    "InertTensor",
    "Key",
    "LongBytes",
    "Mentions",
    "Opaque",
    "Storage",
    "Tree",
    "array_tensor",
    "array_values",
    "inside",
    "row_major",
    "unpickle",
]
