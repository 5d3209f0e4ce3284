"""Whatever else is wrong with a file, the names that would have run come first in its sentence."""

import bz2
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from tests.core.checkpoint.files_by_hand import (
    SYSTEM,
    TOUCH,
    call,
    legacy_file,
    name,
    text,
    zip_file,
    zip_of,
)
from tests.core.checkpoint.hostile_pickles import calls

RUN = "The file would have run os.system when loaded. Loupe ran none of it."
CALL = b"\x80\x02" + TOUCH + b"."
OLD = b"cos\nsystem\n(S'echo never'\ntR."


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo never",)


def refusal(tmp_path: Path, data: bytes, file: str = "m.pth") -> CheckpointError:
    (tmp_path / file).write_bytes(data)
    with pytest.raises(CheckpointError) as raised:
        open_checkpoint(tmp_path / file)
    return raised.value


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize(
    "value",
    [Command(), [Command()], {"w": Command(), "n": 1}, {"a": {"b": [1, (Command(),)]}}],
    ids=["alone", "list", "dict", "nested"],
)
def test_a_file_of_torch_save_without_tensors(tmp_path: Path, value: object, zipped: bool) -> None:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    problem = refusal(tmp_path, file.getvalue()).problem
    assert problem.startswith(f"The file would have run {os.name}.system when loaded.")
    assert "contains no tensor" in problem


@pytest.mark.parametrize("end", [b"\xff\xff.", b"", b"hc."], ids=["no opcode", "cut", "no memo"])
@pytest.mark.parametrize("head", [b"\x80\x04", b"\x80\x02", b""], ids=["4", "2", "0"])
@pytest.mark.parametrize("pack", [zip_file, legacy_file, bytes], ids=["zip", "stream", "plain"])
def test_a_pickle_that_breaks_after_a_call(
    tmp_path: Path, pack: Callable[[bytes], bytes], head: bytes, end: bytes
) -> None:
    problem = refusal(tmp_path, pack(head + TOUCH + b"0" + end)).problem
    assert problem.startswith(RUN)
    assert len(problem) > len(RUN)


CONTAINERS = {
    "zip cut off behind its pickle": zip_file(CALL)[:-300],
    "text protocol": OLD,
    "text protocol and a line": OLD + b"\n",
    "text protocol and text": OLD + b"more text behind it\n",
    "text protocol and bytes": OLD + bytes(range(256)),
    "text protocol, a dict": b"(dp0\nS'a'\np1\ncos\nsystem\np2\n(S'x'\ntRs.junk",
    "text protocol and megabytes": OLD + b" " * (17 << 20),
    "text protocol, INST": b"(S'x'\nios\nsystem\n.",
    "no head": TOUCH + b".",
    "no head, strings": b"\x8c\x02os\x8c\x06system\x93(tR.",
    "gzip": gzip.compress(zip_file(CALL)),
    "bzip2": bz2.compress(CALL),
    "zlib, as joblib writes": zlib.compress(CALL),
    "encrypted": zip_file(CALL).replace(b"PK\x01\x02\x14\0\x14\0\0", b"PK\x01\x02\x14\0\x14\0\1"),
    "another name in the local header": zip_file(CALL).replace(b"m/data", b"n/data", 1),
    "two pickles, the first empty": b"\x80\x02" + TOUCH + b"0." + CALL,
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_file_that_is_wrong_in_another_way(tmp_path: Path, kind: str) -> None:
    problem = refusal(tmp_path, CONTAINERS[kind]).problem
    assert problem.startswith(RUN)
    assert len(problem) > len(RUN)


def test_a_deflated_pickle(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", CALL)
    assert refusal(tmp_path, file.getvalue()).problem.startswith(RUN)


def numpy_file(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    if arrays:
        np.savez(file, **arrays)
    else:
        np.save(file, np.array([Command()], dtype=object), allow_pickle=True)
    return file.getvalue()


def tar_of(member: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def test_an_array_of_objects(tmp_path: Path) -> None:
    assert f"would have run {os.name}.system" in refusal(tmp_path, numpy_file()).problem
    array = np.array([Command()], dtype=object)
    problem = refusal(tmp_path, numpy_file(a=array)).problem
    assert problem.startswith(f"Inside, a.npy would have run {os.name}.system when loaded.")


def test_a_pickle_in_an_archive_is_told_by_its_name(tmp_path: Path) -> None:
    told = "Inside, x.pkl would have run os.system when loaded."
    for data in (zip_of({"readme.txt": b"text", "x.pkl": CALL}), tar_of("x.pkl", CALL)):
        assert refusal(tmp_path, data).problem.startswith(told)


def test_a_hidden_pickle_in_a_file_without_tensors(tmp_path: Path) -> None:
    problem = refusal(tmp_path, zip_file(b"\x80\x02}.", **{"m/other.pkl": CALL})).problem
    assert problem.startswith("The file hides os.system where torch.load does not look.")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x09" + TOUCH + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + TOUCH + b".",
        b"\x80\x04\xff" + name("os", "system") + b".",
    ],
    ids=["protocol 9", "bytes without an end", "behind what is no opcode"],
)
def test_code_at_which_python_does_not_come_is_named(tmp_path: Path, data: bytes) -> None:
    """Python stops before it too, so that it would not have run."""
    problem = refusal(tmp_path, data).problem
    assert problem.startswith("The file names os.system: code that runs when it is called.")


def test_a_pickle_behind_the_tensors_of_safetensors_is_told(tmp_path: Path) -> None:
    weights = save({"w": torch.ones(3)})
    for behind in (CALL, OLD, b"\x80\x02}." + CALL):
        problem = refusal(tmp_path, weights + behind, "m.safetensors").problem
        told = "Inside, the bytes after the last tensor names os.system"
        assert problem.startswith(told.replace("names", "name"))
        assert "bytes after the last tensor belong to none" in problem
    assert "os.system" not in refusal(tmp_path, weights + b"text", "m.safetensors").problem


def test_a_folder_of_pickles(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "x.pkl").write_bytes(CALL)
    (tmp_path / "m" / "config.json").write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=r"^Inside, x\.pkl would have run os\.system"):
        open_checkpoint(tmp_path / "m")


def test_without_quotes_it_is_told_without_the_name(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(CALL)
    with pytest.raises(CheckpointError, match="would have run its own code") as raised:
        open_checkpoint(tmp_path / "m.pkl", quotes=False)
    assert "system" not in str(raised.value)


PAYLOADS = {
    kind: payload
    for kind, payload in calls().items()
    if isinstance(payload, tuple) and kind != "EXT1 after it was registered"
}


@pytest.mark.parametrize("pack", [zip_file, legacy_file, bytes], ids=["zip", "stream", "plain"])
@pytest.mark.parametrize("kind", PAYLOADS)
def test_each_way_to_call_is_told_without_a_tensor(
    tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]
) -> None:
    content, dangerous = PAYLOADS[kind]
    (tmp_path / "m.pth").write_bytes(pack(b"\x80\x02" + content + b"."))
    try:
        told = {use.name for use in open_checkpoint(tmp_path / "m.pth").globals}
    except CheckpointError as error:
        sentence = error.problem.partition("Loupe ran none")[0]
        told = {name for name in dangerous if name in sentence}
    assert told.intersection(dangerous)


HONEST = {
    "text": b"cos mic rays\nsystem of a down\nis plain text.\n",
    "text of the names": b"cos\nsystem\nare two lines of text.\n",
    "list of commands": b"import os\nos.system('make')\n",
    "pickle of text": pickle.dumps({"code": "import os; os.system('make')"}),
    "pickle of text in protocol 0": pickle.dumps(["cos\nsystem\n(S'x'\ntR."], protocol=0),
    "pickle of tensors, cut off": pickle.dumps({"w": torch.ones(500)})[:-900],
    "pickle of tensors in a zip": zip_of({"x.pkl": pickle.dumps({"w": torch.ones(5)})}),
    "array of texts": pickle.dumps(np.array(["a", None], dtype=object)),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "options": zip_file(pickle.dumps({"lr": 0.1}, protocol=2)),
}


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_file_that_is_no_checkpoint_is_no_alarm(tmp_path: Path, kind: str) -> None:
    error = refusal(tmp_path, HONEST[kind], "file.bin")
    assert "Loupe ran none" not in error.problem
    assert "Do not load it" not in error.remedy


def laughing(levels: int) -> bytes:
    """A list of ten times one list, which has ten times another, and so on."""
    return b"\x80\x02]q\x00" + b"".join(
        b"0](" + b"h%c" % level * 10 + b"eq%c" % (level + 1) for level in range(levels)
    )


@pytest.mark.parametrize(
    "content",
    [
        laughing(12),
        b"\x80\x02]" + b"2\x86" * 60,
        b"\x80\x02]q\x01" + b"0}(K\0h\x01K\1h\x01uq\x01" * 40,
    ],
    ids=["lists", "tuples", "dicts"],
)
@pytest.mark.parametrize("pack", [zip_file, legacy_file, bytes], ids=["zip", "stream", "plain"])
def test_parts_that_repeat_one_another_are_told_as_that(
    tmp_path: Path, content: bytes, pack: Callable[[bytes], bytes]
) -> None:
    error = refusal(tmp_path, pack(content + b"."))
    assert "made to fill the memory" in error.problem


def test_parts_that_are_shared_a_little_or_contain_themselves_are_no_malice(tmp_path: Path) -> None:
    for content in (laughing(3), b"\x80\x02]q\x01h\x01a"):
        assert (
            "contains no tensor: only a list" in refusal(tmp_path, zip_file(content + b".")).problem
        )


@pytest.mark.parametrize("data", [b".", b"\x80\x04.", b"\x80\x04\x95" + bytes(8) + b"."])
def test_an_empty_pickle_is_told_as_that(tmp_path: Path, data: bytes) -> None:
    assert "is an empty pickle" in refusal(tmp_path, data).problem
    assert "ends without an object" in refusal(tmp_path, zip_file(data)).problem


def test_what_is_not_known_is_said_to_be_not_known(tmp_path: Path) -> None:
    problem = refusal(tmp_path, b"\x80\x02" + call(b"cevil_mod\nrun\n") + b".").problem
    assert "It names evil_mod.run, unknown to Loupe" in problem
    assert "Loupe ran none" not in problem


def test_a_call_in_a_stream_inside_of_a_broken_pickle_is_told(tmp_path: Path) -> None:
    stream = legacy_file(b"\x80\x02" + TOUCH + b".")
    loads = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(stream)) + stream
    problem = refusal(tmp_path, b"\x80\x02" + loads + b"\x85R\xff\xff.").problem
    assert problem.startswith(RUN)


def test_what_a_joblib_file_would_run_is_told(tmp_path: Path) -> None:
    wrapper = call(b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n", text("a"))
    assert "a joblib file" in refusal(tmp_path, b"\x80\x02" + wrapper + b".").problem
    problem = refusal(tmp_path, b"\x80\x02(" + wrapper + SYSTEM + b")R" + b"t.").problem
    assert problem.startswith(RUN)
    assert "a joblib file" in problem
