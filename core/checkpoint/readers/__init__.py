"""The formats: torch.save's zip, stream and tar, TorchScript, torch.export, safetensors, pickles.

Each reader takes a source and returns Contents: a tree of inert values, a maker of entries, notes.
`formats` chooses the reader by the first bytes; `diagnose` says what a file is that none can read.
"""

from core.checkpoint.readers.formats import FORMATS
from core.checkpoint.readers.safetensors_reader import DTYPES
from core.checkpoint.readers.torch_zip import storage_name

__all__ = ["DTYPES", "FORMATS", "storage_name"]
