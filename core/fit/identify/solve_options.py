"""One guess worked out: the options that a file's shapes ask for, and what then remains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict, TensorEntry
from core.fit.identify.class_heads import (
    AUXILIARY,
    Placed,
    auxiliary_keys,
    is_replaced,
    other_head,
    own_head,
)
from core.fit.identify.guessing import Guess
from core.fit.index.index import Variation
from core.fit.index.lookup import Lookup, Profile
from core.keys import BATCH_COUNTER, Unwrapped, without_wrappers

MOST_APART = 256
"""Keys, batch counters apart, that a model may lack below its prefix, for them to be looked for
elsewhere."""


@dataclass(frozen=True, slots=True)
class Solved:
    """A profile with the options that the file asks for.

    `options` are those that are not at their default, `wanted` the signature with them. `sources`
    say which of the file's tensors is meant by a key of it. `misshapen` are those of another shape,
    `adaptable` those of another number of input channels, which a fix can change; `moved` says that
    the head has another path. `score` is the share of the keys of both sides that agree, missing
    and misshapen ones counted twice, `matched` how many of the model's do.
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
    """Work out a guess."""
    profile = lookup.profile(guess.row)
    sources, below = _sources(profile, guess.prefix, state_dict, unwrapped)
    options = dict(_options(profile, sources))
    for option in _too_much(profile, with_options(profile, options), sources):
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
    """For each key of the profile, also those that an option adds, the file's tensor for it; and
    how many of the file's tensors, batch counters apart, stand below the prefix.

    What is missing there is taken from the same path below another prefix, as `head.fc.weight`
    beside `backbone.layer1…`, and a head from another path too, as `other_head` finds it.
    """
    found: dict[str, TensorEntry] = {}
    inside: list[Placed] = []
    others: list[Placed] = []
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
            found[own] = state_dict[key]
    head = own_head(profile)
    if is_replaced(profile, found, inside):
        found = {key: entry for key, entry in found.items() if key not in head.values()}
        return found, below
    lacking = sum(
        own not in found and not own.endswith(BATCH_COUNTER) for own in profile.short.values()
    )
    if not 0 < lacking <= MOST_APART:
        return found, below
    copies, apart = _apart(profile, found, others, unwrapped)
    if not any(key in found or key in apart for key in head.values()):
        taken = {entry.key for entry in apart.values()}
        alone = [
            (path, entry)
            for path, entry in others
            if entry.key not in taken
            and not any(path[:start] in copies for start in unwrapped.starts[path])
        ]
        apart |= other_head(profile, prefix, inside, alone)
    beside = {entry.key for _, entry in others}
    below += sum(
        entry.key in beside and not own.endswith(BATCH_COUNTER) for own, entry in apart.items()
    )
    return found | apart, below


def _apart(
    profile: Profile,
    found: Mapping[str, TensorEntry],
    others: Sequence[Placed],
    unwrapped: Unwrapped,
) -> tuple[set[str], dict[str, TensorEntry]]:
    """The prefixes below which stands another set of the same weights, such as an average of them;
    and from below other prefixes what is missing, of a layer all that stands there, or nothing."""
    copies: set[str] = set()
    likely: list[tuple[str, int, str, TensorEntry]] = []
    for short, entry in others:
        for start in unwrapped.starts[short]:
            own = profile.short.get(short[start:])
            if own is None:
                continue
            if own in found:
                copies.add(short[:start])
            else:
                likely.append((short, start, own, entry))
    layers: dict[tuple[str, str], dict[str, TensorEntry]] = {}
    for short, start, own, entry in likely:
        fronts = (short[:each] for each in unwrapped.starts[short] if each <= start)
        if not any(front in copies for front in fronts):
            layers.setdefault((short[:start], own.rpartition(".")[0]), {})[own] = entry
    apart: dict[str, TensorEntry] = {}
    for tensors in layers.values():
        if all(
            own not in apart and _alike(entry, profile.spec(own)) for own, entry in tensors.items()
        ):
            apart |= tensors
    return copies, apart


def _alike(entry: TensorEntry, spec: TensorSpec) -> bool:
    """Whether a head's tensor may be the one that is wanted, with other classes."""
    return len(entry.shape) == len(spec.shape) and entry.shape[1:] == spec.shape[1:]


def _but_channels(tensor: TensorEntry | TensorSpec) -> tuple[int, ...]:
    return tensor.shape[:1] + tensor.shape[2:]


def _options(profile: Profile, sources: Mapping[str, TensorEntry]) -> Iterator[tuple[str, int]]:
    """The options that are not at their default, each solved from the tensors' shapes."""
    for option in dict.fromkeys(each.option for each in profile.variations):
        variations = profile.of_option(option)
        default = variations[0].default
        value = _by_presence(option, variations, sources)
        if value is None:
            value = _by_shapes(profile, option, sources)
        if value != default:
            yield option, value


def _by_shapes(profile: Profile, option: str, sources: Mapping[str, TensorEntry]) -> int:
    """The value that most dimensions give by their laws; without laws that of a variation which
    has the very shapes. The default where it has them, though others have them too."""
    default = profile.of_option(option)[0].default
    ruled = [
        (key, axis, rule)
        for (key, axis), rule in profile.laws[option].items()
        if key in sources and axis < len(sources[key].shape)
    ]
    auxiliary = auxiliary_keys(profile)
    main = [each for each in ruled if each[0] not in auxiliary]
    lengths = [(rule, sources[key].shape[axis]) for key, axis, rule in main or ruled]
    told = Counter(
        default if rule.dimension(default) == length else number
        for rule, length in lengths
        if (number := rule.option(length)) is not None
    )
    if told:
        return told.most_common(1)[0][0]
    return next(
        (
            each.value
            for each in profile.of_option(option)
            if not profile.laws[option] and _has(sources, each.shapes)
        ),
        default,
    )


def _has(sources: Mapping[str, TensorEntry], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the file has tensors of some of these shapes, and none of another."""
    found = [sources[key].shape == shape for key, shape in shapes.items() if key in sources]
    return bool(found) and all(found)


def _by_presence(
    option: str, variations: tuple[Variation, ...], sources: Mapping[str, TensorEntry]
) -> int | None:
    """The value that takes tensors away which the file lacks, or adds some that it has."""
    for each in variations:
        if each.value == 0 and each.gone:
            return None if any(key in sources for key in each.gone) else 0
        if option.startswith(AUXILIARY) and each.value == 1 and each.added:
            return int(any(key in sources for key in each.added))
        if option == "num_classes" and each.default == 0:
            return None if any(key in sources for key in each.added) else 0
    return None


def _too_much(
    profile: Profile, wanted: Signature, sources: Mapping[str, TensorEntry]
) -> frozenset[str]:
    """The options of auxiliary heads that the file has for other classes than the main one: only a
    training needs them, and the network can do without."""
    return frozenset(
        each.option
        for each in profile.variations
        if each.option.startswith(AUXILIARY)
        for key in (*each.gone, *each.added)
        if key in wanted and key in sources and sources[key].shape != wanted[key].shape
    )


def with_options(profile: Profile, options: Mapping[str, int]) -> Signature:
    """The profile's signature under options: variations that are at hand, or their laws."""
    return _with_classes(profile, _with_variations(profile, options), options)


def _with_variations(profile: Profile, options: Mapping[str, int]) -> Signature:
    wanted: dict[str, TensorSpec] = dict(profile.signature)
    for option, value in options.items():
        variations = profile.of_option(option)
        exact = next((each for each in variations if each.value == value), None)
        near = exact or next((each for each in variations if each.value), variations[0])
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
    """The signature with the classes of a head that another option adds: they are by default in
    the shapes of that option's variation."""
    classes = options.get("num_classes")
    if not classes:
        return dict(wanted)
    default = profile.of_option("num_classes")[0].default
    added = {
        key
        for option in options
        if option != "num_classes"
        for each in profile.of_option(option)
        for key in each.added
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
    """Shapes that depend on a solved option by no law that is known: taken from the file."""
    lawless = {
        key
        for option in options
        for each in profile.of_option(option)
        for key in each.shapes
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
