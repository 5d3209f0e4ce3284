"""What B is beside A: one kind, and at most three sentences that tell why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.compare.comparison import Row
from core.compare.tensor_numbers import Numbers
from core.compare.verdict.change_kinds import ComparisonVerdict, Kind, Told
from core.compare.verdict.comparison_facts import Facts, facts
from core.compare.verdict.rules_by_degree import (
    averaged,
    batch_norm,
    changed,
    head_only,
    moved_in_part,
    moved_throughout,
    optimizer,
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
    scaled,
)
from core.compare.verdict.where import place
from core.wording import count, tensors


def verdict(
    rows: Sequence[Row],
    numbers: Mapping[str, Numbers] | None = None,
    *,
    path_a: str = "",
    path_b: str = "",
) -> ComparisonVerdict:
    """Say what B is beside A; every number and every name in it is true of the rows.

    `numbers` are by the rows' keys. What needs them is said once each changed and each recast row
    has its own; before, the sentence tells how many tensors differ, and where. The paths are those
    of the state_dicts in their files: `model_ema` tells what no number does.
    """
    known = facts(rows, numbers or {}, path_a, path_b)
    if not rows:
        return ComparisonVerdict(Kind.EMPTY, "Neither A nor B holds a tensor.")
    if not known.shared:
        return ComparisonVerdict(
            Kind.DISJOINT,
            f"A and B have no key in common: {tensors(len(known.only_a))} only in A, "
            f"{tensors(len(known.only_b))} only in B.",
        )
    main = _main(known)
    odd = _not_finite(known)
    told = [odd, main] if odd else [main]
    alone = [found for side in "AB" if (found := _only(known, side, main))]
    if len(told) + len(alone) > 3:
        alone = [(alone[-1][0], "; ".join(text.removesuffix(".") for _, text in alone) + ".")]
    kinds = [kind for kind, _ in told]
    kinds += [kind for kind, _ in alone if kind not in (*kinds, Kind.CHANGED)]
    sentence = " ".join(text for _, text in (*told, *alone))
    return ComparisonVerdict(kinds[0], sentence, tuple(kinds[1:]), known.overall)


def _main(known: Facts) -> Told:
    for rule in RULES:
        found = rule(known)
        if found:
            return found
    return changed(known)


def _not_finite(known: Facts) -> Told | None:
    """NaN and infinities of B that A does not hold."""
    nan = {key: n.nan_b - n.nan_both for key, n in known.numbers.items()}
    inf = {key: n.inf_b for key, n in known.numbers.items() if not n.inf_a}
    held = [row.key for row in known.shared if nan.get(row.key, 0) > 0 or inf.get(row.key, 0) > 0]
    if not held:
        return None
    nans, infs = (sum(found.get(key, 0) for key in held) for found in (nan, inf))
    what = [f"{count(nans)} NaN"] if nans else []
    if infs:
        what.append(f"{count(infs)} {'infinity' if infs == 1 else 'infinities'}")
    where = f"in {tensors(len(held))}, first in {held[0]}" if len(held) > 1 else f"in {held[0]}"
    least = "" if known.complete else "at least "
    if not known.complete and len(held) > 1:
        where = f"in {tensors(len(held))}, such as {held[0]}"
    return Kind.NOT_FINITE, f"B holds {least}{' and '.join(what)} that A does not, {where}."


def _only(known: Facts, side: str, main: Told) -> Told | None:
    """What stands in one file only, and what it is if its keys say so."""
    own = known.only_b if side == "B" else known.only_a
    keys = [row.key for row in own]
    if not keys or _told_already(known, side, own, main):
        return None
    where = place(keys, [row.key for row in known.rows])
    for one, many, kind, is_such in PARTS:
        if all(is_such(key) for key in keys):
            noun = f"{count(len(keys))} {one if len(keys) == 1 else many}"
            return kind, f"{noun} only in {side}{where}."
    return Kind.CHANGED, f"{tensors(len(keys))} only in {side}{where}."


def _told_already(known: Facts, side: str, own: Sequence[Row], told: Told) -> bool:
    kind, text = told
    if side == "B" and kind is Kind.ADAPTED:
        return True
    if kind is Kind.PRUNED and "masks" in text:
        return True
    held = averaged(known, side)
    return kind is Kind.AVERAGED and held in text and held == f"it holds {own[0].key}"


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
"""What tensors of one file only may be, by their keys: one, many, the kind and the keys."""


def change_sentence(rows: Sequence[Row], numbers: Mapping[str, Numbers] | None = None) -> str:
    """`verdict`'s sentence; without numbers, what keys, checksums and bytes tell."""
    return verdict(rows, numbers).sentence


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
