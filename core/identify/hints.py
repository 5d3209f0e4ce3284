"""What a file says of its network beside the tensors: names in its metadata, classes, its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from core.architectures import Architecture
from core.checkpoint import Checkpoint
from core.checkpoint.entries import StateDict
from core.identify.words import Hints
from core.stated_architecture import names_in, spellings

MIN_LETTERS = 4
"""Of an architecture's name that a file's name may give by chance otherwise."""


def hints_of(checkpoint: Checkpoint, state_dict: StateDict) -> Hints:
    """The hints of a checkpoint for one of its state_dicts."""
    named = tuple((where, text) for _, where, text in names_in(checkpoint.metadata))
    outermost = state_dict.classes.get("")
    return Hints(named, (outermost,) if outermost else (), checkpoint.name)


def hinted(hints: Hints, architectures: Mapping[str, Architecture]) -> dict[str, str]:
    """For the names that hints give of these architectures, by their keys: what gives it.

    Names of metadata come before classes, and these before the file's name.
    """
    found: dict[str, str] = {}
    for key, why in _told(hints, architectures):
        found.setdefault(key, why)
    return found


def _told(hints: Hints, architectures: Mapping[str, Architecture]) -> Iterator[tuple[str, str]]:
    for where, text in hints.names:
        wanted = set(spellings(text))
        for key, architecture in architectures.items():
            if {architecture.name, key} & wanted:
                yield key, f"The file says `{where}` is `{text[:80]}`."
    for name in hints.classes:
        module = name.split(".")
        for key, architecture in architectures.items():
            if (
                architecture.library == module[0]
                and module[-2:-1]
                and module[-2]
                in (
                    architecture.name,
                    re.sub(r"[\d_].*", "", architecture.name),
                )
            ):
                yield key, f"The file holds a `{name[:80]}`."
    stem = hints.file_name.lower().replace("-", "_")
    for key, architecture in sorted(architectures.items(), key=lambda item: -len(item[1].name)):
        name = architecture.name.lower()
        if len(name) >= MIN_LETTERS and re.search(
            rf"(^|[^a-z0-9]){re.escape(name)}($|[^a-z0-9])", stem
        ):
            yield key, f"The file is called `{hints.file_name[:80]}`."
