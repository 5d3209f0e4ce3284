"""Which of a library's weights a file holds, by its name, its digest, or what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from core.inputs.statements import mapping

LONGEST = 200
"""Characters of a text that may name weights; an address has some hundred."""

DEPTH = 8
"""Levels of the metadata that are searched: an entry that was pickled is four deep."""

MOST_TEXTS = 2_000
"""Texts under such keys that are looked at."""

OWN = frozenset(
    {
        *("model", "model_name", "model_id", "model_type", "arch", "architecture", "backbone"),
        *("encoder", "encoder_name", "base_model", "timm_model_name", "weights", "weight"),
        *("pretrained", "pretrained_weights", "checkpoint", "init_weights", "initial_checkpoint"),
        *("hf_hub_id", "url", "tag", "name_or_path", "_name_or_path"),
    }
)
"""Keys that say what the model itself is, or what its training started from. Any other text that
is the name of weights, such as a teacher's, says nothing on these."""

AROUND = frozenset(
    {
        *("__metadata__", "meta", "metadata", "args", "opt", "opts", "options", "hparams"),
        *("hyper_parameters", "hyperparameters", "config", "config.json", "cfg", "params"),
        *("model_cfg", "model_config", "model_args", "model_kwargs", "pretrained_cfg"),
        *("default_cfg", "datamodule_hyper_parameters", "init_args"),
    }
)
"""Keys of mappings that are on the model itself as a whole."""

OF_TIMM = frozenset({"pretrained_cfg", "default_cfg", "config.json"})
"""Mappings whose `tag` timm itself writes and reads: they say which config the model has."""

HASH = re.compile(r"[-_]([0-9a-f]{8,64})\.[a-z]+$")
"""The first digits of a file's SHA-256, with which its address ends for torch.hub; behind a `_` in
those of quantized models."""

COPY = r"(?: ?\(\d+\)| - Copy| copy)?"
"""What a browser or a file manager adds to the name of a copy."""

ENDING = r"\.(?:safetensors|bin|pth|pt)"
"""How a file ends that is named by nothing but its weights."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""How the weights are called in a repository of the Hugging Face Hub, which has their name."""


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

    @property
    def file_name(self) -> str:
        """The name of the file at the address."""
        return self.url.rpartition("/")[2]

    @property
    def first_digits(self) -> str:
        """The first digits of the file's SHA-256, if its name tells them."""
        found = HASH.search(self.file_name)
        return found[1] if found else ""

    @property
    def full_names(self) -> tuple[str, ...]:
        """Those names that no other model's weights have too."""
        return tuple(name for name in self.names if "." in name)

    def is_file(self, name: str) -> bool:
        """Whether a file has the name of the download, or is called as the weights are, with
        nothing besides but the number of a copy."""
        stem, dot, ending = self.file_name.rpartition(".")
        known = [re.escape(stem) + COPY + re.escape(dot + ending)] if self.first_digits else []
        known += [re.escape(full) + COPY + ENDING for full in self.full_names]
        return any(re.fullmatch(each, name) for each in known)

    def is_folder(self, path: str) -> bool:
        """Whether a folder is a copy of the weights' repository on the Hugging Face Hub, or where
        its cache has it."""
        *above, last = path.rstrip("/").split("/")
        if above[-1:] == ["snapshots"]:
            last = "".join(above[-2:-1]).removeprefix("models--timm--")
        return last in self.full_names

    def is_tagged(self, tags: Sequence[str]) -> bool:
        """Whether one of the tags is that of the weights."""
        return bool(self.tag) and any(tag in (self.tag, *self.full_names) for tag in tags)

    def is_one_of(self, names: Sequence[str]) -> bool:
        """Whether one of the texts is a name of the weights, or their address."""
        return any(name in (*self.names, self.url) for name in names if name)

    def is_in(self, text: str) -> bool:
        """Whether a text has a full name, or the digits of the download, in it somewhere."""
        words = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in self.full_names]
        words += [rf"[-_]{self.first_digits}(?![0-9a-z])"] if self.first_digits else []
        return any(re.search(word, text) for word in words)


@dataclass(frozen=True, slots=True)
class Told:
    """Which of the known weights a file tells of, by its place, and how; `certain` if only that
    file itself is called so, and not one that may only have started from it."""

    number: int
    how: str
    certain: bool


def weights_of(file: OpenedFile | None, known: Sequence[Weights]) -> Told | None:
    """The weights that a file holds, or likely started from; None if nothing tells."""
    if file is None:
        return None
    digest = file.identity.removeprefix("sha256:") if file.identity.startswith("sha256:") else ""
    folder = file.folder if file.name in HUB_FILES else ""
    said = list(islice(_texts((), {**file.metadata, **file.configs}, DEPTH), MOST_TEXTS))
    of_timm = [text for path, text in said if path[-1] == "tag" and OF_TIMM & {*path}]
    names = [part for path, text in said if path[-1] != "tag" for part in (text, _last(text))]
    tags = [text for path, text in said if path[-1] == "tag"]
    ways: tuple[tuple[str, bool, Callable[[Weights], bool]], ...] = (
        ("by its SHA-256", True, lambda one: digest.startswith(one.first_digits or " ")),
        ("by its file name", True, lambda one: one.is_file(file.name)),
        ("by its folder", True, lambda one: one.is_folder(folder)),
        ("named in the file", True, lambda one: one.is_tagged(of_timm)),
        ("by its file name", False, lambda one: one.is_in(file.name)),
        ("by its folder", False, lambda one: one.is_in(file.folder)),
        ("named in the file", False, lambda one: one.is_tagged(tags) or one.is_one_of(names)),
    )
    for how, certain, tells in ways:
        for number, weights in enumerate(known):
            if tells(weights):
                return Told(number, how, certain)
    return None


def _last(text: str) -> str:
    """What a repository or an address ends with."""
    return re.split(r"[/:]", text)[-1]


def _texts(
    path: tuple[str, ...], tree: Mapping[str, object], depth: int
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts under keys on the model itself, each with the keys that lead to it; a tag with the
    architecture that stands beside it, if one does."""
    for key, stated in tree.items():
        name = str(key).lower()
        if name not in OWN | AROUND:
            continue
        value = mapping(stated) or stated
        if name == "tag" and isinstance(tree.get("architecture"), str):
            value = f"{tree['architecture']}.{stated}"
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and name in OWN and 0 < len(part) <= LONGEST:
                yield (*path, name), part
            elif depth and isinstance(part, Mapping):
                yield from _texts((*path, name), part, depth - 1)
