"""A model whose tensors a file has under other keys: its options, and the recipe that renames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.architectures import SIMPLE, Options, Shape, Value, matrix_form, squeezed
from core.checkpoint import StateDict
from core.fit.fitness import fit_of
from core.fit.identify.candidate_repair import (
    Repaired,
    adapted_input_channels,
    applied,
    prefix_fixes,
)
from core.fit.identify.solve_options import with_options
from core.fit.identify.source_names import KeyStyle, computes
from core.fit.index.index import Variation
from core.fit.index.lookup import Lookup, Profile
from core.fit.index.shape_forms import ShapeLikeness
from core.fit.proposals.proposal import Idea
from core.fit.proposals.whole_repairs import fixes_of, gaining_ideas, whole_repair
from core.fixes import AddBatchStatistics, Recipe, RenameTable
from core.keys import Unwrapped, folded_scales, names_projection

TRIED = 4
"""The most profiles that are solved, those of the most alike shapes."""

LIKENESS_GAP = 0.02
"""How much lower the share of common tensors of a profile may be than that of the first profile, so
that it is still solved, if none fits yet."""

WORTH_GAP = 0.01
"""How much lower than the best the worth of a profile may be, so that it is still listed. Once a
profile fits, also in place of LIKENESS_GAP."""

FILLED = 0.9
"""The least share of a model's keys that must match."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """A profile that a recipe fills from the file.

    `options` are those that are not at their default. `worth`, 0 to 1, is a product: how alike the
    shapes are, the shares that are filled of the model and used of the file, and the confidence of
    the alignment. `partial`: another profile fits too, and leaves out less, such as a head.
    """

    profile: Profile
    prefix: str
    options: Options
    repaired: Repaired
    worth: float
    partial: bool = False

    @property
    def rank(self) -> tuple[bool, bool, float, int]:
        """A sort key: what fits first, and last of that what is partial; then the greatest worth,
        then the fewest keys that do not match."""
        match = self.repaired.match
        differ = len(match.missing_keys) + len(match.mismatched)
        return not self.repaired.fits, self.partial, -self.worth, differ


def under_other_names(
    state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup, source: KeyStyle | None
) -> list[Renamed]:
    """The profiles whose tensors the file has under whatever keys, in no order.

    `source` is the code that is known by the file's keys: a profile that computes what it does is
    listed whatever its worth if it fits.

    The profiles are found by their shapes, and each tensor's key by an alignment. Nearly every key
    of the model must get a tensor, and so must the layer that takes the image.
    """
    shapes = {key: state_dict[key].shape for key in unwrapped.keys}
    for key in folded_scales(shapes):  # A model has the statistics of a folded BatchNorm too.
        shapes |= {f"{key}_{statistic}": shapes[key] for statistic in ("mean", "var")}
    filled: list[Renamed] = []
    alike = lookup.forms.alike(shapes, TRIED)
    for like in alike:
        fits = any(profile.repaired.fits for profile in filled)
        if like.share < alike[0].share - (WORTH_GAP if fits else LIKENESS_GAP):
            break
        solved = _solved(like, state_dict, lookup)
        if solved is not None and _is_filled(solved):
            filled.append(solved)
    best = max((profile.worth for profile in filled), default=0.0)
    least = [frozenset(each.repaired.left_out) for each in filled if each.repaired.fits]
    return [
        replace(profile, partial=any(left < {*profile.repaired.left_out} for left in least))
        for profile in filled
        if profile.worth >= best - WORTH_GAP
        or (
            profile.repaired.fits
            and any(computes(source, a) for a in profile.profile.architectures)
        )
    ]


def _is_filled(solved: Renamed) -> bool:
    match = solved.repaired.match
    # A language model has all layers of a vision transformer but the one that takes the image.
    return match.coverage_keys >= FILLED and set(solved.profile.input_keys) <= set(match.matched)


def _solved(like: ShapeLikeness, state_dict: StateDict, lookup: Lookup) -> Renamed | None:
    """The profile with its options and recipe; None if the recipe cannot be applied."""
    profile = lookup.profile(like.row)
    strip = tuple(prefix_fixes(like.prefix, state_dict))
    result = applied(strip, state_dict, profile.signature)
    if result is None:
        return None
    below, outside = result
    options = _options(profile, _shapes_as_of_torch(below))
    wanted = with_options(profile, options)
    ideas = whole_repair(below, wanted, gaining_ideas(below, wanted))
    result = applied(fixes_of(ideas), below, wanted)
    if result is None:
        return None
    repaired, dropped = result
    fit = fit_of(state_dict, repaired, wanted)
    why = tuple(idea.why for idea in ideas if idea.aligned or _is_named(idea))
    kept = min(1.0, repaired.numel / max(1, below.numel))
    sure = min((idea.sure for idea in ideas), default=1.0)
    return Renamed(
        profile,
        like.prefix,
        tuple(sorted(options.items())),
        Repaired(
            Recipe.of((*strip, *fixes_of(ideas))),
            fit,
            outside + dropped,
            tuple(key for idea in ideas for key in idea.unsure),
            _with(why, fit.copies, fit.by_values),
            adapted_input_channels(repaired),
        ),
        round(like.share * fit.match.coverage_parameters * kept * sure, 3),
    )


def _with(why: tuple[str, ...], *more: str) -> tuple[str, ...]:
    """The reasons, and those sentences that none of them has yet."""
    return (*why, *(each for each in more if not any(each in told for told in (*why, ""))))


def _shapes_as_of_torch(state_dict: StateDict) -> list[Shape]:
    """The shapes of the tensors, of a matrix as torch's Linear has it, with its outputs as rows.

    Paddle and TensorFlow have them as columns, which the length of the bias shows. A projection is
    left out: its outputs are no classes.
    """
    shapes = []
    for key, entry in state_dict.items():
        if names_projection(key):
            continue
        bias = state_dict.get(f"{key.removesuffix('weight')}bias")
        outputs = bias.shape if bias is not None and key.endswith("weight") else ()
        turned = (
            len(entry.shape) == 2
            and entry.shape[0] != entry.shape[1]
            and (entry.shape[1:] == outputs)
        )
        shapes.append(entry.shape[::-1] if turned else entry.shape)
    return shapes


def _is_named(idea: Idea) -> bool:
    """Whether names alone say what the idea does, which a person should know."""
    return any(isinstance(fix, RenameTable | AddBatchStatistics) for fix in idea.fixes)


def _options(profile: Profile, shapes: Sequence[Shape]) -> dict[str, int]:
    """The options that are not at their default, solved from the shapes alone.

    A dimension that depends on an option gives its value, if the rest of its shape is in the file.
    The option whose dimensions agree best is solved first. The shapes that gave its value are then
    used up: they give no other option's. Options of structure are left at their default: shapes
    under other names do not prove them.
    """
    left = _left(profile, shapes)
    open_options = set(profile.laws).intersection(SIMPLE)
    solved: dict[str, int] = {}
    while open_options:
        values = {option: _value(profile, option, left) for option in sorted(open_options)}
        option = max(values, key=lambda option: values[option][:2])
        _, _, value = values[option]
        open_options.remove(option)
        for (key, axis), rule in profile.laws[option].items():
            wanted, length = profile.spec(key).shape, rule.dimension(value)
            used = next((shape for shape in left if _length(wanted, axis, shape) == length), None)
            if used is not None:
                left.remove(used)
        if value != profile.of_option(option)[0].default:
            solved[option] = value
    return solved


def _value(profile: Profile, option: str, left: Sequence[Shape]) -> tuple[float, bool, int]:
    """An option's value by the shapes, as (share, is the default, value).

    `share` is the share of the dimensions depending on the option that agree on the value. If none
    does, the value is 0 if the tensors that only a value above 0 gives are absent, else the
    default; the share is then 0.
    """
    variations = profile.of_option(option)
    default = _number(variations[0].default)
    by_key: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for (key, axis), rule in profile.laws[option].items():
        wanted = profile.spec(key).shape
        is_matrix = matrix_form(wanted)[1] > 0
        lengths = {_length(wanted, axis, shape) for shape in left}
        if rule.dimension(default) in lengths:
            by_key[is_matrix][default] += 1
            continue
        # A square matrix is likelier a layer than a head with as many classes as inputs.
        lengths -= {None, *(length for at, length in enumerate(wanted) if at != axis)}
        by_key[is_matrix].update(filter(None, map(rule.option, filter(None, lengths))))
    votes, vectors = by_key[True], by_key[False]
    # Many vectors have the same length by chance, so they only add to what a matrix says.
    votes.update({value: vectors[value] for value in votes})
    value, count = votes.most_common(1)[0] if votes else (default, 0)
    share = count / max(1, len(profile.laws[option]))
    # A table of positions is as wide as a head's matrix, but has no bias: its share stays below 1.
    if not votes or (option == "num_classes" and value != default and share < 1):
        absent = any(known.value == 0 and _lacks(profile, known, left) for known in variations)
        return 0.0, False, 0 if absent else default
    return share, value == default, value


def _number(value: Value) -> int:
    """The value of a simple option, all of which are numbers."""
    return value if isinstance(value, int) else 0


def _lacks(profile: Profile, variation: Variation, left: Sequence[Shape]) -> bool:
    """Whether most tensors that a variation removes are not among the shapes."""
    present = sum((Counter(_parts(shape)) for shape in left), Counter[Shape]())
    removed = [Counter(_parts(profile.spec(key).shape)) for key in variation.gone]
    gone = sum(removed, Counter[Shape]())
    return 2 * (gone & present).total() < gone.total()


def _left(profile: Profile, shapes: Sequence[Shape]) -> list[Shape]:
    """The shapes without those of the model's tensors that no option changes."""
    varied = {
        key
        for known in profile.variations
        if known.option in SIMPLE
        for key in (*known.shapes, *known.gone)
    }
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
    """A matrix as its form and how many of that form it contains; a vector as its shape, once."""
    part, times = matrix_form(shape)
    return {part: times} if times else {squeezed(shape): 1}


def _length(wanted: Shape, axis: int, shape: Shape) -> int | None:
    """The length of a shape along `axis`, if it is otherwise the wanted shape; None if it is not.

    Dimensions of length 1 may differ.
    """
    if len(shape) != len(wanted):
        axis = sum(length != 1 for length in wanted[:axis])
        wanted, shape = squeezed(wanted), squeezed(shape)
    if len(shape) != len(wanted) or axis >= len(shape):
        return None
    alike = wanted[:axis] == shape[:axis] and wanted[axis + 1 :] == shape[axis + 1 :]
    return shape[axis] if alike else None
