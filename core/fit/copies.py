"""Copies of one network in a state_dict: a student and its teacher, weights and their average.

A network that is there several times is asked two things: in which places a whole copy is, so that
one of them is taken, and whether a recipe took tensors of several.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from core.architectures import Shape, Signature, matrix_form
from core.checkpoint import StateDict, is_float_dtype
from core.keys import (
    LEAVES,
    MAX_STARTS,
    STATISTICS,
    Unwrapped,
    common_prefix,
    copy_preference,
    follows_others,
    names_optimizer_state,
    names_slow_copy,
    starts,
)
from core.wording import count, counted, listed

AS_MUCH = 0.8
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
    file has; their names may differ from the model's. Empty if there are fewer than two: then
    nothing need be chosen.
    """
    spelled = undotted(state_dict)
    shapes = {key: entry.shape for key, entry in state_dict.items() if key not in spelled}
    whole = _whole_prefixes(shapes, [spec.shape for spec in signature.values()])
    prefixes = [
        prefix for prefix in _without_common_end(whole) if not names_optimizer_state(prefix)
    ]
    if len(prefixes) < 2:
        return ()
    keys = keys_by_place(shapes, prefixes)
    copies = [Copy(prefix, keys[prefix]) for prefix in prefixes]
    return tuple(sorted(copies, key=lambda copy: copy_preference(copy.prefix)))


def keys_by_place(keys: Iterable[str], places: Iterable[str]) -> Counter[str]:
    """For each prefix, how many of the keys are below it and below no longer one of them."""
    known = frozenset(places)
    if not known:
        return Counter()
    owners = (owning_place(key, known) for key in keys)
    return Counter(owner for owner in owners if owner is not None)


def owning_place(key: str, places: Collection[str]) -> str | None:
    """The longest of the prefixes that a key is below; None if it is below none."""
    return next((key[:at] for at in reversed(starts(key, MAX_STARTS)) if key[:at] in places), None)


def _whole_prefixes(shapes: Mapping[str, Shape], wanted: Iterable[Shape]) -> list[str]:
    """The prefixes that have nearly all tensors that the file and the model share, in its order.

    Empty if the file has too few of these tensors for two such prefixes. Of prefixes inside one
    another it is the deepest, and another one if it has as much beside it, as the weights at the
    top of a file do that has their average below `ema.`.
    """
    model = Counter[Shape]()
    for form, times in map(matrix_form, wanted):
        if times:
            model[form] += times
    if model.total() < MIN_MATRICES:
        return []
    forms = {key: matrix_form(shape) for key, shape in shapes.items()}
    shared = Counter[Shape]()
    for form, times in forms.values():
        if form in model:
            shared[form] += times
    least = max(AS_MUCH * (shared & model).total(), LEAST * model.total())
    if shared.total() < 2 * least:
        return []
    below: dict[str, Counter[Shape]] = defaultdict(Counter)
    for key, (form, times) in forms.items():
        if form in model:
            for start in starts(key, MAX_STARTS):
                below[key[:start]][form] += times
    whole_prefixes: list[str] = []
    inside: dict[str, Counter[Shape]] = defaultdict(Counter)
    for prefix in sorted(below, key=len, reverse=True):
        beside = below[prefix] - inside[prefix]
        if (beside & model).total() >= least:
            whole_prefixes.append(prefix)
            for start in starts(prefix, MAX_STARTS):
                inside[prefix[:start]] += beside
    order = {prefix: at for at, prefix in enumerate(below)}
    return sorted(whole_prefixes, key=order.__getitem__)


def _without_common_end(prefixes: Sequence[str]) -> list[str]:
    """Several prefixes without the modules that all of them end with.

    The blocks below `student.blocks.` and `teacher.blocks.` are nearly all of a network, but what
    is beside them, such as an embedding, is of the same copy.
    """
    if len(prefixes) < 2:
        return list(prefixes)
    paths = [prefix.split(".")[:-1] for prefix in prefixes]
    same = 0
    while all(len(path) > same for path in paths) and len({path[-1 - same] for path in paths}) == 1:
        same += 1
    return ["".join(f"{part}." for part in path[: len(path) - same]) for path in paths]


def copies_sentence(copies: Sequence[Copy], taken: Iterable[str]) -> str:
    """Which places there are, from which one keys are taken, and how to take another.

    Empty if nothing is taken from any.
    """
    used = keys_by_place(taken, [copy.prefix for copy in copies])
    first = next((copy for copy in copies if used[copy.prefix]), None)
    if first is None:
        return ""
    places = listed([f"{copy.words} ({counted(copy.keys, 'key')})" for copy in copies])
    others = listed([f"`{copy.prefix}*`" for copy in copies if copy is not first])
    # What is beside all copies, such as a head that they share, stays if one of them is dropped.
    step = f"drop `{first.prefix}*`" if first.prefix else f"keep only {others}"
    return (
        f"The file has this network in {len(copies)} places, {places}: the one {first.words} is "
        f"taken{copy_words(first.prefix)}. To use another, {step} first."
    )


def copy_words(path: str) -> str:
    """Why a copy is taken or what its path says: an average, a teacher. It begins with a comma."""
    if "teacher" in path:
        return ", which follows the student as its average and is used after training"
    if names_slow_copy(path):
        return ", which reads like an average over training (EMA)"
    return ""


def without_other_copies(unwrapped: Unwrapped, state_dict: StateDict) -> Unwrapped:
    """The keys without those of a copy of which the file has the network to use too.

    Left out are an average, below whose prefix, such as `ema.`, are nearly all the paths and shapes
    of keys outside it, or whose names spell the paths of the weights without dots; and a copy below
    any prefix, such as `best.`, of the network that is at the top of the file.
    """
    others = {
        *_averages(unwrapped, state_dict),
        *_copies_of_the_top(unwrapped, state_dict),
        *undotted(state_dict),
    }
    if others.isdisjoint(unwrapped.keys):
        return unwrapped
    keys = {key: short for key, short in unwrapped.keys.items() if key not in others}
    return replace(unwrapped, keys=keys)


def _copies_of_the_top(unwrapped: Unwrapped, state_dict: StateDict) -> Iterator[str]:
    """The keys below prefixes under which is most of what is at the top, and nothing more."""
    top = {short: state_dict[key].shape for key, short in unwrapped.keys.items()}
    shared = Counter(
        short[:at]
        for key, short in unwrapped.keys.items()
        for at in unwrapped.starts[short][1:]
        if top.get(short[at:]) == state_dict[key].shape
    )
    for prefix, number in shared.items():
        if not number >= LEAST * (len(top) - number):
            continue
        keys = [key for key, short in unwrapped.keys.items() if short.startswith(prefix)]
        if len(keys) == number and copy_preference("") < copy_preference(prefix):
            yield from keys


def _averages(unwrapped: Unwrapped, state_dict: StateDict) -> Iterator[str]:
    """The keys below prefixes of averages, whose paths and shapes are nearly all outside too."""
    if not any(map(names_slow_copy, unwrapped.keys.values())):
        return
    tails: dict[str, dict[tuple[str, Shape], str]] = defaultdict(dict)
    weights: list[tuple[str, str]] = []
    for key, short in unwrapped.keys.items():
        begins = unwrapped.starts[short]
        named = names_slow_copy(short)
        at = next((at for at in begins[1:] if named and follows_others(short[:at])), None)
        if at is None:
            weights.append((key, short))
        else:
            tails[short[:at]][short[at:], state_dict[key].shape] = key
    wanted = {tail for below in tails.values() for tail in below}
    found = {
        tail
        for key, short in (weights if wanted else ())
        for at in unwrapped.starts[short]
        if (tail := (short[at:], state_dict[key].shape)) in wanted
    }
    for below in tails.values():
        if len(below.keys() & found) >= AS_MUCH * len(below):
            yield from below.values()


def undotted(state_dict: StateDict) -> dict[str, str]:
    """Keys that spell another key's path without its dots → that key.

    torch allows no dot in a buffer's name, so averages that are buffers write
    `ema_backbone_conv1_weight` (mmcv's EMAHook) or `model_ema.layer10conv1weight` (LitEma) for
    `backbone.conv1.weight` and `layer1.0.conv1.weight`.
    """
    averages = [key for key in state_dict if names_slow_copy(key) and _leaf(key) not in LEAVES]
    if not averages:
        return {}
    shapes = {state_dict[key].shape for key in averages}
    plain: dict[str, list[str]] = defaultdict(list)
    for key, entry in state_dict.items():
        if entry.shape not in shapes or names_slow_copy(key):
            continue
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
            if state_dict[other].shape == shape
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
        one, other = (
            f"from `{name}`" if name else "without a prefix" for name in (self.one, self.other)
        )
        return (
            f"{ours} tensors are taken {one} and {theirs} {other}, two copies of one network: "
            "that is a mixture of two trainings."
        )


def mixture(
    state_dict: StateDict, taken: Collection[str], copies: Iterable[Copy]
) -> Mixture | None:
    """The two copies from which a recipe takes tensors, if it does not stay within one.

    `taken` are the keys of the file from which the model's parameters come, `copies` the places
    where the file has the model.
    """
    taken = frozenset(taken)
    used = keys_by_place(taken, [copy.prefix for copy in copies]).most_common(2)
    if len(used) > 1:
        (one, first), (other, second) = used
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
    if all(key in taken for key, _ in trained):
        return
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
    if not shared:
        return
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
