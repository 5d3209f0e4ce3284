"""What would run is told wherever it hides in bytes: packed, in an archive, in an old protocol."""

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.checkpoint import Verdict, open_checkpoint
from core.inspect import danger_sentence
from tests.bounds import CALLS, at_most


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo never",)


def saved(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save({"v": torch.ones(3), "x": value}, buffer, **options)
    return buffer.getvalue()


def zip_with(value: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("readme.txt", b"text")
        archive.writestr("folder/x.pkl", value)
    return buffer.getvalue()


def tar_with(value: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("x.pkl")
        entry.size = len(value)
        archive.addfile(entry, io.BytesIO(value))
    return buffer.getvalue()


def old(value: object) -> bytes:
    return pickle.dumps(value, protocol=0)


HIDES: dict[str, Callable[[object], bytes]] = {
    "pickle": pickle.dumps,
    "pickle of protocol 0": old,
    "pickle of protocol 1": lambda value: pickle.dumps([value], protocol=1),
    "zip of torch.save": saved,
    "stream of torch.save": lambda value: saved(value, _use_new_zipfile_serialization=False),
    "gzip": lambda value: gzip.compress(pickle.dumps(value)),
    "zlib": lambda value: zlib.compress(old(value)),
    "bzip2": lambda value: bz2.compress(pickle.dumps(value)),
    "xz": lambda value: lzma.compress(pickle.dumps(value)),
    "gzip of a zip": lambda value: gzip.compress(saved(value)),
    "zip": lambda value: zip_with(pickle.dumps(value)),
    "deflated zip": lambda value: zip_with(old(value), zipfile.ZIP_DEFLATED),
    "zip in a zip": lambda value: zip_with(zip_with(saved(value)), zipfile.ZIP_DEFLATED),
    "zip without its directory": lambda value: saved(value)[:-400],
    "tar": lambda value: tar_with(pickle.dumps(value)),
    "zip in a pickle": lambda value: pickle.dumps({"a": [saved(value)]}),
    "JSON of stable-baselines3": lambda value: zip_with(
        json.dumps({"p": {":serialized:": base64.b64encode(pickle.dumps(value)).decode()}}).encode()
    ),
}
HOLDERS: dict[str, Callable[[bytes], object]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "BytesIO": io.BytesIO,
    "array": lambda data: np.frombuffer(data, dtype=np.uint8),
    "objects": lambda data: np.array([data], dtype=object),
    "list": lambda data: [[data]],
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("kind", HIDES)
def test_a_call_that_hides_in_bytes_is_told_first(
    tmp_path: Path, kind: str, holder: str, protocol: int
) -> None:
    content = {"w": torch.ones(3), "blob": HOLDERS[holder](HIDES[kind](Command()))}
    torch.save(content, tmp_path / "m.pt", pickle_protocol=protocol)
    checkpoint = open_checkpoint(tmp_path / "m.pt")
    told = f"m.pt hides {os.name}.system where torch.load does not look: Loupe did not run it."
    assert danger_sentence(checkpoint) == told
    assert any("pickle. Loupe did not run it" in note for note in checkpoint.notes)


@pytest.mark.parametrize("kind", HIDES)
def test_what_is_harmless_in_bytes_is_no_danger(tmp_path: Path, kind: str) -> None:
    content = {"w": torch.ones(3), "blob": HIDES[kind]({"a": [1, "text"]})}
    torch.save(content, tmp_path / "m.pt")
    checkpoint = open_checkpoint(tmp_path / "m.pt")
    assert all(use.verdict is not Verdict.DANGEROUS for use in checkpoint.globals)


@pytest.mark.parametrize(
    "data",
    [
        b"cos mic rays\nsystem of a down\n", b"import os\nos.system('make')\n",
        b"cos\nsystem\nare two lines of text.\n", b"(see\ncos\nsystem\n)", b"x\x9c not packed",
        b"PK\x03\x04 is how a zip begins", b"\x1f\x8b\x08", bytes(range(256)) * 8, b"l" * 5000,
    ],
)  # fmt: skip
def test_other_bytes_are_no_danger(tmp_path: Path, data: bytes) -> None:
    torch.save({"w": torch.ones(3), "blob": data}, tmp_path / "m.pt", pickle_protocol=4)
    checkpoint = open_checkpoint(tmp_path / "m.pt")
    assert danger_sentence(checkpoint) == ""


def test_long_bytes_that_stay_in_the_file_are_searched(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"x": Command(), "w": torch.zeros(5_000_000)}, buffer)
    torch.save({"w": torch.ones(3), "blob": buffer.getvalue()}, tmp_path / "m.pt",
               pickle_protocol=4)  # fmt: skip
    assert f"hides {os.name}.system" in danger_sentence(open_checkpoint(tmp_path / "m.pt"))


NESTS: dict[str, Callable[[object], bytes]] = {
    "torch.save": lambda value: saved(value, pickle_protocol=4),
    "packed torch.save": lambda value: gzip.compress(saved(value, pickle_protocol=4)),
    "pickle": pickle.dumps,
    "gzip": lambda value: gzip.compress(value if isinstance(value, bytes) else old(value)),
}


def nested(nest: str, depth: int) -> bytes:
    data = NESTS[nest](Command())
    for _ in range(depth - 1):
        data = NESTS[nest](data)
    return data


def said_first(path: Path) -> str:
    return open_checkpoint(path).notes[0]


UNSEARCHED = "Not everything in the byte strings of data.pkl was searched for pickles"


@pytest.mark.parametrize("depth", [2, 5, 8, 12, 16])
@pytest.mark.parametrize("nest", NESTS)
def test_bytes_in_bytes_are_searched(tmp_path: Path, nest: str, depth: int) -> None:
    torch.save({"w": torch.ones(3), "blob": nested(nest, depth)}, tmp_path / "m.pt")
    told = danger_sentence(open_checkpoint(tmp_path / "m.pt"))
    assert told.startswith(f"m.pt hides {os.name}.system")


@pytest.mark.parametrize("nest", NESTS)
def test_bytes_that_are_too_deep_in_bytes_are_said_first(tmp_path: Path, nest: str) -> None:
    torch.save({"w": torch.ones(3), "blob": nested(nest, 40)}, tmp_path / "m.pt")
    checkpoint = open_checkpoint(tmp_path / "m.pt")
    assert checkpoint.notes[0].startswith(UNSEARCHED)
    assert checkpoint.notes[0].endswith("; the file may be sound.")
    assert not any("lists the globals" in note for note in checkpoint.notes)


def test_many_pickles_in_a_row_are_said_not_to_be_searched(tmp_path: Path) -> None:
    row = pickle.dumps(1) * 5_000 + pickle.dumps(Command())
    torch.save({"w": torch.ones(3), "blob": row}, tmp_path / "m.pt")
    assert said_first(tmp_path / "m.pt").startswith(UNSEARCHED)


@pytest.mark.parametrize("kind", ["pickle", "zip of torch.save", "gzip"])
def test_hundreds_of_byte_strings_are_searched(tmp_path: Path, kind: str) -> None:
    blobs = [HIDES[kind]([number, "text"]) for number in range(400)]
    content = {"w": torch.ones(3), "blobs": [*blobs, HIDES[kind](Command())]}
    torch.save(content, tmp_path / "m.pt", pickle_protocol=4)
    with at_most(CALLS):
        checkpoint = open_checkpoint(tmp_path / "m.pt")
    assert danger_sentence(checkpoint).startswith(f"m.pt hides {os.name}.system")
    assert not any(note.startswith("Not everything") for note in checkpoint.notes)


@pytest.mark.parametrize("blobs", [
    [pickle.dumps([number, "text"]) for number in range(10_000)],
    [pickle.dumps(["text" * 100_000, number]) for number in range(4)],
])  # fmt: skip
def test_what_was_not_searched_is_said_first(tmp_path: Path, blobs: list[bytes]) -> None:
    torch.save({"w": torch.ones(3), "blobs": blobs}, tmp_path / "m.pt", pickle_protocol=4)
    with at_most(CALLS):
        first = said_first(tmp_path / "m.pt")
    assert first.startswith(UNSEARCHED)


def test_tensors_in_a_pickle_in_bytes_are_judged_like_those_in_a_file(tmp_path: Path) -> None:
    data = pickle.dumps({"w": torch.ones(3), "b": torch.zeros(2, dtype=torch.float16)})
    (tmp_path / "own.pkl").write_bytes(data)
    torch.save({"w": torch.ones(3), "opt": data}, tmp_path / "m.pt")
    checkpoint = open_checkpoint(tmp_path / "m.pt")
    assert danger_sentence(checkpoint) == ""
    own = {use.name: use for use in open_checkpoint(tmp_path / "own.pkl").globals}
    inside = {use.name: use for use in checkpoint.globals if use.name in own}
    assert inside.keys() == own.keys()
    for name, use in inside.items():
        assert (use.verdict, use.reason) == (own[name].verdict, own[name].reason)


@pytest.mark.parametrize("stream", [
    pickle.dumps(Command()), saved(Command()), b"no stream",
    saved(Command(), _use_new_zipfile_serialization=False),
])  # fmt: skip
def test_what_loads_other_bytes_than_a_tensor_s_is_a_danger(tmp_path: Path, stream: bytes) -> None:
    class Loaded:
        def __reduce__(self) -> tuple[object, tuple[bytes]]:
            return torch.storage._load_from_bytes, (stream,)

    torch.save({"w": torch.ones(3), "opt": pickle.dumps(Loaded())}, tmp_path / "m.pt")
    assert danger_sentence(open_checkpoint(tmp_path / "m.pt")).startswith("m.pt hides ")


@pytest.mark.parametrize("before", ["a" * 5_000, "é" * 5_000, "x\n" * 100_000])
@pytest.mark.parametrize("protocol", [0, 1])
def test_a_name_far_behind_the_start_of_an_old_pickle_is_told(
    tmp_path: Path, protocol: int, before: str
) -> None:
    data = pickle.dumps([before, Command()], protocol)
    torch.save({"w": torch.ones(3), "blob": data}, tmp_path / "m.pt", pickle_protocol=4)
    told = danger_sentence(open_checkpoint(tmp_path / "m.pt"))
    assert told.startswith(f"m.pt hides {os.name}.system")


@pytest.mark.parametrize("line", [b"c" * 100, b"ab\n", b"cc\n-", b"I", b"c\n"])
def test_long_text_is_searched_in_little_time(tmp_path: Path, line: bytes) -> None:
    blobs = [b"I" + line * ((1 << 20) // len(line)) + bytes([number]) for number in range(12)]
    torch.save({"w": torch.ones(3), "blobs": blobs}, tmp_path / "m.pt", pickle_protocol=4)
    with at_most(CALLS):
        assert danger_sentence(open_checkpoint(tmp_path / "m.pt")) == ""
