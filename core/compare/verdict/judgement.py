"""What B is relative to A: a kind, and at most six sentences that say why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.compare.comparison import Row
from core.compare.tensor_numbers import Numbers
from core.compare.verdict.besides_tensors import (
    NOTHING_BESIDE,
    Beside,
    arrays_finding,
    damage_finding,
)
from core.compare.verdict.change_kinds import ComparisonVerdict, Finding, Kind, ShortVerdict
from core.compare.verdict.comparison_facts import Facts, sort_rows
from core.compare.verdict.rules_by_degree import (
    averaged,
    batch_norm,
    changed,
    head_in_short,
    head_only,
    in_part_in_short,
    moved_in_part,
    moved_throughout,
    optimizer,
    throughout_in_short,
    unrelated,
)
from core.compare.verdict.rules_exact import (
    adapted,
    all_the_same,
    another_dtype,
    fake_quantized,
    is_adapter,
    numerically_same,
    pruned,
    quantized,
    rounded,
    same_where_finite,
    scaled,
)
from core.compare.verdict.where import place
from core.wording import count, counted, tensors


def verdict(
    rows: Sequence[Row],
    numbers: Mapping[str, Numbers] | None = None,
    *,
    path_a: str = "",
    path_b: str = "",
    beside: Beside = NOTHING_BESIDE,
) -> ComparisonVerdict:
    """What B is relative to A, as a kind and a sentence that the rows and the numbers prove.

    `numbers` are by row key. Until every changed and every recast row has numbers, the sentence
    only says how many tensors differ, and where. The paths are those of the two state_dicts in
    their files: a name such as `model_ema` shows an average of weights, which no number does.
    `beside` is what is known of the files besides these tensors: "identical" is said only where
    nothing of it differs.
    """
    facts = sort_rows(rows, numbers or {}, path_a, path_b, beside)
    if not rows:
        return ComparisonVerdict(Kind.EMPTY, "Neither A nor B contains a tensor.")
    main_finding, in_short = _main_finding(facts)
    arrays = arrays_finding(beside)
    # What differs comes first.
    findings = (main_finding, arrays) if facts.differing else (arrays, main_finding)
    findings = (_damaged(facts), damage_finding(beside), _not_finite(facts), *findings)
    leading = [finding for finding in findings if finding is not None]
    one_sided = [finding for side in "AB" if (finding := _one_sided(facts, side, main_finding))]
    if len(leading) + len(one_sided) > 3 and one_sided:
        joined = "; ".join(text.removesuffix(".") for _, text in one_sided) + "."
        one_sided = [(one_sided[-1][0], joined)]
    kinds = list(dict.fromkeys(kind for kind, _ in leading))
    kinds += [kind for kind, _ in one_sided if kind not in (*kinds, Kind.CHANGED)]
    sentence = " ".join(text for _, text in (*leading, *one_sided))
    short = in_short(facts) if in_short and [*leading, *one_sided] == [main_finding] else None
    return ComparisonVerdict(kinds[0], sentence, tuple(kinds[1:]), facts.overall, short)


def _main_finding(facts: Facts) -> tuple[Finding, InShort | None]:
    """The finding of the first rule that applies, and what says it in short."""
    if not facts.shared:
        words = (
            f"A and B have no key in common: {tensors(len(facts.only_a))} only in A, "
            f"{tensors(len(facts.only_b))} only in B."
        )
        return (Kind.DISJOINT, words), None
    for rule in RULES:
        finding = rule(facts)
        if finding:
            return finding, IN_SHORT.get(rule)
    return changed(facts), None


def _damaged(facts: Facts) -> Finding | None:
    sentence = damage_sentence(facts.rows)
    return (Kind.DAMAGED, sentence) if sentence else None


def damage_sentence(all_rows: Sequence[Row]) -> str:
    """The tensors whose bytes do not have the checksum that was saved; empty without any."""
    rows = [row for row in all_rows if row.damaged]
    if not rows:
        return ""
    sides = " and ".join(side for side in "AB" if any(side in row.damaged for row in rows))
    if len(rows) == 1:
        of = f"the stored checksum of {rows[0].key} in {sides} does not hold"
    else:
        of = (
            f"the stored checksums of {tensors(len(rows))} in {sides} do not hold, such as that of "
            f"{rows[0].key}"
        )
    return f"Damaged: {of}."


def _not_finite(facts: Facts) -> Finding | None:
    """The NaN and infinities in B that are not in A."""
    nan = {key: n.nan_b - n.nan_both for key, n in facts.numbers.items()}
    inf = {key: n.inf_b for key, n in facts.numbers.items() if not n.inf_a}
    affected_keys = [
        row.key for row in facts.shared if nan.get(row.key, 0) > 0 or inf.get(row.key, 0) > 0
    ]
    if not affected_keys:
        return None
    nans, infs = (sum(counts.get(key, 0) for key in affected_keys) for counts in (nan, inf))
    amounts = [f"{count(nans)} NaN"] if nans else []
    if infs:
        amounts.append(counted(infs, "infinity"))
    where = f"in {affected_keys[0]}"
    if len(affected_keys) > 1:
        example = "first in" if facts.complete else "such as"
        where = f"in {tensors(len(affected_keys))}, {example} {affected_keys[0]}"
    at_least = "" if facts.complete else "at least "
    words = f"{at_least}{' and '.join(amounts)}"
    return Kind.NOT_FINITE, f"B contains {words} that A does not, {where}."


def _one_sided(facts: Facts, side: str, main_finding: Finding) -> Finding | None:
    """The tensors of one side only, and what they are where all their keys say so."""
    own = facts.only_b if side == "B" else facts.only_a
    keys = [row.key for row in own]
    if not keys or _is_mentioned(facts, side, own, main_finding):
        return None
    where = place(keys, [row.key for row in facts.rows])
    for singular, plural, kind, is_such in PARTS:
        if all(is_such(key) for key in keys):
            noun = f"{count(len(keys))} {singular if len(keys) == 1 else plural}"
            return kind, f"{noun} only in {side}{where}."
    return Kind.CHANGED, f"{tensors(len(keys))} only in {side}{where}."


def _is_mentioned(facts: Facts, side: str, own: Sequence[Row], main_finding: Finding) -> bool:
    """Whether the main sentence already speaks of the tensors of one side only."""
    kind, text = main_finding
    if side == "B" and kind is Kind.ADAPTED:
        return True
    if kind is Kind.DISJOINT or (kind is Kind.PRUNED and "masks" in text):
        return True
    proof = averaged(facts, side)
    return kind is Kind.AVERAGED and proof in text and proof == f"it contains {own[0].key}"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


PARTS: tuple[tuple[str, str, Kind, Callable[[str], bool]], ...] = (
    (
        "tensor of a LoRA adapter",
        "tensors of LoRA adapters",
        Kind.ADAPTED,
        lambda key: "lora_" in key,
    ),
    (
        "tensor of an adapter",
        "tensors of adapters",
        Kind.ADAPTED,
        is_adapter,
    ),
    ("pruning mask", "pruning masks", Kind.PRUNED, lambda key: key.endswith("_mask")),
    (
        "scale or zero point of a quantized layer",
        "scales and zero points of quantized layers",
        Kind.QUANTIZED,
        lambda key: _last(key) in {"scale", "zero_point"},
    ),
)
"""What the tensors of one side only may be: (singular, plural, kind, whether a key is of it)."""


def change_sentence(rows: Sequence[Row], numbers: Mapping[str, Numbers] | None = None) -> str:
    """The sentence of `verdict`; without numbers, only what keys, checksums and bytes show."""
    return verdict(rows, numbers).sentence


RULES: tuple[Callable[[Facts], Finding | None], ...] = (
    quantized,
    pruned,
    adapted,
    all_the_same,
    batch_norm,
    another_dtype,
    numerically_same,
    same_where_finite,
    scaled,
    rounded,
    fake_quantized,
    optimizer,
    head_only,
    unrelated,
    moved_throughout,
    moved_in_part,
)
"""The rules in the order in which they are tried; where none applies, `changed` does."""

InShort = Callable[[Facts], ShortVerdict | None]

IN_SHORT: Mapping[Callable[[Facts], Finding | None], InShort] = {
    head_only: head_in_short,
    moved_throughout: throughout_in_short,
    moved_in_part: in_part_in_short,
}
"""The rules whose sentences are long, with the functions that say the same in short."""
