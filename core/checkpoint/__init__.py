"""A file becomes a Checkpoint; nothing in it is ever executed."""

from core.checkpoint.checkpoint import Checkpoint, open_checkpoint
from core.checkpoint.entries import Cast, Record, StateDict, TensorEntry
from core.checkpoint.file_set import FileSet
from core.checkpoint.formats import FORMATS
from core.checkpoint.inert import Opaque
from core.checkpoint.verdicts import GlobalUse, Verdict

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
