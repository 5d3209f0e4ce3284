"""Solves a guess: the options that fit a file's shapes, and the keys that then still differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict, TensorEntry
from core.fit.identify.class_heads import (
    AUXILIARY,
    ShortEntry,
    auxiliary_keys,
    is_replaced,
    other_head,
    own_head,
)
from core.fit.identify.guessing import Guess
from core.fit.index.index import Variation
from core.fit.index.lookup import Lookup, Profile
from core.fit.one_module import layer_path
from core.keys import BATCH_COUNTER, Unwrapped, leaf, without_wrappers

MOST_APART = 256
"""If more keys than this are missing below a model's prefix, no other prefix is searched for them.

Batch counters do not count."""


@dataclass(frozen=True, slots=True)
class Solved:
    """A profile with the options that fit the file.

    `options` are those that are not at their default, and `wanted` is the signature with them.
    `sources` maps keys of `wanted` to the file's tensors. `misshapen` are the keys whose shapes
    differ; `adaptable` those that differ in their input channels alone, which a fix can change.
    `moved`: the head has another path. `matched` counts the model's keys that agree, and `score` is
    their share, 0 to 1, of the keys of both sides; missing and misshapen keys count twice.
    """

    profile: Profile
    prefix: str
    options: tuple[tuple[str, int], ...]
    wanted: Signature
    sources: Mapping[str, TensorEntry]
    misshapen: tuple[str, ...]
    adaptable: tuple[str, ...]
    moved: bool
    score: float
    matched: int


def solve(guess: Guess, state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup) -> Solved:
    """The profile of a guess, with the options that fit the file's shapes."""
    profile = lookup.profile(guess.row)
    sources, below = _sources(profile, guess.prefix, state_dict, unwrapped)
    options = dict(_options(profile, sources))
    for option in _other_auxiliary(profile, with_options(profile, options), sources):
        options.pop(option, None)
        if profile.of_option(option)[0].default:
            options[option] = 0
    wanted = _as_in_the_file(profile, with_options(profile, options), sources, options)
    counted = [key for key in wanted if not key.endswith(BATCH_COUNTER)]
    different = [
        key for key in counted if key in sources and sources[key].shape != wanted[key].shape
    ]
    adaptable = tuple(
        key
        for key in different
        if key in profile.input_keys and _but_channels(sources[key]) == _but_channels(wanted[key])
    )
    wrong = set(different) - set(adaptable)
    matched = [key for key in counted if key in sources and key not in wrong]
    missing = sum(key not in sources for key in counted)
    used = sum(key in wanted for key in sources if not key.endswith(BATCH_COUNTER))
    return Solved(
        profile,
        guess.prefix,
        tuple(sorted(options.items())),
        wanted,
        {key: entry for key, entry in sources.items() if key in wanted},
        tuple(key for key in different if key in wrong),
        adaptable,
        any(
            _is_moved(own, sources[own], unwrapped)
            for own in own_head(profile).values()
            if own in sources
        ),
        len(matched) / max(1, len(counted) + max(0, below - used) + missing + len(wrong)),
        len(matched),
    )


def _is_moved(own: str, entry: TensorEntry, unwrapped: Unwrapped) -> bool:
    return not f".{unwrapped.keys[entry.key]}".endswith(f".{without_wrappers(own)}")


def _sources(
    profile: Profile, prefix: str, state_dict: StateDict, unwrapped: Unwrapped
) -> tuple[dict[str, TensorEntry], int]:
    """The file's tensor for each key of the profile, and how many tensors are below the prefix.

    Keys that an option adds are keys too; batch counters do not count. A key that is missing below
    the prefix is looked up at the same path below another one, as `head.fc.weight` next to
    `backbone.layer1…`. A head is also looked for at another path, by `other_head`.
    """
    sources: dict[str, TensorEntry] = {}
    inside: list[ShortEntry] = []
    others: list[ShortEntry] = []
    below = 0
    for key, short in unwrapped.keys.items():
        if not short.startswith(prefix):
            others.append((short, state_dict[key]))
            continue
        below += not short.endswith(BATCH_COUNTER)
        path = short[len(prefix) :]
        own = profile.short.get(path)
        if own is None:
            inside.append((path, state_dict[key]))
        else:
            sources[own] = state_dict[key]
    head = own_head(profile)
    if is_replaced(profile, sources, inside):
        sources = {key: entry for key, entry in sources.items() if key not in head.values()}
        return sources, below
    lacking = sum(
        own not in sources and not own.endswith(BATCH_COUNTER) for own in profile.short.values()
    )
    if not 0 < lacking <= MOST_APART:
        return sources, below
    copies, apart = _apart(profile, sources, others, unwrapped)
    if not any(key in sources or key in apart for key in head.values()):
        taken = {entry.key for entry in apart.values()}
        alone = [
            (path, entry)
            for path, entry in others
            if entry.key not in taken
            and not any(path[:start] in copies for start in unwrapped.starts[path])
        ]
        apart |= other_head(profile, prefix, inside, alone)
    outside = {entry.key for _, entry in others}
    below += sum(
        entry.key in outside and not own.endswith(BATCH_COUNTER) for own, entry in apart.items()
    )
    return sources | apart, below


def _apart(
    profile: Profile,
    sources: Mapping[str, TensorEntry],
    others: Sequence[ShortEntry],
    unwrapped: Unwrapped,
) -> tuple[set[str], dict[str, TensorEntry]]:
    """The prefixes of copies, and the missing keys' tensors below other prefixes.

    A copy is another set of the same weights, such as an average. Of a layer, either all tensors
    that are there are taken, or none; and none if the layer has tensors from another place.
    """
    copies: set[str] = set()
    likely: list[tuple[str, int, str, TensorEntry]] = []
    for short, entry in others:
        for start in unwrapped.starts[short]:
            own = profile.short.get(short[start:])
            if own is None:
                continue
            if own in sources:
                copies.add(short[:start])
            else:
                likely.append((short, start, own, entry))
    layers: dict[tuple[str, str], dict[str, TensorEntry]] = {}
    for short, start, own, entry in likely:
        fronts = (short[:cut] for cut in unwrapped.starts[short] if cut <= start)
        if not any(front in copies for front in fronts):
            layers.setdefault((short[:start], own.rpartition(".")[0]), {})[own] = entry
    apart: dict[str, TensorEntry] = {}
    filled = {layer_path(own) for own in sources if leaf(own)}
    for tensors in layers.values():
        own_layers = {layer_path(own) for own in tensors if leaf(own)}
        if filled.isdisjoint(own_layers) and all(
            own not in apart and _alike(entry, profile.spec(own)) for own, entry in tensors.items()
        ):
            apart |= tensors
            filled |= own_layers
    return copies, apart


def _alike(entry: TensorEntry, spec: TensorSpec) -> bool:
    """Whether the shapes agree in all but the first dimension, which is a head's classes."""
    return len(entry.shape) == len(spec.shape) and entry.shape[1:] == spec.shape[1:]


def _but_channels(tensor: TensorEntry | TensorSpec) -> tuple[int, ...]:
    return tensor.shape[:1] + tensor.shape[2:]


def _options(profile: Profile, sources: Mapping[str, TensorEntry]) -> Iterator[tuple[str, int]]:
    """The options that are not at their default, each solved from the tensors' shapes."""
    for option in dict.fromkeys(variation.option for variation in profile.variations):
        variations = profile.of_option(option)
        default = variations[0].default
        value = _by_presence(option, variations, sources)
        if value is None:
            value = _by_shapes(profile, option, sources)
        if value != default:
            yield option, value


def _by_shapes(profile: Profile, option: str, sources: Mapping[str, TensorEntry]) -> int:
    """The option's value by the lengths of the dimensions that depend on it.

    Each dimension votes for a value by its law; the default takes the vote if it gives the same
    length. If the option has no laws, it is the value of a variation whose shapes the file has.
    """
    default = profile.of_option(option)[0].default
    ruled = [
        (key, axis, rule)
        for (key, axis), rule in profile.laws[option].items()
        if key in sources and axis < len(sources[key].shape)
    ]
    auxiliary = auxiliary_keys(profile)
    main = [(key, axis, rule) for key, axis, rule in ruled if key not in auxiliary]
    lengths = [(rule, sources[key].shape[axis]) for key, axis, rule in main or ruled]
    votes = Counter(
        default if rule.dimension(default) == length else number
        for rule, length in lengths
        if (number := rule.option(length)) is not None
    )
    if votes:
        return votes.most_common(1)[0][0]
    return next(
        (
            variation.value
            for variation in profile.of_option(option)
            if not profile.laws[option] and _has(sources, variation.shapes)
        ),
        default,
    )


def _has(sources: Mapping[str, TensorEntry], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the file has some of these keys, and all of them in these shapes."""
    agree = [sources[key].shape == shape for key, shape in shapes.items() if key in sources]
    return bool(agree) and all(agree)


def _by_presence(
    option: str, variations: tuple[Variation, ...], sources: Mapping[str, TensorEntry]
) -> int | None:
    """The option's value by the tensors that it removes or adds; None if these do not decide."""
    for variation in variations:
        if variation.value == 0 and variation.gone:
            return None if any(key in sources for key in variation.gone) else 0
        if option.startswith(AUXILIARY) and variation.value == 1 and variation.added:
            return int(any(key in sources for key in variation.added))
        if option == "num_classes" and variation.default == 0:
            return None if any(key in sources for key in variation.added) else 0
    return None


def _other_auxiliary(
    profile: Profile, wanted: Signature, sources: Mapping[str, TensorEntry]
) -> frozenset[str]:
    """The options of auxiliary heads whose shapes in the file differ from the wanted ones.

    Such a head has other classes than the main head. Only training needs it, so it is left out.
    """
    return frozenset(
        variation.option
        for variation in profile.variations
        if variation.option.startswith(AUXILIARY)
        for key in (*variation.gone, *variation.added)
        if key in wanted and key in sources and sources[key].shape != wanted[key].shape
    )


def with_options(profile: Profile, options: Mapping[str, int]) -> Signature:
    """The profile's signature with options, by its variations where they have the value, else by
    the laws of the dimensions."""
    return _with_classes(profile, _with_variations(profile, options), options)


def _with_variations(profile: Profile, options: Mapping[str, int]) -> Signature:
    wanted: dict[str, TensorSpec] = dict(profile.signature)
    for option, value in options.items():
        variations = profile.of_option(option)
        exact = next((known for known in variations if known.value == value), None)
        near = exact or next((known for known in variations if known.value), variations[0])
        for key in near.gone:
            wanted.pop(key, None)
        wanted.update(near.added)
        for key, shape in near.shapes.items():
            if key in wanted:
                wanted[key] = _of_shape(wanted[key], shape)
        if exact is None:
            for (key, axis), rule in profile.laws[option].items():
                if key in wanted and axis < len(wanted[key].shape):
                    before = wanted[key].shape
                    after = (*before[:axis], rule.dimension(value), *before[axis + 1 :])
                    wanted[key] = _of_shape(wanted[key], after)
    return wanted


def _with_classes(
    profile: Profile, wanted: Signature, options: Mapping[str, int]
) -> dict[str, TensorSpec]:
    """The signature with `num_classes` rows in a head that another option adds.

    The variation of that option was built with the default number of classes.
    """
    classes = options.get("num_classes")
    if not classes:
        return dict(wanted)
    default = profile.of_option("num_classes")[0].default
    added = {
        key
        for option in options
        if option != "num_classes"
        for variation in profile.of_option(option)
        for key in variation.added
    }
    return {
        key: _of_shape(spec, (classes, *spec.shape[1:]))
        if key in added and spec.shape[:1] == (default,)
        else spec
        for key, spec in wanted.items()
    }


def _of_shape(spec: TensorSpec, shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(shape, spec.dtype, spec.kind)


def _as_in_the_file(
    profile: Profile,
    wanted: Signature,
    sources: Mapping[str, TensorEntry],
    options: Mapping[str, int],
) -> Signature:
    """The signature, with the file's shapes for keys that depend on an option by no known law."""
    lawless = {
        key
        for option in options
        for variation in profile.of_option(option)
        for key in variation.shapes
        if not any(key == ruled for ruled, _ in profile.laws[option])
    }
    if not lawless:
        return wanted
    return {
        key: _of_shape(spec, sources[key].shape)
        if key in lawless and key in sources and len(sources[key].shape) == len(spec.shape)
        else spec
        for key, spec in wanted.items()
    }
