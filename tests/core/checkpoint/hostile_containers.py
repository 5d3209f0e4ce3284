"""Zips, legacy streams and safetensors files that were made to do harm, by name."""

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from tests.core.checkpoint.files_by_hand import (
    LEGACY_HEADS,
    LEGACY_KEYS,
    TENSOR,
    TOUCH,
    legacy_file,
    tensor_with,
    text,
    with_tensor,
    zip_file,
    zip_of,
)


@dataclass(frozen=True)
class Hostile:
    """A file's bytes, made when they are asked for.

    Where the file opens, its globals have `dangerous` with that verdict; `opens` says whether it
    must or must not, None that either is right.
    """

    make: Callable[[], bytes]
    dangerous: tuple[str, ...] = ()
    opens: bool | None = None


def hidden() -> dict[str, Hostile]:
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
        parts = [*LEGACY_HEADS, good, LEGACY_KEYS]
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
        "megabytes behind data.pkl": Hostile(lambda: zip_file(good + b"N." * (2 << 20)), (), True),
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
            lambda: zip_of({"m/data.pkl": good, "m/data/0": bytes(64), "m/byteorder": payload})
        ),
        "in place of the version": Hostile(
            lambda: zip_of({"m/data.pkl": good, "m/data/0": bytes(64), "m/version": payload}),
            system,
            True,
        ),
        "thousands of pickles": Hostile(
            members(**{f"m/{i}.pkl": payload for i in range(3000)}), system, True
        ),
        "thousands of large pickles": Hostile(
            members(**{f"m/{i}.pkl": b"\x80\x02" + b"]" * 500_000 for i in range(20)}), (), True
        ),
        **{
            f"pickle {position} of the stream": Hostile(stream(position, and_a_call(part)), system)
            for position, part in enumerate((*LEGACY_HEADS, good, LEGACY_KEYS), 1)
        },
        **{
            f"instead of pickle {position} of the stream": Hostile(stream(position, payload))
            for position in range(1, 6)
        },
        **{
            f"bomb in pickle {position} of the stream": Hostile(
                stream(position, b"\x80\x02](" + b"]" * 4_000_000 + b"e.")
            )
            for position in range(1, 6)
        },
        "plain pickle": Hostile(lambda: payload),
        "plain pickle of protocol 0": Hostile(lambda: payload[2:]),
        "plain pickle that is a bomb": Hostile(lambda: b"(" + b"]" * 4_000_000 + b"t."),
    }


def zips() -> dict[str, Callable[[], bytes]]:
    """Archives whose structures lie."""
    good = with_tensor(b"N")
    whole = zip_file(good)
    first, directory, end = whole.index(b"PK\x01\x02"), whole.rindex(b"PK\x01\x02"), len(whole) - 22
    evil = with_tensor(TOUCH)

    def patched(at: int, raw: bytes) -> Callable[[], bytes]:
        return lambda: whole[:at] + raw + whole[at + len(raw) :]

    def named(*names: str) -> Callable[[], bytes]:
        return lambda: zip_of(
            {"m/data.pkl": good, "m/data/0": bytes(64)} | dict.fromkeys(names, b"x")
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
        return body + whole[end : end + 12] + struct.pack("<2LH", len(body) - first, first, 0)

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
        return (
            body
            + entries
            + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, told, told, len(entries), len(body), 0)
        )

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
        "only a folder": lambda: zip_of({"m/": b"", "m/data.pkl/": b""}),
        "names that climb for the pickle": lambda: zip_of(
            {"../data.pkl": good, "../data/0": bytes(64)}
        ),
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
        "comment of ends": lambda: (
            whole[:-2] + struct.pack("<H", 65_000) + (b"PK\x05\x06" * 16_250)
        ),
        "many disks": patched(end + 4, b"\xff\xff\xff\xff"),
        "64-bit end, sound": lambda: end64(4, end - first, first),
        "64-bit end that counts too far": lambda: end64(1 << 60, end - first, first),
        "64-bit end that starts too far": lambda: end64(4, end - first, 1 << 63),
        "64-bit end that is too large": lambda: end64(4, (1 << 64) - 1, first),
        "64-bit sizes, sound": lambda: zip64_sizes(2, local + 30 + 8 + 64),
        "64-bit sizes too far": lambda: zip64_sizes((1 << 64) - 1, (1 << 64) - 1),
        "64-bit end nowhere": lambda: (
            whole[:end] + struct.pack("<4sLQL", b"PK\x06\x07", 0, (1 << 64) - 1, 1) + whole[end:]
        ),
        "60,000 members over one": lambda: overlapping(60_000),
        "200,000 members": lambda: many(200_000),
        "cut in the directory": lambda: whole[:directory],
        "cut in the pickle": lambda: whole[:60],
        "cut, with a pickle that is a bomb": lambda: zip_file(
            with_tensor(b"](" + b"]" * 4_000_000 + b"e")
        )[:-200],
        "cut, with thousands of tensors": lambda: zip_file(
            with_tensor(b"](" + TENSOR * 20_000 + b"e")
        )[:-200],
        "of local headers only": lambda: whole[:first] * 20_000,
        "of local headers without data": lambda: (
            (struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a")
            * 200_000
        ),
        "behind something else": lambda: b"#!/bin/sh\nexit\n" + whole,
        "zip in a zip": lambda: zip_of({"m/data.pkl": good, "m/data/0": whole}),
        "empty": lambda: b"PK\x05\x06" + bytes(18),
        "pickle of 70 MB": lambda: zip_file(b"\x80\x02" + b"N0" * (35 << 20) + good[2:]),
        "storage that runs into the next": lambda: zip_file(with_tensor(tensor_with("17", "1"))),
        "ordinary zip of hostile names": lambda: zip_of({"\x1b[2J\n\u202e.pth": b"x"}),
    }


def safetensors() -> dict[str, Callable[[], bytes]]:
    """Headers that lie."""

    def raw(header: bytes, payload: int = 16, told: int | None = None) -> Callable[[], bytes]:
        length = len(header) if told is None else told
        return lambda: struct.pack("<Q", length) + header + bytes(payload)

    def of(**tensors: object) -> Callable[[], bytes]:
        return raw(json.dumps(tensors).encode())

    def tensor(first: object, last: object, shape: object = (16,), dtype: object = "U8") -> object:
        return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}

    return {
        "header beyond the file": raw(b'{"a":1}', told=99_000_000),
        "header beyond reason": raw(b'{"a":1}', told=1 << 63),
        "header of 2**64 - 1": raw(b'{"a":1}', told=(1 << 64) - 1),
        "header of nothing": raw(b"{}", told=0),
        "header of brackets": _later(lambda: b'{"a":[' + b"[]," * 9_000_000 + b"[]]}"),
        "header of few brackets": _later(lambda: b'{"a":[' + b"[]," * 700_000 + b"[]]}"),
        "header of numbers": _later(lambda: b'{"a":[' + b"1," * 14_000_000 + b"1]}"),
        "header of keys": _later(
            lambda: b"{" + b",".join(b'"%d":1' % i for i in range(2_000_000)) + b"}"
        ),
        "header of text": _later(lambda: b'{"a":"' + b"a" * (30 << 20) + b'"}'),
        "header of escapes": _later(lambda: b'{"a":"' + b"\\u0041" * (5 << 20) + b'"}'),
        "header of surrogates": of(**{"\ud800": tensor(0, 16)}),
        "header of blanks": _later(lambda: b"{" + b" " * (30 << 20) + b"}"),
        "header of a huge number": _later(lambda: b'{"a":' + b"9" * (8 << 20) + b"}"),
        "header of numbers of 4,000 digits": _later(
            lambda: b'{"a":[' + (b"9" * 4000 + b",") * 4000 + b"1]}"
        ),
        "header of a fraction": _later(lambda: b'{"a":0.' + b"9" * (8 << 20) + b"}"),
        "header of infinity": raw(
            b'{"a":{"dtype":"U8","shape":[16],"data_offsets":[NaN,Infinity]}}'
        ),
        "header of exponents": raw(b'{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,1e1000]}}'),
        "deep header": _later(lambda: b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "deep header, unclosed": _later(lambda: b'{"a":' + b'{"a":' * 200_000),
        "header that is no UTF-8": raw(b'{"\xff\xfe":1}'),
        "header that is UTF-16": raw(b'{\0"\0a\0"\0:\0001\0}\0'),
        "header cut off": raw(b'{"a":{"dtype":"U8"'),
        "header that is a list": raw(b"[1, 2]"),
        "header with a null": raw(b'{"a":null}'),
        "name twice": raw(b'{"a":{},"a":{}}'),
        "dtype twice": raw(
            b'{"a":{"dtype":"U8","dtype":"F64","shape":[16],"data_offsets":[0,16]}}'
        ),
        "metadata twice": raw(b'{"__metadata__":{},"__metadata__":{}}'),
        "names that climb": of(
            **{"../../evil": tensor(0, 8, [8]), "/etc/passwd": tensor(8, 16, [8])}
        ),
        "names of a terminal's codes": of(**{"\x1b[2J\n": tensor(0, 99)}),
        "name of a megabyte": of(**{"a" * (1 << 20): tensor(0, 99)}),
        "metadata of numbers": raw(
            b'{"__metadata__":{"a":1},"b":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}}'
        ),
        "metadata of a pickle": raw(
            json.dumps(
                {
                    "__metadata__": {"a": (b"\x80\x02" + TOUCH + b".").decode("latin-1")},
                    "b": tensor(0, 16),
                }
            ).encode()
        ),
        "metadata, deep": raw(b'{"__metadata__":' + b'{"a":' * 500 + b"1" + b"}" * 501),
        "many metadata": _later(
            lambda: json.dumps(
                {"__metadata__": {f"k{i}": "v" for i in range(500_000)}, "b": tensor(0, 16)}
            ).encode()
        ),
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
        "shape of 100,000 ones": _later(
            lambda: json.dumps({"a": tensor(0, 16, [16] + [1] * 100_000)}).encode()
        ),
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
        "200,000 tensors of nothing": _later(
            lambda: json.dumps(
                {"a": tensor(0, 16)} | {f"k{i}": tensor(16, 16, [0]) for i in range(200_000)}
            ).encode()
        ),
        "pickle for a header": raw(b"\x80\x02" + TOUCH + b"."),
    }


def _later(header: Callable[[], bytes]) -> Callable[[], bytes]:
    """A safetensors file of a header that is large to make."""

    def make() -> bytes:
        made = header()
        return struct.pack("<Q", len(made)) + made + bytes(16)

    return make
