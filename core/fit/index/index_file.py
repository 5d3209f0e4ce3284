"""An index as one compressed file of arrays, checked when it is read.

The file is numpy's `.npz`. All arrays but `variations` are 1-D; numbers are in the smallest integer
dtype that fits them, unless another is named. Key, shape, kind, signature and difference numbers
count from 0, in the order of the file.

A word is written as its number in the option's words, counted from 1; 0 is a default that is not
known.

| array | meaning |
| --- | --- |
| `header` | uint8, JSON: `format`; `versions` by library; `kinds`, each [dtype, kind]; `failures` |
| `keys` | uint8, a text of one key in each line |
| `architectures` | uint8, a text of one `library:name` in each line |
| `shape_ranks` | the number of dimensions of each shape |
| `shape_sizes` | int32, the dimensions of all shapes, one after the other |
| `model_signatures` | the signature number of each architecture |
| `signature_lengths` | the number of keys of each signature |
| `signature_keys` | the key numbers of all signatures, each as the step from the one before |
| `signature_shapes`, `signature_kinds` | the shape and kind numbers of all signatures |
| `changed_lengths` | the number of keys that each difference gives another shape |
| `changed_keys`, `changed_shapes` | the numbers of these keys, and of their new shapes |
| `gone_lengths`, `gone_keys` | the same for the keys that each difference removes |
| `added_…` | like `signature_…`: what each difference adds |
| `variation_counts` | the number of variations of each architecture |
| `variations` | int32, a row for each: number in OPTIONS, default, value, difference number |
"""

from __future__ import annotations

import contextlib
import json
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.architectures import LIBRARIES, OPTIONS, TABLE, Architecture, Value
from core.errors import IndexFileError
from core.fit.index.index import (
    Index,
    Integers,
    Kind,
    PackedDifference,
    PackedSignature,
    PackedVariation,
    integers,
)

FORMAT = 2
"""The format's number; it is raised when the meaning of an array changes."""

LARGEST = 256 << 20
"""The most bytes that a file may unpack to; torchvision's and timm's index has a fiftieth."""

Arrays = Mapping[str, npt.NDArray[Any]]

DAMAGES = (
    *(OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, EOFError),
    *(NotImplementedError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What zipfile, zlib, json and numpy raise for a damaged file."""


def save_index(index: Index, path: Path) -> None:
    """Write the index to `path`. Raises IndexFileError.

    At every moment `path` is the old file or the complete new one, whatever other servers do. The
    same index gives the same bytes.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            np.savez_compressed(file, allow_pickle=False, **_arrays(index))
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise IndexFileError(
            f"The index of architectures cannot be written to {path}: {error.strerror}.",
            "Let LOUPE_DATA name a folder that Loupe may write to.",
        ) from error


def load_index(path: Path) -> Index:
    """The index in a file. Raises IndexFileError if the file is missing or damaged."""
    try:
        with _open(path) as file:
            return _index(_header(file), {name: file[name] for name in file.files})
    except DAMAGES as error:
        raise _damaged(path) from error


def index_versions(path: Path) -> Mapping[str, str]:
    """The versions of the libraries of a file's index. Raises IndexFileError."""
    try:
        with _open(path) as file:
            return _versions(_header(file))
    except DAMAGES as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> IndexFileError:
    return IndexFileError(
        f"The index of architectures {path} is missing or damaged.",
        "Delete it: Loupe builds it again.",
    )


def _open(path: Path) -> np.lib.npyio.NpzFile:
    file = np.load(path, allow_pickle=False)
    if not isinstance(file, np.lib.npyio.NpzFile) or file.zip is None:
        raise ValueError("an array, not several")
    if sum(each.file_size for each in file.zip.infolist()) > LARGEST:
        file.close()
        raise ValueError(f"more than {LARGEST} bytes")
    return file


def _header(file: Arrays) -> Mapping[str, Any]:
    header: Mapping[str, Any] = json.loads(_bytes(file["header"]))
    if header["format"] != FORMAT:
        raise ValueError(f"format {header['format']}")
    return header


def _arrays(index: Index) -> Arrays:
    header = {
        "format": FORMAT,
        "versions": dict(index.versions),
        "kinds": index.kinds,
        "failures": index.failures,
    }
    variations = [
        (
            OPTIONS.index(each.option),
            _number(each.option, each.default),
            _number(each.option, each.value),
            each.difference,
        )
        for variations in index.variations
        for each in variations
    ]
    changed, shapes, gone, added = (
        [getattr(each, name) for each in index.differences]
        for name in ("changed", "shape_ids", "gone", "added")
    )
    return {
        "header": _text(json.dumps(header, sort_keys=True)),
        "keys": _text("\n".join(index.keys)),
        "architectures": _text("\n".join(each.key for each in index.architectures)),
        "shape_ranks": _smallest([len(shape) for shape in index.shapes]),
        "shape_sizes": integers([size for shape in index.shapes for size in shape]),
        "model_signatures": _smallest(index.signature_ids),
        **_signatures("signature", index.signatures),
        "changed_lengths": _smallest([len(each) for each in changed]),
        "changed_keys": _smallest(_joined(changed)),
        "changed_shapes": _smallest(_joined(shapes)),
        "gone_lengths": _smallest([len(each) for each in gone]),
        "gone_keys": _smallest(_joined(gone)),
        **_signatures("added", added),
        "variation_counts": _smallest([len(each) for each in index.variations]),
        "variations": np.array(variations, dtype=np.int32).reshape(-1, 4),
    }


def _signatures(name: str, signatures: Sequence[PackedSignature]) -> Arrays:
    """The arrays of signatures.

    A key is stored as the step from the one before: most steps are 1, which packs to nearly
    nothing.
    """
    keys = _joined([each.key_ids for each in signatures])
    return {
        f"{name}_lengths": _smallest([len(each.key_ids) for each in signatures]),
        f"{name}_keys": _smallest(np.diff(keys, prepend=integers([0]))),
        f"{name}_shapes": _smallest(_joined([each.shape_ids for each in signatures])),
        f"{name}_kinds": _smallest(_joined([each.kind_ids for each in signatures])),
    }


def _joined(arrays: Sequence[Integers]) -> Integers:
    return np.concatenate(arrays) if arrays else integers([])


def _smallest(numbers: Sequence[int] | Integers) -> npt.NDArray[Any]:
    """The numbers as an array of the smallest integer dtype that fits them all."""
    array = np.array(numbers, dtype=np.int32)
    if not array.size:
        return array.astype(np.int8)
    return array.astype(
        np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
    )


def _text(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _index(header: Mapping[str, Any], arrays: Arrays) -> Index:
    keys = tuple(_lines(arrays["keys"]))
    sizes = _numbers(arrays["shape_sizes"], 0, 1 << 31).tolist()
    shapes = tuple(tuple(sizes[a:b]) for a, b in _spans(arrays["shape_ranks"], len(sizes)))
    kinds = tuple(_kind(*each) for each in header["kinds"])
    tables = (len(keys), len(shapes), len(kinds))
    signatures = _packed("signature", arrays, tables)
    differences = _differences(arrays, tables)
    architectures = tuple(_architecture(line) for line in _lines(arrays["architectures"]))
    rows = _numbers(arrays["variations"].reshape(-1), 0, 1 << 31).reshape(-1, 4).tolist()
    variations = [
        PackedVariation(
            OPTIONS[option],
            _value(OPTIONS[option], default),
            _value(OPTIONS[option], value),
            difference,
        )
        for option, default, value, difference in rows
    ]
    if not all(each.difference < len(differences) for each in variations):
        raise ValueError("a variation of no difference")
    index = Index(
        _versions(header),
        architectures,
        _numbers(arrays["model_signatures"], 0, len(signatures)),
        keys,
        shapes,
        kinds,
        signatures,
        differences,
        tuple(
            tuple(variations[a:b]) for a, b in _spans(arrays["variation_counts"], len(variations))
        ),
        tuple((str(key), str(why)) for key, why in header["failures"]),
    )
    if not len(index.variations) == len(index.signature_ids) == len(architectures):
        raise ValueError("not one signature for each architecture")
    return index


def _number(option: str, value: Value) -> int:
    """The value as the file's number."""
    if isinstance(value, int):
        return value
    return ("", *TABLE[option].words).index(value)


def _value(option: str, number: int) -> Value:
    words = TABLE[option].words
    return ("", *words)[number] if words else number


def _packed(name: str, arrays: Arrays, tables: tuple[int, int, int]) -> tuple[PackedSignature, ...]:
    steps = _numbers(arrays[f"{name}_keys"], -(1 << 31), 1 << 31)
    keys, shapes, kinds = (
        _numbers(numbers, 0, count)
        for numbers, count in zip(
            (np.cumsum(steps, dtype=np.int64), arrays[f"{name}_shapes"], arrays[f"{name}_kinds"]),
            tables,
            strict=True,
        )
    )
    if not len(keys) == len(shapes) == len(kinds):
        raise ValueError("not one shape and kind for each key")
    spans = _spans(arrays[f"{name}_lengths"], len(keys))
    return tuple(PackedSignature(keys[a:b], shapes[a:b], kinds[a:b]) for a, b in spans)


def _differences(arrays: Arrays, tables: tuple[int, int, int]) -> tuple[PackedDifference, ...]:
    changed = _numbers(arrays["changed_keys"], 0, tables[0])
    shapes = _numbers(arrays["changed_shapes"], 0, tables[1])
    gone = _numbers(arrays["gone_keys"], 0, tables[0])
    if len(changed) != len(shapes):
        raise ValueError("not one shape for each key")
    parts = zip(
        _spans(arrays["changed_lengths"], len(changed)),
        _spans(arrays["gone_lengths"], len(gone)),
        _packed("added", arrays, tables),
        strict=True,
    )
    return tuple(
        PackedDifference(changed[a:b], shapes[a:b], gone[c:d], added)
        for (a, b), (c, d), added in parts
    )


def _numbers(array: npt.NDArray[Any], least: int, end: int) -> Integers:
    """The array as int32, if it is 1-D and of integers in [least, end). Raises ValueError."""
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError("not a list of whole numbers")
    if array.size and not (least <= int(array.min()) and int(array.max()) < end):
        raise ValueError("a number out of bounds")
    return array.astype(np.int32)


def _spans(lengths: npt.NDArray[Any], total: int) -> Iterable[tuple[int, int]]:
    """The (start, end) of consecutive runs of these lengths. Raises ValueError unless their sum is
    `total`."""
    ends = np.cumsum(_numbers(lengths, 0, total + 1), dtype=np.int64)
    if (int(ends[-1]) if len(ends) else 0) != total:
        raise ValueError("lengths that do not add up")
    return pairwise([0, *ends.tolist()])


def _lines(array: npt.NDArray[Any]) -> Sequence[str]:
    text = _bytes(array).decode()
    return text.split("\n") if text else []


def _bytes(array: npt.NDArray[Any]) -> bytes:
    if array.ndim != 1 or array.dtype != np.uint8:
        raise ValueError("not a text")
    return array.tobytes()


def _versions(header: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(library): str(version) for library, version in dict(header["versions"]).items()}


def _kind(dtype: object, kind: object) -> Kind:
    if not isinstance(dtype, str) or kind not in ("parameter", "buffer"):
        raise ValueError("not a kind of tensor")
    return dtype, "parameter" if kind == "parameter" else "buffer"


def _architecture(key: str) -> Architecture:
    library, _, name = key.partition(":")
    if library not in LIBRARIES or not name:
        raise ValueError("not an architecture's key")
    return Architecture(library, name)
