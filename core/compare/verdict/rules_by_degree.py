"""Rules for the first sentence of a comparison that weigh how far the weights moved.

Each takes the facts and gives a kind and a sentence, or None where it does not hold. What a rule
says holds of the rows and of the numbers; where the numbers fit several histories, it says no more
than they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from core.compare.comparison import Row
from core.compare.overall_numbers import Overall, is_statistic, together
from core.compare.tensor_numbers import Numbers
from core.compare.verdict.by_states import recast_words, reshaped_head, the_rest, told_by_states
from core.compare.verdict.change_kinds import SAMPLE, Kind, Told
from core.compare.verdict.comparison_facts import Facts, how_many_changed
from core.compare.verdict.where import place
from core.keys import LAST_LAYERS, OPTIMIZER_STATE, names_average
from core.wording import cosine, count, have, listed, percent
from core.wording import tensors as tensors_

UNRELATED = 0.2
"""Cosine between weights of which neither came from the other, at most. That of independent random
weights is about one over the root of their number; trained ones share a little, as a mean."""

RELATED = 0.7
"""Cosine between weights of which one came from the other, at least: with equal norms, a change of
77 % of the norm."""

CLOSE = 0.01
"""Relative L2 up to which weights are called close, whatever brought them apart."""

NEARLY_ALL = 0.9
"""Share of the parameters from which a change is one of the whole network."""


def batch_norm(facts: Facts) -> Told | None:
    """Running means and variances changed, and no weight."""
    if not facts.statistics or len(facts.statistics) < len(facts.differing):
        return None
    share = f"{count(len(facts.statistics))} of {tensors_(len(facts.shared))}"
    return Kind.BATCH_NORM, (
        f"Only the BatchNorm statistics changed ({share}), as after forward passes in train "
        f"mode{_told(_batches(facts))}."
    )


def _batches(facts: Facts) -> int | None:
    """How many batches more BatchNorm counted in B, where all its counters agree."""
    counters = [row for row in facts.shared if row.key.endswith("num_batches_tracked")]
    same = {row.key for row in facts.same}
    steps = {0 if row.key in same else _step(facts.numbers.get(row.key)) for row in counters}
    return steps.pop() if len(steps) == 1 else None


def _told(step: int | None) -> str:
    if not step:
        return ""
    amount = f"{count(abs(step))} {'more' if step > 0 else 'fewer'}"
    return f"; BatchNorm counted {amount} {'batch' if abs(step) == 1 else 'batches'}"


def _step(numbers: Numbers | None) -> int | None:
    """From a counter of one element, which is its own norm."""
    if numbers is None or numbers.count != 1:
        return None
    return round(numbers.norm_b - numbers.norm_a)


def optimizer(facts: Facts) -> Told | None:
    """Moments and steps of an optimizer, of which "trained further" would be no word."""
    state = [row for row in facts.shared if row.key.rpartition(".")[2] in OPTIMIZER_STATE]
    if 2 * len(state) < len(facts.shared) or facts.reshaped or not facts.changed:
        return None
    steps = {
        (n.norm_a, n.norm_b)
        for row in facts.changed
        if row.key.rpartition(".")[2] == "step" and (n := facts.numbers.get(row.key))
    }
    on = ""
    if len(steps) == 1:
        before, after = (round(number) for number in steps.pop())
        on = f", and step went from {count(before)} to {count(after)}"
    return Kind.OPTIMIZER, f"Another state of the optimizer: {how_many_changed(facts)}{on}."


def head_only(facts: Facts) -> Told | None:
    """Only the last layer differs, and perhaps BatchNorm's statistics."""
    statistics = facts.counted_keys
    touched = [row for row in facts.differing if row.key not in statistics]
    matrices = [row for row in facts.shared if row.a is not None and len(row.a.shape) > 1]
    if not facts.complete or facts.recast or not touched or len(matrices) < 2:
        return None
    module = matrices[-1].key.rpartition(".")[0]
    if not module or not all(row.key.rpartition(".")[0] == module for row in touched):
        return None
    if matrices[-1].key not in {row.key for row in touched}:
        return None
    name = "head" if LAST_LAYERS & set(module.split(".")) else "last layer"
    also = ", and BatchNorm's statistics" if facts.statistics else ""
    if facts.reshaped:
        classes = reshaped_head(facts)
        if not classes:
            return None
        keys = listed([row.key for row in facts.reshaped])
        return Kind.HEAD, (
            f"B is A with another {name}, {classes}: {keys} {have(len(facts.reshaped))} another "
            f"shape{also}{the_rest(facts)}."
        )
    keys = listed([row.key for row in touched])
    moved = together(touched, facts.numbers)
    assert moved is not None
    how = f"{keys} changed{_by(moved, facts)}"
    if moved.cosine is None or moved.cosine < RELATED:
        return Kind.HEAD, f"B is A with another {name}: {how}{also}{the_rest(facts)}."
    return Kind.HEAD, f"B is A with its {name} trained further: {how}{also}{the_rest(facts)}."


def unrelated(facts: Facts) -> Told | None:
    """Weights of one shape that have nothing to do with each other, as from another seed."""
    if _share_moved(facts) < NEARLY_ALL:
        return None
    moved = together(_moved_matrices(facts), facts.numbers)
    if moved is None or moved.cosine is None or abs(moved.cosine) >= UNRELATED:
        return None
    first = (
        "Unrelated weights"
        if facts.reshaped or not facts.alone
        else ("Same shapes, unrelated weights")
    )
    return Kind.UNRELATED, (
        f"{first}: the cosine of the weights is {cosine(moved.cosine)} (B's norm is "
        f"{moved.norm_ratio:.2f} times A's){_head_too(facts)}{_recast_too(facts)}."
    )


def moved_throughout(facts: Facts) -> Told | None:
    """Nearly every weight changed, and what B is still shows A."""
    moved = facts.overall
    if moved is None or moved.cosine is None or _share_moved(facts) < NEARLY_ALL:
        return None
    how = f"{how_many_changed(facts)}{_by(moved, facts)}{_new_layers(facts)}{_zeros(facts)}"
    how += _head_too(facts) + _recast_too(facts)
    if moved.cosine < RELATED:
        return Kind.FAR, f"B is far from A: {how}."
    for side, other, held in (("B", "A", averaged(facts, "B")), ("A", "B", averaged(facts, "A"))):
        if held:
            near = f", close to {other}" if moved.relative_l2 <= 0.05 else ""
            return Kind.AVERAGED, f"{side} is an average of steps ({held}){near}: {how}."
    batches = _batches(facts)
    how += _told(batches)
    if batches == 0:
        how += (
            "; BatchNorm counted no batch in between, as in an average of steps (EMA), or where it "
            "is frozen"
        )
    if batches and batches > 0:
        return Kind.TRAINED, f"B is A trained further: {how}."
    if moved.relative_l2 <= CLOSE or batches is not None:
        close = "close to A throughout" if moved.relative_l2 <= CLOSE else "near A throughout"
        return Kind.CLOSE, f"B is {close}: {how}."
    return Kind.TRAINED, f"B is A trained further: {how}."


def averaged(facts: Facts, side: str) -> str:
    """What says that a side holds an average of steps: `it holds n_averaged`; mostly nothing.

    torch's AveragedModel counts in `n_averaged` (torch/optim/swa_utils.py). No number tells an
    average from a little more training.
    """
    own, path = (facts.only_b, facts.path_b) if side == "B" else (facts.only_a, facts.path_a)
    keys = [row.key_b if side == "B" else row.key_a for row in (*own, *facts.shared)]
    named = [key for key in keys if key is not None]
    for key in named:
        if key.rpartition(".")[2] == "n_averaged":
            return f"it holds {key}"
    if names_average(path):
        return f"it lies at {path}"
    firsts = {key.partition(".")[0] for key in named if "." in key}
    for first in firsts:
        if len(firsts) == 1 and names_average(first):
            return f"its keys begin with {first}"
    return ""


def moved_in_part(facts: Facts) -> Told | None:
    """Some layers changed and still show A's, and the others are A's."""
    if not facts.complete or facts.recast or not facts.same or len(facts.weights) < 2:
        return None
    matrices = _moved_matrices(facts)
    body = together(matrices, facts.numbers)
    if body is None or body.cosine is None or body.cosine < RELATED:
        return None
    every = [row.key for row in facts.rows]
    whole = [row for row in facts.shared if is_statistic(row)]
    apart = bool(whole) and len(facts.statistics) == len(whole)
    left_out = facts.counted_keys if apart else frozenset()
    counted = [row for row in facts.differing if row.key not in left_out]
    moved = facts.overall
    assert moved is not None
    also = "; all BatchNorm statistics changed too" if apart else ""
    return Kind.FINE_TUNED, (
        f"B is A fine-tuned: {count(len(counted))} of {tensors_(len(facts.shared))} changed"
        f"{place([row.key for row in counted], every)}{_by(moved, facts)}{_new_layers(facts)}"
        f"{_zeros(facts)}{also}{_head_too(facts)}{_told(_batches(facts))}."
    )


def changed(facts: Facts) -> Told:
    """What always holds: how many tensors differ, where, and by how much if that is known."""
    told = told_by_states(facts)
    moved = together(facts.weights, facts.numbers)
    if moved is None or not facts.complete:
        return Kind.CHANGED, told
    whose = "its weights" if len(facts.weights) == 1 else "the changed weights"
    by = _by(moved, facts, comma=False)
    return Kind.CHANGED, f"{told[:-1]}; {whose} moved{by}." if by else told


def _by(moved: Overall, facts: Facts, *, comma: bool = True) -> str:
    """`, by 3.2 % on the whole (relative L2; cosine 0.9995)`; of the changed ones alone where some
    stayed the same, whose norms no one measured."""
    if not math.isfinite(moved.relative_l2) or moved.relative_l2 == 0:
        return ""
    start = ", by" if comma else " by"
    of = " of its norm" if moved.tensors == 1 and comma else " of their norm"
    if moved.whole and moved.tensors > 2:
        of = " on the whole"
    if facts.reshaped and moved.tensors > 2:
        of = " where the shapes are equal"
    if any(n.nan_a or n.nan_b or n.inf_a or n.inf_b for n in facts.numbers.values()):
        of = " where both are finite"
    angle = "" if moved.cosine is None else f"; cosine {cosine(moved.cosine)}"
    return f"{start} {percent(moved.relative_l2)}{of} (relative L2{angle})"


def _new_layers(facts: Facts) -> str:
    """The changed weights that show nothing of A's, where the rest does."""
    fresh = [
        row.key
        for row in _moved_matrices(facts)
        if (n := facts.numbers[row.key]).count >= SAMPLE
        and n.cosine is not None
        and abs(n.cosine) < UNRELATED
    ]
    if not fresh or (facts.overall and (facts.overall.cosine or 0) < RELATED):
        return ""
    return f"; {listed(fresh)} {have(len(fresh))} nothing in common with A's"


def _zeros(facts: Facts) -> str:
    """The share of elements that are zero in B and were not in A, where that stands out."""
    taken = [facts.numbers[row.key] for row in facts.weights if row.key in facts.numbers]
    total = sum(n.count for n in taken)
    gained = sum(n.zeros_b - n.zeros_a for n in taken)
    if gained < 0.05 * total or not total:
        return ""
    return f"; {percent(gained / total)} more of the changed elements are zero"


def _head_too(facts: Facts) -> str:
    if not facts.reshaped:
        return ""
    head = reshaped_head(facts)
    return f"; the head went {head}" if head else f"; {tensors_(len(facts.reshaped))} reshaped"


def _recast_too(facts: Facts) -> str:
    recast = facts.recast
    return f"; {tensors_(len(recast))} {recast_words(recast)}" if recast else ""


def _moved_matrices(facts: Facts) -> list[Row]:
    moved = {row.key for row in facts.weights}
    return [row for row in facts.matrices if row.key in moved and row.key in facts.numbers]


def _share_moved(facts: Facts) -> float:
    """The share of the parameters of matrices that changed; 0 where not all was measured."""
    if not facts.complete:
        return 0.0
    total = _parameters(facts.matrices)
    return _parameters(_moved_matrices(facts)) / total if total else 0.0


def _parameters(rows: Iterable[Row]) -> int:
    return sum(row.a.numel for row in rows if row.a is not None)
