"""Files that were made to do harm: what each is called, and the bytes of it.

`python -m tests.core.checkpoint.hostile_files FOLDER` writes them all.
"""

import io
import json
import pickle
import pickletools
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CANARY = "loupe-canary"
"""The file that a payload makes in the folder where it runs."""

CANARY_MODULE = "loupe_canary_module"
"""A module that can be imported there, and makes the canary if it is."""


@dataclass(frozen=True)
class Hostile:
    """A file's bytes, made when they are asked for.

    Where the file opens, its globals have `dangerous` with that verdict; `opens` says whether it
    must or must not, None that either is right.
    """

    make: Callable[[], bytes]
    dangerous: tuple[str, ...] = ()
    opens: bool | None = None


def hostile_files() -> dict[str, Hostile]:
    """All of them by name."""
    return {
        **_packed("call", _calls(), opens=True),
        **_packed("name", _names()),
        **_packed("persistent id", _persistent_ids()),
        **_packed("bomb", _bombs()),
        **_packed("nesting", _nestings()),
        **_packed("work", _work()),
        **{f"hidden: {name}": file for name, file in _hidden().items()},
        **{f"zip: {name}": Hostile(make) for name, make in _zips().items()},
        **{f"safetensors: {name}": Hostile(make) for name, make in _safetensors().items()},
    }


Payload = bytes | tuple[bytes, tuple[str, ...]] | Callable[[], bytes]


def _packed(
    kind: str, payloads: Mapping[str, Payload], opens: bool | None = None
) -> dict[str, Hostile]:
    """Each payload beside a tensor, in a zip and in a legacy stream."""
    files = {}
    for name, payload in payloads.items():
        content, dangerous = payload if isinstance(payload, tuple) else (payload, ())
        for pack in (zip_file, legacy_file):

            def make(
                content: bytes | Callable[[], bytes] = content,
                pack: Callable[..., bytes] = pack,
            ) -> bytes:
                return pack(with_tensor(content if isinstance(content, bytes) else content()))

            container = pack.__name__.removesuffix("_file")
            files[f"{kind}: {name} ({container})"] = Hostile(make, dangerous, opens)
    return files


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
    return b"".join([*_LEGACY_HEADS, pickled, _KEYS, struct.pack("<q", len(payload) // 4), payload])


_LEGACY_HEADS = [
    pickle.dumps(head, protocol=2)
    for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
]
_KEYS = pickle.dumps(["0"], protocol=2)


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


class _Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


def _body(value: object, protocol: int) -> bytes:
    """A pickle's opcodes without its head and STOP, to stand inside of another."""
    pickled = pickle.dumps(value, protocol=protocol)
    starts = [at for opcode, _, at in pickletools.genops(pickled) if opcode.name != "PROTO"]
    return pickled[starts[0] : -1]


def _calls() -> dict[str, Payload]:
    """Each opcode that calls, and each function that calls another."""
    system = ("os.system",)
    nested = b"\x80\x02" + TOUCH + b"."
    short = b"C" + bytes([len(nested)]) + nested
    return {
        **{
            f"eval in protocol {protocol}": (
                _body(_Call(eval, f"open({CANARY!r}, 'w')"), protocol),
                ("builtins.eval" if protocol > 2 else "__builtin__.eval",),
            )
            for protocol in range(6)
        },
        "REDUCE": (TOUCH, system),
        "REDUCE, its arguments no tuple": (SYSTEM + COMMAND + b"R", system),
        "REDUCE of a number": b"K\x01(K\x02tR",
        "REDUCE of a text": b"X\x02\0\0\0os(K\x02tR",
        "REDUCE of what a call gave": (call(TOUCH, COMMAND), system),
        "REDUCE of a tuple": b"(K\x01K\x02t(K\x02tR",
        "INST": (b"(" + COMMAND + b"ios\nsystem\n", system),
        "OBJ": (b"(" + SYSTEM + COMMAND + b"o", system),
        "NEWOBJ": (SYSTEM + b"(" + COMMAND + b"t\x81", system),
        "NEWOBJ_EX": (SYSTEM + b"(" + COMMAND + b"t}\x92", system),
        "NEWOBJ_EX with keywords": (SYSTEM + b")}" + text("command") + COMMAND + b"s\x92", system),
        "BUILD with __setstate__": (
            call(b"cm\nf\n") + b"}" + text("__setstate__") + SYSTEM + b"sb" + COMMAND + b"b",
            system,
        ),
        "BUILD with slots": (
            call(b"cm\nf\n") + b"N}" + text("__setstate__") + SYSTEM + b"s\x86b" + COMMAND + b"b",
            system,
        ),
        "BUILD with __class__ and __dict__": (
            call(b"cm\nf\n") + b"}" + text("__class__") + SYSTEM + b"s"
            + text("__dict__") + b"}" + text("__reduce__") + SYSTEM + b"ssb",
            system,
        ),
        "BUILD of a class": (SYSTEM + b"}" + text("f") + SYSTEM + b"sb", system),
        "BUILD of a text, a number and a list": b"(X\x01\0\0\0a}bK\x01}b]}bt",
        "SETITEM of an object": (TOUCH + SYSTEM + COMMAND + b"s", system),
        "SETITEMS of a class": (SYSTEM + b"(" + COMMAND + COMMAND + b"u", system),
        "APPENDS to an object": (TOUCH + b"(" + TOUCH + COMMAND + b"e", system),
        "ADDITEMS to an object": (TOUCH + b"(" + COMMAND + b"\x90", system),
        "object as a key": (b"}" + TOUCH + b"K\x01s", system),
        "object in a set": (b"(" + TOUCH + b"\x91", system),
        "EXT1": b"\x82\x07(" + COMMAND + b"tR",
        "EXT2": b"\x83\x07\x01(" + COMMAND + b"tR",
        "EXT4": b"\x84\x07\x01\x01\x01(" + COMMAND + b"tR",
        "EXT1 after it was registered": (
            call(b"ccopyreg\nadd_extension\n", text("os"), text("system"), b"K\x07")
            + b"0\x82\x07(" + COMMAND + b"tR",
            ("copyreg.add_extension",),
        ),
        "the result is dropped": (TOUCH + b"0N", system),
        "the name is dropped": (SYSTEM + b"0N", system),
        "the name is kept in the memo": (SYSTEM + b"q\x050h\x05(" + COMMAND + b"tR", system),
        "getattr chain": (
            call(
                call(
                    b"cbuiltins\ngetattr\n",
                    call(b"cbuiltins\n__import__\n", text("os")),
                    text("system"),
                ),
                COMMAND,
            ),
            ("builtins.getattr", "builtins.__import__"),
        ),
        "getattr of subclasses": (
            call(
                call(
                    b"cbuiltins\ngetattr\n", b"cbuiltins\nobject\n", text("__subclasses__")
                )
            ),
            ("builtins.getattr",),
        ),
        "attrgetter": (
            call(
                call(b"coperator\nattrgetter\n", text("system")),
                call(b"cimportlib\nimport_module\n", text("os")),
            ),
            ("operator.attrgetter", "importlib.import_module"),
        ),
        "methodcaller": (
            call(call(b"c_operator\nmethodcaller\n", text("system"), COMMAND), b"cos\npath\n"),
            ("_operator.methodcaller",),
        ),
        "partial": (call(call(b"cfunctools\npartial\n", SYSTEM, COMMAND)), system),
        "map": (call(b"cbuiltins\nlist\n", call(b"cbuiltins\nmap\n", SYSTEM, b"]" + COMMAND + b"a")),
                ("builtins.map", "os.system")),
        "function out of code": (
            call(call(b"ctypes\nFunctionType\n", call(b"cmarshal\nloads\n", short), b"}")),
            ("types.FunctionType", "marshal.loads"),
        ),
        "namedtuple": (
            call(b"ccollections\nnamedtuple\n", text("a"), text("b")),
            ("collections.namedtuple",),
        ),
        "defaultdict's factory": (call(b"ccollections\ndefaultdict\n", SYSTEM), system),
        "reconstructor": (
            call(b"ccopyreg\n_reconstructor\n", SYSTEM, b"cbuiltins\nobject\n", b"N"),
            system,
        ),
        "rebuild of a type": (
            call(
                b"ctorch._tensor\n_rebuild_from_type_v2\n", SYSTEM, SYSTEM,
                b"(" + COMMAND + b"t", b"}",
            ),
            system,
        ),
        "rebuild of a rebuild": call(
            b"ctorch._tensor\n_rebuild_from_type_v2\n",
            b"ctorch._tensor\n_rebuild_from_type_v2\n", b"N",
            b"(ctorch._tensor\n_rebuild_from_type_v2\nN)Nt", b"N",
        ),
        "parameter with a state": (
            call(b"ctorch._utils\n_rebuild_parameter_with_state\n", TENSOR, b"\x89", b"}", SYSTEM),
            system,
        ),
        "tensor's hooks": (TENSOR.replace(b"ccollections\nOrderedDict\n)R", SYSTEM), system),
        "numpy array of a class": (
            call(b"cnumpy.core.multiarray\n_reconstruct\n", SYSTEM, b"K\0\x85", b"C\x01b")
            + b"(K\x01)" + SYSTEM + b"\x89C\0tb",
            system,
        ),
        "numpy array of objects": (
            call(b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"K\0\x85", b"C\x01b")
            + b"(K\x01K\x01\x85" + call(b"cnumpy\ndtype\n", text("O8"), b"\x89", b"\x88")
            + b"\x89]" + TOUCH + b"atb",
            system,
        ),
        "numpy scalar of objects": (
            call(
                b"cnumpy.core.multiarray\nscalar\n",
                call(b"cnumpy\ndtype\n", text("O8"), b"\x89", b"\x88"), short,
            ),
            system,
        ),
        "load from bytes": (
            call(b"ctorch.storage\n_load_from_bytes\n", short),
            ("torch.storage._load_from_bytes", "os.system"),
        ),
        "load from bytes of Python 2": (
            call(
                b"ctorch.storage\n_load_from_bytes\n",
                b"U" + bytes([len(nested)]) + nested,
            ),
            ("torch.storage._load_from_bytes", "os.system"),
        ),
        "load from encoded bytes": (
            call(
                b"ctorch.storage\n_load_from_bytes\n",
                call(b"c_codecs\nencode\n", text(nested.decode("latin-1")), text("latin1")),
            ),
            ("torch.storage._load_from_bytes", "os.system"),
        ),
        "load from bytes of a whole stream": (
            call(
                b"ctorch.storage\n_load_from_bytes\n",
                b"B" + struct.pack("<I", len(legacy_file(nested))) + legacy_file(nested),
            ),
            ("torch.storage._load_from_bytes", "os.system"),
        ),
        "pickle in a pickle in a pickle": (
            call(
                b"cpickle\nloads\n",
                b"B" + struct.pack("<I", len(short) + 20) + b"\x80\x03cpickle\nloads\n(" + short
                + b"tR.",
            ),
            ("pickle.loads", "os.system"),
        ),
        "many pickles in a pickle": (
            b"](" + (b"C\x14\x80\x02cos\nsystem\n" + b"K" * 7) * 2000 + b"e", system
        ),
        "import of a module": call(TRAP),
        "import of a module's attribute": call(name(CANARY_MODULE, "run.more")),
        "import of a module by STACK_GLOBAL": call(name(CANARY_MODULE, "run")),
        "import of a module by INST": b"(i" + TRAP[1:],
        "runpy": (
            call(b"crunpy\nrun_module\n", text(CANARY_MODULE)), ("runpy.run_module",)
        ),
        "torch.load": (call(b"ctorch\nload\n", text("/etc/passwd")), ("torch.load",)),
        "open": (call(b"cio\nopen\n", text(CANARY), text("w")), ("io.open",)),
        "socket": (
            call(b"csocket\ncreate_connection\n", b"(X\x09\0\0\0127.0.0.1K\x09t"),
            ("socket.create_connection",),
        ),
    }  # fmt: skip


def _names() -> dict[str, Payload]:
    """Odd names of classes."""
    return {
        "by another module": (call(name("torch", "os.system"), COMMAND), ("torch.os.system",)),
        "by a private module": (
            call(name("random", "_os.system"), COMMAND), ("random._os.system",)
        ),
        "by two modules": (
            call(name("torch.serialization", "os.system"), COMMAND),
            ("torch.serialization.os.system",),
        ),
        "of Python 2": (call(b"ccommands\ngetoutput\n", COMMAND), ("commands.getoutput",)),
        "of another platform": (call(b"cnt\nsystem\n", COMMAND), ("nt.system",)),
        "of dunders": (
            call(name("builtins", "object.__subclasses__")), ("builtins.object.__subclasses__",)
        ),
        "of this program": call(name("core.checkpoint.sources", "LocalFile"), text("/etc/passwd")),
        "of __main__": call(name("__main__", "run")),
        "empty": name("", ""),
        "without a module": name("", "os.system"),
        "without an attribute": name("os", ""),
        "of dots": name("...", "..."),
        "in other letters": name("оѕ", "system"),
        "of right-to-left marks": name("os\u202e", "system\u2066"),
        "of lone surrogates": name("\ud800", "\udfff"),
        "with a new line": name("os\nsystem", "a\nb\r\n"),
        "with a terminal's codes": name("\x1b]0;title\x07\x1b[2J", "\x1b[31m"),
        "with zeros": name("os\0", "system\0"),
        "with spaces": b"cos system\n touch\n",
        "too long": name("a" * 600, "b"),
        "of 8 MB": lambda: b"c" + b"a" * (8 << 20) + b"\nb\n",
        "of 100,000 dots": lambda: name("a", "." * 100_000),
        "of numbers": b"K\x01K\x02\x93",
        "of None": b"NN\x93",
        "of tuples": b"))\x93",
        "of objects": call(b"cm\nf\n") + b"2\x93",
        "of bytes": b"C\x02osC\x06system\x93",
        "no UTF-8": b"c\xff\xfe\n\x80\n",
        "cut off": b"cos\nsystem",
        "100,000 of them": lambda: b"](" + b"".join(b"cm\nf%d\n" % i for i in range(100_000)) + b"e",
        "20,000 long ones": lambda: b"](" + b"".join(
            b"cm\n" + b"%d." % i + b"a." * 245 + b"b\n" for i in range(20_000)) + b"e",
    }  # fmt: skip


def _persistent_ids() -> dict[str, Payload]:
    """What stands where a storage's description belongs."""

    def storage(kind: bytes, storage_class: bytes, *rest: bytes) -> bytes:
        return b"(" + kind + storage_class + b"".join(rest) + b"tQ"

    kind, floats, key, cpu = (
        text("storage"), b"ctorch\nFloatStorage\n", text("0"), text("cpu")
    )  # fmt: skip
    odd = {
        "number": b"K\x01",
        "text": text("hi"),
        "list": b"]",
        "None": b"N",
        "dict": b"}",
        "tuple of nothing": b")",
        "class": SYSTEM,
        "object": TOUCH,
        "tensor": TENSOR,
        "bytes": b"C\x07storage",
    }
    return {
        **{name: value + b"Q" for name, value in odd.items()},
        "line of text": b"P" + CANARY.encode() + b"\n",
        "line without an end": b"P" + b"a" * 1000,
        "module of sources": b"(" + text("module") + SYSTEM + text("a.py") + SOURCE + b"tQ",
        "numbers for all": storage(kind, b"K\x01", b"K\x01", b"K\x01", b"K\x01"),
        "another kind": storage(text("file"), floats, text("/etc/passwd"), cpu, b"K\x04"),
        "another class": storage(kind, SYSTEM, key, cpu, b"K\x04"),
        "class out of a call": storage(kind, TOUCH, key, cpu, b"K\x04"),
        "key that climbs": storage(kind, floats, text("../../etc/passwd"), cpu, b"K\x04"),
        "key with a zero": storage(kind, floats, text("0\0"), cpu, b"K\x04"),
        "key of a megabyte": storage(kind, floats, text("k" * (1 << 20)), cpu, b"K\x04"),
        "key of a number": storage(kind, floats, b"K\0", cpu, b"K\x04"),
        "count that is negative": storage(kind, floats, key, cpu, b"J\xff\xff\xff\xff"),
        "count that is huge": storage(kind, floats, key, cpu, b"\x8a\x09" + b"\xff" * 8 + b"\0"),
        "count that is True": storage(kind, floats, key, cpu, b"\x88"),
        "count that is a fraction": storage(kind, floats, key, cpu, b"G" + bytes(8)),
        "location of a class": storage(kind, floats, key, SYSTEM, b"K\x04"),
        "view of a storage": storage(kind, floats, key, cpu, b"K\x04", b"(" + key + b"I-1\nK\x04t"),
        "view beyond a storage": storage(
            kind, floats, key, cpu, b"K\x04", b"(" + key + b"J\xff\xff\xff\x7fK\x04t"
        ),
        "itself": b"(h\x00tq\x00Q",
    }


LAUGHS = text("lol") + b"2\x86" * 60
"""A tuple of twice a tuple of twice a tuple ..."""


def _long(number: bytes) -> bytes:
    return b"\x8b" + struct.pack("<I", len(number)) + number


def _bombs() -> dict[str, Payload]:
    """Lengths, indices and counts that promise more than is there, and copies of what is shared."""
    return {
        "memo index": text("a") + b"r\xff\xff\xff\x7f",
        "memo index as text": text("a") + b"p" + b"9" * 4000 + b"\n",
        "memo index that is negative": text("a") + b"p-1\n" + b"g-1\n",
        "memo indices in two ways": text("a") + b"r\x05\0\0\0" + b"\x94" + b"j\x01\0\0\0",
        "memo that has nothing": b"h\x63",
        "text length": b"X\xff\xff\xff\x7fa",
        "long text length": b"\x8d" + b"\xff" * 8,
        "bytes length": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        "bytearray length": b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f",
        "negative length": b"T\xff\xff\xff\xff",
        "long length": b"\x8b\xff\xff\xff\x7f",
        "negative long length": b"\x8b\xff\xff\xff\xff",
        "frame length": b"\x95" + b"\xff" * 8 + b"N",
        "giant number": lambda: _long(bytes(range(256)) * (1 << 14)),
        "giant decimal": lambda: b"I" + b"9" * 1_000_000 + b"\n",
        "giant long decimal": lambda: b"L" + b"9" * 1_000_000 + b"L\n",
        "giant fraction": lambda: b"F" + b"9" * 1_000_000 + b"\n",
        "decimals of 4,000 digits": lambda: b"](" + (b"L" + b"9" * 4000 + b"L\n") * 4000 + b"e",
        "numbers of 2,048 bytes": lambda: b"](" + _long(b"\x7f" * 2048) * 8000 + b"e",
        "keys of 2,048 bytes": lambda: b"}(" + (_long(b"\x7f" * 2048) + b"N") * 8000 + b"u",
        "no digits": b"Inot a number\n",
        "digits of another script": b"I\xd9\xa1\xd9\xa2\n",
        "underscores in digits": b"I1_0\n",
        "not a number, infinite": b"(Fnan\nFinf\nG\x7f\xf0\0\0\0\0\0\0t",
        "mark without an end": b"(" * 100,
        "marks without an end": lambda: b"(" * 5_000_000,
        "opcodes that are none": b"\xff\xfe",
        "protocol 200": b"\x80\xc8N",
        "buffers out of band": b"\x97\x98N",
        "stack that is empty": b"0000R",
        "tuple of nothing below": b"0" * 8 + b"\x87",
        "text that is no UTF-8": b"X\x02\0\0\0\xff\xfe",
        "odd items": b"}(K\x01u",
        "copied list": b"](" + b"K\x01" * 50_000 + b"eq\x01"
        + b"0cbuiltins\nlist\nq\x020]" + b"h\x02h\x01\x85Ra" * 20_000,
        "copied set": b"](" + b"".join(b"J" + struct.pack("<I", i) for i in range(50_000)) + b"eq\x01"
        + b"0cbuiltins\nset\nq\x020]" + b"h\x02h\x01\x85Ra" * 20_000,
        "copied OrderedDict": b"}(" + b"".join(
            b"J" + struct.pack("<I", i) + b"N" for i in range(20_000)) + b"uq\x01"
        + b"0ccollections\nOrderedDict\nq\x020]" + b"h\x02h\x01\x85Ra" * 20_000,
        "copied text": lambda: text("a" * 4_000_000)
        + b"q\x010c_codecs\nencode\nq\x02X\x06\0\0\0latin1q\x0300]"
        + b"h\x02h\x01h\x03\x86Ra" * 20_000,
        "copied keys": lambda: text("k" * 1_000_000) + b"q\x010}h\x01" + TENSOR + b"sq\x020]("
        + b"h\x02" * 50_000 + b"e",
        "shown text": lambda: text("t" * 20_000) + b"q\x010](](" + b"h\x01" * 60_000 + b"ee",
        "merged states": b"}(" + b"".join(
            text(f"k{i}") + b"N" for i in range(20_000)) + b"uq\x010" + call(b"cm\nf\n")
        + b"h\x01b" * 100_000,
        "merged slots": b"}(" + b"".join(
            text(f"k{i}") + b"N" for i in range(20_000)) + b"uq\x010" + call(b"cm\nf\n")
        + b"h\x01h\x01\x86b" * 100_000,
        "keywords": b"}(" + b"".join(
            text(f"k{i}") + b"N" for i in range(20_000)) + b"uq\x010cm\nf\nq\x020"
        + b"](" + b"h\x02)h\x01\x92" * 50_000 + b"e",
        "one-byte sets": lambda: b"(" + b"\x8f" * 8_000_000 + b"1N",
        "one-byte lists": lambda: b"(" + b"]" * 20_000_000 + b"1N",
        "one-byte Nones": lambda: b"(" + b"N" * 20_000_000 + b"1N",
        "one-byte Nones in a list": lambda: b"](" + b"N" * 15_000_000 + b"e",
        "one-byte tuples": lambda: b"](" + b")\x85" * 7_000_000 + b"e",
        "one-byte dups": lambda: b"](K\x01" + b"2" * 15_000_000 + b"e",
        "memoized all": lambda: b"](" + b"N\x94" * 7_000_000 + b"e",
        "fetched all": lambda: b"](" + b"".join(
            b"Nr" + struct.pack("<I", i) + b"j" + struct.pack("<I", i) for i in range(800_000)) + b"e",
        "small numbers": lambda: b"](" + b"".join(
            b"M" + struct.pack("<H", 300 + i % 60_000) for i in range(5_000_000)) + b"e",
        "fractions": lambda: b"](" + b"G?\xf0\0\0\0\0\0\0" * 5_000_000 + b"e",
        "short texts": lambda: b"](" + b"".join(
            b"\x8c\x06%06d" % (i % 1_000_000) for i in range(4_000_000)) + b"e",
        "objects": lambda: b"cm\nf\nq\x010](" + b"h\x01)R" * 3_000_000 + b"e",
        "objects of names": lambda: b"](" + b"cm\nf\n)\x81" * 2_000_000 + b"e",
        "growing name": b"cm\nf\n" + b")Rq\x01" * 50_000,
        "extension codes": lambda: b"](" + b"".join(
            b"\x84" + struct.pack("<I", i) for i in range(500_000)) + b"e",
        "tensors on one storage": lambda: b"](" + TENSOR * 100_000 + b"e",
        "pickled bytes": lambda: b"](" + b"C\x0e\x80\x02" + b"]" * 12 + b"e",
        "junk": lambda: bytes(range(256)) * 4000,
    }  # fmt: skip


def _nestings() -> dict[str, Payload]:
    """Depth, cycles, and trees whose branches are shared so often that they never end."""
    tuples = b"2\x86" * 60
    module = (
        b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + b"}"
    )  # fmt: skip
    return {
        "deep lists": b"]" * 100_000 + b"a" * 99_999,
        "deep tuples": b")" + b"\x85" * 100_000,
        "deep calls": b"cm\nf\n" + b")R" * 100_000,
        "deep arguments": b")" + b"".join([b"cm\nf\nq\x010"]) + b"h\x01)R" + b"\x85q\x020h\x01h\x02R" * 50_000,
        "deep dicts": b"}" + b"X\x01\0\0\0a}" * 100_000 + b"s" * 100_000,
        "deep states": b"cm\nf\n)R" + (b"}" + text("a") + b"cm\nf\n)R") * 20_000 + b"sb" * 20_000,
        "deep sets": b"(" * 20_000 + b"N" + b"\x91" * 20_000,
        "laughing tuples": LAUGHS,
        "laughing key": b"}" + LAUGHS + b"K\x01s",
        "laughing keys in a set": b"(" + LAUGHS + b"\x91",
        "laughing location": TENSOR.replace(b"X\x03\0\0\0cpu", LAUGHS),
        "laughing storage key": TENSOR.replace(b"X\x01\0\0\x000", LAUGHS),
        "laughing shape": TENSOR.replace(b"K\x04\x85", LAUGHS),
        "laughing device": b"ctorch\ndevice\n(X\x03\0\0\0cpu" + LAUGHS + b"tR",
        "laughing path": b"cpathlib\nPosixPath\n(" + LAUGHS + b"tR",
        "laughing object as a key": b"}cm\nf\n" + LAUGHS + b"RK\x01s",
        "laughing pairs": call(b"ccollections\nOrderedDict\n", b"N" + tuples),
        "laughing numpy shape": call(
            b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"K\0\x85", b"C\x01b"
        ) + b"(K\x01" + LAUGHS + b"N\x89C\0tb",
        "laughing lists": b"]q\x01" + b"0](h\x01h\x01h\x01h\x01eq\x01" * 60,
        "laughing dicts": b"}X\x01\0\0\0t" + TENSOR + b"sq\x01"
        + b"0}(X\x01\0\0\0ah\x01X\x01\0\0\0bh\x01uq\x01" * 40,
        "laughing states": b"}X\x01\0\0\0t" + TENSOR + b"sq\x01"
        + b"0cm\nf\n)R}(X\x01\0\0\0ah\x01X\x01\0\0\0bh\x01ubq\x01" * 40,
        "laughing modules": b"cm\nf\n)R" + module + text("_parameters") + b"}" + text("t") + TENSOR
        + b"subq\x01" + (b"0cm\nf\n)R}(" + text("_parameters") + b"}" + text("_modules") + b"}("
                       + text("a") + b"h\x01" + text("b") + b"h\x01uubq\x01") * 40,
        "laughing optimizer": b"}(K\0}" + text("s") + TENSOR + b"suq\x01"
        + b"0}(K\0h\x01K\x01h\x01uq\x01" * 40,
        "list in itself": b"]q\x01h\x01a",
        "list in itself ten times": b"]q\x01(" + b"h\x01" * 10 + b"e",
        "dict in itself": b"}q\x01X\x01\0\0\0ah\x01s",
        "tuple in itself": b"]q\x01h\x01\x85q\x02a" + b"h\x02\x86",
        "set in itself": b"cm\nf\n)Rq\x01}" + text("a") + b"(h\x01\x91sb",
        "object in itself": b"cm\nf\n)Rq\x01}X\x01\0\0\0ah\x01sb",
        "object as its own key": b"cm\nf\n)Rq\x01}h\x01h\x01sb",
        "metadata in itself": b"ccollections\nOrderedDict\n)Rq\x01}" + text("_metadata")
        + b"h\x01sb",
        "module in itself": b"cm\nf\n)Rq\x01}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}"
        b"X\x01\0\0\0ah\x01sub",
        "scripted module in itself": b"c__torch__.m\nf\n)\x81q\x01}X\x01\0\0\0ah\x01sb",
        "tensors at each depth": b"".join(
            b"}(" + text("t") + TENSOR + text("deeper") for _ in range(2000)) + b"N" + b"u" * 2000,
        "long keys at each depth": b"".join(
            b"}(" + text("t") + TENSOR + text("d" * 1000) for _ in range(500)) + b"N" + b"u" * 500,
    }  # fmt: skip


_PRIME = (1 << 61) - 1
"""Python's hash of a whole number is the number modulo this (sys.hash_info.modulus)."""


def _work() -> dict[str, Payload]:
    """Constructions whose work grows faster than they do."""
    return {
        "keys that collide": lambda: b"}(" + b"".join(
            b"\x8a\x0a" + (1 + i * _PRIME).to_bytes(10, "little") + b"N" for i in range(60_000)
        ) + b"u",
        "keys that collide below 2**60": lambda: b"}(" + b"".join(
            b"\x8a\x08" + (i << 40).to_bytes(8, "little") + b"N" for i in range(1 << 19)) + b"u",
        "keys that collide in a set": lambda: b"(" + b"".join(
            b"\x8a\x08" + (i << 40).to_bytes(8, "little") for i in range(1 << 19)) + b"\x91",
        "fractions as keys": lambda: b"}(" + b"".join(
            b"G" + struct.pack(">d", 1.0 + i * 2.0 ** -40) + b"N" for i in range(300_000)) + b"u",
        "tuples as keys": lambda: b"}(" + b"".join(
            (b"J" + struct.pack("<i", i)) * 3 + b"\x87N" for i in range(200_000)) + b"u",
        "long tuples as keys": lambda: b"}(" + (
            b"(" + text("k" * 400) * 16 + b"tN") * 4000 + b"u",
        "items one by one": lambda: b"}" + b"".join(
            b"J" + struct.pack("<i", i) + b"Ns" for i in range(1_500_000)),
        "elements one by one": lambda: b"]" + b"Na" * 6_000_000,
        "items of objects": lambda: b"cm\nf\n)R" + b"".join(
            b"J" + struct.pack("<i", i) + b"Ns" for i in range(1_000_000)),
        "states one by one": lambda: b"cm\nf\n)R" + b"".join(
            b"}" + text(f"k{i}") + b"Nsb" for i in range(300_000)),
        "text that grows": lambda: text("a" * 100_000) + b"q\x010](" + (
            b"ctorch\ndevice\nh\x01K\x01\x86R") * 30_000 + b"e",
        "names that grow": lambda: b"](" + b"cm\nf\n)R)R)R)R" * 200_000 + b"e",
        "lines without an end": lambda: b"](" + b"I1\n" * 3_000_000 + b"e",
        "short lines that scan far": lambda: b"](" + b"I1\n" * 200_000 + b"X" + struct.pack(
            "<I", 8 << 20) + b"a" * (8 << 20) + b"I1" ,
        "bytes that look like fetches": lambda: text("j" * 1_900_000) + b"0](" + b"".join(
            b"Nr" + struct.pack("<I", i) for i in range(300_000)) + b"e",
        "bytes that look like tensors": lambda: b"ctorch._utils\n_rebuild_tensor_v2\nr\x09\x01\0\0"
        + b"](" + b"h\x00((" * 1_000_000,
        "numbers of many lengths in a run": lambda: b"](" + b"h\0((h\0h\0X\x01\0\0\x000r\0\0\1\0h\0\x8a\xff"
        * 300_000,
        "state_dicts everywhere": lambda: b"](" + (b"}" + text("t") + TENSOR + b"s") * 60_000 + b"e",
        "tensors that share a dict": lambda: b"}(" + b"".join(
            text(f"k{i}") + TENSOR for i in range(2000)) + b"uq\x010](" + b"h\x01" * 200_000 + b"e",
        "optimizer groups that share": lambda: b"}(" + b"".join(
            text(f"k{i}") + TENSOR for i in range(1000)) + b"uq\x010}(" + b"".join(
            b"J" + struct.pack("<i", i) + b"h\x01" for i in range(100_000)) + b"u",
        "dicts of mixed keys": lambda: b"}(" + b"".join(
            text(f"k{i}") + b"N" for i in range(100_000)) + b"K\x01Nuq\x010](" + b"h\x01" * 50_000
        + b"e",
        "lists that share a list": lambda: b"](" + b"N" * 100_000 + b"eq\x010](" + b"h\x01" * 50_000
        + b"e",
        "tuples that share a tuple": lambda: b"(" + b"N" * 100_000 + b"tq\x010(" + b"h\x01" * 50_000
        + b"t",
        "objects that share a state": lambda: b"}(" + b"".join(
            text(f"k{i}") + b"N" for i in range(50_000)) + b"uq\x010](" + b"cm\nf\n)Rh\x01b" * 100_000
        + b"e",
        "versions of modules": lambda: b"ccollections\nOrderedDict\n)R(" + text("t") + TENSOR
        + b"u}" + text("_metadata") + b"}(" + b"".join(
            text(f"m{i}") + b"}" + text("version") + b"K\x01s" for i in range(300_000)) + b"usb",
        "numpy arrays": lambda: b"](" + (call(
            b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"K\0\x85", b"C\x01b")
            + b"(K\x01K\x40\x85" + call(b"cnumpy\ndtype\n", text("u1"), b"\x89", b"\x88")
            + b"\x89C\x40" + bytes(64) + b"tb") * 20_000 + b"e",
    }  # fmt: skip


def _hidden() -> dict[str, Hostile]:
    """Payloads where nobody looks: behind a pickle, in other records, in the stream's pickles."""
    good = with_tensor(b"N")
    payload = b"\x80\x02" + TOUCH + b"."
    system = ("os.system",)
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", good, zipfile.ZIP_STORED)
        archive.writestr("m/data/0", bytes(64), zipfile.ZIP_STORED)
        archive.writestr("m/extra.pkl", payload)
    bombed = io.BytesIO()
    with zipfile.ZipFile(bombed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", good, zipfile.ZIP_STORED)
        archive.writestr("m/data/0", bytes(64), zipfile.ZIP_STORED)
        archive.writestr("m/extra.pkl", b"\x80\x02" + b"N" * (100 << 20))

    def members(**others: bytes) -> Callable[[], bytes]:
        return lambda: zip_file(good, **others)

    def stream(position: int, pickled: bytes) -> Callable[[], bytes]:
        parts = [*_LEGACY_HEADS, good, _KEYS]
        parts[position - 1] = pickled
        return lambda: b"".join([*parts, struct.pack("<q", 16), bytes(64)])

    def and_a_call(pickled: bytes) -> bytes:
        """The same value, after a call whose result is dropped."""
        return pickled[:2] + TOUCH + b"0" + pickled[2:]

    return {
        "behind data.pkl": Hostile(lambda: zip_file(good + payload), system, True),
        "behind data.pkl, in protocol 0": Hostile(
            lambda: zip_file(good + payload[2:]), system, True
        ),
        "behind data.pkl, broken": Hostile(lambda: zip_file(good + payload[:-1]), system, True),
        "junk behind data.pkl": Hostile(lambda: zip_file(good + b"\x00junk"), (), True),
        "megabytes behind data.pkl": Hostile(lambda: zip_file(good + b"N." * (8 << 20)), (), True),
        "behind the stream": Hostile(lambda: legacy_file(good) + payload, system, True),
        "another stream behind the stream": Hostile(
            lambda: legacy_file(good) + legacy_file(with_tensor(TOUCH)), system, True
        ),
        "constants.pkl": Hostile(members(**{"m/constants.pkl": payload}), system, True),
        "constants.pkl of a script": Hostile(
            members(**{"m/constants.pkl": payload, "m/code/__torch__.py": b"x"}), system, True
        ),
        "attributes.pkl": Hostile(members(**{"m/attributes.pkl": payload}), system, True),
        "serialization_id": Hostile(members(**{"m/.data/serialization_id": payload}), system, True),
        "extra.pkl": Hostile(members(**{"m/extra.pkl": payload}), system, True),
        "extra.pkl, compressed": Hostile(deflated.getvalue, system, True),
        "extra.pkl, a bomb": Hostile(bombed.getvalue, (), True),
        "outside of the folder": Hostile(members(**{"data.pkl": payload}), system, True),
        "in another folder": Hostile(members(**{"n/data.pkl": payload}), system, True),
        "among the storages": Hostile(members(**{"m/data/evil": payload}), system, True),
        "in place of the byte order": Hostile(
            lambda: _zip_of({"m/data.pkl": good, "m/data/0": bytes(64), "m/byteorder": payload})
        ),
        "in place of the version": Hostile(
            lambda: _zip_of({"m/data.pkl": good, "m/data/0": bytes(64), "m/version": payload}),
            system,
            True,
        ),
        "thousands of pickles": Hostile(
            members(**{f"m/{i}.pkl": payload for i in range(3000)}), system, True
        ),
        "thousands of large pickles": Hostile(
            members(**{f"m/{i}.pkl": b"\x80\x02" + b"]" * 500_000 for i in range(60)}), (), True
        ),
        **{
            f"pickle {position} of the stream": Hostile(stream(position, and_a_call(part)), system)
            for position, part in enumerate((*_LEGACY_HEADS, good, _KEYS), 1)
        },
        **{
            f"instead of pickle {position} of the stream": Hostile(stream(position, payload))
            for position in range(1, 6)
        },
        **{
            f"bomb in pickle {position} of the stream": Hostile(
                stream(position, b"\x80\x02](" + b"]" * 12_000_000 + b"e.")
            )
            for position in range(1, 6)
        },
        "plain pickle": Hostile(lambda: payload),
        "plain pickle of protocol 0": Hostile(lambda: payload[2:]),
        "plain pickle that is a bomb": Hostile(lambda: b"(" + b"]" * 12_000_000 + b"t."),
    }


def _zip_of(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return file.getvalue()


def _zips() -> dict[str, Callable[[], bytes]]:
    """Archives whose structures lie."""
    good = with_tensor(b"N")
    whole = zip_file(good)
    first, directory, end = whole.index(b"PK\x01\x02"), whole.rindex(b"PK\x01\x02"), len(whole) - 22
    evil = with_tensor(TOUCH)

    def patched(at: int, raw: bytes) -> Callable[[], bytes]:
        return lambda: whole[:at] + raw + whole[at + len(raw) :]

    def named(*names: str) -> Callable[[], bytes]:
        return lambda: _zip_of(
            {"m/data.pkl": good, "m/data/0": bytes(64)} | {n: b"x" for n in names}
        )

    def deflated(member: str, content: Callable[[], bytes], method: int) -> Callable[[], bytes]:
        def make() -> bytes:
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(member, content(), method)
                for name, raw in {"m/data.pkl": good, "m/data/0": bytes(64)}.items():
                    if name != member:
                        archive.writestr(name, raw)
            return file.getvalue()

        return make

    def twice() -> bytes:
        file = io.BytesIO()
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
            archive.writestr("m/data.pkl", good)
            archive.writestr("m/data.pkl", evil)
            archive.writestr("m/data/0", bytes(64))
        return file.getvalue()

    def two_ends() -> bytes:
        """A second, smaller archive's end in the comment of the first one's."""
        other = zip_file(evil)
        comment = other[-22:]
        return whole[:-2] + struct.pack("<H", len(comment)) + comment

    def end64(count: int, nbytes: int, start: int) -> bytes:
        record = struct.pack(
            "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, nbytes, start
        )
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
        return whole[:end] + record + locator + whole[end:]

    def zip64_sizes(size: int, offset: int) -> bytes:
        """The last member's sizes and offset given in a 64-bit field."""
        member = bytearray(whole[directory:end])
        member[20:28] = b"\xff" * 8
        member[42:46] = b"\xff" * 4
        extra = struct.pack("<2H3Q", 1, 24, size, size, offset)
        member[30:32] = struct.pack("<H", len(extra))
        body = whole[:directory] + bytes(member) + extra
        return body + whole[end : end + 12] + struct.pack(
            "<2LH", len(body) - first, first, 0
        )  # fmt: skip

    def overlapping(count: int) -> bytes:
        """Many members of the directory over one member's bytes (the zip bomb of D. Fifield)."""
        body = (
            struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 100, 100, 1, 0) + b"a" * 101
        )
        entries = b"".join(
            struct.pack(
                "<4s6H3L5H2L",
                b"PK\x01\x02",
                20,
                20,
                0,
                0,
                0,
                0,
                0,
                100,
                100,
                len(n),
                0,
                0,
                0,
                0,
                0,
                0,
            )
            + n
            for n in (b"m/%d" % i for i in range(count))
        )
        told = min(count, 0xFFFF)
        return body + entries + struct.pack(
            "<4s4H2LH", b"PK\x05\x06", 0, 0, told, told, len(entries), len(body), 0
        )  # fmt: skip

    def many(count: int) -> bytes:
        """A directory of very many members."""
        names = [b"m/data.pkl", *(b"m/data/%d" % i for i in range(count))]
        body, entries = bytearray(), bytearray()
        for n in names:
            content = good if n == b"m/data.pkl" else b""
            entries += (
                struct.pack(
                    "<4s6H3L5H2L",
                    b"PK\x01\x02",
                    20,
                    20,
                    0,
                    0,
                    0,
                    0,
                    0,
                    len(content),
                    len(content),
                    len(n),
                    0,
                    0,
                    0,
                    0,
                    0,
                    len(body),
                )
                + n
            )
            body += (
                struct.pack(
                    "<4s5H3L2H",
                    b"PK\x03\x04",
                    20,
                    0,
                    0,
                    0,
                    0,
                    0,
                    len(content),
                    len(content),
                    len(n),
                    0,
                )
                + n
                + content
            )
        at = len(body) + len(entries)
        record = struct.pack(
            "<4sQ2H2L4Q",
            b"PK\x06\x06",
            44,
            45,
            45,
            0,
            0,
            len(names),
            len(names),
            len(entries),
            len(body),
        )
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
        tail = struct.pack(
            "<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0
        )
        return bytes(body + entries) + record + locator + tail

    def encrypted() -> bytes:
        data = bytearray(whole)
        data[first + 8] |= 1
        return bytes(data)

    local = whole.index(b"m/data/0") - 30
    return {
        "compressed pickle": deflated("m/data.pkl", lambda: bytes(100 << 20), zipfile.ZIP_DEFLATED),
        "compressed storage": deflated("m/data/0", lambda: bytes(100 << 20), zipfile.ZIP_DEFLATED),
        "pickle compressed by bzip2": deflated("m/data.pkl", lambda: good, zipfile.ZIP_BZIP2),
        "pickle compressed by lzma": deflated("m/data.pkl", lambda: good, zipfile.ZIP_LZMA),
        "compressed, called stored": lambda: deflated(
            "m/data.pkl", lambda: bytes(1 << 20), zipfile.ZIP_DEFLATED
        )().replace(b"\x08\0", b"\0\0"),
        "encrypted": encrypted,
        "name twice": twice,
        "two pickles": named("n/data.pkl"),
        "names that climb": named("../evil", "m/../../evil", "m/./x"),
        "absolute names": named("/etc/passwd", "C:\\evil", "\\\\server\\evil"),
        "names of nothing": named("a//b", " ", "m/"),
        "only a folder": lambda: _zip_of({"m/": b"", "m/data.pkl/": b""}),
        "names that climb for the pickle": lambda: _zip_of({"../data.pkl": good, "../data/0": bytes(64)}),
        "names of other letters": named("ｍ/data.pkl", "m/dаta.pkl"),
        "long names": named("m/" + "a" * 60_000),
        "many long names": named(*(f"m/{i}" + "a" * 60_000 for i in range(200))),
        "name with a zero": lambda: whole.replace(b"m/version", b"m/ver\0ion"),
        "name that is no UTF-8": lambda: whole.replace(b"m/version", b"m/ver\xffion"),
        "name with a terminal's codes": lambda: zip_file(
            good.replace(b"X\x01\0\0\x000", text("\x1b[2J\n"))
        ),
        "another name in the local header": lambda: whole.replace(b"m/data/0", b"m/data/X", 1),
        "no local header": patched(local, b"XXXX"),
        "local header beyond the file": patched(directory + 42, struct.pack("<L", 1 << 30)),
        "members over one another": patched(directory + 42, struct.pack("<L", 0)),
        "two sizes": patched(first + 20, struct.pack("<L", 5)),
        "sizes beyond the file": patched(first + 20, struct.pack("<2L", 1 << 30, 1 << 30)),
        "names beyond the directory": patched(directory + 28, b"\xff\xff"),
        "extra field beyond the member": patched(local + 28, b"\xff\xff"),
        "too many members told": patched(end + 8, struct.pack("<2H", 60_000, 60_000)),
        "too few members told": patched(end + 8, struct.pack("<2H", 1, 1)),
        "no members told": patched(end + 8, struct.pack("<2H", 0, 0)),
        "directory elsewhere": patched(end + 16, struct.pack("<L", 0)),
        "directory of nothing": patched(end + 12, struct.pack("<L", 0)),
        "directory larger than the file": patched(end + 12, struct.pack("<L", 1 << 31)),
        "second end in the comment": two_ends,
        "comment that lies": patched(end + 20, b"\xff\xff"),
        "comment of ends": lambda: whole[:-2] + struct.pack("<H", 65_000) + (b"PK\x05\x06" * 16_250),
        "many disks": patched(end + 4, b"\xff\xff\xff\xff"),
        "64-bit end, sound": lambda: end64(4, end - first, first),
        "64-bit end that counts too far": lambda: end64(1 << 60, end - first, first),
        "64-bit end that starts too far": lambda: end64(4, end - first, 1 << 63),
        "64-bit end that is too large": lambda: end64(4, (1 << 64) - 1, first),
        "64-bit sizes, sound": lambda: zip64_sizes(2, local + 30 + 8 + 64),
        "64-bit sizes too far": lambda: zip64_sizes((1 << 64) - 1, (1 << 64) - 1),
        "64-bit end nowhere": lambda: whole[:end]
        + struct.pack("<4sLQL", b"PK\x06\x07", 0, (1 << 64) - 1, 1) + whole[end:],
        "60,000 members over one": lambda: overlapping(60_000),
        "200,000 members": lambda: many(200_000),
        "cut in the directory": lambda: whole[:directory],
        "cut in the pickle": lambda: whole[:60],
        "cut, with a pickle that is a bomb": lambda: zip_file(
            with_tensor(b"](" + b"]" * 12_000_000 + b"e"))[:-200],
        "cut, with thousands of tensors": lambda: zip_file(
            with_tensor(b"](" + TENSOR * 20_000 + b"e"))[:-200],
        "of local headers only": lambda: whole[:first] * 20_000,
        "of local headers without data": lambda: (
            struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a") * 200_000,
        "behind something else": lambda: b"#!/bin/sh\nexit\n" + whole,
        "zip in a zip": lambda: _zip_of({"m/data.pkl": good, "m/data/0": whole}),
        "empty": lambda: b"PK\x05\x06" + bytes(18),
        "pickle of 70 MB": lambda: zip_file(b"\x80\x02" + b"N0" * (35 << 20) + good[2:]),
        "storage that runs into the next": lambda: zip_file(
            with_tensor(tensor_with("17", "1"))),
        "ordinary zip of hostile names": lambda: _zip_of({"\x1b[2J\n\u202e.pth": b"x"}),
    }  # fmt: skip


def _safetensors() -> dict[str, Callable[[], bytes]]:
    """Headers that lie."""

    def raw(header: bytes, payload: int = 16, told: int | None = None) -> Callable[[], bytes]:
        length = len(header) if told is None else told
        return lambda: struct.pack("<Q", length) + header + bytes(payload)

    def of(**tensors: object) -> Callable[[], bytes]:
        return raw(json.dumps(tensors).encode())

    def tensor(first: object, last: object, shape: object = (16,), dtype: object = "U8") -> object:
        return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}

    def large(make: Callable[[], bytes]) -> Callable[[], bytes]:
        return lambda: raw(make())()

    return {
        "header beyond the file": raw(b'{"a":1}', told=99_000_000),
        "header beyond reason": raw(b'{"a":1}', told=1 << 63),
        "header of 2**64 - 1": raw(b'{"a":1}', told=(1 << 64) - 1),
        "header of nothing": raw(b"{}", told=0),
        "header of brackets": large(lambda: b'{"a":[' + b"[]," * 9_000_000 + b"[]]}"),
        "header of few brackets": large(lambda: b'{"a":[' + b"[]," * 700_000 + b"[]]}"),
        "header of numbers": large(lambda: b'{"a":[' + b"1," * 14_000_000 + b"1]}"),
        "header of keys": large(
            lambda: b"{" + b",".join(b'"%d":1' % i for i in range(2_000_000)) + b"}"),
        "header of text": large(lambda: b'{"a":"' + b"a" * (30 << 20) + b'"}'),
        "header of escapes": large(lambda: b'{"a":"' + b"\\u0041" * (5 << 20) + b'"}'),
        "header of surrogates": of(**{"\ud800": tensor(0, 16)}),
        "header of blanks": large(lambda: b"{" + b" " * (30 << 20) + b"}"),
        "header of a huge number": large(lambda: b'{"a":' + b"9" * (8 << 20) + b"}"),
        "header of numbers of 4,000 digits": large(
            lambda: b'{"a":[' + (b"9" * 4000 + b",") * 4000 + b"1]}"),
        "header of a fraction": large(lambda: b'{"a":0.' + b"9" * (8 << 20) + b"}"),
        "header of infinity": raw(b'{"a":{"dtype":"U8","shape":[16],"data_offsets":[NaN,Infinity]}}'),
        "header of exponents": raw(b'{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,1e1000]}}'),
        "deep header": large(lambda: b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "deep header, unclosed": large(lambda: b'{"a":' + b'{"a":' * 200_000),
        "header that is no UTF-8": raw(b'{"\xff\xfe":1}'),
        "header that is UTF-16": raw(b"{\0\"\0a\0\"\0:\0001\0}\0"),
        "header cut off": raw(b'{"a":{"dtype":"U8"'),
        "header that is a list": raw(b"[1, 2]"),
        "header with a null": raw(b'{"a":null}'),
        "name twice": raw(b'{"a":{},"a":{}}'),
        "dtype twice": raw(b'{"a":{"dtype":"U8","dtype":"F64","shape":[16],"data_offsets":[0,16]}}'),
        "metadata twice": raw(b'{"__metadata__":{},"__metadata__":{}}'),
        "names that climb": of(**{"../../evil": tensor(0, 8, [8]), "/etc/passwd": tensor(8, 16, [8])}),
        "names of a terminal's codes": of(**{"\x1b[2J\n": tensor(0, 99)}),
        "name of a megabyte": of(**{"a" * (1 << 20): tensor(0, 99)}),
        "metadata of numbers": raw(b'{"__metadata__":{"a":1},"b":{"dtype":"U8","shape":[16],'
                                   b'"data_offsets":[0,16]}}'),
        "metadata of a pickle": raw(json.dumps(
            {"__metadata__": {"a": (b"\x80\x02" + TOUCH + b".").decode("latin-1")},
             "b": tensor(0, 16)}).encode()),
        "metadata, deep": raw(b'{"__metadata__":' + b'{"a":' * 500 + b"1" + b"}" * 501),
        "many metadata": large(lambda: json.dumps(
            {"__metadata__": {f"k{i}": "v" for i in range(500_000)}, "b": tensor(0, 16)}).encode()),
        "overlap": of(a=tensor(0, 10, [10]), b=tensor(6, 16, [10])),
        "same bytes twice": of(a=tensor(0, 16), b=tensor(0, 16)),
        "hole": of(a=tensor(0, 4, [4]), b=tensor(8, 16, [8])),
        "bytes too many": of(a=tensor(0, 8, [8])),
        "out of range": of(a=tensor(0, 16), b=tensor(16, 1 << 40, [(1 << 40) - 16])),
        "offset 2**63": of(a=tensor(1 << 63, (1 << 63) + 16)),
        "offset 2**64": of(a=tensor(1 << 64, (1 << 64) + 16)),
        "shape and bytes differ": of(a=tensor(0, 16, [1 << 40])),
        "shape that overflows": of(a=tensor(0, 16, [1 << 32, 1 << 32, 0, 16])),
        "shape that wraps round": of(a=tensor(0, 16, [(1 << 64) + 16])),
        "shape of 100,000 ones": large(
            lambda: json.dumps({"a": tensor(0, 16, [16] + [1] * 100_000)}).encode()),
        "negative offsets": of(a=tensor(-16, 0)),
        "negative shape": of(a=tensor(0, 16, [-4, -4])),
        "backwards": of(a=tensor(16, 0, [-16])),
        "fractions": of(a=tensor(0.0, 16.0, [16.0])),
        "truths": of(a=tensor(False, True, [True])),
        "texts": of(a=tensor("0", "16", ["16"])),
        "three offsets": of(a={"dtype": "U8", "shape": [16], "data_offsets": [0, 8, 16]}),
        "offsets that are a text": of(a={"dtype": "U8", "shape": [16], "data_offsets": "06"}),
        "shape that is a number": of(a=tensor(0, 16, 16)),
        "no dtype": of(a={"shape": [16], "data_offsets": [0, 16]}),
        "no such dtype": of(a=tensor(0, 16, dtype="X8")),
        "dtype that is a list": of(a=tensor(0, 16, dtype=["U8"])),
        "no mapping": of(a=[1, 2]),
        "200,000 tensors of nothing": large(lambda: json.dumps(
            {"a": tensor(0, 16)} | {f"k{i}": tensor(16, 16, [0]) for i in range(200_000)}).encode()),
        "pickle for a header": raw(b"\x80\x02" + TOUCH + b"."),
    }  # fmt: skip


def write_all(folder: Path) -> Iterator[tuple[Path, Hostile]]:
    """Write each file under a number; gives its path as soon as it is there."""
    for number, hostile in enumerate(hostile_files().values()):
        path = folder / f"{number:04d}"
        path.write_bytes(hostile.make())
        yield path, hostile


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for title, (path, _) in zip(hostile_files(), write_all(target), strict=True):
        print(f"{path.name} {path.stat().st_size:>12,} {zlib.crc32(path.read_bytes()):08x} {title}")
