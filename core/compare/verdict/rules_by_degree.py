"""Rules for the first sentence of a comparison that depend on how far the weights moved.

A rule takes the facts and returns a kind and a sentence, or None where it does not apply. The
sentence says only what the rows and the numbers prove: where the numbers fit several explanations,
it names none of them as the fact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from core.compare.comparison import Row
from core.compare.overall_numbers import Overall, is_statistic, together
from core.compare.tensor_numbers import Numbers
from core.compare.verdict.by_states import recast_words, reshaped_head, states_sentence, the_rest
from core.compare.verdict.change_kinds import SAMPLE, Finding, Kind, ShortVerdict
from core.compare.verdict.comparison_facts import Facts, how_many_changed
from core.compare.verdict.where import place
from core.keys import BATCH_COUNTER, LAST_LAYERS, OPTIMIZER_STATE, names_average
from core.wording import cosine, count, counted, have, listed, of_tensors, percent
from core.wording import tensors as tensors_

UNRELATED = 0.2
"""The largest cosine between unrelated weights. For independent random weights it is about one over
the square root of their number; trained weights have a little in common, such as their mean."""

RELATED = 0.7
"""The smallest cosine between weights of which one was trained from the other. With equal norms it
is a change by 77 % of the norm: sqrt(2 − 2 · 0.7)."""

CLOSE = 0.01
"""Relative L2 up to which weights are called close, whatever changed them; by judgement."""

NEAR_AVERAGE = 0.05
"""Relative L2 up to which an average is called close to the weights that it averages; by
judgement."""

WORTH_SAYING = 0.05
"""Share of the changed elements that must have become zero before the sentence says so; by
judgement."""

EQUAL_SHAPES, BOTH_FINITE = " where the shapes are equal", " where both are finite"
"""What a number is of, where it is not of all elements."""

NEARLY_ALL = 0.9
"""Share of the parameters from which a change counts as one of the whole model."""


def batch_norm(facts: Facts) -> Finding | None:
    """Only BatchNorm's statistics changed, and no weight."""
    if not facts.statistics or len(facts.statistics) < len(facts.differing):
        return None
    share = of_tensors(len(facts.statistics), len(facts.shared))
    return Kind.BATCH_NORM, (
        f"Only the BatchNorm statistics changed ({share}), as after forward passes in train "
        f"mode{_more_batches(_batches_counted(facts))}."
    )


def _batches_counted(facts: Facts) -> int | None:
    """How many more batches BatchNorm counted in B than in A; None where its counters disagree, or
    there are none."""
    counters = [row for row in facts.shared if row.key.endswith(BATCH_COUNTER)]
    same = {row.key for row in facts.same}
    steps = {0 if row.key in same else _step(facts.numbers.get(row.key)) for row in counters}
    return steps.pop() if len(steps) == 1 else None


def _more_batches(step: int | None) -> str:
    if not step:
        return ""
    return f"; BatchNorm counted {counted(abs(step), 'more batch' if step > 0 else 'fewer batch')}"


def _step(numbers: Numbers | None) -> int | None:
    """B minus A of a counter. It has one element, so its norm is its value."""
    if numbers is None or numbers.count != 1:
        return None
    return round(numbers.norm_b - numbers.norm_a)


def optimizer(facts: Facts) -> Finding | None:
    """Most tensors are an optimizer's state, of which one cannot say "trained further"."""
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
    return Kind.OPTIMIZER, f"The optimizer's state differs: {how_many_changed(facts)}{on}."


def head_only(facts: Facts) -> Finding | None:
    """Only the last layer differs, and perhaps BatchNorm's statistics."""
    found = _head(facts)
    if found is None:
        return None
    moved, what, also = found
    by = _amount(moved, facts) if moved is not None else ""
    return Kind.HEAD, f"{what}{by}{also}{the_rest(facts)}."


def head_in_short(facts: Facts) -> ShortVerdict | None:
    """The same in a few words, with the other numbers as evidence."""
    found = _head(facts)
    if found is None:
        return None
    moved, what, also = found
    if moved is None:
        return None
    return ShortVerdict(f"{what}{_by(moved, facts)}{the_rest(facts)}", _evidence(moved, also))


def _head(facts: Facts) -> tuple[Overall | None, str, str] | None:
    """The numbers, what changed, and whether statistics did too, where only the last layer differs;
    one of another shape has no numbers."""
    statistics = facts.changed_statistics
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
    also = "; BatchNorm's statistics changed too" if facts.statistics else ""
    if facts.reshaped:
        classes = reshaped_head(facts)
        if not classes:
            return None
        keys = listed([row.key for row in facts.reshaped])
        another = f"{keys} {have(len(facts.reshaped))} another shape"
        return None, f"B is A with a different {name}, {classes}: {another}", also
    keys = listed([row.key for row in touched])
    moved = together(touched, facts.numbers)
    assert moved is not None  # facts.complete: every changed row has numbers
    if moved.cosine is None or moved.cosine < RELATED:
        return moved, f"B is A with a different {name}: {keys} changed", also
    what = _later(facts, f"with its {name} trained further", f"in its {name}, {AS_BY_TRAINING}")
    return moved, f"{what}: {keys} changed", also


def unrelated(facts: Facts) -> Finding | None:
    """The weights have equal shapes and nothing in common, as after training with another seed."""
    if _share_moved(facts) < NEARLY_ALL:
        return None
    moved = together(_moved_matrices(facts), facts.numbers)
    if moved is None or moved.cosine is None or abs(moved.cosine) >= UNRELATED:
        return None
    first = (
        "Unrelated weights"
        if facts.reshaped or not facts.all_shared
        else "Same shapes, unrelated weights"
    )
    return Kind.UNRELATED, (
        f"{first}: the cosine of the weights is {cosine(moved.cosine)} (B's norm is "
        f"{moved.norm_ratio:.2f} times A's){_head_too(facts)}{_recast_too(facts)}."
    )


def moved_throughout(facts: Facts) -> Finding | None:
    """Nearly all weights changed: B is far from A, close to it, trained further, or an average."""
    found = _throughout(facts)
    if found is None:
        return None
    kind, moved, what, details = found
    how = f"{how_many_changed(facts)}{_amount(moved, facts)}{''.join(details)}"
    return kind, f"{what}: {how}."


def throughout_in_short(facts: Facts) -> ShortVerdict | None:
    """The same in a few words, with the other numbers as evidence."""
    found = _throughout(facts)
    if found is None or not 0 < found[1].relative_l2 < math.inf:
        return None
    _, moved, what, details = found
    subject = "weights" if moved.whole else "the changed weights"
    where = EQUAL_SHAPES if facts.reshaped else ""
    where = BOTH_FINITE if _has_not_finite(facts) else where
    keys = ", no key added or removed" if facts.same_keys else ""
    return ShortVerdict(
        f"{what}: {subject} moved {percent(moved.relative_l2)}{where}{keys}",
        _evidence(moved, how_many_changed(facts), *details),
    )


def _throughout(facts: Facts) -> tuple[Kind, Overall, str, tuple[str, ...]] | None:
    """The kind, the numbers, what B is, and the details, where nearly all weights changed."""
    moved = facts.overall
    if moved is None or moved.cosine is None or _share_moved(facts) < NEARLY_ALL:
        return None
    details: tuple[str, ...] = (
        _new_layers(facts),
        _zeros(facts),
        _head_too(facts),
        _recast_too(facts),
    )
    if moved.cosine < RELATED:
        return Kind.FAR, moved, "B is far from A", details
    for side, other, proof in (("B", "A", averaged(facts, "B")), ("A", "B", averaged(facts, "A"))):
        if proof:
            near = f", close to {other}" if moved.relative_l2 <= NEAR_AVERAGE else ""
            return Kind.AVERAGED, moved, f"{side} is an average over steps ({proof}){near}", details
    batches = _batches_counted(facts)
    details += (_more_batches(batches),)
    if batches == 0:
        details += (
            "; BatchNorm counted no batches in between, as in an average over steps (EMA) or where "
            "it is frozen",
        )
    trained = _later(facts, "trained further", AS_BY_TRAINING)
    if batches:
        return Kind.TRAINED, moved, trained, details
    if moved.relative_l2 <= CLOSE:
        return Kind.CLOSE, moved, "B is close to A throughout", details
    if batches is not None:
        # BatchNorm counted no further batch, so it is not plain training; what else it is, no
        # number shows.
        return Kind.CLOSE, moved, "B is A changed throughout", details
    return Kind.TRAINED, moved, trained, details


AS_BY_TRAINING = "as by further training"


def _later(facts: Facts, what: str, unordered: str) -> str:
    """That the later one is the earlier one with `what` done to it; where nothing says which is the
    later, that B differs from A in the way `unordered`.

    BatchNorm's counters and the epochs that the files state say it, unless they disagree.
    """
    batches = _batches_counted(facts) or 0
    signs = {sign for sign in (_sign(batches), facts.beside.order) if sign}
    if len(signs) != 1:
        return f"B differs from A {unordered}"
    later, earlier = ("B", "A") if signs == {1} else ("A", "B")
    return f"{later} is {earlier} {what}"


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _evidence(moved: Overall, *details: str) -> tuple[str, ...]:
    """The angle and the details as clauses."""
    angle = "" if moved.cosine is None else f"cosine {cosine(moved.cosine)}"
    return tuple(clause.removeprefix("; ") for clause in (angle, *details) if clause)


def averaged(facts: Facts, side: str) -> str:
    """Why a side is an average over steps, such as `it contains n_averaged`; empty where nothing
    says so.

    torch's AveragedModel counts in the buffer `n_averaged` (torch/optim/swa_utils.py). No number
    distinguishes an average from a little more training, so only names decide.
    """
    own, path = (facts.only_b, facts.path_b) if side == "B" else (facts.only_a, facts.path_a)
    keys = [row.key_b if side == "B" else row.key_a for row in (*own, *facts.shared)]
    named = [key for key in keys if key is not None]
    for key in named:
        if key.rpartition(".")[2] == "n_averaged":
            return f"it contains {key}"
    if names_average(path):
        return f"its path is {path}"
    firsts = {key.partition(".")[0] for key in named if "." in key}
    for first in firsts:
        if len(firsts) == 1 and names_average(first):
            return f"its keys begin with {first}"
    return ""


def moved_in_part(facts: Facts) -> Finding | None:
    """Some layers changed and are still similar to A's, and the others are equal to A's."""
    found = _in_part(facts)
    if found is None:
        return None
    moved, what, details = found
    return Kind.FINE_TUNED, f"{what}{_amount(moved, facts)}{''.join(details)}."


def in_part_in_short(facts: Facts) -> ShortVerdict | None:
    """The same in a few words, with the other numbers as evidence."""
    found = _in_part(facts)
    if found is None:
        return None
    moved, what, details = found
    return ShortVerdict(f"{what}{_by(moved, facts)}", _evidence(moved, *details))


def _in_part(facts: Facts) -> tuple[Overall, str, tuple[str, ...]] | None:
    """The numbers, what changed, and the details, where some layers changed."""
    if not facts.complete or facts.recast or not facts.same or len(facts.weights) < 2:
        return None
    matrices = _moved_matrices(facts)
    body = together(matrices, facts.numbers)
    if body is None or body.cosine is None or body.cosine < RELATED:
        return None
    every = [row.key for row in facts.rows]
    all_statistics = [row for row in facts.shared if is_statistic(row)]
    all_changed = bool(all_statistics) and len(facts.statistics) == len(all_statistics)
    left_out = facts.changed_statistics if all_changed else frozenset()
    named = [row for row in facts.differing if row.key not in left_out]
    moved = facts.overall
    assert moved is not None  # `body` is not: some weights have numbers
    what = (
        f"{_later(facts, 'fine-tuned', 'as by fine-tuning')}: "
        f"{of_tensors(len(named), len(facts.shared))} changed"
        f"{place([row.key for row in named], every)}"
    )
    return (
        moved,
        what,
        (
            _new_layers(facts),
            _zeros(facts),
            "; all BatchNorm statistics changed too" if all_changed else "",
            _head_too(facts),
            _more_batches(_batches_counted(facts)),
        ),
    )


def changed(facts: Facts) -> Finding:
    """What is always true: how many tensors differ, where, and by how much if that is known."""
    sentence = states_sentence(facts)
    moved = together(facts.weights, facts.numbers)
    if moved is None or not facts.complete:
        return Kind.CHANGED, sentence
    whose = "its weights" if len(facts.weights) == 1 else "the changed weights"
    by = _amount(moved, facts, comma=False)
    return Kind.CHANGED, f"{sentence[:-1]}; {whose} moved{by}." if by else sentence


def _amount(moved: Overall, facts: Facts, *, comma: bool = True) -> str:
    """`, by 3.2 % overall (relative L2; cosine 0.9995)`; empty where there is no finite change.

    Tensors that stayed the same have no numbers. So the norm is that of the changed ones alone, and
    the words say of what it is.
    """
    by = _by(moved, facts, comma=comma)
    angle = "" if moved.cosine is None else f"; cosine {cosine(moved.cosine)}"
    return f"{by} (relative L2{angle})" if by else ""


def _by(moved: Overall, facts: Facts, *, comma: bool = True) -> str:
    """`, by 3.2 % overall`: as above, without the measure's name and the angle."""
    if not math.isfinite(moved.relative_l2) or moved.relative_l2 == 0:
        return ""
    start = ", by" if comma else " by"
    of = " of its norm" if moved.tensors == 1 and comma else " of their norm"
    if moved.whole and moved.tensors > 2:
        of = " overall"
    if facts.reshaped and moved.tensors > 2:
        of = EQUAL_SHAPES
    if _has_not_finite(facts):
        of = BOTH_FINITE
    return f"{start} {percent(moved.relative_l2)}{of}"


def _has_not_finite(facts: Facts) -> bool:
    return any(n.nan_a or n.nan_b or n.inf_a or n.inf_b for n in facts.numbers.values())


def _new_layers(facts: Facts) -> str:
    """The changed weights that have nothing in common with A's, where the others do."""
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
    """How many more of the changed elements are zero in B, where they are many."""
    measured = [facts.numbers[row.key] for row in facts.weights if row.key in facts.numbers]
    total = sum(n.count for n in measured)
    gained = sum(n.zeros_b - n.zeros_a for n in measured)
    if gained < WORTH_SAYING * total or not total:
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
    """The share of the matrices' parameters that changed; 0 until every changed row has numbers."""
    if not facts.complete:
        return 0.0
    total = _parameters(facts.matrices)
    return _parameters(_moved_matrices(facts)) / total if total else 0.0


def _parameters(rows: Iterable[Row]) -> int:
    return sum(row.a.numel for row in rows if row.a is not None)
