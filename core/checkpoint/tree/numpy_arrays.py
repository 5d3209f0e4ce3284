"""The numpy arrays of a file that are in none of its state_dicts.

`load_state_dict` takes tensors alone, so an array beside them is no weight; but a training script
may have meant it as one, and what a file holds must not be lost without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from core.checkpoint.entries import TensorEntry
from core.checkpoint.pickles.first_uses import Step, path_of
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import (
    CONTAINER_TYPES,
    InertArray,
    InertTensor,
    InlineStorage,
    LongBytes,
    Tree,
    inside,
)
from core.checkpoint.pickles.key_names import Names
from core.checkpoint.pickles.numpy_values import TORCH_DTYPES, array_tensor
from core.checkpoint.tree.tensor_entries import EntryMaker
from core.errors import CheckpointError
from core.wording import are, capital, count, counted, shape, size

MAKERS = ("._reconstruct", "._frombuffer")
"""The ends of the names of numpy's functions that make an array of its bytes."""

MOST_NAMED = 3
"""The most arrays that the note names."""

TEXTS = ("U", "S")
"""The codes of arrays of text, such as the names of classes. The metadata shows their values."""


@dataclass(frozen=True, slots=True)
class NumpyArray:
    """An array in a file: its `path` in the tree, its dtype and shape, and an entry for its bytes.

    The entry is that of a tensor with the same elements; if torch has no such dtype, or the bytes
    are not as many as the shape says, it is that of the bytes.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    entry: TensorEntry


def makes_arrays(uses: Iterable[GlobalUse]) -> bool:
    """Whether the names in a file's pickles make arrays, without which a tree has none."""
    return any(use.name.startswith("numpy.") and use.name.endswith(MAKERS) for use in uses)


def numpy_arrays(tree: Tree, weights: Collection[int], make: EntryMaker) -> Iterator[NumpyArray]:
    """Every array of the tree with bytes, except those that are `weights`, by `id`."""
    names = Names()
    for step, array in _arrays(tree):
        if id(array) in weights or array.data is None:
            continue
        path = names.name(path_of(step))
        yield NumpyArray(path, _dtype(array), array.shape, _entry(path, array, make))


def array_notes(tree: Tree, weights: Collection[int]) -> list[str]:
    """A sentence on the arrays that are in no state_dict, without those of text; or none."""
    number, nbytes = 0, 0
    named: list[str] = []
    for step, array in _arrays(tree):
        if id(array) in weights or array.data is None or _dtype(array).startswith(TEXTS):
            continue
        number += 1
        nbytes += _nbytes(array.data)
        if number <= MOST_NAMED:
            named.append(f"{path_of(step)}, {shape(array.shape)} {_dtype(array)}")
    if not number:
        return []
    verb, it = ("stands", "it") if number == 1 else ("stand", "they")
    more = f"; and {count(number - MOST_NAMED)} more" if number > MOST_NAMED else ""
    return [
        f"{counted(number, 'numpy array')} {verb} beside the tensors ({size(nbytes)}): "
        f"{'; '.join(named)}{more}. {capital(it)} {are(number)} no part of a state_dict."
    ]


def _arrays(tree: Tree) -> Iterator[tuple[Step, InertArray]]:
    """Every array in the tree in the order of the file, with the steps to it.

    Dicts, lists and objects are searched once, at the first path to them, so that the search ends.
    """
    visited: set[int] = set()
    rest: list[tuple[Step, Tree]] = [(None, tree)]
    while rest:
        step, value = rest.pop()
        if type(value) is InertArray:
            yield step, value
        if id(value) in visited:
            continue
        visited.add(id(value))
        below: list[tuple[Step, Tree]] = [
            ((step, key), item) for key, item in inside(value) if type(item) in CONTAINER_TYPES
        ]
        rest.extend(reversed(below))


def _dtype(array: InertArray) -> str:
    if array.dtype is None:
        return "of an unknown dtype"
    return TORCH_DTYPES.get(array.dtype.code, array.dtype.code)


def _nbytes(data: bytes | LongBytes) -> int:
    return data.source.size if isinstance(data, LongBytes) else len(data)


def _entry(path: str, array: InertArray, make: EntryMaker) -> TensorEntry:
    try:
        return make(path, array_tensor(array))
    except (ValueError, CheckpointError):
        assert array.data is not None
        nbytes = _nbytes(array.data)
        storage = InlineStorage("in the pickle", "uint8", "cpu", nbytes, data=array.data)
        return make(path, InertTensor(storage, "uint8", (nbytes,), (1,), 0))
