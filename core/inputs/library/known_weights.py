"""Which of a library's weights a file holds, by its name, its digest, or what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

MOST_TEXTS = 20_000
"""Texts of the metadata that are searched; class names may be thousands."""

LONGEST = 200
"""Characters of a text that may name weights; an address has some hundred."""

DEPTH = 8
"""Levels of the metadata that are searched: an entry that was pickled is four deep."""

HASH = re.compile(r"[-_]([0-9a-f]{8,64})(?![0-9a-z])")
"""The first digits of a file's SHA-256, with which a file's name ends for torch.hub;
behind a `_` in those of quantized models."""

REST_OF_A_NAME = r"(?: ?\(\d+\))?(?:\.[a-z]\w*)*$"
"""What follows the hash where a file is the one that was downloaded: the number of a copy, endings.
`-7classes` or `_finetuned` says that it is another."""


class OpenedFile(Protocol):
    """The part of a Checkpoint that says what its images are."""

    @property
    def name(self) -> str:
        """The file's name, or its folder's."""

    @property
    def identity(self) -> str:
        """`sha256:` and the digest of its contents, where that is known; else another text."""

    @property
    def folder(self) -> str:
        """The folders in which it lies, as far as they are known."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """Everything in the file that is not a tensor."""

    @property
    def configs(self) -> Mapping[str, object]:
        """The configurations beside it, by their names; None for one that cannot be read."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How files name one of a library's weights: by `names` wherever they stand, by `tag` only
    where it is called one, because others may say `in1k` too, and by its address."""

    names: tuple[str, ...]
    url: str
    tag: str = ""


def weights_of(file: OpenedFile | None, known: Sequence[Weights]) -> tuple[int, str] | None:
    """The place in `known` of the weights in a file, and how it is known; None if nothing tells."""
    if file is None:
        return None
    hashes = [HASH.findall(weights.url.rpartition("/")[2])[-1:] for weights in known]
    digest = file.identity.removeprefix("sha256:") if file.identity.startswith("sha256:") else ""
    for number, found in enumerate(hashes):
        if found and digest.startswith(found[0]):
            return number, "by its SHA-256"
    for number, found in enumerate(hashes):
        if found and re.search(rf"[-_]{found[0]}{REST_OF_A_NAME}", file.name):
            return number, "by its file name"
    for text, how in ((file.name, "by its file name"), (file.folder, "by its folder")):
        for number, weights in enumerate(known):
            if any(_is_in(name, text) for name in weights.names if "." in name):
                return number, how
    for key, text in _texts({**file.metadata, **file.configs}):
        for number, weights in enumerate(known):
            names = (*weights.names, weights.url, *([weights.tag] if key == "tag" else []))
            if text in names or re.split(r"[/:]", text)[-1] in names:
                return number, "named in the file"
    return None


def _is_in(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _texts(metadata: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The texts of the metadata, each with its key."""
    return islice(_below("", metadata, DEPTH), MOST_TEXTS)


def _below(key: str, value: object, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if 0 < len(value) <= LONGEST:
            yield key, value
    elif depth and isinstance(value, Mapping):
        for name, part in value.items():
            yield from _below(str(name), part, depth - 1)
    elif depth and isinstance(value, list):
        for part in value:
            yield from _below(key, part, depth - 1)
