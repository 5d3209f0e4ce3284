"""Solves a guess: the options that fit a file's shapes, and the keys that then still differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.architectures import SIMPLE, TABLE, Options, Signature, TensorSpec, Value
from core.checkpoint import StateDict, TensorEntry
from core.fit.identify.class_heads import (
    AUXILIARY,
    ShortEntry,
    auxiliary_keys,
    is_replaced,
    other_head,
    own_head,
)
from core.fit.index.index import Variation
from core.fit.index.lookup import Profile
from core.fit.index.option_laws import Law
from core.fit.one_module import layer_path
from core.keys import BATCH_COUNTER, Unwrapped, leaf, without_wrappers

MOST_APART = 256
"""If more keys than this are missing below a model's prefix, no other prefix is searched for them.

Batch counters do not count, nor do keys that only an option adds."""


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
    options: Options
    wanted: Signature
    sources: Mapping[str, TensorEntry]
    misshapen: tuple[str, ...]
    adaptable: tuple[str, ...]
    moved: bool
    score: float
    matched: int


@dataclass(frozen=True, slots=True)
class AtPrefix:
    """The file's tensors `below` a prefix, by their paths from there, and the `others`."""

    prefix: str
    below: tuple[ShortEntry, ...]
    others: tuple[ShortEntry, ...]


def at_prefix(prefix: str, state_dict: StateDict, unwrapped: Unwrapped) -> AtPrefix:
    """The place below a prefix of the unwrapped keys."""
    below: list[ShortEntry] = []
    others: list[ShortEntry] = []
    for key, short in unwrapped.keys.items():
        if short.startswith(prefix):
            below.append((short[len(prefix) :], state_dict[key]))
        else:
            others.append((short, state_dict[key]))
    return AtPrefix(prefix, tuple(below), tuple(others))


def solve(profile: Profile, place: AtPrefix, unwrapped: Unwrapped) -> Solved:
    """The profile, with the options that fit the shapes of the tensors below a prefix."""
    sources, unknown, below = _sources(profile, place, unwrapped)
    strange = frozenset(path.rpartition(".")[0] for path, _ in unknown)
    options = _options(profile, sources, strange)
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
        place.prefix,
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
    profile: Profile, place: AtPrefix, unwrapped: Unwrapped
) -> tuple[dict[str, TensorEntry], list[ShortEntry], int]:
    """The file's tensor for each key of the profile, those below the prefix that have no such key,
    and how many are below the prefix.

    Keys that an option adds are keys too; batch counters do not count. A key that is missing below
    the prefix is looked up at the same path below another one, as `head.fc.weight` next to
    `backbone.layer1…`. A head is also looked for at another path, by `other_head`.
    """
    sources: dict[str, TensorEntry] = {}
    unknown: list[ShortEntry] = []
    for path, entry in place.below:
        own = profile.short.get(path)
        if own is None:
            unknown.append((path, entry))
        else:
            sources[own] = entry
    below = sum(not path.endswith(BATCH_COUNTER) for path, _ in place.below)
    head = own_head(profile)
    if is_replaced(profile, sources, unknown):
        sources = {key: entry for key, entry in sources.items() if key not in head.values()}
        return sources, unknown, below
    lacking = [
        own
        for own in profile.short.values()
        if own not in sources and not own.endswith(BATCH_COUNTER)
    ]
    if not lacking or sum(own in profile.signature for own in lacking) > MOST_APART:
        return sources, unknown, below
    copies, apart = _apart(profile, sources, place.others, unwrapped)
    if not any(key in sources or key in apart for key in head.values()):
        taken = {entry.key for entry in apart.values()}
        alone = [
            (path, entry)
            for path, entry in place.others
            if entry.key not in taken
            and not any(path[:start] in copies for start in unwrapped.starts[path])
        ]
        apart |= other_head(profile, place.prefix, unknown, alone)
    outside = {entry.key for _, entry in place.others}
    below += sum(
        entry.key in outside and not own.endswith(BATCH_COUNTER) for own, entry in apart.items()
    )
    return sources | apart, unknown, below


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


def _options(
    profile: Profile, sources: Mapping[str, TensorEntry], strange: Collection[str]
) -> dict[str, Value]:
    """The options that are not at their default, each solved from the tensors' keys and shapes.

    `strange` are the modules of tensors below the prefix that the profile does not know. Options
    of structure come first: a length that depends on several options says one once the others are
    known.
    """
    names = dict.fromkeys(variation.option for variation in profile.variations)
    options: dict[str, Value] = {}
    for option in sorted(names, key=lambda name: (name in SIMPLE, TABLE[name].kind != "size")):
        variations = profile.of_option(option)
        if option in SIMPLE:
            value = _by_presence(option, variations, sources)
        elif option == "no_embed_class" and options.get("class_token") == 0:
            continue  # the length is that of a model without a class token, which is known
        else:
            value = _by_structure(profile, variations, sources, strange, options)
        if value is None and (option in SIMPLE or TABLE[option].kind == "size"):
            value = _by_shapes(profile, option, sources, options)
        if value not in (None, variations[0].default):
            options[option] = value
    if options.get("class_token") == 0 and not _pools_patches(profile, options):
        del options["class_token"]
    return options


def _pools_patches(profile: Profile, options: Mapping[str, Value]) -> bool:
    """Whether the model pools the patch tokens: without, timm builds none that has no class token.

    A model that pools the class token by default has no variation to it.
    """
    pools = {variation.value for variation in profile.of_option("global_pool")}
    return options.get("global_pool", "avg" if "token" in pools else "token") != "token"


def _by_structure(
    profile: Profile,
    variations: Sequence[Variation],
    sources: Mapping[str, TensorEntry],
    strange: Collection[str],
    others: Mapping[str, Value],
) -> Value | None:
    """The value of the variation that the file shows; None if it shows none.

    Of several, the one that adds most, and whose tensors have most of the file's shapes.
    """

    def alike(variation: Variation) -> tuple[int, int]:
        added = variation.added.items()
        return len(added), sum(sources[key].shape == spec.shape for key, spec in added)

    shown = [each for each in variations if _shows(profile, each, sources, strange, others)]
    return max(shown, key=alike).value if shown else None


def _shows(
    profile: Profile,
    variation: Variation,
    sources: Mapping[str, TensorEntry],
    strange: Collection[str],
    others: Mapping[str, Value],
) -> bool:
    """Whether the file has what the variation adds, and nothing that it removes.

    Where it adds nothing, changed lengths must agree; or tensors of several modules are gone, and
    no other tensors are in their place. One that is missing alone may be lost from the file.
    """
    if any(key in sources for key in variation.gone):
        return False
    if variation.added:
        # How many tokens there are is a law's to say.
        sized = TABLE[variation.option].kind == "size"
        return not sized and all(key in sources for key in variation.added)
    reshaped = [key for key in variation.shapes if key in sources]
    if reshaped:
        known = {} if variation.option == "no_embed_class" else others
        return all(_is_reshaped(profile, variation, key, sources, known) for key in reshaped)
    modules = {key.rpartition(".")[0] for key in variation.gone}
    kept = {key for key in profile.signature if key.rpartition(".")[0] in modules}
    if not (kept - {*variation.gone}) <= sources.keys():
        return False  # the whole layer is missing, so the file may have it under another name
    places = {module.rpartition(".")[0] for module in modules}
    return len(modules) > 1 and not variation.shapes and places.isdisjoint(strange)


def _is_reshaped(
    profile: Profile,
    variation: Variation,
    key: str,
    sources: Mapping[str, TensorEntry],
    others: Mapping[str, Value],
) -> bool:
    """Whether the tensor has the variation's shape instead of the profile's, at any image size.

    What the other options add to a length is subtracted.
    """
    lengths, base = sources[key].shape, profile.spec(key).shape
    shape = variation.shapes[key]
    if not len(lengths) == len(base) == len(shape):
        return False
    for axis, (length, before, after) in enumerate(zip(lengths, base, shape, strict=True)):
        found = length - _more(profile, others, key, axis)
        rules = (profile.laws.get(option, {}).get((key, axis)) for option in IMAGE)
        grid = next(filter(None, rules), None)
        patches = before != after and _is_grid(grid, found - after + before)
        if found != after and not patches:
            return False
    return True


def _is_grid(law: Law | None, length: int) -> bool:
    return law is not None and law.option(length) is not None


IMAGE = ("img_size", "image_size")
"""The options of the image's size, on which the number of patches depends."""


def _by_shapes(
    profile: Profile,
    option: str,
    sources: Mapping[str, TensorEntry],
    others: Mapping[str, Value],
) -> Value:
    """The option's value by the lengths of the dimensions that depend on it.

    Each dimension votes for a value by its law; the default takes the vote if it gives the same
    length. `others` are the options that are known: what they add to a length is subtracted. If the
    option has no laws, it is the value of a variation whose shapes the file has.
    """
    default = profile.of_option(option)[0].default
    grids = {place for name in IMAGE for place in profile.laws.get(name, ())}
    ruled = [
        (key, axis, rule)
        for (key, axis), rule in profile.laws[option].items()
        if key in sources
        and axis < len(sources[key].shape)
        and (option in SIMPLE or (key, axis) not in grids)
    ]
    auxiliary = auxiliary_keys(profile)
    main = [(key, axis, rule) for key, axis, rule in ruled if key not in auxiliary]
    lengths = [
        (rule, sources[key].shape[axis] - _more(profile, others, key, axis))
        for key, axis, rule in main or ruled
    ]
    votes = Counter(
        default if isinstance(default, int) and rule.dimension(default) == length else number
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


def _more(profile: Profile, options: Mapping[str, Value], key: str, axis: int) -> int:
    """What the options add to one length of the profile."""
    spec = profile.signature.get(key)
    if spec is None:
        return 0
    shapes = (_changes(profile, option, options).get(key) for option in options)
    return sum(
        shape[axis] - spec.shape[axis]
        for shape in shapes
        if shape is not None and len(shape) == len(spec.shape)
    )


def _has(sources: Mapping[str, TensorEntry], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the file has some of these keys, and all of them in these shapes."""
    agree = [sources[key].shape == shape for key, shape in shapes.items() if key in sources]
    return bool(agree) and all(agree)


def _by_presence(
    option: str, variations: tuple[Variation, ...], sources: Mapping[str, TensorEntry]
) -> Value | None:
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


def with_options(profile: Profile, options: Mapping[str, Value]) -> Signature:
    """The profile's signature with options, by its variations where they have the value, else by
    the laws of the dimensions. A length that several options change is changed by each of them."""
    return _with_classes(profile, _with_variations(profile, options), options)


def _with_variations(profile: Profile, options: Mapping[str, Value]) -> Signature:
    wanted: dict[str, TensorSpec] = dict(profile.signature)
    for option, value in options.items():
        near = _near(profile, option, value)
        for key in near.gone:
            wanted.pop(key, None)
        wanted.update(near.added)
        for key, shape in _changes(profile, option, options).items():
            if key in wanted:
                before = near.added.get(key) or profile.signature.get(key)
                wanted[key] = _of_shape(wanted[key], _changed(wanted[key], before, shape))
    return wanted


def _near(profile: Profile, option: str, value: Value) -> Variation:
    """The variation with this value, else one that has what the option adds."""
    variations = profile.of_option(option)
    exact = (known for known in variations if known.value == value)
    return next(exact, None) or next((each for each in variations if each.value), variations[0])


def _changes(
    profile: Profile, option: str, options: Mapping[str, Value]
) -> dict[str, tuple[int, ...]]:
    """The shapes that one of the options changes, given the others.

    Position embeddings that leave out the tokens before the patches do not depend on them.
    """
    shapes = _shapes(profile, option, options[option])
    if option in TOKENS and options.get("no_embed_class") == 1:
        without = _shapes(profile, "no_embed_class", 1)
        return {key: shape for key, shape in shapes.items() if key not in without}
    return shapes


TOKENS = ("class_token", "reg_tokens", "num_reg_tokens")
"""The options of the tokens before the patches."""


def _shapes(profile: Profile, option: str, value: Value) -> dict[str, tuple[int, ...]]:
    """The shapes that the option alone changes, with this value."""
    near = _near(profile, option, value)
    shapes = dict(near.shapes)
    if near.value != value and isinstance(value, int):
        for (key, axis), rule in profile.laws[option].items():
            spec = near.added.get(key) or profile.signature.get(key)
            if spec is not None and axis < len(spec.shape):
                before = shapes.get(key, spec.shape)
                shapes[key] = (*before[:axis], rule.dimension(value), *before[axis + 1 :])
    return shapes


def _changed(now: TensorSpec, before: TensorSpec | None, after: tuple[int, ...]) -> tuple[int, ...]:
    """The shape now, changed as from `before` to `after`."""
    if before is None or not len(now.shape) == len(before.shape) == len(after):
        return after
    return tuple(
        length + new - old for length, old, new in zip(now.shape, before.shape, after, strict=True)
    )


def _with_classes(
    profile: Profile, wanted: Signature, options: Mapping[str, Value]
) -> dict[str, TensorSpec]:
    """The signature with `num_classes` rows in a head that another option adds.

    The variation of that option was built with the default number of classes.
    """
    classes = options.get("num_classes")
    if not isinstance(classes, int) or not classes:
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
    options: Mapping[str, Value],
) -> Signature:
    """The signature, with the file's shapes for keys that depend on an option by no known law."""
    lawless = {
        key
        for option in options
        if option in SIMPLE
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
