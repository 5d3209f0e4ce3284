"""What a file says of its network beside the tensors: names in its metadata, classes, its name."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from core.architectures import Architecture, Shape, library_in, names_in, spellings
from core.checkpoint import Checkpoint, StateDict
from core.fit.identify.identification import Hints

MIN_LETTERS = 4
"""Of an architecture's name that a file's name may give by chance otherwise."""

MAX_NAMES = 20
"""Names in the metadata that are read, the most telling ones."""

MAX_TWINS = 16
"""State_dicts of the file that are looked at."""

MAX_TEXT = 300
"""Letters of such a name."""


def hints_of(checkpoint: Checkpoint, state_dict: StateDict) -> Hints:
    """The hints of a checkpoint for one of its state_dicts."""
    found = names_in(checkpoint.metadata)[:MAX_NAMES]
    named = tuple((where, text[:MAX_TEXT]) for _, where, text in found)
    outermost = state_dict.classes.get("")
    shapes = _shapes(state_dict)
    twins = tuple(
        path
        for path, other in islice(checkpoint.state_dicts.items(), MAX_TWINS)
        if path != state_dict.path and len(other) == len(state_dict) and _shapes(other) == shapes
    )
    return Hints(named, (outermost,) if outermost else (), checkpoint.name, twins)


def _shapes(state_dict: StateDict) -> Counter[Shape]:
    return Counter(entry.shape for entry in state_dict.values())


def twins_told(hints: Hints) -> Iterator[str]:
    """A sentence on the file's other state_dicts of the same tensors, if there are any."""
    if hints.twins:
        paths = ", ".join(f"`{path}`" for path in hints.twins)
        yield f"The file holds tensors of the same shapes in {paths} too: choose which to use."


@dataclass(frozen=True, slots=True)
class Told:
    """What hints say of one architecture: how early it comes by them, and the facts."""

    rank: tuple[int, ...] = (sys.maxsize,)
    facts: tuple[str, ...] = ()


def told_of(hints: Hints, architecture: Architecture) -> Told:
    """What the hints say of an architecture.

    A name in the metadata comes first, one with its library in front before one without; then a
    class of its library; then the file's name, the longest that it gives; then the class's module.
    """
    named = next(
        (
            (place, how, f"The file says `{where}` is `{text[:80]}`.")
            for place, (where, text) in enumerate(hints.names)
            for how, spelling in enumerate(spellings(text))
            if spelling == architecture.key
            or (spelling == architecture.name and not _is_of_another(text, architecture))
        ),
        None,
    )
    held = next((name for name in hints.classes if _is_of_library(name, architecture)), None)
    called = _is_called(hints.file_name, architecture.name)
    facts = [] if named is None else [named[2]]
    if held is not None:
        facts.append(f"The file holds a `{held[:80]}`.")
    if called:
        facts.append(f"The file is called `{hints.file_name[:80]}`.")
    if not facts:
        return Told()
    place, how = (len(hints.names), 0) if named is None else named[:2]
    rank = place, how, held is None, -called, held is None or not _is_of_module(held, architecture)
    return Told(tuple(int(each) for each in rank), tuple(facts))


def other_name_told(
    hints: Hints, told: Collection[Architecture], known: Collection[Architecture]
) -> Iterator[str]:
    """A sentence where the metadata names a known architecture that is none of those told."""
    names = {one.name for one in told}
    others = {one.name for one in known} - names
    for where, text in hints.names:
        spelled = [spelling.rpartition(":")[2] for spelling in spellings(text)]
        if not names.intersection(spelled) and others.intersection(spelled):
            yield f"The file says `{where}` is `{text[:80]}`, but its tensors are not that one's."
            return


def _is_of_another(text: str, architecture: Architecture) -> bool:
    """Whether a name has another library in front than the architecture's."""
    return library_in(text) not in (None, architecture.library)


def _is_of_library(name: str, architecture: Architecture) -> bool:
    """Whether a class is of the library; torchvision's quantizable networks have their own."""
    path = name.split(".")
    quantized = architecture.name.startswith("quantized_")
    return path[0] == architecture.library and ("quantization" in path) == quantized


def _is_of_module(name: str, architecture: Architecture) -> bool:
    """Whether a class stands in the module that the architecture is called after."""
    plain = architecture.name.removeprefix("quantized_")
    return name.split(".")[-2:-1] in ([plain], [re.sub(r"[\d_].*", "", plain)])


def _is_called(file_name: str, name: str) -> int:
    """The letters of the name that the file's name gives as a word of its own; 0 where not."""
    words = file_name.lower().replace("-", "_")
    wanted = rf"(^|[^a-z0-9]){re.escape(name.lower())}($|[^a-z0-9])"
    return len(name) if len(name) >= MIN_LETTERS and re.search(wanted, words) else 0
