"""torch's files put together opcode by opcode, for what no library would write."""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping

CANARY = "loupe-canary"
"""The file that a payload makes in the folder where it runs."""

CANARY_MODULE = "loupe_canary_module"
"""A module that can be imported there, and makes the canary if it is."""


def zip_file(pickled: bytes, payload: bytes = bytes(64), **others: bytes) -> bytes:
    """A torch zip around a pickle, with one storage `0`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", pickled)
        archive.writestr("m/byteorder", b"little")
        archive.writestr("m/data/0", payload)
        archive.writestr("m/version", b"3\n")
        for name, content in others.items():
            archive.writestr(name, content)
    return file.getvalue()


def legacy_file(pickled: bytes, payload: bytes = bytes(64)) -> bytes:
    """A torch legacy stream around a pickle, with one storage `0`."""
    return b"".join(
        [*LEGACY_HEADS, pickled, LEGACY_KEYS, struct.pack("<q", len(payload) // 4), payload]
    )


LEGACY_HEADS = [
    pickle.dumps(head, protocol=2)
    for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
]
LEGACY_KEYS = pickle.dumps(["0"], protocol=2)


def text(value: str) -> bytes:
    """BINUNICODE."""
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(attribute) + b"\x93"


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return function + b"(" + b"".join(arguments) + b"tR"


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
    b"X\x01\0\0\x000X\x03\0\0\0cpuK\x10tQK\0K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
)
"""A float32 tensor of 4 elements on storage `0`."""


def with_tensor(value: bytes) -> bytes:
    """A pickle of {"w": tensor, "x": value}."""
    return b"\x80\x02}(X\x01\0\0\0w" + TENSOR + b"X\x01\0\0\0x" + value + b"u."


def tensor_with(shape: str, stride: str, offset: int = 0) -> bytes:
    """A tensor as protocol 0 writes it, of any numbers."""
    size, step = (
        b"(" + b"".join(b"I%d\n" % int(part) for part in numbers.split()) + b"t"
        for numbers in (shape, stride)
    )
    head, _, _ = TENSOR.partition(b"Q")
    return head + b"QI%d\n" % offset + size + step + b"\x89ccollections\nOrderedDict\n)RtR"


COMMAND = text(f"touch {CANARY}")
SYSTEM = b"cos\nsystem\n"
TOUCH = call(SYSTEM, COMMAND)
SOURCE = text(f"open({CANARY!r}, 'w')")
TRAP = f"c{CANARY_MODULE}\nrun\n".encode()


def zip_of(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return file.getvalue()
