"""Opens a file as a Checkpoint, without executing anything from it.

`open_checkpoint` takes a path, a folder or a FileSet, and returns a Checkpoint: its state_dicts,
each a mapping from key to TensorEntry (shape, dtype, and where the bytes lie), its metadata, its
format, and a verdict on every Python global that the file names. It reads no tensor and imports no
torch; core.tensors reads the bytes that an entry points to. A file that cannot be opened raises
CheckpointError with a sentence that says why.

A file passes through these packages: `containers` finds its records, `pickles` reads its objects as
inert data, `readers` know the formats, `sets` join the files of one checkpoint, and `tree` finds
the state_dicts among the objects. Where a file does not open, `refusals` put what it would have run
before what is wrong with it.
"""

from core.checkpoint.checkpoint import Checkpoint, open_checkpoint
from core.checkpoint.configurations import CONFIGURATIONS, Surroundings, surroundings
from core.checkpoint.containers.file_set import FileSet
from core.checkpoint.entries import (
    ITEMSIZES,
    NUMBERLESS,
    PACKED,
    Cast,
    Derived,
    Nested,
    Piece,
    Pieces,
    Quantized,
    Record,
    Resolve,
    Source,
    Sparse,
    StateDict,
    TensorEntry,
    is_float_dtype,
    packed_bytes,
)
from core.checkpoint.layouts import (
    STRIDED,
    arrangement,
    layout,
    lies_in_order,
    numbers_note,
    parts,
    parts_bytes,
    stored_values,
)
from core.checkpoint.operations import (
    AdaptedChannels,
    ChosenRows,
    Dequantized,
    Filled,
    FoldedWeightNorm,
    Joined,
    Masked,
    MergedLora,
    Operation,
    ResampledGrid,
    ResampledTable,
    Rows,
    Transposed,
)
from core.checkpoint.pickles.global_verdicts import GlobalUse, Verdict
from core.checkpoint.readers.formats import FORMATS
from core.checkpoint.sampled_elements import NUMPY_CODES, sampled_bytes, sampled_numbers
from core.checkpoint.tied import ties
from core.checkpoint.tree import NumpyArray, nearly_alike

__all__ = [
    "CONFIGURATIONS",
    "FORMATS",
    "ITEMSIZES",
    "NUMBERLESS",
    "NUMPY_CODES",
    "PACKED",
    "STRIDED",
    "AdaptedChannels",
    "Cast",
    "Checkpoint",
    "ChosenRows",
    "Dequantized",
    "Derived",
    "FileSet",
    "Filled",
    "FoldedWeightNorm",
    "GlobalUse",
    "Joined",
    "Masked",
    "MergedLora",
    "Nested",
    "NumpyArray",
    "Operation",
    "Piece",
    "Pieces",
    "Quantized",
    "Record",
    "ResampledGrid",
    "ResampledTable",
    "Resolve",
    "Rows",
    "Source",
    "Sparse",
    "StateDict",
    "Surroundings",
    "TensorEntry",
    "Transposed",
    "Verdict",
    "arrangement",
    "is_float_dtype",
    "layout",
    "lies_in_order",
    "nearly_alike",
    "numbers_note",
    "open_checkpoint",
    "packed_bytes",
    "parts",
    "parts_bytes",
    "sampled_bytes",
    "sampled_numbers",
    "stored_values",
    "surroundings",
    "ties",
]
