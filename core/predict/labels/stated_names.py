"""Finds the lists of class names in what a checkpoint holds besides its tensors.

A checkpoint is searched as its objects are, not as the metadata shows them: there a set and an
array are lists, bytes are their number, and long lists end early.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol, cast

from core.checkpoint import Checkpoint
from core.checkpoint.pickles import (
    InertArray,
    InertTensor,
    Opaque,
    Tree,
    UnusualKey,
    array_values,
    text_of,
)
from core.predict.labels.label_texts import names_in_text, value_in_text
from core.predict.labels.name_lists import (
    MAX_NAMES,
    NameList,
    NotNamesError,
    name_lists,
    plain_key,
)

DEPTH = 7
"""How many levels deep the names are searched; `hyper_parameters.data.classes` has three, and a
text of JSON in a safetensors file adds some."""

MAX_VALUES = 100_000
"""Values that are looked at in one checkpoint; a training's metadata has some hundreds."""

MAX_PARTS = 16
"""Items of a list that is searched, such as a training's callbacks."""

MAX_TEXT = 2 << 20
"""Characters of JSON that are parsed in one checkpoint; 21,843 names take 0.7 MB."""

_NOUN = r"(?:(?:class|cls|label|name|categor(?:y|ie)|cat|tag|breed|synset|wnid)(?:es|s)?|species)"
_LINK = r"to|2|map|mapping|dict|list|set|encoder|decoder|encoding|lookup|vocab"
_NUMBER = r"ids?|idx|idxs|ind|index|indexes|indices|ix|int|num|number"
_PLURAL = r"classes|labels|names|categories|cats|tags|breeds|synsets|species"
_COMPOUND = re.compile(
    rf"(?=.*(?:class|cls|label|name|categor|cat|tag|breed|synset|species))"
    rf"(?=.*(?:{_PLURAL}|{_LINK}|index|indices))(?:{_NOUN}|{_LINK}|{_NUMBER}|inv|all|i)+"
)
"""A key made only of words for classes and numbers, of which one is a plural or says that the one
stands for the other: `class_to_idx`, `labelsMap`, `category_index`, `class_id_to_name`."""

KEYS = (
    re.compile(
        rf"class(?:es|names|list|labels)|labelnames"
        rf"|(?:{_NUMBER})(?:2|to){_NOUN}|{_NOUN}(?:2|to)(?:{_NUMBER})"
    ),
    _COMPOUND,
    re.compile(
        r"vocab|itos|stoi|[io]2[cil]|[cl]2i|targetnames|le|labelbinarizer|label|class|category"
        r"|mapping|\w*(?:classes|classnames|labelnames|labels)"
    ),
)
"""Keys under which training scripts keep the names, as `plain_key` writes them, the most specific
first: `class_to_idx` is torchvision's ImageFolder's, `id2label` transformers', `names` YOLO's,
`CLASSES` OpenMMLab's, `vocab` fastai's, `classes_` scikit-learn's."""

VAGUE = len(KEYS) - 1
"""The rank of the keys that may as well name something else: no problem is told of these."""

_NO_NAMES = re.compile(r"(?:num|n|number|nb|no)(?:classes|labels|categories|\w*classes)")

SPLITS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing", "eval"))
"""Parts of a data set: no classes, and what lies under one may be the label of each image."""

_NOT_THE_MODELS = re.compile(
    r"(?:^|[\W_])(?:ignored?|excluded?|old|prev(?:ious)?|teachers?|plots?|legends?|charts?|figures?"
    r"|axis|axes|coarse|super)(?:$|[\W_])|superc(?:lass|ategor)"
)
"""A key that says of the names in or under it that they are not those of the model's outputs."""

_NEXT_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")

CONTENTS = ("classes_", "_content", "_val", "items", "itos", "names", "classes", "data")
"""Attributes in which objects keep what they are a list of: scikit-learn's LabelEncoder,
OmegaConf's lists and their items, fastai's CategoryMap, torchtext's Vocab, UserList."""

_HINT = re.compile(r"class|label|categor|names|vocab|idx", re.IGNORECASE)
"""What a text of JSON has in it if it has names under one of the keys."""

WITHOUT_NAMES = frozenset(("_modules", "_parameters", "_buffers", "param_groups"))
"""What a module of PyTorch has besides its own attributes, and the groups of an optimizer, whose
`names` are those of parameters."""


class HasMetadata(Protocol):
    """The part of a Checkpoint that is needed here."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """Everything in the file that is not a tensor."""


@dataclass(frozen=True, slots=True)
class StatedNames:
    """A list of names and where it lies, such as `hyper_parameters.classes`: in the checkpoint, or
    in a `file` beside it."""

    path: str
    names: tuple[str, ...]
    order: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class StatedClasses:
    """What a file says of its classes: its lists of names, the most specific key first.

    `problems` has a clause for each value under such a key that gives no names: `classes is empty`.
    """

    lists: tuple[StatedNames, ...]
    problems: tuple[str, ...]


def stated_classes(checkpoint: HasMetadata) -> StatedClasses:
    """What a checkpoint says of its classes; where it has no names, what the configurations beside
    it say."""
    if not isinstance(checkpoint, Checkpoint):
        return search(checkpoint.metadata)
    found = search(checkpoint.tree)
    for file, config in checkpoint.configs.items():
        beside = () if found.lists else search(config).lists
        if beside:
            return StatedClasses(tuple(replace(each, file=file) for each in beside), found.problems)
    return found


def search(tree: object) -> StatedClasses:
    """What a tree of values says of its classes, wherever the names lie in it."""
    lists: list[tuple[int, int, StatedNames]] = []
    problems: list[tuple[int, int, str]] = []
    for rank, path, key, value in _Search().under(tree, "", DEPTH):
        place = rank, path.count(".")
        try:
            found = _lists_of(value, key)
        except NotNamesError as error:
            problems += [(*place, f"{path} {error}")] if rank < VAGUE else []
            continue
        for each in found:
            if _are_no_classes(each.names, path):
                continue
            where = f"{path}.{each.title}" if len(found) > 1 else path
            lists.append((*place, StatedNames(where, each.names, each.order)))
    lists.sort(key=lambda found: found[:2])
    problems.sort(key=lambda found: found[:2])
    return StatedClasses(tuple(each for *_, each in lists), tuple(each for *_, each in problems))


def _lists_of(value: object, key: str) -> tuple[NameList, ...]:
    plain = unwrapped(value)
    if isinstance(plain, str):
        if len(plain) > MAX_TEXT:
            raise NotNamesError("is too long for a list of names")
        parsed = value_in_text(plain)
        return names_in_text(plain) if parsed is None else name_lists(parsed, key)
    return name_lists(plain, key)


class _Search:
    """One search, with what is left of its bounds."""

    def __init__(self) -> None:
        self.values = MAX_VALUES
        self.characters = MAX_TEXT
        self.visited: set[int] = set()
        self.documents: list[object] = []  # keeps what was parsed: else others get its ids

    def under(self, tree: object, path: str, depth: int) -> Iterator[tuple[int, str, str, object]]:
        """Each value under a key for names, as (rank of the key, path, key, value)."""
        if not depth or id(tree) in self.visited:
            return
        self.visited.add(id(tree))
        for key, value in _children(self.parsed(tree)):
            self.values -= 1
            if self.values < 0:
                return
            if type(value) is InertTensor or value is None or isinstance(value, int | float):
                continue
            name = text_of(cast("Tree", key)) if isinstance(key, Opaque | UnusualKey) else str(key)
            if _NOT_THE_MODELS.search(_NEXT_WORD.sub("_", name[:100]).lower()):
                continue
            where = f"{path}.{name}" if path else name
            rank = _rank(plain_key(name[:100]))
            if rank is not None and not _has_keys(value):
                yield rank, where, name, value
            else:
                yield from self.under(value, where, depth - 1)

    def parsed(self, value: object) -> object:
        """What a text of JSON has in it."""
        if isinstance(value, bytes):
            value = unwrapped(value)
        if not isinstance(value, str) or value[:1] not in ("{", "["):
            return value
        self.characters -= len(value)
        if self.characters < 0 or not _HINT.search(value):
            return value
        try:
            document = value_in_text(value)
        except NotNamesError:
            return None
        self.documents.append(document)
        return document


def _are_no_classes(names: Sequence[str], path: str) -> bool:
    """Whether names are those of a data set's parts, or one for each image."""
    if SPLITS.issuperset(name.lower() for name in names):
        return True
    different = len({*names})
    of_images = SPLITS.intersection(path.lower().split("."))
    return different < len(names) if of_images else different * 2 <= len(names)


def _rank(key: str) -> int | None:
    if _NO_NAMES.fullmatch(key):
        return None
    return next((rank for rank, keys in enumerate(KEYS) if keys.fullmatch(key)), None)


def _has_keys(value: object) -> bool:
    """Whether a value has keys for names itself: `labels: {"classes": [...]}`."""
    return any(
        type(entry) not in _PLAIN
        and isinstance(entry, Mapping | list | tuple | set | InertArray)
        and isinstance(key, str)
        and _rank(plain_key(key[:100])) is not None
        for key, entry in (_children(value) if isinstance(value, Mapping | Opaque) else ())
    )


def _children(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, Mapping):
        yield from ((key, entry) for key, entry in value.items() if key not in WITHOUT_NAMES)
    elif isinstance(value, list | tuple) and len(value) <= MAX_PARTS:
        yield from enumerate(value)
    elif isinstance(value, Opaque):
        yield from value.items.items()
        state = value.state if isinstance(value.state, Mapping) else {}
        content = state.get("_content")
        if isinstance(content, Mapping):  # OmegaConf's own attributes besides are no settings
            yield from content.items()
            return
        yield from ((key, entry) for key, entry in state.items() if key not in WITHOUT_NAMES)


_PLAIN = frozenset((str, int, float, bool))
"""The types of most values, for which a look at each other form would take most of the time."""


def unwrapped(value: object, depth: int = DEPTH) -> object:
    """A value of a checkpoint's tree as plain lists, mappings, sets, texts and numbers.

    None for what has no such form. Texts in bytes are read as UTF-8, else as Windows' letters.
    """
    if type(value) in _PLAIN:
        return value
    if depth < 0:
        return None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("cp1252", "replace")
    if isinstance(value, UnusualKey):
        return unwrapped(value.value, depth - 1)
    if isinstance(value, Opaque):
        return unwrapped(_content_of(value), depth - 1)
    if isinstance(value, InertArray):
        return _rows_of(value, depth)
    if isinstance(value, Mapping) and len(value) <= MAX_NAMES:
        return {
            _plain_side(key, depth): unwrapped(entry, depth - 1) for key, entry in value.items()
        }
    if isinstance(value, list | tuple) and len(value) <= MAX_NAMES:
        return [unwrapped(entry, depth - 1) for entry in value]
    return value if isinstance(value, str | int | float | set | frozenset) else None


def _plain_side(key: object, depth: int) -> object:
    plain = key if type(key) in _PLAIN else unwrapped(key, depth - 1)
    return plain if isinstance(plain, str | int | float) else str(key)


def _content_of(value: Opaque) -> object:
    """What an object is a list or a mapping of."""
    if value.items or value.elements:
        return value.items or value.elements
    state = value.state if isinstance(value.state, Mapping) else {}
    return next((state[name] for name in CONTENTS if name in state), None)


def _rows_of(array: InertArray, depth: int) -> object:
    """An array's values; of two dimensions, its rows."""
    if prod(array.shape) > MAX_NAMES:
        return None
    values = array_values(array, MAX_NAMES)
    if values is None or (array.fortran and len(array.shape) > 1):
        return None
    plain = [unwrapped(each, depth - 1) for each in values]
    if not array.shape:
        return plain[0] if plain else None
    if len(array.shape) != 2:
        return plain
    width = array.shape[1]
    return [plain[at : at + width] for at in range(0, len(plain), width)] if width else None
