"""The rules by which a comparison's first sentence is chosen, the most telling first.

Each takes the facts and gives a kind and a sentence, or None where it does not hold. What a rule
says holds of the rows and of the numbers; where the numbers fit several histories, it says no more
than they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from core.checkpoint.entries import Quantized, TensorEntry
from core.compare.facts import Facts, equal_after_cast
from core.compare.kinds import Kind
from core.compare.numbers import Numbers
from core.compare.overall import Overall, is_floating, is_statistic, together
from core.compare.places import place
from core.compare.states import recast_words, reshaped_head, the_rest, told_by_states
from core.compare.words import Evidence, Row
from core.keys.vocabulary import AVERAGES, HEADS, OPTIMIZER_STATE
from core.wording import all_tensors, are, cosine, count, have, listed, percent, small
from core.wording import tensors as tensors_

Told = tuple[Kind, str]

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

SAMPLE = 256
"""Elements from which a tensor's own numbers are taken for those of a distribution."""

DIGITS: Mapping[str, int] = {
    "float32": 24,
    "float16": 11,
    "bfloat16": 8,
    "float8_e4m3fn": 4,
    "float8_e5m2": 3,
}
"""Binary digits of a number, the implicit one counted: rounding to p digits changes a number by
2^-p of itself at most (IEEE 754; the float8 dtypes: arXiv 2209.05433)"""


ADAPTERS = ("lora_", "adapter", "hada_w", "lokr_w", "ia3_l")
"""What stands in the keys of adapters (peft/tuners: lora, loha, lokr, ia3)"""


def all_the_same(facts: Facts) -> Told | None:
    """No element differs: identical, under other keys, or cut in another way."""
    if facts.differing:
        return None
    total = len(facts.shared)
    how = "the same bytes"
    if any(row.evidence is Evidence.NO_BYTES for row in facts.shared):
        how = "the same names, shapes and dtypes; some of them hold no data"
    if facts.renamed or facts.viewed:
        return Kind.REARRANGED, _rearranged(facts)
    if facts.alone:
        wrapped = _wrapped(facts.shared)
        return Kind.IDENTICAL, f"Identical: {all_tensors(total)} {have(total)} {how}{wrapped}."
    common = all_tensors(total)
    return (
        Kind.SAME_IN_COMMON,
        f"{common[:1].upper()}{common[1:]} in common {have(total)} {how}.",
    )


def _wrapped(rows: Sequence[Row]) -> str:
    """The prefixes under which one side has the keys of the other, where there are such."""
    found = []
    for side, keys in (("A", [row.key_a for row in rows]), ("B", [row.key_b for row in rows])):
        prefixes = {
            key.removesuffix(row.key)
            for row, key in zip(rows, keys, strict=True)
            if key is not None and key != row.key and key.endswith(row.key)
        }
        if len(prefixes) == 1:
            found.append(f"{next(iter(prefixes))} in {side}")
    return f", under keys that begin with {' and '.join(found)}" if found else ""


def _rearranged(facts: Facts) -> str:
    ways = []
    if facts.renamed:
        some = facts.renamed[0]
        example = f", such as {some.key_a}, now {some.key_b}"
        ways.append(f"{tensors_(len(facts.renamed))} under another key{example}")
    turned = [row for row in facts.viewed if "transposed" in _views(row)]
    cut = [row for row in facts.viewed if "transposed" not in _views(row)]
    cut_a = [row for row in cut if row.pair and row.pair.view_a]
    cut_b = [row for row in cut if row.pair and row.pair.view_b]
    if turned:
        ways.append(f"{tensors_(len(turned))} transposed")
    if cut_b:
        joined = len({row.key_b for row in cut_b})
        ways.append(f"{tensors_(len(cut_b))} of A joined into {count(joined)} of B")
    if cut_a:
        split = len({row.key_a for row in cut_a})
        ways.append(f"{tensors_(split)} of A split into {count(len(cut_a))} of B")
    only_renamed = bool(facts.renamed) and not facts.viewed
    first = "The same weights, renamed" if only_renamed else "The same weights, arranged otherwise"
    rest = len(facts.same) - len(facts.renamed) - len(facts.viewed)
    kept = f"; the other {tensors_(rest)} keep their keys" if rest > 1 else ""
    if rest == 1:
        kept = "; the other tensor keeps its key"
    if not facts.alone:
        first = first.replace("The same weights", "The same weights in all that both have")
    return f"{first}: {'; '.join(ways)}{kept}."


def _views(row: Row) -> str:
    return f"{row.pair.view_a} {row.pair.view_b}" if row.pair else ""


def adapted(facts: Facts) -> Told | None:
    """All of A is there, and adapters beside it."""
    keys = [row.key for row in facts.only_b]
    if facts.differing or facts.only_a or not keys or not all(map(is_adapter, keys)):
        return None
    name = "LoRA adapters" if all("lora_" in key for key in keys) else "adapters"
    where = place(keys, [row.key for row in facts.rows])
    total = len(facts.shared)
    return Kind.ADAPTED, (
        f"B is A with {name}: {tensors_(len(keys))} only in B{where}; {all_tensors(total)} in "
        f"common {are(total)} the same."
    )


def is_adapter(key: str) -> bool:
    """Whether a tensor belongs to an adapter beside the weights, as peft names them."""
    return any(mark in key for mark in ADAPTERS)


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


def another_dtype(facts: Facts) -> Told | None:
    """All that differs was cast, and lost no more than the cast takes."""
    if not facts.recast or facts.changed or facts.reshaped:
        return None
    if any(_is_quantized(row.a) or _is_quantized(row.b) for row in facts.recast):
        return None
    equal = [row for row in facts.recast if equal_after_cast(row)]
    if len(equal) < len(facts.recast) and not all(_rounded(facts, row) for row in facts.recast):
        return None
    total, recast = len(facts.shared), len(facts.recast)
    which = all_tensors(total) if recast == total else f"{count(recast)} of {tensors_(total)}"
    which += "" if facts.alone else " in common"
    how = "equal after a cast" if len(equal) == recast else "no further apart than it rounds"
    off = together(facts.recast, facts.numbers) if facts.complete else None
    lost = f" (rounded by {percent(off.relative_l2)} on the whole)" if off and off.changed else ""
    return Kind.RECAST, (
        f"The same weights in another dtype: {which} {recast_words(facts.recast)}, {how}{lost}"
        f"{the_rest(facts)}."
    )


def _rounded(facts: Facts, row: Row) -> bool:
    """Whether a recast row is off by no more than a rounding to the coarser dtype."""
    numbers = facts.numbers.get(row.key)
    if numbers is None or row.a is None or row.b is None or not is_floating(row):
        return False
    digits = [DIGITS[dtype] for dtype in (row.a.dtype, row.b.dtype) if dtype in DIGITS]
    return bool(digits) and numbers.relative_l2 <= 2.0 ** -min(digits)


def quantized(facts: Facts) -> Told | None:
    """Floats became integers with scales, or the reverse."""
    rows = [
        row
        for row in (*facts.changed, *facts.recast)
        if _is_quantized(row.a) != _is_quantized(row.b)
    ]
    if not rows:
        return _partly_quantized(facts)
    to_b = _is_quantized(rows[0].b)
    if any(_is_quantized(row.b) != to_b for row in rows):
        return None
    dtypes = sorted({entry.dtype for row in rows if (entry := row.b if to_b else row.a)})
    whose, other = ("B", "A") if to_b else ("A", "B")
    of = f"{count(len(rows))} of {tensors_(len(facts.shared))}"
    off = together(rows, facts.numbers)
    if off is None or not off.whole:
        first = f"{whose} holds quantized tensors where {other} holds floats"
        return Kind.QUANTIZED, f"{first}: {of}, to {listed(dtypes)}{_besides(facts, rows)}."
    if off.relative_l2 > 0.2:
        first = f"{whose} is quantized to {listed(dtypes)}, from other weights than {other}'s"
        if any(is_statistic(row) for row in (*facts.only_a, *facts.only_b)):
            first += " (as where BatchNorm is folded into them)"
    else:
        first = f"{whose} is {other} quantized to {listed(dtypes)}"
    return Kind.QUANTIZED, (
        f"{first}: {of}, off by {percent(off.relative_l2)} on the whole{_besides(facts, rows)}."
    )


def _besides(facts: Facts, rows: Sequence[Row]) -> str:
    """What became of the other tensors that both have."""
    more = len(facts.differing) - len(rows)
    return f"; {count(more)} more changed{the_rest(facts)}" if more else the_rest(facts)


def _partly_quantized(facts: Facts) -> Told | None:
    """Quantized tensors stand in one file only, beside others that both have.

    A quantized linear layer keeps its weight under `_packed_params`
    (torch/ao/nn/quantized/modules/linear.py).
    """
    for whose, own, others in (
        ("B", facts.only_b, facts.only_a),
        ("A", facts.only_a, facts.only_b),
    ):
        found = [row for row in own if _is_quantized(row.a or row.b)]
        if not found or any(_is_quantized(row.a or row.b) for row in others):
            continue
        dtypes = sorted({entry.dtype for row in found if (entry := row.a or row.b)})
        named = listed([row.key.partition("._packed_params")[0] for row in found])
        total = len(facts.shared)
        rest = f"{all_tensors(total)} in common {are(total)} the same"
        if facts.differing:
            rest = f"{count(len(facts.differing))} of {tensors_(total)} in common changed"
        return Kind.QUANTIZED, f"{whose} is quantized to {listed(dtypes)} in {named}; {rest}."
    return None


def _is_quantized(entry: TensorEntry | None) -> bool:
    return entry is not None and isinstance(entry.form, Quantized)


def numerically_same(facts: Facts) -> Told | None:
    """Bytes differ, and each element is within the tolerance."""
    measured = _only_changed(facts)
    if measured is None or not all(n.close for n in measured):
        return None
    of = f"{count(len(measured))} of {tensors_(len(facts.shared))}"
    if not any(n.changed for n in measured):
        return Kind.NUMERICALLY_SAME, (
            f"Numerically the same: {of} {have(len(measured))} other bytes for the same values."
        )
    if len(measured) == len(facts.shared):
        of = all_tensors(len(measured))
    largest = max(n.max_abs for n in measured)
    return Kind.NUMERICALLY_SAME, (
        f"Numerically the same: {of} {'differs' if len(measured) == 1 else 'differ'}, each element "
        f"within the tolerance; the largest difference is {small(largest)}."
    )


def pruned(facts: Facts) -> Told | None:
    """Elements were set to zero, and no other changed."""
    masked = _masked(facts)
    if masked:
        return masked
    measured = _only_changed(facts)
    if measured is None or not all(_only_zeroed(n) for n in measured):
        return None
    share = percent(sum(n.changed for n in measured) / sum(n.count for n in measured))
    many = len(measured)
    where = place([row.key for row in facts.changed], [row.key for row in facts.rows])
    if many == 1:
        of = f"of {facts.changed[0].key}"
    elif many == len(facts.shared):
        of = f"of {all_tensors(many)}"
    else:
        of = f"of {tensors_(many)}{where.replace(', all in', ' in')}"
    same = len(facts.same)
    rest = (
        f"; the other {tensors_(same)} {are(same)} the same" if same else ", and no other changed"
    )
    return Kind.PRUNED, f"B is A pruned: {share} of the elements {of} were set to zero{rest}."


def _only_zeroed(n: Numbers) -> bool:
    finite = not (n.nan_a or n.nan_b or n.inf_a or n.inf_b)
    return finite and n.changed > 0 and n.zeros_b - n.zeros_a == n.changed


def _masked(facts: Facts) -> Told | None:
    """torch.nn.utils.prune keeps a weight as `weight_orig` beside a `weight_mask`."""
    held = {row.key_b for row in (*facts.shared, *facts.only_b)}
    masks = [
        key.removesuffix("_mask")
        for row in facts.only_b
        if (key := row.key_b or "").endswith("_mask") and f"{key[:-5]}_orig" in held
    ]
    others = [row for row in facts.only_b if _unmasked(row.key_b) not in masks]
    if not masks or others or facts.differing:
        return None
    if any(row.key_a not in masks for row in facts.only_a):
        return None
    first = "B is A under pruning masks" if not facts.only_a else "B has pruning masks"
    kept = sum(_unmasked(row.key_b) not in masks for row in facts.shared)
    rest = f"; the other {tensors_(kept)} {are(kept)} the same" if kept else ""
    what = f"{count(len(masks))} weights ({listed(masks)}) are each"
    if len(masks) == 1:
        what = f"{masks[0]} is"
    return Kind.PRUNED, f"{first}: {what} kept as _orig beside a _mask{rest}."


def _unmasked(key: str | None) -> str:
    return (key or "").removesuffix("_mask").removesuffix("_orig")


def scaled(facts: Facts) -> Told | None:
    """Each changed tensor is A's times one number."""
    measured = _only_changed(facts)
    if measured is None or not all(n.norm_a and n.norm_b for n in measured):
        return None
    if not any(n.count > 1 for n in measured):
        return None
    moved = together(facts.changed, facts.numbers)
    assert moved is not None
    factor = (moved.cosine or 0.0) * moved.norm_ratio
    for n in measured:
        own = (n.cosine or 0.0) * n.norm_b / n.norm_a
        left = max(0.0, n.relative_l2**2 - (own - 1) ** 2)
        if math.sqrt(left) > min(0.003 * abs(own), 0.05 * abs(own - 1)):
            return None
        if abs(own - factor) > max(0.01 * abs(factor - 1), 1e-6):
            return None
    of = f"{count(len(measured))} of {tensors_(len(facts.shared))}"
    if len(measured) == len(facts.shared):
        of = all_tensors(len(measured))
    if abs(factor + 1) < 1e-6:
        return Kind.SCALED, f"B is A with every sign turned in {of}{the_rest(facts)}."
    times = f"{factor:.4g}".replace("-", "−")
    return (
        Kind.SCALED,
        f"B is A scaled: {of} {are(len(measured))} A's times {times}{the_rest(facts)}.",
    )


def rounded(facts: Facts) -> Told | None:
    """The weights lost digits, and kept their dtype.

    Rounding to p digits moves a number by up to 2^-p of itself, evenly spread: over many numbers,
    2^-p/√3 of the norm where all are just above a power of two, and half of that where all are
    just below. It turns no sign, and leaves nearly no number as it was; training does neither.
    """
    measured = _all_signs_kept(facts)
    if measured is None:
        return None
    moved = together(facts.changed, facts.numbers)
    assert moved is not None
    for dtype in ("bfloat16", "float16"):
        most = 2.0 ** -DIGITS[dtype]
        if all(n.relative_l2 <= most for n in measured) and all(
            0.9 * most / math.sqrt(12) <= n.relative_l2 <= 1.1 * most / math.sqrt(3)
            and n.changed >= 0.98 * (n.count - n.zeros_a)
            for n in measured
            if n.count >= SAMPLE
        ):
            return Kind.ROUNDED, (
                f"B is A as a rounding to {dtype} and back would leave it: {_how_many(facts)}, by "
                f"{percent(moved.relative_l2)} on the whole, and no element changed its sign"
                f"{the_rest(facts)}."
            )
    return None


def fake_quantized(facts: Facts) -> Told | None:
    """The weights were rounded to a coarse grid: many became zero, and none changed its sign."""
    measured = _all_signs_kept(facts)
    if measured is None:
        return None
    moved = together(facts.changed, facts.numbers)
    assert moved is not None
    gained = sum(n.zeros_b - n.zeros_a for n in measured)
    enough = 0.002 * moved.count <= gained <= 0.5 * moved.changed
    if not enough or moved.relative_l2 > 0.3 or moved.changed < 0.9 * moved.count:
        return None
    return Kind.FAKE_QUANTIZED, (
        f"B is A as a rounding to a coarse grid (fake quantization) would leave it: "
        f"{_how_many(facts)}, by {percent(moved.relative_l2)} on the whole; "
        f"{percent(gained / moved.count)} of their elements became zero, and none changed its sign."
    )


def _all_signs_kept(facts: Facts) -> list[Numbers] | None:
    """The numbers of the changed rows, where these are many floats that kept all their signs."""
    measured = _only_changed(facts)
    if measured is None or not all(is_floating(row) for row in facts.changed):
        return None
    if any(n.sign_flips or n.nan_b or n.inf_b or n.zeros_b < n.zeros_a for n in measured):
        return None
    return measured if sum(n.count for n in measured) >= 4 * SAMPLE else None


def _only_changed(facts: Facts) -> list[Numbers] | None:
    """The numbers of all that differs, where that is changed, and neither recast nor reshaped."""
    if not facts.changed or not facts.complete or facts.recast or facts.reshaped:
        return None
    return [facts.numbers[row.key] for row in facts.changed]


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
    return Kind.OPTIMIZER, f"Another state of the optimizer: {_how_many(facts)}{on}."


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
    name = "head" if HEADS & set(module.split(".")) else "last layer"
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
    how = f"{_how_many(facts)}{_by(moved, facts)}{_new_layers(facts)}{_zeros(facts)}"
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
    if AVERAGES & set(_words(path)):
        return f"it lies at {path}"
    firsts = {key.partition(".")[0] for key in named if "." in key}
    for first in firsts:
        if len(firsts) == 1 and AVERAGES & set(_words(first)):
            return f"its keys begin with {first}"
    return ""


def _words(path: str) -> list[str]:
    return path.lower().replace(".", "_").replace("-", "_").split("_")


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


def _how_many(facts: Facts) -> str:
    differing, total = len(facts.differing), len(facts.shared)
    if differing == total:
        return "every tensor changed" if total > 1 else "the one tensor changed"
    return f"{count(differing)} of {tensors_(total)} changed"


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


RULES: tuple[Callable[[Facts], Told | None], ...] = (
    quantized,
    pruned,
    adapted,
    all_the_same,
    batch_norm,
    another_dtype,
    numerically_same,
    scaled,
    rounded,
    fake_quantized,
    optimizer,
    head_only,
    unrelated,
    moved_throughout,
    moved_in_part,
)
"""Asked in this order; where none holds, `changed` does."""
