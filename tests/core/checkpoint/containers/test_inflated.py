"""A deflated member reads as what was packed, from anywhere, and an unsound one is refused."""

import random
import zlib

import pytest

from core.checkpoint.containers.inflated import CHUNK, Inflated
from core.checkpoint.containers.sources import InMemory
from core.errors import CheckpointError

CONTENT = random.Random(0).randbytes(3 * CHUNK) + bytes(5 * CHUNK)


def packed(content: bytes = CONTENT) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def inflated(data: bytes, size: int = len(CONTENT)) -> Inflated:
    return Inflated(InMemory(b"head" + data), 4, size, "m")


def test_it_reads_forwards_backwards_and_over_gaps() -> None:
    source = inflated(packed() + b"what follows in the archive")
    for at, nbytes in ((0, 10), (CHUNK - 3, 7), (3 * CHUNK, CHUNK), (5, 2 * CHUNK), (0, 1)):
        assert source.read(at, nbytes) == CONTENT[at : at + nbytes]
    assert source.read(len(CONTENT) - 3, 100) == CONTENT[-3:]
    assert source.read(0, len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    "data",
    [packed()[: CHUNK // 2], b"", packed(CONTENT[:CHUNK]), b"\xff" * 100],
    ids=["cut off", "empty", "shorter than stated", "no stream"],
)
def test_an_unsound_stream_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="cannot be unpacked"):
        inflated(data).read(0, len(CONTENT))
