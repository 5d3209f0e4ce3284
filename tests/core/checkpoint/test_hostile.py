"""Whatever a file says, nothing in it runs, and the memory that opening it takes is bounded."""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from core.checkpoint import Checkpoint, Verdict, open_checkpoint
from core.checkpoint.tensors import read_tensor
from core.errors import CheckpointError, LoupeError

WEIGHTS = {f"layer{i}.weight": torch.full((4, i + 1), float(i)) for i in range(4)}

audited: list[tuple[str, str]] = []
listening = False


def _hook(event: str, args: tuple[object, ...]) -> None:
    if listening:
        audited.append((event, str(args[:1])))


sys.addaudithook(_hook)


@pytest.fixture
def audit() -> Iterator[list[tuple[str, str]]]:
    global listening  # noqa: PLW0603  # an audit hook cannot be removed, only silenced
    audited.clear()
    listening = True
    yield audited
    listening = False


def zip_file(path: Path, pickled: bytes, payload: bytes = bytes(64)) -> Path:
    """A torch zip around a pickle, with one storage `0`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickled)
        archive.writestr("m/byteorder", b"little")
        archive.writestr("m/data/0", payload)
        archive.writestr("m/version", b"3\n")
    return path


def legacy_file(path: Path, pickled: bytes, payload: bytes = bytes(64)) -> Path:
    """A torch legacy stream around a pickle, with one storage `0`."""
    heads = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    content = b"".join(pickle.dumps(head, protocol=2) for head in heads)
    count = struct.pack("<q", len(payload) // 4)
    path.write_bytes(content + pickled + pickle.dumps(["0"], protocol=2) + count + payload)
    return path


containers = pytest.mark.parametrize("pack", [zip_file, legacy_file], ids=["zip", "legacy"])
Pack = Callable[..., Path]

TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
    b"X\x01\0\0\x000X\x03\0\0\0cpuK\x10tQK\0K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
)
"""A float32 tensor of 4 elements on storage `0`."""


def with_tensor(value: bytes) -> bytes:
    """A pickle of {"w": tensor, "x": value}."""
    return b"\x80\x02}(X\x01\0\0\0w" + TENSOR + b"X\x01\0\0\0x" + value + b"u."


def outcome(path: Path) -> Checkpoint | LoupeError:
    try:
        return open_checkpoint(path)
    except LoupeError as error:
        return error


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.args


def attacks(canary: Path) -> dict[str, tuple[object, str]]:
    touch = f"touch {canary}"
    return {
        "os.system": (Call(os.system, touch), f"{os.system.__module__}.system"),
        "eval": (Call(eval, f"open({str(canary)!r}, 'w')"), "builtins.eval"),
        "exec": (Call(exec, f"open({str(canary)!r}, 'w')"), "builtins.exec"),
        "open": (Call(open, str(canary), "w"), f"{open.__module__}.open"),
        "subprocess": (Call(subprocess.Popen, ["touch", str(canary)]), "subprocess.Popen"),
    }


@containers
@pytest.mark.parametrize("attack", attacks(Path("x")))
def test_a_files_own_code_is_named_and_never_runs(
    tmp_path: Path, pack: Pack, attack: str, audit: list[tuple[str, str]]
) -> None:
    canary = tmp_path / "canary"
    value, name = attacks(canary)[attack]
    pickled = pickle.dumps(value, protocol=3)[2:-1]
    path = pack(tmp_path / "m.pth", with_tensor(pickled))
    audited.clear()
    before = set(sys.modules)
    checkpoint = open_checkpoint(path)
    seen = list(audit)
    assert list(checkpoint.state_dict()) == ["w"]
    assert {use.name: use.verdict for use in checkpoint.globals}[name] is Verdict.DANGEROUS
    assert not canary.exists()
    assert set(sys.modules) == before
    assert not [event for event in seen if event[0] in FORBIDDEN]


FORBIDDEN = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "import"),
    *("exec", "compile", "pickle.find_class", "socket.connect", "ctypes.dlopen"),
}

NAMES = {
    "os.system": b"cos\nsystem\n",
    "posix.system": b"cposix\nsystem\n",
    "builtins.eval": b"cbuiltins\neval\n",
    "torch.os.system": b"X\x05\0\0\0torchX\x09\0\0\0os.system\x93",
    "torch.serialization.os.system": b"X\x13\0\0\0torch.serializationX\x09\0\0\0os.system\x93",
    "no_such_module_here.payload": b"cno_such_module_here\npayload\n",
}
CALLS = {
    "REDUCE": lambda name: name + b"(X\x04\0\0\0truetR",
    "OBJ": lambda name: b"(" + name + b"X\x04\0\0\0trueo",
    "NEWOBJ": lambda name: name + b"(X\x04\0\0\0truet\x81",
    "NEWOBJ_EX": lambda name: name + b"(X\x04\0\0\0truet}\x92",
    "BUILD": lambda name: name + b")R}X\x04\0\0\0\x5f\x5fgoX\x01\0\0\0asb",
    "nested REDUCE": lambda name: name + b")R)R)R",
    "getattr chain": lambda name: (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(X\x02\0\0\0ostR"
        b"X\x06\0\0\0systemtR(" + name + b"tR"
    ),
    "persistent id": lambda name: name + b"0N",
}


@containers
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", NAMES)
def test_no_opcode_calls_or_imports_what_it_names(
    tmp_path: Path, pack: Pack, name: str, call: str, audit: list[tuple[str, str]]
) -> None:
    path = pack(tmp_path / "m.pth", with_tensor(CALLS[call](NAMES[name])))
    audited.clear()
    before = set(sys.modules)
    checkpoint = open_checkpoint(path)
    assert not [event for event in audit if event[0] in FORBIDDEN]
    assert set(sys.modules) == before
    verdict = {use.name: use.verdict for use in checkpoint.globals}[name]
    harmless = name.startswith("no_such")
    assert verdict is (Verdict.INERT if harmless else Verdict.DANGEROUS)
    assert list(checkpoint.state_dict()) == ["w"]


@containers
def test_inst_and_extension_codes_are_names_too(tmp_path: Path, pack: Pack) -> None:
    path = pack(tmp_path / "m.pth", with_tensor(b"(X\x04\0\0\0trueios\nsystem\n"))
    uses = {use.name: use.verdict for use in open_checkpoint(path).globals}
    assert uses["os.system"] is Verdict.DANGEROUS
    path = pack(tmp_path / "e.pth", with_tensor(b"\x82\x07)R"))
    assert any("extension" in use.name for use in open_checkpoint(path).globals)


@containers
@pytest.mark.parametrize(
    "identifier",
    [b"K\x01", b"X\x02\0\0\0hi", b"(X\x07\0\0\0storageK\x01K\x01K\x01K\x01t", b"]", b"N"],
)
def test_odd_persistent_ids_are_refused(tmp_path: Path, pack: Pack, identifier: bytes) -> None:
    path = pack(tmp_path / "m.pth", with_tensor(identifier + b"Q"))
    assert isinstance(outcome(path), CheckpointError)


def tensor_with(shape: str, stride: str, offset: int = 0) -> bytes:
    """A tensor as protocol 0 writes it, of any numbers."""
    size, step = (
        b"(" + b"".join(b"I%d\n" % int(part) for part in text.split()) + b"t"
        for text in (shape, stride)
    )
    head, _, _ = TENSOR.partition(b"Q")
    return head + b"QI%d\n" % offset + size + step + b"\x89ccollections\nOrderedDict\n)RtR"


@containers
@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ("17", "1", 0),
        ("4", "1", 13),
        ("2 2", "1000000 1", 0),
        ("2", "4611686018427387903", 0),
        ("1099511627776 1024", "0 0", 0),
        ("4", "1", 4611686018427387903),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: Path, pack: Pack, shape: str, stride: str, offset: int
) -> None:
    path = pack(tmp_path / "m.pth", with_tensor(tensor_with(shape, stride, offset)))
    with pytest.raises(CheckpointError, match="tensor x"):
        open_checkpoint(path)


@containers
@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [("-4", "1", 0), ("4", "-1", 3), ("4", "1", -1), ("4 4", "1", 0), ("9" * 30, "1", 0)],
)
def test_impossible_shapes_are_no_tensors(
    tmp_path: Path, pack: Pack, shape: str, stride: str, offset: int
) -> None:
    path = pack(tmp_path / "m.pth", with_tensor(tensor_with(shape, stride, offset)))
    assert list(open_checkpoint(path).state_dict()) == ["w"]


TWO = b"\x86"  # TUPLE2
LAUGHS = b"X\x03\0\0\0lol" + b"2\x86" * 60
"""A tuple of twice a tuple of twice a tuple ..."""

BOMBS = {
    "memo index": b"X\x01\0\0\0ar\xff\xff\xff\x7f",
    "text length": b"X\xff\xff\xff\x7fa",
    "bytes length": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    "negative length": b"T\xff\xff\xff\xff",
    "long length": b"\x8b\xff\xff\xff\x7f",
    "giant number": b"\x8b" + struct.pack("<i", 1 << 22) + bytes(range(256)) * (1 << 14),
    "giant decimal": b"I" + b"9" * 1_000_000 + b"\n",
    "deep lists": b"]" * 100_000 + b"a" * 99_999,
    "deep tuples": b")" + b"\x85" * 100_000,
    "deep calls": b"cm\nf\n" + b")R" * 100_000,
    "deep dicts": b"}" + b"X\x01\0\0\0a}" * 100_000 + b"s" * 100_000,
    "laughing tuples": LAUGHS,
    "laughing key": b"}" + LAUGHS + b"K\x01s",
    "laughing location": TENSOR.replace(b"X\x03\0\0\0cpu", LAUGHS),
    "laughing storage key": TENSOR.replace(b"X\x01\0\0\x000", LAUGHS),
    "laughing device": b"ctorch\ndevice\n(X\x03\0\0\0cpu" + LAUGHS + b"tR",
    "laughing path": b"cpathlib\nPosixPath\n(" + LAUGHS + b"tR",
    "laughing object as a key": b"}cm\nf\n" + LAUGHS + b"RK\x01s",
    "laughing lists": b"]q\x01" + b"0](h\x01h\x01h\x01h\x01eq\x01" * 60,
    "laughing dicts": b"}X\x01\0\0\0t" + TENSOR + b"sq\x01"
    + b"0}(X\x01\0\0\0ah\x01X\x01\0\0\0bh\x01uq\x01" * 40,
    "list in itself": b"]q\x01h\x01a",
    "dict in itself": b"}q\x01X\x01\0\0\0ah\x01s",
    "object in itself": b"cm\nf\n)Rq\x01}X\x01\0\0\0ah\x01sb",
    "module in itself": b"cm\nf\n)Rq\x01}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}"
    b"X\x01\0\0\0ah\x01sub",
    "copied list": b"](" + b"K\x01" * 50_000 + b"eq\x01"
    + b"0cbuiltins\nlist\nq\x020]" + b"h\x02h\x01\x85Ra" * 20_000,
    "copied text": b"X" + struct.pack("<I", 4_000_000) + b"a" * 4_000_000
    + b"q\x010c_codecs\nencode\nq\x02X\x06\0\0\0latin1q\x0300]" + b"h\x02h\x01h\x03\x86Ra" * 20_000,
    "copied keys": b"X" + struct.pack("<I", 1_000_000) + b"k" * 1_000_000 + b"q\x010}h\x01"
    + TENSOR + b"sq\x020](" + b"h\x02" * 50_000 + b"e",
    "shown text": b"X" + struct.pack("<I", 20_000) + b"t" * 20_000 + b"q\x010]("
    + b"](" * 1 + b"h\x01" * 60_000 + b"ee",
    "one-byte sets": b"(" + b"\x8f" * 8_000_000 + b"1N",
    "one-byte lists": b"(" + b"]" * 20_000_000 + b"1N",
    "growing name": b"cm\nf\n" + b")Rq\x01" * 50_000,
}  # fmt: skip

OPEN_WITH_A_LIMIT = """
import resource, sys
from pathlib import Path
from core.checkpoint import open_checkpoint
from core.errors import LoupeError
for path in sorted(Path(sys.argv[1]).iterdir()):
    before = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (before + ROOM, resource.RLIM_INFINITY))
    try:
        checkpoint = open_checkpoint(path)
        told = "opened"
        del checkpoint
    except LoupeError as error:
        told = "refused"
        assert len(str(error)) < 2000, path.name
    except BaseException as error:
        told = f"{type(error).__name__} {error}"[:200]
    print(path.name, told, sep=": ")
"""


def opened_within(folder: Path, limit: int) -> dict[str, str]:
    """What becomes of each file of a folder in a process that may not take more memory."""
    code = OPEN_WITH_A_LIMIT.replace("ROOM", str(limit))
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return dict(line.split(": ", 1) for line in result.stdout.splitlines())


@containers
def test_bombs_open_or_are_refused_within_256_mb(tmp_path: Path, pack: Pack) -> None:
    for name, bomb in BOMBS.items():
        pack(tmp_path / name, with_tensor(bomb))
    told = opened_within(tmp_path, 256 << 20)
    assert {name: word for name, word in told.items() if word not in ("opened", "refused")} == {}
    assert set(told) == set(BOMBS)


def test_zip_and_safetensors_bombs_are_refused_within_256_mb(tmp_path: Path) -> None:
    for name, content in {**zip_bombs(), **safetensors_bombs()}.items():
        (tmp_path / name).write_bytes(content)
    told = opened_within(tmp_path, 256 << 20)
    assert {name: word for name, word in told.items() if word != "refused"} == {}
    assert len(told) == len(zip_bombs()) + len(safetensors_bombs())


def saved(**options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(WEIGHTS, file, **options)  # type: ignore[arg-type]
    return file.getvalue()


def zip_bombs() -> dict[str, bytes]:
    whole = saved()
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(300 << 20))
    twice = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(twice, "w") as archive:
        for _ in range(2):
            archive.writestr("m/data.pkl", with_tensor(b"N"))
    directory = whole.rindex(b"PK\x01\x02")
    first = whole.index(b"PK\x01\x02")
    # Offset of the last member's local header, set to the first member's.
    overlap = whole[: directory + 42] + struct.pack("<L", 0) + whole[directory + 46 :]
    renamed = whole.replace(b"archive/data/1", b"archive/data/X", 1)
    plain_file = io.BytesIO()
    with zipfile.ZipFile(plain_file, "w") as archive:
        archive.writestr("m/data.pkl", with_tensor(b"N"))
    plain = plain_file.getvalue()
    end = plain.rindex(b"PK\x05\x06")
    counts = struct.pack("<2H", 60_000, 60_000)
    local = whole.index(b"archive/data/2") - 30
    return {
        "compressed member": compressed.getvalue(),
        "name twice": twice.getvalue(),
        "overlapping members": overlap,
        "another name in the local header": renamed,
        "no local header": whole[:local] + b"XXXX" + whole[local + 4 :],
        "too many members told": plain[: end + 8] + counts + plain[end + 12 :],
        "sizes told beyond the file": whole[: first + 20]
        + struct.pack("<2L", 1 << 30, 1 << 30)
        + whole[first + 28 :],
    }


def safetensors_bytes(header: bytes, payload: int = 0, told: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if told is None else told) + header + bytes(payload)


def safetensors_bombs() -> dict[str, bytes]:
    def tensor(first: int, last: int, shape: list[int] | None = None) -> dict[str, object]:
        return {"dtype": "U8", "shape": shape or [last - first], "data_offsets": [first, last]}

    def of(**tensors: object) -> bytes:
        return safetensors_bytes(json.dumps(tensors).encode(), 16)

    return {
        "header beyond the file": safetensors_bytes(b'{"a":1}', told=99_000_000),
        "header beyond reason": safetensors_bytes(b'{"a":1}', told=1 << 63),
        "header of brackets": safetensors_bytes(b'{"a":[' + b"[]," * 9_000_000 + b"[]]}"),
        "deep header": safetensors_bytes(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "name twice ": safetensors_bytes(b'{"a":{},"a":{}}'),
        "overlap": of(a=tensor(0, 10), b=tensor(6, 16)),
        "hole": of(a=tensor(0, 4), b=tensor(8, 16)),
        "bytes too many": of(a=tensor(0, 8)),
        "out of range": of(a=tensor(0, 16), b=tensor(16, 1 << 40)),
        "shape and bytes differ": of(a=tensor(0, 16, [1 << 40])),
        "negative": of(a={"dtype": "U8", "shape": [-16], "data_offsets": [16, 0]}),
        "fractions": of(a={"dtype": "U8", "shape": [16.0], "data_offsets": [0, 16]}),
        "no such dtype": of(a={"dtype": "X8", "shape": [16], "data_offsets": [0, 16]}),
        "no mapping": of(a=[1, 2]),
    }


def whole_files(folder: Path) -> dict[str, bytes]:
    path = folder / "whole"
    script = torch.jit.script(torch.nn.Linear(2, 2))
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(script, path)
    scripted = path.read_bytes()
    safetensors.torch.save_file(WEIGHTS, path)
    return {
        "zip": saved(),
        "legacy": saved(_use_new_zipfile_serialization=False),
        "torchscript": scripted,
        "safetensors": path.read_bytes(),
    }


def mutated(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    kind = chance.randrange(4)
    if kind == 0:
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[chance.randrange(len(data)) :]
    elif kind == 2:
        start, other = chance.randrange(len(data)), chance.randrange(len(data))
        piece = data[other : other + chance.randrange(1, 64)]
        data[start : start + chance.choice((0, len(piece)))] = piece
    else:
        at = chance.randrange(min(len(data), 600))
        data[at] = chance.choice(b"(.02RQbcio}])tsue\x81\x85\x92\x94\x93qrhj\xff\x00")
    return bytes(data)


@pytest.mark.parametrize("kind", ["zip", "legacy", "torchscript", "safetensors"])
def test_a_mutated_file_opens_or_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    chance = random.Random(kind)
    content = whole_files(tmp_path)[kind]
    for number in range(120):
        path = tmp_path / f"m{number}"
        path.write_bytes(mutated(content, chance))
        found = outcome(path)
        assert isinstance(found, Checkpoint) or (found.problem.endswith(".") and found.remedy)
        if isinstance(found, Checkpoint):
            for state_dict in found.state_dicts.values():
                for entry in state_dict.values():
                    assert read_tensor(entry).shape == entry.shape
