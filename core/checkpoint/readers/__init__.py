"""The formats: torch.save's zip, stream and tar, TorchScript, torch.export, safetensors, pickles.

Each reader takes a source and gives Contents: a tree of inert values, the storages, notes.
`formats` asks them in turn; `diagnose` says what a file is instead where none of them can read it.
"""

from core.checkpoint.readers.formats import FORMATS
from core.checkpoint.readers.safetensors_reader import DTYPES
from core.checkpoint.readers.torch_zip import storage_name

__all__ = ["DTYPES", "FORMATS", "storage_name"]
