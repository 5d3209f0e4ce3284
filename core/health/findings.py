"""What the facts on the elements mean for each tensor: a finding, and whether it is a usual one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from core.health.element_facts import NEAR_ZERO, ElementFacts
from core.health.float_bits import EXTREME
from core.health.health import Check, CheckResult, Finding, Health
from core.health.subjects import Subject, Subjects
from core.keys import ModuleKind
from core.wording import are, count, counted, small

Judge = Callable[[Subject, ElementFacts], tuple[int, Finding | None]]
"""What a check says of a tensor: how many of its units were looked at, 0 where the check is not
about it, and the finding, if any."""


SCALE = re.compile(r"gamma(_?\d+)?|layer_?scale\w*|lambda_?\d*|gain|temperature|logit_scale")
"""The last part of the key of a learned scale, which starts as one number: LayerScale's (CaiT,
arXiv 2103.17239), those of normalizer-free networks (arXiv 2102.06171) and of attention (XCiT, Swin
V2), as timm, torchvision and transformers name them."""

POSITION_BIASES = re.compile(r"relative_position_bias_table|attention_biases|rel_pos\w*")
"""The last part of the key of attention's biases by position, which start at zero in BEiT, LeViT
and SAM."""


def health_of(subjects: Subjects, facts: Mapping[str, ElementFacts], nbytes: int) -> Health:
    """The health of a state_dict from the facts on its elements, by key; those without facts are
    not `checked`. `nbytes` were looked at."""
    checked = [subject for subject in subjects.checked if subject.key in facts]
    return Health(
        tuple(_result(check, judge, checked, facts) for check, judge in JUDGES.items()),
        len(checked) + len(subjects.exempt) + len(subjects.unchecked),
        len(checked),
        subjects.exempt,
        subjects.unchecked,
        nbytes,
    )


def _result(
    check: Check, judge: Judge, subjects: Sequence[Subject], facts: Mapping[str, ElementFacts]
) -> CheckResult:
    judged = [judge(subject, facts[subject.key]) for subject in subjects]
    findings = [finding for _, finding in judged if finding is not None]
    return CheckResult(
        check,
        tuple(finding for finding in findings if not finding.usual),
        tuple(finding for finding in findings if finding.usual),
        sum(units for units, _ in judged),
        sum(units > 0 for units, _ in judged),
    )


def _not_finite(subject: Subject, facts: ElementFacts) -> tuple[int, Finding | None]:
    found = facts.nan + facts.inf
    if not found:
        return facts.numel, None
    kinds = {"NaN": facts.nan, "Inf": facts.inf}
    words = f"{_each(kinds)}, of {_values(facts)}"
    usual = "as in a mask" if subject.is_mask and not facts.nan else ""
    return facts.numel, Finding(
        subject.key, found, facts.numel, words, usual, tuple(kind for kind in kinds if kinds[kind])
    )


def _zero(subject: Subject, facts: ElementFacts) -> tuple[int, Finding | None]:
    if not facts.zero:
        return 1, None
    words = f"{_all_values(facts)} zero"
    return 1, Finding(subject.key, 1, 1, words, _usual_zeros(subject))


def _usual_zeros(subject: Subject) -> str:
    if subject.is_mask:
        return "as in a mask"
    if subject.leaf == "running_mean":
        return "as norm statistics start out"
    if subject.leaf.endswith("bias") and len(subject.entry.shape) == 1:
        return "as biases often start out"
    if POSITION_BIASES.fullmatch(subject.leaf):
        return "as biases by position often start out"
    if subject.kind is ModuleKind.NORM or SCALE.fullmatch(subject.leaf):
        return "as the last scale of a residual branch often starts out"
    if any(part.startswith(("lora_B", "lora_up")) for part in subject.key.split(".")):
        return "as LoRA's B starts out"
    return ""


def _constant(subject: Subject, facts: ElementFacts) -> tuple[int, Finding | None]:
    if facts.numel < 2:
        return 0, None
    if facts.value is None or facts.zero:
        return 1, None
    number = small(facts.value[0], 4)
    if len(facts.value) > 1:
        number += f" + {small(facts.value[1], 4)}j"
    usual = _usual_constant(subject, ones=facts.value == (1.0,))
    return 1, Finding(subject.key, 1, 1, f"{_all_values(facts)} {number}", usual)


def _usual_constant(subject: Subject, *, ones: bool) -> str:
    if subject.is_mask:
        return "as in a mask"
    if ones and subject.leaf == "running_var":
        return "as norm statistics start out"
    if ones and subject.kind is ModuleKind.NORM:
        return "as norms start out"
    if SCALE.fullmatch(subject.leaf):
        return "as learned scales start out"
    return ""


def _dead(subject: Subject, facts: ElementFacts) -> tuple[int, Finding | None]:
    if subject.channels is None:
        return 0, None
    number = subject.channels.number
    if not facts.dead:
        return number, None
    where = "columns" if subject.channels.axis else "rows"
    words = (
        f"{count(facts.dead)} of {counted(number, 'output channel')} ({where} of the weight) "
        f"{are(facts.dead)} zero throughout"
    )
    return number, Finding(subject.key, facts.dead, number, words)


def _extreme(subject: Subject, facts: ElementFacts) -> tuple[int, Finding | None]:
    if subject.is_statistic:
        return 0, None
    if not facts.extreme:
        return facts.numel, None
    words = (
        f"{count(facts.extreme)} of {_values(facts)} {are(facts.extreme)} above "
        f"{EXTREME:g} in magnitude"
    )
    if not subject.entry.dtype.startswith("complex"):
        words += f", up to {small(facts.largest, 3)}"
    usual = "as in a mask" if subject.is_mask else ""
    return facts.numel, Finding(subject.key, facts.extreme, facts.numel, words, usual)


def _variance(subject: Subject, facts: ElementFacts) -> tuple[int, Finding | None]:
    if not subject.is_variance:
        return 0, None
    found = facts.negative + facts.near_zero
    if not found:
        return facts.numel, None
    kinds = {"negative": facts.negative, "near zero": facts.near_zero}
    words = f"{_each(kinds)} (below {small(NEAR_ZERO)})" if facts.near_zero else _each(kinds)
    return facts.numel, Finding(
        subject.key,
        found,
        facts.numel,
        f"{words}, of {counted(facts.numel, 'variance')}",
        kinds=tuple(kind for kind in kinds if kinds[kind]),
    )


JUDGES: Mapping[Check, Judge] = {
    Check.NOT_FINITE: _not_finite,
    Check.ZERO: _zero,
    Check.CONSTANT: _constant,
    Check.DEAD: _dead,
    Check.EXTREME: _extreme,
    Check.VARIANCE: _variance,
}


def _each(kinds: Mapping[str, int]) -> str:
    """`3 are NaN and 1 is Inf`."""
    return " and ".join(
        f"{count(number)} {are(number)} {kind}" for kind, number in kinds.items() if number
    )


def _values(facts: ElementFacts) -> str:
    return counted(facts.numel, "value")


def _all_values(facts: ElementFacts) -> str:
    return "its one value is" if facts.numel == 1 else f"all {_values(facts)} are"
