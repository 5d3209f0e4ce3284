"""Pickles as Python 2 wrote them: its strings, which are bytes, and its arrays."""

import io
import pickle
import struct
from typing import Any, ClassVar


class _Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Writes bytes as Python 2 wrote them, as the models of detectron2's zoo are."""

    def save_bytes(self, value: bytes) -> None:
        if not self.bin:
            self.write(b"S" + repr(value)[1:].encode() + b"\n")
        elif len(value) < 256:
            self.write(b"U" + bytes([len(value)]) + value)
        else:
            self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch, bytes: save_bytes}  # type: ignore[attr-defined]


def python2_dumps(value: object, protocol: int) -> bytes:
    """What Python 2's pickle.dumps gave; protocol 0 was its default."""
    file = io.BytesIO()
    _Python2(file, protocol).dump(value)
    return file.getvalue()


class Python2Module:
    """Python 2's pickle, as the `pickle_module` of torch.save."""

    Pickler = _Python2

    @staticmethod
    def dump(value: object, file: Any, protocol: int) -> None:
        """Write a pickle."""
        file.write(python2_dumps(value, protocol))
