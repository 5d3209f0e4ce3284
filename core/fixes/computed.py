"""What fixes return: entries that are computed from others, and state_dicts of such entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

from core.checkpoint import (
    ITEMSIZES,
    NUMBERLESS,
    Derived,
    Nested,
    Operation,
    Quantized,
    Sparse,
    StateDict,
    TensorEntry,
    is_float_dtype,
)
from core.checkpoint.pickles import row_major
from core.errors import FixError
from core.wording import count, size

MAX_BYTES = 8 << 30
"""The most bytes of a tensor that is larger than the tensors it is computed from."""

MAX_GROWTH = 4 << 30
"""The most bytes by which a step may make a state_dict larger."""

MAX_OPERATIONS = 256
"""The most operations behind one tensor: each of them reads and computes its parts anew."""


def computed(
    like: TensorEntry,
    operation: Operation,
    parts: tuple[TensorEntry, ...],
    shape: tuple[int, ...],
    dtype: str | None = None,
) -> TensorEntry:
    """An entry that is computed from `parts` when it is read, with the key and origin of `like`.

    `dtype` None is that of `like`. Raises FixError if the tensor would be larger than its parts and
    than MAX_BYTES, or would need more than MAX_OPERATIONS.
    """
    steps = 1 + sum(part.form.steps for part in parts if isinstance(part.form, Derived))
    if steps > MAX_OPERATIONS:
        raise FixError(
            f"`{like.key}` would be computed in {count(steps)} operations.",
            f"{count(MAX_OPERATIONS)} is the most: remove steps that undo one another.",
        )
    dtype = dtype or like.dtype
    nbytes = prod(shape) * ITEMSIZES[dtype]
    if nbytes > max(MAX_BYTES, sum(part.nbytes for part in parts)):
        raise FixError(
            f"`{like.key}` would take {size(nbytes)}.",
            f"A tensor may grow to {size(MAX_BYTES)}: ask for less.",
        )
    return replace(
        like,
        dtype=dtype,
        shape=shape,
        stride=row_major(shape),
        storage_offset=0,
        record=None,
        transforms=(),
        form=Derived(operation, parts, steps),
    )


def check_growth(state_dict: StateDict, new: Mapping[str, TensorEntry]) -> None:
    """Raise FixError if the new tensors take MAX_GROWTH bytes more than those under their keys."""
    grown = sum(entry.nbytes - state_dict[key].nbytes for key, entry in new.items())
    if grown > MAX_GROWTH:
        raise FixError(
            f"The tensors would take {size(grown)} more than before.",
            f"{size(MAX_GROWTH)} is the most: ask for less, or name them more exactly.",
        )


def is_strided(entry: TensorEntry) -> bool:
    """Whether the entry is a strided view of a storage, so that another view costs nothing."""
    return entry.form is None and not entry.dtype.startswith(("qint", "quint"))


def is_dense(entry: TensorEntry) -> bool:
    """Whether the entry is neither quantized nor sparse nor nested."""
    return not isinstance(entry.form, Quantized | Sparse | Nested) and not entry.dtype.startswith(
        ("qint", "quint")
    )


def is_floating(entry: TensorEntry) -> bool:
    """Whether the entry is dense, of a floating-point dtype that torch computes with."""
    floats = is_float_dtype(entry.dtype) and entry.dtype not in NUMBERLESS
    return floats and is_dense(entry)


def checked_dense(entry: TensorEntry) -> TensorEntry:
    """The entry itself. Raises FixError if it is quantized, sparse or nested."""
    match entry.form:
        case Sparse(layout=layout):
            what, remedy = f"sparse ({layout})", "Save the file again after .to_dense() on it."
        case Nested():
            what, remedy = "nested", "Save its rows as tensors of their own."
        case _ if is_dense(entry):
            return entry
        case _:
            what, remedy = "quantized", "Put the step Dequantize before this one."
    raise FixError(f"`{entry.key}` is {what}: this fix is for dense tensors.", remedy)


def exchanged(state_dict: StateDict, new: dict[str, TensorEntry]) -> StateDict:
    """The state_dict with the new tensors under their keys."""
    if not new:
        return state_dict
    entries = [new.get(key, entry) for key, entry in state_dict.items()]
    return StateDict(entries, state_dict.path, state_dict.versions)


def rebuilt(
    state_dict: StateDict, entries: Sequence[TensorEntry], names: Iterable[tuple[str, str]]
) -> StateDict:
    """A state_dict of the entries, with the versions of the modules that they are in now.

    `names` are pairs (old key, new key); one old key may have become several, or several one.
    """
    # torch keeps a version for each module (`_metadata`), and reads it to upgrade old tensors. A
    # module without a tensor has none to upgrade, so its version is left out once a key changes.
    old = state_dict.versions
    names = list(names)
    if not old or (len(names) == len(state_dict) and all(a == b for a, b in names)):
        return StateDict(entries, state_dict.path, old)
    versions: dict[str, int] = {}
    for before, after in names:
        source, target = _parent(before), _parent(after)
        while True:
            if source in old:
                versions.setdefault(target, old[source])
            if not (source and target and _leaf(source) == _leaf(target)):
                break
            source, target = _parent(source), _parent(target)
    return StateDict(entries, state_dict.path, versions)


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]


def with_products(
    state_dict: StateDict, products: Mapping[str, tuple[TensorEntry, str]]
) -> StateDict:
    """The state_dict with each product in the place of its first part, and without its second.

    `products` maps the key of a first part to the product and the key of the second part.
    """
    gone = {second for _, second in products.values()}
    kept = {
        key: products[key][0] if key in products else entry
        for key, entry in state_dict.items()
        if key not in gone
    }
    names = [(key, entry.key) for key, entry in kept.items()]
    names += [(second, product.key) for product, second in products.values()]
    return rebuilt(state_dict, list(kept.values()), names)
