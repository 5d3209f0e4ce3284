"""Rules for exact kinds of change: the same, recast, quantized, pruned, scaled, rounded,
adapted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from core.checkpoint import Quantized, TensorEntry
from core.compare.comparison import Evidence, Row
from core.compare.overall_numbers import Overall, has_floats, is_statistic, together
from core.compare.tensor_numbers import Numbers
from core.compare.verdict.besides_tensors import values_clause
from core.compare.verdict.by_states import recast_words, the_rest
from core.compare.verdict.change_kinds import SAMPLE, Finding, Kind
from core.compare.verdict.comparison_facts import Facts, how_many_changed
from core.compare.verdict.round_trips import is_round_trip
from core.compare.verdict.where import place
from core.wording import all_tensors, are, count, have, listed, of_tensors, percent, small
from core.wording import tensors as tensors_

DIGITS: Mapping[str, int] = {
    "float32": 24,
    "float16": 11,
    "bfloat16": 8,
    "float8_e4m3fn": 4,
    "float8_e5m2": 3,
}
"""Bits of a dtype's significand, with the implicit one. Rounding to p bits changes a number by at
most 2^-p of itself (IEEE 754; the float8 dtypes: arXiv 2209.05433)."""


SCALED_REMAINDER = 0.003
"""The most that may remain of a tensor after the scaling is undone, over its norm: more than what
rounding to bfloat16 leaves, which is at most 2^-8/√3 = 0.0023 (see `rounded`)."""

UNEXPLAINED = 0.05
"""The most of a tensor's change that scaling may leave unexplained; by judgement."""

SAME_FACTOR = 0.01
"""How far a tensor's factor may be from the common one, as a share of the common change; by
judgement."""

ROUNDING = 1e-6
"""Factors that differ by less are equal. Sums in float64 are far more exact."""


NOT_BY_ROUNDING = 0.2
"""Relative L2 beyond which a quantized tensor does not come from the floats of the other file; by
judgement."""

ADAPTERS = ("lora_", "adapter", "hada_w", "lokr_w", "ia3_l")
"""Parts of the keys of adapters (peft/tuners: lora, loha, lokr, ia3)."""


def all_the_same(facts: Facts) -> Finding | None:
    """No element differs: identical, or the same by checksum, under other keys, transposed, split
    or joined."""
    if facts.differing:
        return None
    total = len(facts.shared)
    if facts.renamed or facts.viewed:
        return Kind.REARRANGED, _rearranged(facts)
    if facts.all_shared:
        kind = Kind.SAME_BY_CHECKSUM if facts.by_checksum else Kind.IDENTICAL
        first = "Same by checksum" if facts.by_checksum else "Identical"
        how = f"{have(total)} {_how_same(facts, _wrapped(facts.shared))}"
        if facts.beside.nothing(by_checksum=facts.by_checksum > 0) and not _have_no_data(facts):
            return kind, f"{first}: {all_tensors(total)} {how}."
        # The first word would be taken for one on the whole files.
        them = "The one tensor" if total == 1 else f"All {tensors_(total)}"
        return kind, f"{them} {how}{values_clause(facts.beside)}."
    common = all_tensors(total)
    return (
        Kind.SAME_IN_COMMON,
        f"{common[:1].upper()}{common[1:]} in common {have(total)} {_how_same(facts)}.",
    )


def _how_same(facts: Facts, wrapped: str = "") -> str:
    """What the shared tensors have in common, with the prefixes that `wrapped` names."""
    if facts.by_checksum == len(facts.shared):
        checksums, them = ("checksum", "it") if facts.by_checksum == 1 else ("checksums", "them")
        return f"the same stored {checksums}{wrapped}; no byte of {them} was read"
    how = "the same bytes"
    if _have_no_data(facts):
        how = "the same names, shapes and dtypes; some of them have no data"
    if facts.by_checksum:
        how += f", {count(facts.by_checksum)} of them by their stored checksums alone"
    return f"{how}{wrapped}"


def _have_no_data(facts: Facts) -> bool:
    """Whether some of the tensors have no bytes that could be compared."""
    return any(row.evidence is Evidence.NO_BYTES for row in facts.shared)


def _wrapped(rows: Sequence[Row]) -> str:
    """The prefix of a side whose keys have one of their own: ``, under keys that begin with
    `module.` in B``; else empty."""
    prefixed = []
    for side, keys in (("A", [row.key_a for row in rows]), ("B", [row.key_b for row in rows])):
        prefixes = {
            key.removesuffix(row.key)
            for row, key in zip(rows, keys, strict=True)
            if key is not None and key != row.key and key.endswith(row.key)
        }
        if len(prefixes) == 1:
            prefixed.append(f"`{next(iter(prefixes))}` in {side}")
    return f", under keys that begin with {' and '.join(prefixed)}" if prefixed else ""


def _rearranged(facts: Facts) -> str:
    ways = []
    if facts.renamed:
        some = facts.renamed[0]
        example = f", such as {some.key_a}, now {some.key_b}"
        ways.append(f"{tensors_(len(facts.renamed))} under another key{example}")
    turned = [row for row in facts.viewed if row.pair and row.pair.transposed]
    cut = [row for row in facts.viewed if row.pair and not row.pair.transposed]
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
    whose = "The same weights" + (" by checksum" if facts.by_checksum else "")
    whose += "" if facts.all_shared else " in all that both have"
    first = f"{whose}, {'renamed' if only_renamed else 'laid out differently'}"
    rest = len(facts.same) - len(facts.renamed) - len(facts.viewed)
    kept = f"; the other {tensors_(rest)} keep their keys" if rest > 1 else ""
    if rest == 1:
        kept = "; the other tensor keeps its key"
    return f"{first}: {'; '.join(ways)}{kept}."


def adapted(facts: Facts) -> Finding | None:
    """B contains all of A, unchanged, and adapters besides."""
    keys = [row.key for row in facts.only_b]
    if facts.differing or facts.only_a or not keys or not all(map(is_adapter, keys)):
        return None
    name = "LoRA adapters" if all("lora_" in key for key in keys) else "adapters"
    where = place(keys, [row.key for row in facts.rows])
    total = len(facts.shared)
    return Kind.ADAPTED, (
        f"B is A with {name}: {tensors_(len(keys))} only in B{where}; {all_tensors(total)} in "
        f"common {are(total)} {facts.the_same}."
    )


def is_adapter(key: str) -> bool:
    """Whether the key is that of an adapter's tensor, as peft names them."""
    return any(mark in key for mark in ADAPTERS)


def another_dtype(facts: Facts) -> Finding | None:
    """All tensors that differ were cast to another dtype, and changed only by its rounding."""
    if not facts.recast or facts.changed or facts.reshaped:
        return None
    if any(_is_quantized(row.a) or _is_quantized(row.b) for row in facts.recast):
        return None
    lost = [row for row in facts.recast if row.lost]
    if lost:
        return Kind.CHANGED, (
            f"Recast, and the values changed: {_which(facts)} {recast_words(facts.recast)}; in "
            f"{listed([row.key for row in lost])}, {lost[0].lost}{the_rest(facts)}."
        )
    equal = [row for row in facts.recast if row.equal_after_cast]
    if len(equal) < len(facts.recast) and not all(_rounded(facts, row) for row in facts.recast):
        return None
    how = "equal after a cast" if len(equal) == len(facts.recast) else "equal up to rounding"
    off = together(facts.recast, facts.numbers) if facts.complete else None
    off_by = f" (rounded by {percent(off.relative_l2)} overall)" if off and off.changed else ""
    return Kind.RECAST, (
        f"The same weights in another dtype: {_which(facts)} {recast_words(facts.recast)}, {how}"
        f"{off_by}{the_rest(facts)}."
    )


def _which(facts: Facts) -> str:
    """The recast tensors: `all 3 tensors`, or `3 of 122 tensors in common`."""
    total, recast = len(facts.shared), len(facts.recast)
    which = all_tensors(total) if recast == total else of_tensors(recast, total)
    return which if facts.all_shared else f"{which} in common"


def _rounded(facts: Facts, row: Row) -> bool:
    """Whether a recast row differs by no more than a rounding to the less precise dtype."""
    numbers = facts.numbers.get(row.key)
    if numbers is None or row.a is None or row.b is None or not has_floats(row):
        return False
    if (numbers.nan_a, numbers.inf_a) != (numbers.nan_b, numbers.inf_b):
        return False
    if row.a.dtype.startswith("complex") != row.b.dtype.startswith("complex"):
        return False
    digits = [DIGITS[dtype] for dtype in (row.a.dtype, row.b.dtype) if dtype in DIGITS]
    return bool(digits) and numbers.relative_l2 <= 2.0 ** -min(digits)


def quantized(facts: Facts) -> Finding | None:
    """Floats in one file are quantized in the other."""
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
    of = of_tensors(len(rows), len(facts.shared))
    off = together(rows, facts.numbers)
    if off is None or not off.whole:
        first = f"{whose} has quantized tensors where {other} has floats"
        return Kind.QUANTIZED, f"{first}: {of}, to {listed(dtypes)}{_besides(facts, rows)}."
    if off.relative_l2 > NOT_BY_ROUNDING:
        first = f"{whose} is quantized to {listed(dtypes)}, from weights other than {other}'s"
        if any(is_statistic(row) for row in (*facts.only_a, *facts.only_b)):
            first += " (as when BatchNorm is folded into them)"
    else:
        first = f"{whose} is {other} quantized to {listed(dtypes)}"
    return Kind.QUANTIZED, (
        f"{first}: {of}, off by {percent(off.relative_l2)} overall{_besides(facts, rows)}."
    )


def _besides(facts: Facts, rows: Sequence[Row]) -> str:
    """The end of a sentence, on the other shared tensors."""
    more = len(facts.differing) - len(rows)
    return f"; {count(more)} more changed{the_rest(facts)}" if more else the_rest(facts)


def _partly_quantized(facts: Facts) -> Finding | None:
    """One file contains quantized tensors that the other lacks, besides tensors that both have.

    A quantized linear layer keeps its weight under `_packed_params`
    (torch/ao/nn/quantized/modules/linear.py).
    """
    for whose, own, others in (
        ("B", facts.only_b, facts.only_a),
        ("A", facts.only_a, facts.only_b),
    ):
        own_quantized = [row for row in own if _is_quantized(row.a or row.b)]
        if not own_quantized or any(_is_quantized(row.a or row.b) for row in others):
            continue
        dtypes = sorted({entry.dtype for row in own_quantized if (entry := row.a or row.b)})
        named = listed([row.key.partition("._packed_params")[0] for row in own_quantized])
        total = len(facts.shared)
        rest = f"{all_tensors(total)} in common {are(total)} {facts.the_same}"
        if facts.differing:
            rest = f"{of_tensors(len(facts.differing), total)} in common changed"
        return Kind.QUANTIZED, f"{whose} is quantized to {listed(dtypes)} in {named}; {rest}."
    return None


def _is_quantized(entry: TensorEntry | None) -> bool:
    return entry is not None and isinstance(entry.form, Quantized)


def numerically_same(facts: Facts) -> Finding | None:
    """Bytes differ, but each element is within the tolerance."""
    measured = _only_changed(facts)
    if measured is None or not all(n.close for n in measured):
        return None
    if not any(n.changed for n in measured):
        of = of_tensors(len(measured), len(facts.shared))
        return Kind.NUMERICALLY_SAME, (
            f"Numerically the same: {of} {have(len(measured))} different bytes for the same values."
        )
    of = _of_shared(measured, facts)
    largest = max(n.max_abs for n in measured)
    return Kind.NUMERICALLY_SAME, (
        f"Numerically the same: {of} {'differs' if len(measured) == 1 else 'differ'}, each element "
        f"within the tolerance; the largest difference is {small(largest)}."
    )


def same_where_finite(facts: Facts) -> Finding | None:
    """The elements that are finite in both are equal; those of the rest differ."""
    measured = _only_changed(facts)
    if measured is None or any(n.max_abs for n in measured):
        return None
    of = _of_shared(measured, facts)
    return Kind.CHANGED, (
        f"B differs from A only in elements that are NaN or infinite in A or in B, in {of}"
        f"{the_rest(facts)}."
    )


def pruned(facts: Facts) -> Finding | None:
    """Elements were set to zero, and no other element changed."""
    masked = _masked(facts)
    if masked:
        return masked
    measured = _only_changed(facts)
    if measured is None or not all(_only_zeroed(n) for n in measured):
        return None
    share = percent(sum(n.changed for n in measured) / sum(n.count for n in measured))
    many = len(measured)
    where = place([row.key for row in facts.changed], [row.key for row in facts.rows], " in")
    if many == 1:
        of = f"of {facts.changed[0].key}"
    elif many == len(facts.shared):
        of = f"of {all_tensors(many)}"
    else:
        of = f"of {tensors_(many)}{where}{',' if where.startswith(',') else ''}"
    same = len(facts.same)
    rest = (
        f"; the other {tensors_(same)} {are(same)} {facts.the_same}"
        if same
        else ", and no other element changed"
    )
    return Kind.PRUNED, f"B is A pruned: {share} of the elements {of} were set to zero{rest}."


def _only_zeroed(n: Numbers) -> bool:
    finite = not (n.nan_a or n.nan_b or n.inf_a or n.inf_b)
    return finite and n.changed > 0 and n.zeros_b - n.zeros_a == n.changed


def _masked(facts: Facts) -> Finding | None:
    """B contains pruning masks: torch.nn.utils.prune stores a weight as `weight_orig` with a
    `weight_mask`."""
    keys_b = {row.key_b for row in (*facts.shared, *facts.only_b)}
    masks = [
        key.removesuffix("_mask")
        for row in facts.only_b
        if (key := row.key_b or "").endswith("_mask") and f"{key[:-5]}_orig" in keys_b
    ]
    others = [row for row in facts.only_b if _unmasked(row.key_b) not in masks]
    if not masks or others or facts.differing:
        return None
    if any(row.key_a not in masks for row in facts.only_a):
        return None
    first = "B is A with pruning masks" if not facts.only_a else "B has pruning masks"
    kept = sum(_unmasked(row.key_b) not in masks for row in facts.shared)
    rest = f"; the other {tensors_(kept)} {are(kept)} {facts.the_same}" if kept else ""
    what = f"{count(len(masks))} weights ({listed(masks)}) are each"
    if len(masks) == 1:
        what = f"{masks[0]} is"
    return Kind.PRUNED, f"{first}: {what} stored as _orig with a _mask{rest}."


def _unmasked(key: str | None) -> str:
    return (key or "").removesuffix("_mask").removesuffix("_orig")


def scaled(facts: Facts) -> Finding | None:
    """Each changed tensor is A's times the same number."""
    measured = _only_changed(facts)
    if measured is None or not all(n.norm_a and n.norm_b for n in measured):
        return None
    # What is NaN or infinite in one of them alone was not multiplied by any number.
    if not all(n.nan_a == n.nan_b == n.nan_both and not (n.inf_a or n.inf_b) for n in measured):
        return None
    if not any(n.count > 1 for n in measured):
        return None
    moved = _all_together(facts)
    factor = (moved.cosine or 0.0) * moved.norm_ratio
    for n in measured:
        own = (n.cosine or 0.0) * n.norm_b / n.norm_a
        residual = max(0.0, n.relative_l2**2 - (own - 1) ** 2)
        if math.sqrt(residual) > min(SCALED_REMAINDER * abs(own), UNEXPLAINED * abs(own - 1)):
            return None
        if abs(own - factor) > max(SAME_FACTOR * abs(factor - 1), ROUNDING):
            return None
    of = _of_shared(measured, facts)
    if abs(factor + 1) < ROUNDING:
        return Kind.SCALED, f"B is A with every sign flipped in {of}{the_rest(facts)}."
    times = f"{factor:.4g}".replace("-", "−")
    return (
        Kind.SCALED,
        f"B is A scaled: {of} {are(len(measured))} A's times {times}{the_rest(facts)}.",
    )


def rounded(facts: Facts) -> Finding | None:
    """The weights were rounded to a dtype with fewer bits, and kept their own dtype.

    Rounding to p bits changes a number by up to 2^-p of itself, evenly distributed. Over many
    numbers that is 2^-p/√3 of the norm where all are just above a power of two, and half of that
    where all are just below one. Rounding flips no sign and changes nearly every number. Noise or a
    little training can do all that too, so that the first elements of each tensor are rounded, for
    a proof.
    """
    measured = _all_signs_kept(facts)
    if measured is None:
        return None
    moved = _all_together(facts)
    for dtype in ("bfloat16", "float16"):
        most = 2.0 ** -DIGITS[dtype]
        # By judgement: 10 % beyond both bounds, and up to 2 % of the numbers exact in the dtype.
        if (
            all(n.relative_l2 <= most for n in measured)
            and all(
                0.9 * most / math.sqrt(12) <= n.relative_l2 <= 1.1 * most / math.sqrt(3)
                and n.changed >= 0.98 * (n.count - n.zeros_a)
                for n in measured
                if n.count >= SAMPLE
            )
            and all(is_round_trip(row, dtype) for row in facts.changed)
        ):
            return Kind.ROUNDED, (
                f"B looks like A rounded to {dtype} and back: "
                f"{how_many_changed(facts)}, by {percent(moved.relative_l2)} overall, and no "
                f"element changed its sign{the_rest(facts)}."
            )
    return None


def fake_quantized(facts: Facts) -> Finding | None:
    """The weights were rounded to a coarse grid: many became zero, and none changed sign."""
    measured = _all_signs_kept(facts)
    if measured is None:
        return None
    moved = _all_together(facts)
    gained = sum(n.zeros_b - n.zeros_a for n in measured)
    # By judgement: a grid this coarse zeroes some weights and moves nearly all of them, but by less
    # than 30 % of their norm.
    enough = 0.002 * moved.count <= gained <= 0.5 * moved.changed
    if not enough or moved.relative_l2 > 0.3 or moved.changed < 0.9 * moved.count:
        return None
    return Kind.FAKE_QUANTIZED, (
        f"B looks like A rounded to a coarse grid (fake quantization): "
        f"{how_many_changed(facts)}, by {percent(moved.relative_l2)} overall; "
        f"{percent(gained / moved.count)} of their elements became zero, and none changed its sign."
    )


def _all_signs_kept(facts: Facts) -> list[Numbers] | None:
    """The numbers of the changed rows, where all are floats, many, and kept all signs; else
    None."""
    measured = _only_changed(facts)
    if measured is None or not all(has_floats(row) for row in facts.changed):
        return None
    if any(n.nan_a or n.nan_b or n.inf_a or n.inf_b for n in measured):
        return None
    if any(n.sign_flips or n.zeros_b < n.zeros_a for n in measured):
        return None
    return measured if sum(n.count for n in measured) >= 4 * SAMPLE else None


def _of_shared(measured: Sequence[Numbers], facts: Facts) -> str:
    """`3 of 122 tensors`, or `all 122 tensors`."""
    if len(measured) == len(facts.shared):
        return all_tensors(len(measured))
    return of_tensors(len(measured), len(facts.shared))


def _all_together(facts: Facts) -> Overall:
    """The changed tensors as one vector, where `_only_changed`: then each of them has numbers."""
    moved = together(facts.changed, facts.numbers)
    assert moved is not None
    return moved


def _only_changed(facts: Facts) -> list[Numbers] | None:
    """The numbers of the changed rows; None where one lacks them, or a row is recast or
    reshaped."""
    if not facts.changed or not facts.complete or facts.recast or facts.reshaped:
        return None
    return [facts.numbers[row.key] for row in facts.changed]
