"""Files of torch.save whose bytes are not those of their checksums, and forged checksums."""

import shutil
import zipfile
import zlib
from pathlib import Path

POLYNOMIAL = 0xEDB88320
"""That of the CRC-32 of zip files, its bits reversed (APPNOTE.TXT, 4.4.7)."""


def overwritten(path: Path, copy: Path, member: str, at: int = 40) -> Path:
    """A copy whose member has four other bytes at `at`; the zip's directory stays as it is."""
    shutil.copy(path, copy)
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith(member))
    with copy.open("r+b") as file:
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
        start = info.header_offset + 30
        start += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        file.seek(start + at)
        before = file.read(4)
        file.seek(start + at)
        file.write(bytes(byte ^ 0x5A for byte in before))
    return copy


def forged(data: bytes, at: int, crc32: int) -> bytes:
    """The data with four other bytes at `at`, so that it has this CRC-32.

    The register is run forward up to these bytes and backward to them from the end; the four bytes
    are those that lead from one to the other.
    """
    table = [_step(byte) for byte in range(256)]
    index_of = {value >> 24: index for index, value in enumerate(table)}
    before = zlib.crc32(data[:at]) ^ 0xFFFFFFFF
    after = crc32 ^ 0xFFFFFFFF
    for byte in reversed(data[at + 4 :]):
        index = index_of[after >> 24]
        after = ((after ^ table[index]) << 8 | (index ^ byte)) & 0xFFFFFFFF
    indexes = []
    for _ in range(4):
        index = index_of[after >> 24]
        indexes.append(index)
        after = ((after ^ table[index]) << 8) & 0xFFFFFFFF
    patch = bytearray()
    for index in reversed(indexes):
        patch.append((before ^ index) & 0xFF)
        before = (before >> 8) ^ table[index]
    result = data[:at] + bytes(patch) + data[at + 4 :]
    assert zlib.crc32(result) == crc32
    return result


def _step(byte: int) -> int:
    value = byte
    for _ in range(8):
        value = (value >> 1) ^ (POLYNOMIAL & -(value & 1))
    return value
