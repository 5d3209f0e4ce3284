"""Files that take long to read and no room on the disk."""

import json
import struct
from pathlib import Path


def long_file(path: Path, nbytes: int) -> None:
    """A .safetensors of one tensor of zeros that was never written: a hole in the file."""
    header = {"w": {"dtype": "U8", "shape": [nbytes], "data_offsets": [0, nbytes]}}
    words = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(words)) + words)
        file.truncate(8 + len(words) + nbytes)
