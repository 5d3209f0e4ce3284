"""Zips, tars, streams, safetensors files and folders that were made to do harm, by name."""

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
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
    """A file's bytes, made when they are asked for; of a folder, those of each file by its name.

    Where the file opens, its globals have `dangerous` with that verdict; `opens` says whether it
    must or must not, None that either is right.
    """

    make: Callable[[], bytes | Mapping[str, bytes]]
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
            for position in (1, 3, 5)
        },
        "plain pickle": Hostile(lambda: payload),
        "plain pickle of 5,000 streams": Hostile(
            lambda: (
                b"\x80\x02]("
                + (
                    b"ctorch.storage\n_load_from_bytes\nB"
                    + struct.pack("<I", len(legacy_file(good)))
                    + legacy_file(good)
                    + b"\x85R"
                )
                * 5000
                + b"e."
            )
        ),
        "plain pickle of streams that call": Hostile(
            lambda: (
                b"\x80\x02](ctorch.storage\n_load_from_bytes\nB"
                + struct.pack("<I", len(legacy_file(with_tensor(TOUCH))))
                + legacy_file(with_tensor(TOUCH))
                + b"\x85Re."
            )
        ),
        "plain pickle of protocol 0": Hostile(lambda: payload[2:]),
        "plain pickle that is a bomb": Hostile(lambda: b"(" + b"]" * 4_000_000 + b"t."),
    }


def packed_files() -> dict[str, Hostile]:
    """Tars, compressed files and exported programs."""
    good, evil = zip_file(with_tensor(b"N")), zip_file(with_tensor(TOUCH))
    heavy = zip_file(with_tensor(b"](" + b"]" * 1_500_000 + b"e"))
    payload = b"\x80\x02" + TOUCH + b"."
    system = ("os.system",)

    def tar(members: Mapping[str, bytes]) -> Callable[[], bytes]:
        def make() -> bytes:
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w") as archive:
                for name, content in members.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            return file.getvalue()

        return make

    def old(storages: bytes, tensors: bytes, pickled: bytes) -> Callable[[], bytes]:
        return tar({"storages": storages, "tensors": tensors, "pickle": pickled})

    def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
        raw = bytearray(512)
        raw[: len(name)] = name.encode()
        raw[124 : 124 + len(size)] = size
        raw[156:157] = kind
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw)
        return bytes(raw)

    def exported(**configs: bytes) -> Callable[[], bytes]:
        return lambda: zip_of(
            {"m/archive_format": b"pt2", "m/data/weights/w": bytes(64), "m/data/weights/z": evil}
            | {f"m/data/weights/{name}_weights_config.json": raw for name, raw in configs.items()}
        )

    def weight(member: str, pickled: bool = False, **meta: object) -> bytes:
        sizes = {
            "dtype": 7,
            "sizes": [{"as_int": 4}],
            "strides": [{"as_int": 1}],
            "storage_offset": {"as_int": 0},
        }
        facts = {"path_name": member, "use_pickle": pickled, "tensor_meta": sizes | meta}
        return json.dumps({"config": {"w": facts}}).encode()

    none, number = b"\x80\x02K\0.", b"\x80\x02K\x01."
    views = b"\x80\x02]."
    storage = b"\x80\x02K\0X\x03\0\0\0cpuctorch\nFloatStorage\n\x87."
    tensor = b"\x80\x02K\x01K\0ctorch\nFloatTensor\n\x87."
    one = number + storage + struct.pack("<q", 4) + bytes(16) + views
    described = number + tensor + struct.pack("<4q", 1, 4, 1, 0)
    whole = b"\x80\x02}X\x01\0\0\0wX\x01\0\0\x001Qs."
    return {
        "old tar": Hostile(old(one, described, whole), (), True),
        "old tar, call in the object": Hostile(
            old(one, described, b"\x80\x02" + TOUCH + b"0" + whole[2:]), system, True
        ),
        "old tar, call in the storages": Hostile(
            old(number[:2] + TOUCH + b"0" + number[2:] + one[len(number) :], described, whole),
            system,
            True,
        ),
        "old tar, call in the tensors": Hostile(
            old(one, number[:2] + TOUCH + b"0" + number[2:] + described[len(number) :], whole),
            system,
            True,
        ),
        "old tar, call for a storage": Hostile(old(number + payload, none, whole)),
        "old tar of 500,000 storages": Hostile(
            old(
                b"\x80\x02J" + struct.pack("<i", 500_000) + b"." + b"\x80\x02N." * 500_000,
                none,
                whole,
            )
        ),
        "old tar of 400,000 tensors": Hostile(
            old(
                one,
                b"\x80\x02J"
                + struct.pack("<i", 400_000)
                + b"."
                + (tensor + struct.pack("<4q", 1, 4, 1, 0)) * 400_000,
                whole,
            )
        ),
        "old tar of a huge storage": Hostile(
            old(number + storage + struct.pack("<q", 1 << 61), none, whole)
        ),
        "old tar of a negative storage": Hostile(
            old(number + storage + struct.pack("<q", -4), none, whole)
        ),
        "old tar of a huge rank": Hostile(
            old(one, number + tensor + struct.pack("<q", 1 << 31), whole)
        ),
        "old tar, a bomb": Hostile(old(one, described, b"(" + b"]" * 4_000_000 + b"t.")),
        "tar of names that climb": Hostile(tar({"../../evil.pth": evil, "/etc/x.pth": good})),
        "tar of one that climbs": Hostile(tar({"../../evil.pth": evil}), system),
        "tar of links": Hostile(
            lambda: header("m.pth", b"0", b"2") + header("n.pth", b"0", b"1") + bytes(1024)
        ),
        "tar of a huge size": Hostile(lambda: header("m.pth", b"77777777777") + bytes(1024)),
        "tar of a binary size": Hostile(lambda: header("m.pth", b"\xff" * 12) + bytes(1024)),
        "tar of no size": Hostile(lambda: header("m.pth", b"99999999999") + bytes(1024)),
        "tar of a long name": Hostile(
            lambda: header("x", b"%o" % (1 << 20), b"L") + b"a" * (1 << 20) + bytes(1024)
        ),
        "tar of long names": Hostile(
            lambda: (header("x", b"%o" % 60_000, b"L") + b"a" * 60_416) * 500 + bytes(1024)
        ),
        "tar of records that never end": Hostile(
            lambda: header("x", b"%o" % 60_000, b"x") + b"9" * 60_416 + bytes(1024)
        ),
        "tar of 19,000 members": Hostile(lambda: header("m.pth", b"0") * 19_000 + bytes(1024)),
        "tar of 30 heavy shards": Hostile(
            tar({f"model-{n:05}-of-00030.bin": heavy for n in range(1, 31)})
        ),
        "tar of an index that climbs": Hostile(
            tar(
                {
                    "model.safetensors.index.json": json.dumps(
                        {"weight_map": {"w": "../../../../etc/passwd"}}
                    ).encode(),
                    "x.safetensors": b"",
                }
            )
        ),
        "tar in a tar": Hostile(tar({"m.tar": tar({"m.tar": good})()})),
        "zip of a compressed bomb": Hostile(lambda: _deflated("m.pth", bytes(200 << 20))),
        "gzip of a checkpoint": Hostile(lambda: gzip.compress(evil), system, True),
        "gzip, a bomb": Hostile(lambda: gzip.compress(bytes(100 << 20))),
        "gzip of a gzip": Hostile(lambda: gzip.compress(gzip.compress(good))),
        "gzip cut off": Hostile(lambda: gzip.compress(good)[:-20]),
        "gzip with a name that climbs": Hostile(
            lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"../../evil\0" + b"x" * 99
        ),
        "bzip2, a bomb": Hostile(lambda: bz2.compress(bytes(80 << 20))),
        "xz, a bomb": Hostile(lambda: lzma.compress(bytes(100 << 20))),
        "exported program": Hostile(exported(model=weight("w")), (), True),
        "exported program of a call": Hostile(exported(model=weight("z", True)), system),
        "exported program of a member that climbs": Hostile(
            exported(model=weight("../../../../../etc/passwd"))
        ),
        "exported program beyond its member": Hostile(
            exported(model=weight("w", sizes=[{"as_int": 1 << 40}]))
        ),
        "exported program of odd sizes": Hostile(
            exported(model=weight("w", sizes=[{"as_int": True}, {"as_expr": "os"}]))
        ),
        "exported program, deep": Hostile(exported(model=b"[" * 100_000)),
        "exported program of 30 heavy weights": Hostile(
            lambda: zip_of(
                {"m/archive_format": b"pt2"}
                | {f"m/data/weights/z{n}": heavy for n in range(30)}
                | {
                    "m/data/weights/model_weights_config.json": json.dumps(
                        {
                            "config": {
                                f"w{n}": {"path_name": f"z{n}", "use_pickle": True}
                                for n in range(30)
                            }
                        }
                    ).encode()
                }
            )
        ),
    }


def folders() -> dict[str, Hostile]:
    """Shards with their index, and distributed checkpoints."""
    good = zip_file(with_tensor(b"N"))
    tensor = zip_file(b"\x80\x02" + TENSOR + b".")
    system = ("os.system",)

    def indexed(index: bytes, **shards: bytes) -> Callable[[], Mapping[str, bytes]]:
        return lambda: {"pytorch_model.bin.index.json": index, "a.bin": good, **shards}

    def mapped(weights: Mapping[str, object]) -> Callable[[], Mapping[str, bytes]]:
        return indexed(json.dumps({"weight_map": weights}).encode())

    def state(kind: str, **fields: bytes) -> bytes:
        inside = b"".join(text(key) + value for key, value in fields.items())
        module = "torch.distributed.checkpoint.metadata"
        return f"c{module}\n{kind}\n)\x81}}(".encode("latin-1") + inside + b"ub"

    def metadata(chunks: int, file: str, more: bytes) -> bytes:
        size, start = b"J" + struct.pack("<i", 4 * chunks) + b"\x85", b"K\x04\x85"
        places, pieces = [], []
        for number in range(chunks):
            offset = b"J" + struct.pack("<i", 4 * number) + b"\x85"
            pieces.append(state("ChunkStorageMetadata", offsets=offset, sizes=start))
            places.append(
                state("MetadataIndex", fqn=text("w"), offset=offset)
                + state(
                    "_StorageInfo",
                    relative_path=text(file),
                    offset=b"K\0",
                    length=b"J" + struct.pack("<i", len(tensor)),
                )
            )
        described = state(
            "TensorStorageMetadata", size=size, chunks=b"](" + b"".join(pieces) + b"e"
        )
        whole = state(
            "Metadata",
            state_dict_metadata=b"}" + text("w") + described + b"s",
            planner_data=more,
            storage_data=b"}(" + b"".join(places) + b"u",
        )
        return b"\x80\x02" + whole + b"."

    def described(raw: bytes) -> Callable[[], Mapping[str, bytes]]:
        return lambda: {".metadata": raw, "__0_0.distcp": tensor}

    def distributed(
        chunks: int = 1, file: str = "__0_0.distcp", more: bytes = b"N"
    ) -> Callable[[], Mapping[str, bytes]]:
        return lambda: {".metadata": metadata(chunks, file, more), "__0_0.distcp": tensor}

    return {
        "index": Hostile(mapped({"w": "a.bin"}), (), True),
        "index that climbs": Hostile(mapped({"w": "../file/a.bin"})),
        "index of absolute names": Hostile(mapped({"w": "/etc/passwd"})),
        "index of itself": Hostile(mapped({"w": "pytorch_model.bin.index.json"})),
        "index of numbers": Hostile(mapped({"w": 1})),
        "index of odd names": Hostile(mapped({"\x1b[2J": "\x1b[2J\n", "\ud800": "\ud800"})),
        "index, deep": Hostile(indexed(b"[" * 100_000)),
        "index of 600,000 keys": Hostile(
            lambda: {
                "pytorch_model.bin.index.json": json.dumps(
                    {"weight_map": {f"k{n}": "a.bin" for n in range(600_000)}}
                ).encode()
            }
        ),
        "index of 10,000 files": Hostile(mapped({f"k{n}": f"{n}.bin" for n in range(10_000)})),
        "index of a call": Hostile(
            indexed(b'{"weight_map": {"w": "b.bin"}}', **{"b.bin": zip_file(with_tensor(TOUCH))}),
            system,
            True,
        ),
        "distributed": Hostile(distributed(), (), True),
        "distributed, a call": Hostile(distributed(more=TOUCH), system, True),
        "distributed, a call for all": Hostile(described(b"\x80\x02" + TOUCH + b".")),
        "distributed that climbs": Hostile(distributed(file="../../../etc/passwd")),
        "distributed of absolute names": Hostile(distributed(file="/etc/passwd")),
        "distributed of itself": Hostile(distributed(file=".metadata")),
        "distributed of 15,000 chunks": Hostile(distributed(15_000)),
        "distributed, a bomb": Hostile(described(b"(" + b"]" * 3_000_000 + b"t.")),
    }


def _deflated(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


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
        number = min(count, 0xFFFF)
        return (
            body
            + entries
            + struct.pack(
                "<4s4H2LH", b"PK\x05\x06", 0, 0, number, number, len(entries), len(body), 0
            )
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
        "too many members stated": patched(end + 8, struct.pack("<2H", 60_000, 60_000)),
        "too few members stated": patched(end + 8, struct.pack("<2H", 1, 1)),
        "no members stated": patched(end + 8, struct.pack("<2H", 0, 0)),
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

    def raw(header: bytes, payload: int = 16, stated: int | None = None) -> Callable[[], bytes]:
        length = len(header) if stated is None else stated
        return lambda: struct.pack("<Q", length) + header + bytes(payload)

    def of(**tensors: object) -> Callable[[], bytes]:
        return raw(json.dumps(tensors).encode())

    def tensor(first: object, last: object, shape: object = (16,), dtype: object = "U8") -> object:
        return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}

    return {
        "header beyond the file": raw(b'{"a":1}', stated=99_000_000),
        "header beyond reason": raw(b'{"a":1}', stated=1 << 63),
        "header of 2**64 - 1": raw(b'{"a":1}', stated=(1 << 64) - 1),
        "header of nothing": raw(b"{}", stated=0),
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
                {"__metadata__": {f"k{i}": "v" for i in range(150_000)}, "b": tensor(0, 16)}
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
