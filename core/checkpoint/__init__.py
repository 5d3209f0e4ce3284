"""A file becomes a Checkpoint; nothing in it is ever executed."""

from core.checkpoint.checkpoint import Checkpoint, open_checkpoint
from core.checkpoint.containers.file_set import FileSet
from core.checkpoint.entries import Cast, Record, StateDict, TensorEntry
from core.checkpoint.pickles.global_verdicts import GlobalUse, Verdict
from core.checkpoint.pickles.inert import Opaque
from core.checkpoint.readers.formats import FORMATS

__all__ = [
    "FORMATS",
    "Cast",
    "Checkpoint",
    "FileSet",
    "GlobalUse",
    "Opaque",
    "Record",
    "StateDict",
    "TensorEntry",
    "Verdict",
    "open_checkpoint",
]
