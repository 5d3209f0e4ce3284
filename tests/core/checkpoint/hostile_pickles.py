"""Pickles that were made to do harm: what stands in them beside a tensor, by name.

A payload that is large is made when it is asked for. Some come with the names that they would call,
which are dangerous.
"""

import pickle
import pickletools
import struct
from collections.abc import Callable

from tests.core.checkpoint.files_by_hand import (
    CANARY,
    CANARY_MODULE,
    COMMAND,
    SOURCE,
    SYSTEM,
    TENSOR,
    TOUCH,
    TRAP,
    call,
    legacy_file,
    name,
    text,
)

Payload = bytes | tuple[bytes, tuple[str, ...]] | Callable[[], bytes]


def calls() -> dict[str, Payload]:
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
            call(b"cm\nf\n")
            + b"}"
            + text("__class__")
            + SYSTEM
            + b"s"
            + text("__dict__")
            + b"}"
            + text("__reduce__")
            + SYSTEM
            + b"ssb",
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
            + b"0\x82\x07("
            + COMMAND
            + b"tR",
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
            call(call(b"cbuiltins\ngetattr\n", b"cbuiltins\nobject\n", text("__subclasses__"))),
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
        "map": (
            call(b"cbuiltins\nlist\n", call(b"cbuiltins\nmap\n", SYSTEM, b"]" + COMMAND + b"a")),
            ("builtins.map", "os.system"),
        ),
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
                b"ctorch._tensor\n_rebuild_from_type_v2\n",
                SYSTEM,
                SYSTEM,
                b"(" + COMMAND + b"t",
                b"}",
            ),
            system,
        ),
        "rebuild of a rebuild": call(
            b"ctorch._tensor\n_rebuild_from_type_v2\n",
            b"ctorch._tensor\n_rebuild_from_type_v2\n",
            b"N",
            b"(ctorch._tensor\n_rebuild_from_type_v2\nN)Nt",
            b"N",
        ),
        "parameter with a state": (
            call(b"ctorch._utils\n_rebuild_parameter_with_state\n", TENSOR, b"\x89", b"}", SYSTEM),
            system,
        ),
        "tensor's hooks": (TENSOR.replace(b"ccollections\nOrderedDict\n)R", SYSTEM), system),
        "numpy array of a class": (
            call(b"cnumpy.core.multiarray\n_reconstruct\n", SYSTEM, b"K\0\x85", b"C\x01b")
            + b"(K\x01K\x01\x85"
            + call(b"cnumpy\ndtype\n", text("u1"), b"\x89", b"\x88")
            + b"\x89C\x01\0tb",
            system,
        ),
        "numpy array of objects": (
            call(
                b"cnumpy.core.multiarray\n_reconstruct\n",
                b"cnumpy\nndarray\n",
                b"K\0\x85",
                b"C\x01b",
            )
            + b"(K\x01K\x01\x85"
            + call(b"cnumpy\ndtype\n", text("O8"), b"\x89", b"\x88")
            + b"\x89]"
            + TOUCH
            + b"atb",
            system,
        ),
        "numpy scalar of objects": (
            call(
                b"cnumpy.core.multiarray\nscalar\n",
                call(b"cnumpy\ndtype\n", text("O8"), b"\x89", b"\x88"),
                short,
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
                b"B"
                + struct.pack("<I", len(short) + 20)
                + b"\x80\x03cpickle\nloads\n("
                + short
                + b"tR.",
            ),
            ("pickle.loads", "os.system"),
        ),
        "many pickles in a pickle": (
            b"](" + (b"C\x14\x80\x02cos\nsystem\n" + b"K" * 7) * 2000 + b"e",
            system,
        ),
        "import of a module": call(TRAP),
        "import of a module's attribute": call(name(CANARY_MODULE, "run.more")),
        "import of a module by STACK_GLOBAL": call(name(CANARY_MODULE, "run")),
        "import of a module by INST": b"(i" + TRAP[1:],
        "runpy": (call(b"crunpy\nrun_module\n", text(CANARY_MODULE)), ("runpy.run_module",)),
        "torch.load": (call(b"ctorch\nload\n", text("/etc/passwd")), ("torch.load",)),
        "open": (call(b"cio\nopen\n", text(CANARY), text("w")), ("io.open",)),
        "socket": (
            call(b"csocket\ncreate_connection\n", b"(" + text("127.0.0.1") + b"K\x09t"),
            ("socket.create_connection",),
        ),
    }


def names() -> dict[str, Payload]:
    """Odd names of classes."""
    return {
        "by another module": (call(name("torch", "os.system"), COMMAND), ("torch.os.system",)),
        "by a private module": (
            call(name("random", "_os.system"), COMMAND),
            ("random._os.system",),
        ),
        "by two modules": (
            call(name("torch.serialization", "os.system"), COMMAND),
            ("torch.serialization.os.system",),
        ),
        "of Python 2": (call(b"ccommands\ngetoutput\n", COMMAND), ("commands.getoutput",)),
        "of another platform": (call(b"cnt\nsystem\n", COMMAND), ("nt.system",)),
        "of dunders": (
            call(name("builtins", "object.__subclasses__")),
            ("builtins.object.__subclasses__",),
        ),
        "of this program": call(
            name("core.checkpoint.containers.sources", "LocalFile"), text("/etc/passwd")
        ),
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
        "100,000 of them": lambda: (
            b"](" + b"".join(b"cm\nf%d\n" % i for i in range(100_000)) + b"e"
        ),
        "20,000 long ones": lambda: (
            b"]("
            + b"".join(b"cm\n" + b"%d." % i + b"a." * 245 + b"b\n" for i in range(20_000))
            + b"e"
        ),
    }


def persistent_ids() -> dict[str, Payload]:
    """What stands where a storage's description belongs."""

    def storage(kind: bytes, storage_class: bytes, *rest: bytes) -> bytes:
        return b"(" + kind + storage_class + b"".join(rest) + b"tQ"

    kind, floats, key, cpu = (text("storage"), b"ctorch\nFloatStorage\n", text("0"), text("cpu"))
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


def bombs() -> dict[str, Payload]:
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
        "line of raw text": b"V\\u0041\\ud800 \xe9\n",
        "line of quoted text": b"S'\\x41 quoted'\n",
        "mark without an end": b"(" * 100,
        "marks without an end": lambda: b"(" * 1_900_000,
        "opcodes that are none": b"\xff\xfe",
        "protocol 200": b"\x80\xc8N",
        "buffers out of band": b"\x97\x98N",
        "stack that is empty": b"0000R",
        "tuple of nothing below": b"0" * 8 + b"\x87",
        "text that is no UTF-8": b"X\x02\0\0\0\xff\xfe",
        "odd items": b"}(K\x01u",
        "copied list": b"]("
        + b"K\x01" * 50_000
        + b"eq\x01"
        + b"0cbuiltins\nlist\nq\x020]"
        + b"h\x02h\x01\x85Ra" * 20_000,
        "copied set": b"]("
        + b"".join(b"J" + struct.pack("<I", i) for i in range(50_000))
        + b"eq\x01"
        + b"0cbuiltins\nset\nq\x020]"
        + b"h\x02h\x01\x85Ra" * 20_000,
        "copied OrderedDict": b"}("
        + b"".join(b"J" + struct.pack("<I", i) + b"N" for i in range(20_000))
        + b"uq\x01"
        + b"0ccollections\nOrderedDict\nq\x020]"
        + b"h\x02h\x01\x85Ra" * 20_000,
        "copied text": lambda: (
            text("a" * 4_000_000)
            + b"q\x010c_codecs\nencode\nq\x02X\x06\0\0\0latin1q\x0300]"
            + b"h\x02h\x01h\x03\x86Ra" * 20_000
        ),
        "copied keys": lambda: (
            text("k" * 1_000_000)
            + b"q\x010}h\x01"
            + TENSOR
            + b"sq\x020]("
            + b"h\x02" * 50_000
            + b"e"
        ),
        "shown text": lambda: text("t" * 20_000) + b"q\x010](](" + b"h\x01" * 60_000 + b"ee",
        "merged states": b"}("
        + b"".join(text(f"k{i}") + b"N" for i in range(20_000))
        + b"uq\x010"
        + call(b"cm\nf\n")
        + b"h\x01b" * 100_000,
        "merged slots": b"}("
        + b"".join(text(f"k{i}") + b"N" for i in range(20_000))
        + b"uq\x010"
        + call(b"cm\nf\n")
        + b"h\x01h\x01\x86b" * 100_000,
        "keywords": b"}("
        + b"".join(text(f"k{i}") + b"N" for i in range(20_000))
        + b"uq\x010cm\nf\nq\x020"
        + b"]("
        + b"h\x02)h\x01\x92" * 50_000
        + b"e",
        "one-byte sets": lambda: b"(" + b"\x8f" * 1_000_000 + b"1N",
        "one-byte lists": lambda: b"(" + b"]" * 4_000_000 + b"1N",
        "one-byte Nones": lambda: b"(" + b"N" * 4_100_000 + b"1N",
        "one-byte Nones in a list": lambda: b"](" + b"N" * 500_000 + b"e",
        "one-byte tuples": lambda: b"](" + b")\x85" * 3_000_000 + b"e",
        "memoized all": lambda: b"](" + b"N\x94" * 400_000 + b"e",
        "fetched all": lambda: (
            b"]("
            + b"".join(
                b"Nr" + struct.pack("<I", i) + b"j" + struct.pack("<I", i) for i in range(400_000)
            )
            + b"e"
        ),
        "small numbers": lambda: (
            b"]("
            + b"".join(b"M" + struct.pack("<H", 300 + i % 60_000) for i in range(700_000))
            + b"e"
        ),
        "fractions": lambda: b"](" + b"G?\xf0\0\0\0\0\0\0" * 600_000 + b"e",
        "short texts": lambda: (
            b"](" + b"".join(b"\x8c\x06%06d" % (i % 1_000_000) for i in range(1_000_000)) + b"e"
        ),
        "objects": lambda: b"cm\nf\nq\x010](" + b"h\x01)R" * 250_000 + b"e",
        "objects of names": lambda: b"](" + b"cm\nf\n)\x81" * 120_000 + b"e",
        "growing name": b"cm\nf\n" + b")Rq\x01" * 50_000,
        "extension codes": lambda: (
            b"](" + b"".join(b"\x84" + struct.pack("<I", i) for i in range(50_000)) + b"e"
        ),
        "tensors on one storage": lambda: b"](" + TENSOR * 40_000 + b"e",
        "pickled bytes": lambda: b"](" + b"C\x0e\x80\x02" + b"]" * 12 + b"e",
        "junk": lambda: bytes(range(256)) * 4000,
    }


def nestings() -> dict[str, Payload]:
    """Depth, cycles, and trees whose branches are shared so often that they never end."""
    tuples = b"2\x86" * 60
    module = b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + b"}"
    return {
        "deep lists": b"]" * 100_000 + b"a" * 99_999,
        "deep tuples": b")" + b"\x85" * 100_000,
        "deep calls": b"cm\nf\n" + b")R" * 100_000,
        "deep arguments": b")"
        + b"".join([b"cm\nf\nq\x010"])
        + b"h\x01)R"
        + b"\x85q\x020h\x01h\x02R" * 50_000,
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
        )
        + b"(K\x01"
        + LAUGHS
        + b"N\x89C\0tb",
        "laughing lists": b"]q\x01" + b"0](h\x01h\x01h\x01h\x01eq\x01" * 60,
        "laughing dicts": b"}X\x01\0\0\0t"
        + TENSOR
        + b"sq\x01"
        + b"0}(X\x01\0\0\0ah\x01X\x01\0\0\0bh\x01uq\x01" * 40,
        "laughing states": b"}X\x01\0\0\0t"
        + TENSOR
        + b"sq\x01"
        + b"0cm\nf\n)R}(X\x01\0\0\0ah\x01X\x01\0\0\0bh\x01ubq\x01" * 40,
        "laughing modules": b"cm\nf\n)R"
        + module
        + text("_parameters")
        + b"}"
        + text("t")
        + TENSOR
        + b"subq\x01"
        + (
            b"0cm\nf\n)R}("
            + text("_parameters")
            + b"}"
            + text("_modules")
            + b"}("
            + text("a")
            + b"h\x01"
            + text("b")
            + b"h\x01uubq\x01"
        )
        * 40,
        "laughing optimizer": b"}(K\0}"
        + text("s")
        + TENSOR
        + b"suq\x01"
        + b"0}(K\0h\x01K\x01h\x01uq\x01" * 40,
        "list in itself": b"]q\x01h\x01a",
        "list in itself ten times": b"]q\x01(" + b"h\x01" * 10 + b"e",
        "dict in itself": b"}q\x01X\x01\0\0\0ah\x01s",
        "tuple in itself": b"]q\x01h\x01\x85q\x02a" + b"h\x02\x86",
        "set in itself": b"cm\nf\n)Rq\x01}" + text("a") + b"(h\x01\x91sb",
        "object in itself": b"cm\nf\n)Rq\x01}X\x01\0\0\0ah\x01sb",
        "object as its own key": b"cm\nf\n)Rq\x01}h\x01h\x01sb",
        "metadata in itself": b"ccollections\nOrderedDict\n)Rq\x01}"
        + text("_metadata")
        + b"h\x01sb",
        "module in itself": b"cm\nf\n)Rq\x01}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}"
        b"X\x01\0\0\0ah\x01sub",
        "scripted module in itself": b"c__torch__.m\nf\n)\x81q\x01}X\x01\0\0\0ah\x01sb",
        "tensors at each depth": b"".join(
            b"}(" + text("t") + TENSOR + text("deeper") for _ in range(2000)
        )
        + b"N"
        + b"u" * 2000,
        "long keys at each depth": b"".join(
            b"}(" + text("t") + TENSOR + text("d" * 1000) for _ in range(500)
        )
        + b"N"
        + b"u" * 500,
    }


_PRIME = (1 << 61) - 1
"""Python's hash of a whole number is the number modulo this (sys.hash_info.modulus)."""


def work() -> dict[str, Payload]:
    """Constructions whose work grows faster than they do."""
    return {
        "keys that collide": lambda: (
            b"}("
            + b"".join(
                b"\x8a\x0a" + (1 + i * _PRIME).to_bytes(10, "little") + b"N" for i in range(60_000)
            )
            + b"u"
        ),
        "keys that collide below 2**60": lambda: (
            b"}("
            + b"".join(b"\x8a\x08" + (i << 40).to_bytes(8, "little") + b"N" for i in range(1 << 19))
            + b"u"
        ),
        "keys that collide in a set": lambda: (
            b"("
            + b"".join(b"\x8a\x08" + (i << 40).to_bytes(8, "little") for i in range(1 << 19))
            + b"\x91"
        ),
        "fractions as keys": lambda: (
            b"}("
            + b"".join(b"G" + struct.pack(">d", 1.0 + i * 2.0**-40) + b"N" for i in range(150_000))
            + b"u"
        ),
        "tuples as keys": lambda: (
            b"}("
            + b"".join((b"J" + struct.pack("<i", i)) * 3 + b"\x87N" for i in range(100_000))
            + b"u"
        ),
        "long tuples as keys": lambda: b"}(" + (b"(" + text("k" * 400) * 16 + b"tN") * 4000 + b"u",
        "items one by one": lambda: (
            b"}" + b"".join(b"J" + struct.pack("<i", i) + b"Ns" for i in range(800_000))
        ),
        "elements one by one": lambda: b"]" + b"Na" * 400_000,
        "items of objects": lambda: (
            b"cm\nf\n)R" + b"".join(b"J" + struct.pack("<i", i) + b"Ns" for i in range(150_000))
        ),
        "states one by one": lambda: (
            b"cm\nf\n)R" + b"".join(b"}" + text(f"k{i}") + b"Nsb" for i in range(300_000))
        ),
        "text that grows": lambda: (
            text("a" * 100_000) + b"q\x010](" + (b"ctorch\ndevice\nh\x01K\x01\x86R") * 30_000 + b"e"
        ),
        "names that grow": lambda: b"](" + b"cm\nf\n)R)R)R)R" * 200_000 + b"e",
        "lines without an end": lambda: b"](" + b"I1\n" * 500_000 + b"e",
        "short lines that scan far": lambda: (
            b"](" + b"I1\n" * 200_000 + b"X" + struct.pack("<I", 8 << 20) + b"a" * (8 << 20) + b"I1"
        ),
        "bytes that look like fetches": lambda: (
            text("j" * 1_900_000)
            + b"0]("
            + b"".join(b"Nr" + struct.pack("<I", i) for i in range(300_000))
            + b"e"
        ),
        "bytes that look like tensors": lambda: (
            b"ctorch._utils\n_rebuild_tensor_v2\nr\x09\x01\0\0" + b"](" + b"h\x00((" * 1_000_000
        ),
        "numbers of many lengths in a run": lambda: (
            b"](" + b"h\0((h\0h\0X\x01\0\0\x000r\0\0\1\0h\0\x8a\xff" * 300_000
        ),
        "state_dicts everywhere": lambda: (
            b"](" + (b"}" + text("t") + TENSOR + b"s") * 25_000 + b"e"
        ),
        "tensors that share a dict": lambda: (
            b"}("
            + b"".join(text(f"k{i}") + TENSOR for i in range(2000))
            + b"uq\x010]("
            + b"h\x01" * 200_000
            + b"e"
        ),
        "optimizer groups that share": lambda: (
            b"}("
            + b"".join(text(f"k{i}") + TENSOR for i in range(1000))
            + b"uq\x010}("
            + b"".join(b"J" + struct.pack("<i", i) + b"h\x01" for i in range(100_000))
            + b"u"
        ),
        "lists of names but for the last": lambda: (
            b"](" + b"".join(b"](" + text("a") * 4999 + b"Ne" for _ in range(30)) + b"e"
        ),
        "list of Nones but for one": lambda: b"](" + b"N" * 900_000 + b"]e",
        "list of Nones and a tensor, shared": lambda: (
            b"](" + b"N" * 1_000_000 + TENSOR + b"eq\x010](" + b"h\x01" * 50_000 + b"e"
        ),
        "object of many elements, shared": lambda: (
            b"cm\nf\n)Rq\x01("
            + b"N" * 1_000_000
            + b"e0]("
            + (b"](" + b"h\x01" * 60 + b"e") * 60
            + b"e"
        ),
        "dicts of mixed keys": lambda: (
            b"}("
            + b"".join(text(f"k{i}") + b"N" for i in range(100_000))
            + b"K\x01Nuq\x010]("
            + b"h\x01" * 50_000
            + b"e"
        ),
        "lists that share a list": lambda: (
            b"](" + b"N" * 100_000 + b"eq\x010](" + b"h\x01" * 50_000 + b"e"
        ),
        "tuples that share a tuple": lambda: (
            b"(" + b"N" * 100_000 + b"tq\x010(" + b"h\x01" * 50_000 + b"t"
        ),
        "objects that share a state": lambda: (
            b"}("
            + b"".join(text(f"k{i}") + b"N" for i in range(50_000))
            + b"uq\x010]("
            + b"cm\nf\n)Rh\x01b" * 100_000
            + b"e"
        ),
        "versions of modules": lambda: (
            b"ccollections\nOrderedDict\n)R("
            + text("t")
            + TENSOR
            + b"u}"
            + text("_metadata")
            + b"}("
            + b"".join(text(f"m{i}") + b"}" + text("version") + b"K\x01s" for i in range(150_000))
            + b"usb"
        ),
        "numpy arrays": lambda: (
            b"]("
            + (
                call(
                    b"cnumpy.core.multiarray\n_reconstruct\n",
                    b"cnumpy\nndarray\n",
                    b"K\0\x85",
                    b"C\x01b",
                )
                + b"(K\x01K\x40\x85"
                + call(b"cnumpy\ndtype\n", text("u1"), b"\x89", b"\x88")
                + b"\x89C\x40"
                + bytes(64)
                + b"tb"
            )
            * 20_000
            + b"e"
        ),
    }


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
