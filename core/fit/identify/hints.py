"""What a file says of its model besides the tensors: names in its metadata, classes, its name."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from core.architectures import Architecture, Shape, library_in, names_in, spellings
from core.checkpoint import Checkpoint, StateDict, nearly_alike
from core.fit.copies import copy_words
from core.fit.identify.identification import Hints
from core.fit.identify.source_names import key_style, unlike_source
from core.keys import COMPUTED, STATISTICS

MIN_LETTERS = 4
"""Shorter names of architectures may be in a file's name by chance."""

MAX_NAMES = 20
"""The most names in the metadata that are read, the most specific first."""

MAX_TWINS = 16
"""The most state_dicts of the file that are compared with the chosen one."""

MAX_TEXT = 300
"""The most characters of a name in the metadata that are read."""


def hints_of(checkpoint: Checkpoint, state_dict: StateDict) -> Hints:
    """What a checkpoint says, besides the tensors, of one of its state_dicts."""
    names = names_in(checkpoint.metadata)[:MAX_NAMES]
    named = tuple((where, text[:MAX_TEXT]) for _, where, text in names)
    outermost = state_dict.classes.get("")
    twins, near_twins = _twins(checkpoint, state_dict)
    classes = (outermost,) if outermost else ()
    return Hints(named, classes, checkpoint.name, twins, near_twins, state_dict.path)


def _twins(
    checkpoint: Checkpoint, state_dict: StateDict
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths of the other state_dicts of the same shapes, and of those of nearly the same."""
    shapes, own = _shapes(state_dict), state_dict.path
    twins, near_twins = [], []
    for path, other in islice(checkpoint.choices.items(), MAX_TWINS):
        # A part of the network, or one that it is a part of, is no other copy.
        one_network = path in checkpoint.parts(own) or own in checkpoint.parts(path)
        if one_network or checkpoint.roles[path] == "optimizer":
            continue
        others = _shapes(other)
        if others == shapes:
            twins.append(path)
        elif nearly_alike(others, shapes):
            near_twins.append(path)
    return tuple(twins), tuple(near_twins)


def _shapes(state_dict: StateDict) -> Counter[Shape]:
    """How many tensors have each shape, without buffers: an average may be of parameters alone."""
    return Counter(
        entry.shape
        for key, entry in state_dict.items()
        if entry.shape and key.rpartition(".")[2] not in STATISTICS | COMPUTED
    )


def remarks(
    checkpoint: Checkpoint, state_dict: StateDict, architecture: Architecture
) -> tuple[str, ...]:
    """What a fit does not show, in sentences: that the code whose key names a state_dict has
    computes something else than the architecture, and where the file has other copies."""
    unlike = unlike_source(key_style(state_dict), architecture)
    return *filter(None, [unlike]), *twins_sentence(hints_of(checkpoint, state_dict))


def twins_sentence(hints: Hints) -> Iterator[str]:
    """Sentences on the file's other state_dicts of the same or nearly the same shapes, if any."""
    for alike, twins in (("the same", hints.twins), ("nearly the same", hints.near_twins)):
        if twins:
            paths = ", ".join(f"`{path}`" if path else "its top level" for path in twins)
            yield (
                f"The file also contains tensors of {alike} shapes in {paths}: choose which to use."
            )
    if (hints.twins or hints.near_twins) and (why := copy_words(hints.path)):
        yield f"`{hints.path}` is taken{why}."


@dataclass(frozen=True, slots=True)
class Hinted:
    """What the hints say for one architecture: its rank, the least first, and sentences."""

    rank: tuple[int, ...] = (sys.maxsize,)
    facts: tuple[str, ...] = ()


def hinted_at(hints: Hints, architecture: Architecture) -> Hinted:
    """What the hints say for an architecture.

    Ranked first is a name in the metadata, with its library in front before without; then a class
    of its library; then the longest name in the file's name; then the class's module.
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
    class_name = next((name for name in hints.classes if _is_of_library(name, architecture)), None)
    letters = _letters_in_file_name(hints.file_name, architecture.name)
    facts = [] if named is None else [named[2]]
    if class_name is not None:
        facts.append(f"The file contains a `{class_name[:80]}`.")
    if letters:
        facts.append(f"The file is called `{hints.file_name[:80]}`.")
    if not facts:
        return Hinted()
    place, how = (len(hints.names), 0) if named is None else named[:2]
    other_module = class_name is None or not _is_of_module(class_name, architecture)
    rank = place, how, class_name is None, -letters, other_module
    return Hinted(tuple(map(int, rank)), tuple(facts))


def contradicting_name(
    hints: Hints, candidates: Collection[Architecture], known: Collection[Architecture]
) -> Iterator[str]:
    """A sentence if the metadata names a known architecture that is not among the candidates."""
    names = {architecture.name for architecture in candidates}
    others = {architecture.name for architecture in known} - names
    for where, text in hints.names:
        spelled = [spelling.rpartition(":")[2] for spelling in spellings(text)]
        if not names.intersection(spelled) and others.intersection(spelled):
            yield (
                f"The file says `{where}` is `{text[:80]}`, but its tensors are not those of that "
                "architecture."
            )
            return


def _is_of_another(text: str, architecture: Architecture) -> bool:
    """Whether a name begins with a library that is not the architecture's."""
    return library_in(text) not in (None, architecture.library)


def _is_of_library(name: str, architecture: Architecture) -> bool:
    """Whether a class is of the architecture's library.

    torchvision's quantizable models have classes of their own, in its package `quantization`.
    """
    path = name.split(".")
    quantized = architecture.name.startswith("quantized_")
    return path[0] == architecture.library and ("quantization" in path) == quantized


def _is_of_module(name: str, architecture: Architecture) -> bool:
    """Whether a class is in the Python module that the architecture is named after."""
    plain = architecture.name.removeprefix("quantized_")
    return name.split(".")[-2:-1] in ([plain], [re.sub(r"[\d_].*", "", plain)])


def _letters_in_file_name(file_name: str, name: str) -> int:
    """The length of an architecture's name that is a word of the file's name; 0 if it is not."""
    words = file_name.lower().replace("-", "_")
    wanted = rf"(^|[^a-z0-9]){re.escape(name.lower())}($|[^a-z0-9])"
    return len(name) if len(name) >= MIN_LETTERS and re.search(wanted, words) else 0
