"""A file's bytes, spoiled: blindly, or where it hurts, inside of the containers that it is of."""

import bz2
import gzip
import io
import json
import lzma
import pickletools
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from tests.fuzz.seeds import Files

Mutation = Callable[[bytes, random.Random, bytes], bytes | None]
"""What makes a file's bytes, and another's, into others; None where it does not apply."""

INTERESTING = (0, 1, 2, 3, 7, 16, 64, 255, 256, 1000, 65535, 65536, 1 << 20, 1 << 24)
EXTREME = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1, -2)
NUMBERS = (*INTERESTING, *EXTREME)
TOKENS = b"(.012NRQbcdeghijloqrstu}])\x80\x81\x85\x86\x87\x88\x8a\x8c\x90\x91\x92\x93\x94\x95\xff\0"
"""Bytes that mean something to a pickle."""


def mutated(files: Files, chance: random.Random, others: Sequence[Files]) -> Files:
    """A checkpoint with one of its files spoiled, once or a few times, or one gone."""
    changed = dict(files)
    name = chance.choice(sorted(changed))
    if len(changed) > 1 and chance.random() < 0.1:
        del changed[name]
        return changed
    other = chance.choice(others)
    donor = other[chance.choice(sorted(other))]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        changed[name] = _spoiled(changed[name], chance, donor)
    return changed


def _spoiled(content: bytes, chance: random.Random, donor: bytes) -> bytes:
    """Some bytes of it, or those of a member of it, packed again as a sound container."""
    if chance.random() < 0.75:
        for unpack, pack in CONTAINERS:
            members = unpack(content)
            if members:
                name = chance.choice(sorted(members))
                if chance.random() < 0.5:
                    name = max(members, key=lambda one: (one.endswith(".pkl"), one == name))
                return pack({**members, name: _spoiled(members[name], chance, donor)})
    for mutations in chance.choice(((AWARE, BLIND), (BLIND,))):
        for mutation in chance.sample(mutations, len(mutations)):
            spoiled = mutation(content, chance, donor)
            if spoiled is not None:
                return spoiled
    return donor


def _unzipped(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # zipfile raises many kinds where a zip is spoiled already
        return {}


def _zipped(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _untarred(content: bytes) -> dict[str, bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
            return {name: file.read() for name, file in files.items() if file}
    except Exception:
        return {}


def _tarred(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _gunzipped(content: bytes) -> dict[str, bytes]:
    return _unpacked(content, b"\x1f\x8b", zlib.decompressobj(31))


def _gzipped(members: Mapping[str, bytes]) -> bytes:
    return gzip.compress(members[""], mtime=0)


def _unbzipped(content: bytes) -> dict[str, bytes]:
    return _unpacked(content, b"BZh", bz2.BZ2Decompressor())


def _bzipped(members: Mapping[str, bytes]) -> bytes:
    return bz2.compress(members[""])


def _unxzipped(content: bytes) -> dict[str, bytes]:
    return _unpacked(content, b"\xfd7zXZ", lzma.LZMADecompressor(memlimit=64 << 20))


def _xzipped(members: Mapping[str, bytes]) -> bytes:
    return lzma.compress(members[""], preset=0)


class _Decompressor(Protocol):
    def decompress(self, data: bytes, limit: int, /) -> bytes: ...


def _unpacked(content: bytes, magic: bytes, decompressor: _Decompressor) -> dict[str, bytes]:
    if not content.startswith(magic):
        return {}
    try:
        return {"": decompressor.decompress(content, 1 << 20)}
    except Exception:
        return {}


CONTAINERS: Sequence[
    tuple[Callable[[bytes], dict[str, bytes]], Callable[[Mapping[str, bytes]], bytes]]
] = (
    *((_unzipped, _zipped), (_untarred, _tarred)),
    *((_gunzipped, _gzipped), (_unbzipped, _bzipped), (_unxzipped, _xzipped)),
)
"""What gives a container's members by name, none where it is another; and what packs them."""


def _somewhere(content: bytes, chance: random.Random) -> int:
    """An offset, more often near the ends, where the headers are."""
    near = min(len(content), chance.choice((len(content), 200, 2000)))
    at = chance.randrange(near + 1)
    return at if chance.random() < 0.7 else len(content) - at


def _flip_bits(content: bytes, chance: random.Random, _donor: bytes) -> bytes | None:
    if not content:
        return None
    data = bytearray(content)
    for _ in range(chance.choice((1, 2, 8))):
        data[_somewhere(content, chance) % len(data)] ^= 1 << chance.randrange(8)
    return bytes(data)


def _set_bytes(content: bytes, chance: random.Random, _donor: bytes) -> bytes | None:
    if not content:
        return None
    data = bytearray(content)
    for _ in range(chance.choice((1, 2, 4))):
        data[_somewhere(content, chance) % len(data)] = chance.choice(TOKENS)
    return bytes(data)


def _set_number(content: bytes, chance: random.Random, _donor: bytes) -> bytes:
    width = chance.choice((1, 2, 4, 8))
    order = chance.choice(("little", "little", "big"))
    number = (chance.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
    at = _somewhere(content, chance)
    return content[:at] + number + content[at + width :]


def _truncate(content: bytes, chance: random.Random, _donor: bytes) -> bytes:
    return content[: _somewhere(content, chance)]


def _delete(content: bytes, chance: random.Random, _donor: bytes) -> bytes:
    at = _somewhere(content, chance)
    return content[:at] + content[at + chance.choice((1, 2, 8, 100, 1000)) :]


def _duplicate(content: bytes, chance: random.Random, _donor: bytes) -> bytes:
    at, to = _somewhere(content, chance), _somewhere(content, chance)
    piece = content[at : at + chance.choice((1, 2, 8, 100, 1000))]
    return content[:to] + piece * chance.choice((1, 1, 2, 50)) + content[to:]


def _splice(content: bytes, chance: random.Random, donor: bytes) -> bytes:
    at, start = _somewhere(content, chance), _somewhere(donor, chance)
    piece = donor[start : start + chance.choice((1, 8, 100, 1000, len(donor)))]
    return content[:at] + piece + content[at + chance.choice((0, len(piece))) :]


def _set_zip_number(content: bytes, chance: random.Random, _donor: bytes) -> bytes | None:
    """A number in a zip's local headers, directory or ends."""
    headers = [
        found.start()
        for found in re.finditer(rb"PK(\x01\x02|\x03\x04|\x05\x06|\x06[\x06\x07])", content)
    ]
    if not headers:
        return None
    at = chance.choice(headers) + chance.randrange(2, 28) * 2
    width = chance.choice((2, 4, 8))
    number = struct.pack("<Q", chance.choice((*NUMBERS, len(content), at)) % (1 << 64))[:width]
    return content[:at] + number + content[at + width :]


@lru_cache(maxsize=64)
def _opcodes(content: bytes) -> tuple[tuple[int, int, str], ...]:
    """Start, end and name of each opcode of the pickles in the content."""
    found: list[tuple[int, int, str]] = []
    for head in re.finditer(rb"\x80[\x02-\x05]", content):
        if found and head.start() < found[-1][1]:
            continue
        starts: list[tuple[int, str]] = []
        stream = io.BytesIO(content[head.start() :])
        try:
            for opcode, _, at in pickletools.genops(stream):
                starts.append((head.start() + (at or 0), opcode.name))
        except Exception:
            continue
        ends = [start for start, _ in starts[1:]] + [head.start() + stream.tell()]
        found += [(start, end, name) for (start, name), end in zip(starts, ends, strict=True)]
    return tuple(found)


SNIPPETS = (
    *(b"cos\nsystem\n", b"cposix\nsystem\n)R", b"X\x01\0\0\0aX\x01\0\0\0b\x93"),
    *(b"(K\x01K\x02t", b"N", b"2\x86", b"]a", b"}", b"K\xff", b"\x88", b"(", b"0", b"1"),
    b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ",
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n"),
    *(b"ccollections\nOrderedDict\n)R", b"cargparse\nNamespace\n)\x81}b"),
    *(b"cnumpy.core.multiarray\nscalar\n", b"ctorch\nfloat8_e4m3fn\n", b"\x82\x01"),
    *(b"X\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"\x8a\x09" + b"\xff" * 8 + b"\x01"),
    *(b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\xff", b"h\x01", b"q\x01"),
    *(b"I" + b"9" * 400 + b"\n", b"F1e999\n", b"G\x7f\xf0\0\0\0\0\0\0", b"X\x02\0\0\0\xed\xa0"),
)
"""Opcodes with their arguments, to be put into a pickle."""


def _edit_pickle(content: bytes, chance: random.Random, donor: bytes) -> bytes | None:
    """Opcodes replaced, repeated, dropped, exchanged, put in, or with another argument."""
    opcodes = _opcodes(content)
    if not opcodes:
        return None
    start, end, _ = chance.choice(opcodes)
    other_start, other_end, _ = chance.choice(opcodes)
    whole, other = content[start:end], content[other_start:other_end]
    borrowed = _opcodes(donor)
    if borrowed:
        first = chance.randrange(len(borrowed))
        last = min(len(borrowed), first + chance.choice((1, 3, 20))) - 1
        other = chance.choice((other, donor[borrowed[first][0] : borrowed[last][1]]))
    match chance.randrange(8):
        case 0:
            new = bytes([chance.choice(TOKENS)]) + whole[1:]
        case 1:
            new = b""
        case 2:
            new = whole * chance.choice((2, 3, 1000))
        case 3:
            new = other
        case 4:
            new = whole + other
        case 5:
            new = chance.choice(SNIPPETS)
        case 6:
            new = whole + chance.choice(SNIPPETS)
        case _:
            if len(whole) == 1:
                return None
            width = min(len(whole) - 1, chance.choice((1, 2, 4, 8)))
            number = struct.pack("<Q", chance.choice(NUMBERS) % (1 << 64))[:width]
            new = whole[:1] + number + whole[1 + width :]
    return content[:start] + new + content[end:]


VALUES = (
    *(None, True, -1, 0, 1, 2**31, 2**53, 2**63, 2**64, 10**30, 1.5, 1e308, "", "F32", "BF16"),
    *("X8", "\ud800", "a" * 5000, {}, {"": {}}, [], [0], [0, 0], [8, 4], [-8, 0], [2**63]),
    *([2**40, 2**40], {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
)
"""What a JSON header may hold instead."""


def _edit_json(content: bytes, chance: random.Random, _donor: bytes) -> bytes | None:
    """A value or a name in safetensors' header, or in a file that is JSON, with a right length."""
    told = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + told] if 0 < told <= len(content) - 8 else content
    try:
        parsed = json.loads(header)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or not parsed:
        return None
    _edit_value(parsed, chance)
    text = json.dumps(parsed)
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice('{}[]",:0-eE\\ \x00') + text[at + chance.randrange(2) :]
    changed = text.encode()
    if header is content:
        return changed
    return struct.pack("<Q", len(changed)) + changed + content[8 + told :]


def _edit_value(parent: dict[str, object] | list[object], chance: random.Random) -> None:
    places: list[str | int] = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    if not places:
        return
    place = chance.choice(places)
    value = parent[place]  # type: ignore[index]
    if isinstance(value, dict | list) and value and chance.random() < 0.8:
        return _edit_value(value, chance)
    match chance.randrange(5):
        case 0 if isinstance(value, int):
            new: object = value + chance.choice((-1, 1, 4, -4))
        case 1:
            del parent[place]  # type: ignore[arg-type]
            return None
        case 2 if isinstance(parent, dict):
            parent[
                str(chance.choice(("", "__metadata__", "a\0b", "\ud800", "../x", "weight_map")))
            ] = parent.pop(str(place))
            return None
        case 3:
            new = chance.choice(NUMBERS)
        case _:
            new = chance.choice(VALUES)
    parent[place] = new  # type: ignore[index]
    return None


BLIND: Sequence[Mutation] = (
    *(_flip_bits, _set_bytes, _set_number, _truncate, _delete, _duplicate, _splice),
)
AWARE: Sequence[Mutation] = (_edit_pickle, _edit_json, _set_zip_number)
"""Those that know the format, and change what a file says more often than whether it is one."""
