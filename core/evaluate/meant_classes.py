"""Which class of a model each label of a set of images means: by its name, never by a guess."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from core.predict import Labels
from core.predict.labels import imagenet_labels
from core.wording import count, counted

WORDNET_ID = re.compile(r"n\d{8}")
"""What the folders of ImageNet are called: the offset of a noun in WordNet 3.0."""

ENOUGH_ALIKE = 0.9
"""The share of a model's 1,000 names that must be ImageNet's in their places: lists differ in a few
names, such as `maillot` and `sunglasses`."""


@dataclass(frozen=True, slots=True)
class MeantClasses:
    """The class of each label that has one, and the labels without one, in order.

    `note` is a sentence where classes were found by something else than their names, or why they
    were not; else it is empty.
    """

    indices: Mapping[str, int]
    unmapped: tuple[str, ...] = ()
    note: str = ""


def map_classes(found: Collection[str], labels: Labels) -> MeantClasses:
    """The classes of a model that the labels of a set of images name.

    A label is a class's name, or differs from it only in case or in `_`, `-` and spaces. Where no
    label is a name: WordNet's ids are classes of a model that has ImageNet's names in its usual
    order, and numbers are indexes, each only if every label is one. A name of two classes is none.
    """
    order = sorted(found)
    exact = _by_name(labels.names, str)
    alike = _by_name(labels.names, _alike)
    classes = {label: exact.get(label) or alike.get(_alike(label)) or [] for label in order}
    indices = {label: places[0] for label, places in classes.items() if len(places) == 1}
    several = [label for label, places in classes.items() if len(places) > 1]
    if indices or several:
        note = ""
        if several:
            what = "label is the name" if len(several) == 1 else "labels are each the name"
            note = f"{count(len(several))} {what} of several classes."
        return _mapping(order, indices, note)
    if order and all(WORDNET_ID.fullmatch(label) for label in order):
        return _by_wordnet(order, labels)
    if order and all(label.isdecimal() and label.isascii() for label in order):
        return _by_index(order, len(labels.names))
    return _mapping(order, {})


def _mapping(order: Sequence[str], indices: Mapping[str, int], note: str = "") -> MeantClasses:
    return MeantClasses(indices, tuple(each for each in order if each not in indices), note)


def _by_name(names: Sequence[str], form: Callable[[str], str]) -> Mapping[str, Sequence[int]]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        places[form(name)].append(index)
    return places


def _alike(name: str) -> str:
    """A name without what file systems and lists of names write differently."""
    return " ".join(re.split(r"[\s_-]+", name.casefold())).strip()


def _by_wordnet(order: Sequence[str], labels: Labels) -> MeantClasses:
    before = _before_imagenet(labels.names)
    if before is None:
        note = "The labels are WordNet's ids, and the model's names are not ImageNet's 1,000."
        return _mapping(order, {}, note)
    from timm.data import ImageNetInfo

    places = {each: index for index, each in enumerate(ImageNetInfo().label_names())}
    indices = {label: places[label] + before for label in order if label in places}
    note = "The labels are WordNet's ids, taken as ImageNet's 1,000 classes in their usual order."
    return _mapping(order, indices, note)


def _before_imagenet(names: Sequence[str]) -> int | None:
    """How many classes stand before ImageNet's 1,000 in their usual order; None if they do not."""
    usual = imagenet_labels()
    before = len(names) - len(usual)
    if before not in (0, 1):  # one: the background class of TensorFlow's models
        return None
    pairs = zip(names[before:], usual, strict=True)
    same = sum(_alike(name.partition(",")[0]) == _alike(own) for name, own in pairs)
    return before if same >= ENOUGH_ALIKE * len(usual) else None


def _by_index(order: Sequence[str], classes: int) -> MeantClasses:
    numbers = {label: int(label) for label in order}
    if max(numbers.values()) >= classes:
        note = (
            f"The labels are numbers up to {max(numbers.values())}, and the model has "
            f"{counted(classes, 'class')}, which count from 0: they are no indexes of it."
        )
        return _mapping(order, {}, note)
    note = "The labels are numbers, taken as the indexes of the classes, which count from 0."
    return _mapping(order, numbers, note)
