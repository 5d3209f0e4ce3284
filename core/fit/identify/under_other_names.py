"""A model whose tensors a file has under other names: its options, and the way to its names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.architectures import Shape, squeezed
from core.checkpoint import StateDict
from core.fit.identify.candidate_repair import Repaired, applied, stripped
from core.fit.identify.solve_options import with_options
from core.fit.index.index import Variation
from core.fit.index.lookup import Lookup, Profile
from core.fit.index.shape_forms import ShapeLikeness, form
from core.fit.key_match import match
from core.fit.proposals.whole_repairs import fixes_of, gaining_ideas, whole_repair
from core.fixes import Recipe
from core.keys import Unwrapped

TRIED = 4
"""Profiles that are worked out, those of the most alike shapes."""

FAR = 0.02
"""How much less alike than the first a profile may be, to be worked out still while none fits."""

BEHIND = 0.01
"""How much less its worth than the best one's may be, for a profile to be told; and how much less
alike it may be once one fits."""

FILLED = 0.9
"""The share of a network's keys that must find their tensor."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """A profile that a recipe fills from the file.

    `options` are those that are not at their default, `repaired` the recipe with what comes of it,
    `why` sentences on how the tensors were told. `worth` is how alike the shapes are, by what is
    filled of the network and used of the file, and by how sure that is.
    """

    profile: Profile
    prefix: str
    options: tuple[tuple[str, int], ...]
    repaired: Repaired
    why: tuple[str, ...]
    worth: float

    @property
    def place(self) -> tuple[float, int]:
        """What it is sorted by among others."""
        found = self.repaired.found
        return -self.worth, len(found.missing_keys) + len(found.mismatched)


def renamed(state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup) -> list[Renamed]:
    """The profiles whose tensors the file has, whatever their names, in no order.

    They are found by shapes, and each tensor's place by aligning names and order, so that a tensor
    of the file stands behind nearly every key of the network, and behind what takes the image: a
    language model has all else of a vision transformer.
    """
    shapes = {key: state_dict[key].shape for key in unwrapped.keys}
    good: list[Renamed] = []
    alike = lookup.forms.alike(shapes, TRIED)
    for like in alike:
        fits = any(one.repaired.found.fits for one in good)
        if like.share < alike[0].share - (BEHIND if fits else FAR):
            break
        one = _worked_out(like, state_dict, lookup)
        if one is not None and _is_filled(one):
            good.append(one)
    best = max((one.worth for one in good), default=0.0)
    return [one for one in good if one.worth >= best - BEHIND]


def _is_filled(one: Renamed) -> bool:
    inputs, found = set(one.profile.input_keys), one.repaired.found
    return found.coverage_keys >= FILLED and inputs <= set(found.matched)


def _worked_out(like: ShapeLikeness, state_dict: StateDict, lookup: Lookup) -> Renamed | None:
    profile = lookup.profile(like.row)
    strip = tuple(stripped(like.prefix, state_dict))
    made = applied(strip, state_dict, profile.signature)
    if made is None:
        return None
    below, beside = made
    options = _options(profile, [entry.shape for entry in below.values()])
    wanted = with_options(profile, options)
    ideas = whole_repair(below, wanted, gaining_ideas(below, wanted))
    made = applied(fixes_of(ideas), below, wanted)
    if made is None:
        return None
    repaired, dropped = made
    found = match(repaired, wanted)
    kept = min(1.0, repaired.numel / max(1, below.numel))
    sure = min((idea.sure for idea in ideas), default=1.0)
    why = tuple(idea.why for idea in ideas if idea.aligned)
    return Renamed(
        profile,
        like.prefix,
        tuple(sorted(options.items())),
        Repaired(Recipe.of((*strip, *fixes_of(ideas))), found, beside + dropped),
        why,
        round(like.share * found.coverage_parameters * kept * sure, 3),
    )


def _options(profile: Profile, shapes: Sequence[Shape]) -> dict[str, int]:
    """The options that are not at their default, by the shapes that no fixed part of the model has.

    A dimension that an option rules tells its value where the rest of its shape is there. Of all
    options the one whose dimensions agree best is solved first, and what told it tells no other.
    """
    left = _left(profile, shapes)
    open_options = set(profile.laws)
    solved: dict[str, int] = {}
    while open_options:
        told = {option: _told(profile, option, left) for option in sorted(open_options)}
        option = max(told, key=lambda option: told[option][:2])
        _, _, value = told[option]
        open_options.remove(option)
        for (key, axis), rule in profile.laws[option].items():
            wanted, length = profile.spec(key).shape, rule.dimension(value)
            told_by = next((one for one in left if _length(wanted, axis, one) == length), None)
            if told_by is not None:
                left.remove(told_by)
        if value != profile.of_option(option)[0].default:
            solved[option] = value
    return solved


def _told(profile: Profile, option: str, left: Sequence[Shape]) -> tuple[float, bool, int]:
    """The share of the dimensions that an option rules which tell a value, whether that is the
    default, and the value; where none tells any, that without the tensors it can take away.

    Vectors are alike too often to tell a value alone.
    """
    variations = profile.of_option(option)
    default = variations[0].default
    by_key: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for (key, axis), rule in profile.laws[option].items():
        wanted = profile.spec(key).shape
        is_matrix = form(wanted)[1] > 0
        lengths = {_length(wanted, axis, shape) for shape in left}
        if rule.dimension(default) in lengths:
            by_key[is_matrix][default] += 1
            continue
        # A square matrix is a layer rather than a head of as many classes as it has inputs.
        lengths -= {None, *(length for at, length in enumerate(wanted) if at != axis)}
        by_key[is_matrix].update(filter(None, map(rule.option, filter(None, lengths))))
    told, vectors = by_key[True], by_key[False]
    told.update({value: vectors[value] for value in told})
    value, count = told.most_common(1)[0] if told else (default, 0)
    share = count / max(1, len(profile.laws[option]))
    # Positions are a matrix of the width of a head too, but have no bias.
    if not told or (option == "num_classes" and value != default and share < 1):
        absent = any(each.value == 0 and _lacks(profile, each, left) for each in variations)
        return 0.0, False, 0 if absent else default
    return share, value == default, value


def _lacks(profile: Profile, each: Variation, left: Sequence[Shape]) -> bool:
    """Whether most tensors that a variation takes away are not among the shapes."""
    there = sum((Counter(_parts(shape)) for shape in left), Counter[Shape]())
    gone = sum((Counter(_parts(profile.spec(key).shape)) for key in each.gone), Counter[Shape]())
    return 2 * (gone & there).total() < gone.total()


def _left(profile: Profile, shapes: Sequence[Shape]) -> list[Shape]:
    """What is left of the shapes without those of the tensors that no option changes."""
    varied = {key for each in profile.variations for key in (*each.shapes, *each.gone)}
    fixed: Counter[Shape] = Counter()
    for key, spec in profile.signature.items():
        if key not in varied:
            fixed.update(_parts(spec.shape))
    left = []
    for shape in shapes:
        parts = Counter(_parts(shape))
        if parts <= fixed:
            fixed -= parts
        else:
            left.append(shape)
    return left


def _parts(shape: Shape) -> dict[Shape, int]:
    one, times = form(shape)
    return {one: times} if times else {squeezed(shape): 1}


def _length(wanted: Shape, axis: int, shape: Shape) -> int | None:
    """The length that a shape has along `axis` where it is the wanted one but for this length, and
    for dimensions of 1; None where it is not."""
    if len(shape) != len(wanted):
        axis = sum(length != 1 for length in wanted[:axis])
        wanted, shape = squeezed(wanted), squeezed(shape)
    if len(shape) != len(wanted) or axis >= len(shape):
        return None
    alike = wanted[:axis] == shape[:axis] and wanted[axis + 1 :] == shape[axis + 1 :]
    return shape[axis] if alike else None
