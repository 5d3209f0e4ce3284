"""Copies of one network in a state_dict: a student and its teacher, weights and their average.

A network that is there several times is asked two things: in which places a whole copy is, so that
one of them is taken, and whether a recipe took tensors of several.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from core.architectures import Shape, Signature, matrix_form
from core.checkpoint import StateDict, is_float_dtype
from core.keys import (
    MAX_STARTS,
    STATISTICS,
    common_prefix,
    copy_preference,
    names_slow_copy,
    starts,
)
from core.wording import count, counted, listed

AS_MUCH = 0.9
"""A prefix below which a file has this share of the tensors of a model that it has in all is a
place of the model: what it lacks there is a head, which may be elsewhere."""

LEAST = 0.5
"""The least share of a model's matrices below a prefix, for a place of the model."""

MIN_MATRICES = 4
"""The least matrices of a model that is looked for: fewer are in a file by chance."""

MAX_TWINS = 8
"""The most parts at one place of a path that are compared with one another: more are layers."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A place where a file has a whole model: the prefix of the keys, and how many they are."""

    prefix: str
    keys: int

    @property
    def words(self) -> str:
        """The place in words: ``under `teacher.` ``."""
        return f"under `{self.prefix}`" if self.prefix else "without a prefix"


def copies_of(state_dict: StateDict, signature: Signature) -> tuple[Copy, ...]:
    """The places where a file has a model's tensors, the one to use first.

    A place is below one prefix, and has nearly as many tensors of the model's shapes as the whole
    file has; their names may differ from the model's. One place means that nothing need be chosen;
    empty, that no single place has most of the model.
    """
    spelled = undotted(state_dict)
    shapes = {key: entry.shape for key, entry in state_dict.items() if key not in spelled}
    prefixes = _whole_prefixes(shapes, [spec.shape for spec in signature.values()])
    copies = [Copy(prefix, sum(key.startswith(prefix) for key in shapes)) for prefix in prefixes]
    return tuple(sorted(copies, key=lambda copy: copy_preference(copy.prefix)))


def _whole_prefixes(shapes: Mapping[str, Shape], wanted: Iterable[Shape]) -> list[str]:
    """The deepest prefixes that have nearly all tensors that the file and the model share."""
    model = Counter[Shape]()
    for form, times in map(matrix_form, wanted):
        if times:
            model[form] += times
    if model.total() < MIN_MATRICES:
        return []
    below: dict[str, Counter[Shape]] = defaultdict(Counter)
    for key, shape in shapes.items():
        form, times = matrix_form(shape)
        if form in model:
            for start in starts(key, MAX_STARTS):
                below[key[:start]][form] += times
    whole = (below[""] & model).total()
    least = max(AS_MUCH * whole, LEAST * model.total())
    enough = [prefix for prefix, forms in below.items() if (forms & model).total() >= least]
    return [
        prefix
        for prefix in enough
        if not any(other != prefix and other.startswith(prefix) for other in enough)
    ]


def copies_sentence(copies: Sequence[Copy], taken: str) -> str:
    """Which places there are, which one is taken, and how to take another; empty for one place."""
    first = next((copy for copy in copies if copy.prefix == taken), None)
    if first is None or len(copies) < 2:
        return ""
    places = listed([f"{copy.words} ({counted(copy.keys, 'key')})" for copy in copies])
    others = listed([f"`{copy.prefix}*`" for copy in copies if copy is not first and copy.prefix])
    text = (
        f"The file has this network in {len(copies)} places, {places}: the one {first.words} is "
        f"taken{_reason(first.prefix)}."
    )
    return f"{text} To use another, keep only {others} first." if others else text


def _reason(prefix: str) -> str:
    """Why a copy is taken or what its name says: an average, a teacher."""
    if "teacher" in prefix:
        return ", which follows the student as its average and is used after training"
    if names_slow_copy(prefix):
        return ", which reads like an average over training (EMA)"
    return ""


def undotted(state_dict: StateDict) -> dict[str, str]:
    """Keys that spell another key's path without its dots → that key.

    torch allows no dot in a buffer's name, so averages that are buffers write
    `ema_backbone_conv1_weight` (mmcv's EMAHook) or `model_ema.layer10conv1weight` (LitEma) for
    `backbone.conv1.weight` and `layer1.0.conv1.weight`.
    """
    averages = [key for key in state_dict if names_slow_copy(key)]
    if not averages:
        return {}
    plain: dict[str, list[str]] = defaultdict(list)
    for key in state_dict:
        for start in starts(key, MAX_STARTS):
            if "." in key[start:]:
                plain[_letters(key[start:])].append(key)
    spelled: dict[str, str] = {}
    for key in averages:
        name = key.rpartition(".")[2]
        shape = state_dict[key].shape
        twins = (
            other
            for start in _steps(name)
            for other in plain.get(_letters(name[start:]), ())
            if other != key and state_dict[other].shape == shape and not names_slow_copy(other)
        )
        twin = next(twins, None)
        if twin is not None:
            spelled[key] = twin
    return spelled


def undotted_prefix(spelled: Collection[str], state_dict: StateDict) -> str:
    """What these keys without dots begin with, and no other key: `ema_`; empty if nothing."""
    prefix = common_prefix(spelled, "._")
    others = (key for key in state_dict if key not in spelled)
    return "" if any(key.startswith(prefix) for key in others) else prefix


def _letters(path: str) -> str:
    return path.replace(".", "").replace("_", "")


def _steps(name: str) -> list[int]:
    """Where the words of a name that are joined by `_` begin."""
    return [0, *(hit.end() for hit in re.finditer("_", name))][:MAX_STARTS]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Two sets of tensors that a model gets from two copies of one network in the file.

    `one` and `other` name the copies; `counts` says how many tensors are taken of each.
    """

    one: str
    other: str
    counts: tuple[int, int]

    @property
    def sentence(self) -> str:
        """What is mixed, in a sentence."""
        ours, theirs = map(count, self.counts)
        return (
            f"{ours} tensors are taken from `{self.one}` and {theirs} from `{self.other}`, two "
            "copies of one network: that is a mixture of two trainings."
        )


def mixture(state_dict: StateDict, taken: Collection[str], signature: Signature) -> Mixture | None:
    """The two copies from which a recipe takes tensors, if it does not stay within one.

    `taken` are the keys of the file from which the model's parameters come.
    """
    taken = frozenset(taken)
    places = [copy.prefix for copy in copies_of(state_dict, signature)]
    found = [(prefix, sum(key.startswith(prefix) for key in taken)) for prefix in places]
    used = sorted(((number, prefix) for prefix, number in found if number), reverse=True)
    if len(used) > 1:
        (first, one), (second, other) = used[:2]
        return Mixture(one, other, (first, second))
    spelled = undotted(state_dict)
    without, twins = taken & spelled.keys(), taken & frozenset(spelled.values())
    if without and twins:
        names = (
            undotted_prefix(spelled, state_dict) or min(without),
            common_prefix(twins) or min(twins),
        )
        return Mixture(*names, (len(without), len(twins)))
    return next(_mixed_twins(state_dict, taken), None)


def _mixed_twins(state_dict: StateDict, taken: Collection[str]) -> Iterator[Mixture]:
    """Copies below one part of a path, wherever it is: `block.online.conv`, `block.ema.conv`.

    Below two such parts are mostly tensors of the same names and shapes, and of these a recipe
    takes one of each two. Siblings that a model has side by side, such as q and k, are both taken.
    """
    trained = [
        (key, entry.shape)
        for key, entry in state_dict.items()
        if entry.shape and is_float_dtype(entry.dtype) and _leaf(key) not in STATISTICS
    ]
    at_place: dict[tuple[str, str, Shape], list[str]] = defaultdict(list)
    for key, shape in trained:
        parts = key.split(".", MAX_STARTS)
        for at, part in enumerate(parts[:-1]):
            if not part.isdecimal():
                around = ".".join(parts[:at]), ".".join(parts[at + 1 :])
                at_place[*around, shape].append(part)
    shared: Counter[tuple[str, str]] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (before, after, _), parts in at_place.items():
        if 1 < len(parts) <= MAX_TWINS:
            is_taken = {part: _path(before, part, after) in taken for part in sorted({*parts})}
            for pair in combinations(is_taken, 2):
                places[pair].add(before)
                shared[pair] += 1
                both[pair] += is_taken[pair[0]] and is_taken[pair[1]]
    all_below = Counter(key[:start] for key, _ in trained for start in starts(key, MAX_STARTS))
    below = Counter(key[:start] for key in taken for start in starts(key, MAX_STARTS))
    for pair, befores in places.items():
        own = [
            [sum(counts[f"{_path(before, part)}."] for before in befores) for part in pair]
            for counts in (below, all_below)
        ]
        # Half of a convolution and its norm is alike: each has a bias of the same shape.
        if min(own[0]) > 2 * both[pair] and 2 * shared[pair] > min(own[1]):
            yield Mixture(f"{pair[0]}.", f"{pair[1]}.", (own[0][0], own[0][1]))


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _path(*parts: str) -> str:
    return ".".join(filter(None, parts))
