"""The architecture that a checkpoint's own metadata names, such as `arch: resnet18`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.architectures.registry import Architecture

NAMING_KEYS = ("arch", "architecture", "model_name", "model_arch", "model", "backbone", "net")
"""Metadata keys under which training scripts save the name, the most reliable first:
`arch` by torch's ImageNet example and timm, `model_name` by users of Lightning."""

DEPTH = 3
"""How many levels of the metadata are searched: `hyper_parameters.model.arch` is found."""


@dataclass(frozen=True, slots=True)
class Stated:
    """The architecture that a file's metadata names; `where` is the path to the name there."""

    architecture: Architecture
    where: str


def stated_architecture(
    metadata: Mapping[str, object], catalogue: Sequence[Architecture]
) -> Stated | None:
    """The first of the catalogue's architectures that the metadata names, or None.

    Where two libraries have an architecture of that name, the first in the catalogue is taken,
    unless the name contains its library (`timm/resnet18`, `torchvision.models.resnet18`).
    """
    by_name: dict[str, Architecture] = {}
    for architecture in catalogue:
        by_name.setdefault(architecture.name, architecture)
        by_name.setdefault(architecture.plain_key, architecture)
    for _, where, text in names_in(metadata):
        for spelling in spellings(text):
            if spelling in by_name:
                return Stated(by_name[spelling], where)
    return None


def names_in(metadata: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """The names in the metadata, each as (naming key, path, text), the most reliable first."""
    return sorted(_names(metadata, "", DEPTH), key=lambda naming: NAMING_KEYS.index(naming[0]))


def _names(tree: Mapping[str, object], path: str, depth: int) -> Iterator[tuple[str, str, str]]:
    for key, value in tree.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, str) and str(key).lower() in NAMING_KEYS:
            yield str(key).lower(), where, value
        elif isinstance(value, Mapping) and depth > 1:
            yield from _names(value, where, depth - 1)


def library_in(text: str) -> str | None:
    """The library that a name contains as a separate part, or None.

    `timm/resnet18` names one; a path through `/home/optimmer/` does not.
    """
    parts = re.split(r"[/:.]", text.strip())
    return next((library for library in ("torchvision", "timm") if library in parts), None)


def spellings(text: str) -> Iterator[str]:
    """The ways in which a catalogue may spell the name that a file gives.

    `hf-hub:timm/resnet18.a1_in1k` → `timm:resnet18.a1_in1k`, `timm:resnet18`, …
    """
    library = library_in(text)
    last = re.split(r"[/:]", text.strip())[-1].removeprefix("torchvision.models.")
    lower = last.lower()
    for name in (last, lower, lower.replace("-", "_"), lower.replace("-", "")):
        for spelling in (name, name.split(".")[0]):
            if library:
                yield f"{library}:{spelling}"
            yield spelling
