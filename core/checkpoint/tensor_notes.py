"""Sentences on unusual tensors: quantized, sparse, nested, empty, on the meta device, or a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from core.checkpoint.entries import Nested, Quantized, Sparse, StateDict, TensorEntry
from core.checkpoint.readers.contents import Contents
from core.checkpoint.torchao_tensors import torchao_notes
from core.checkpoint.tree.discover import parts_of_larger
from core.wording import are, count, have, tensors

NO_SCHEME = "without scales"


def notes_on(contents: Contents, state_dicts: Mapping[str, StateDict]) -> list[str]:
    """The notes on a file's unusual tensors, each a sentence."""
    entries = [entry for state_dict in state_dicts.values() for entry in state_dict.values()]
    schemes, layouts, nested = _forms(entries)
    empty = len([entry for entry in entries if 0 in entry.shape])
    meta = len([entry for entry in entries if entry.record is None and not entry.records])
    notes = []
    if schemes:
        notes.append(
            f"{_are(schemes.total())} quantized ({_listed(schemes)}): a float model cannot take "
            "their integers."
        )
    notes += torchao_notes(contents.tree, contents.globals)
    if layouts:
        notes.append(
            f"{_are(layouts.total())} sparse ({_listed(layouts)}): only some of the "
            "elements are in the file, and a dense model cannot take them."
        )
    if nested:
        notes.append(f"{_are(nested)} nested: each row has its own shape.")
    if empty:
        notes.append(f"{tensors(empty)} {have(empty)} no elements.")
    if meta:
        notes.append(f"{_are(meta)} on the meta device: a shape, but no data.")
    if any(use.name.endswith(".DTensor") for use in contents.globals):
        parts = parts_of_larger(contents.tree)
        if parts:
            notes.append(
                f"{_are(parts)} one rank's part of a larger one (DTensor): the rest is in the "
                "files of the other ranks."
            )
    return notes


def _forms(entries: Sequence[TensorEntry]) -> tuple[Counter[str], Counter[str], int]:
    """How many tensors are quantized by each scheme, sparse in each layout, and nested."""
    schemes, layouts, nested = Counter[str](), Counter[str](), 0
    for dtype, number in Counter(entry.dtype for entry in entries).items():
        if dtype.startswith(("qint", "quint")):
            schemes[NO_SCHEME] += number
    for form in [entry.form for entry in entries if entry.form is not None]:
        match form:
            case Quantized(scheme):
                schemes[scheme] += 1
                schemes[NO_SCHEME] -= 1
            case Sparse(layout):
                layouts[layout] += 1
            case Nested():
                nested += 1
    return +schemes, layouts, nested


def _are(number: int) -> str:
    return f"{tensors(number)} {are(number)}"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count(number)} {name}" for name, number in counts.items())
