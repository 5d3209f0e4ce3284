"""Sentences on a scan: the verdict, and a check's count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.health.float_bits import EXTREME
from core.health.health import UNITS, Check, CheckResult, Finding, Health
from core.wording import are, count, counted, listed, tensors


def health_verdict(health: Health) -> str:
    """The verdict as words that may end a sentence, the worst finding first.

    `no anomalies` stands alone only where every check was made of every tensor that it is about.
    """
    clauses = list(_clauses(health))
    if not clauses:
        return _without_anomalies(health)
    named, more = clauses[:2], len(clauses) - 2
    return ", ".join(named) + (f", and {counted(more, 'more kind')}" if more > 0 else "")


def count_words(result: CheckResult) -> str:
    """What a check found of how much, such as `0 of 338`; `none here` where it is about no
    tensor."""
    if not result.of:
        return "none here"
    return f"{count(result.count)} of {count(result.of)}"


def usual_words(result: CheckResult) -> str:
    """Why all that a check found is usual; empty if it found nothing, or an anomaly too:
    `as biases often start out`."""
    if result.anomalies:
        return ""
    return listed([*dict.fromkeys(finding.usual for finding in result.usual)], MOST_REASONS)


MOST_REASONS = 3
"""Reasons that a check's line names."""


def result_words(result: CheckResult) -> str:
    """As `count_words`, with what is counted: `2 of 338 tensors, as is usual there`."""
    if not result.of:
        return f"no {UNITS[result.check]} to check"
    words = f"{count(result.count)} of {counted(result.of, UNITS[result.check])}"
    if result.usual and not result.anomalies:
        return f"{words}, as is usual there"
    if result.usual:
        usual = sum(finding.count for finding in result.usual)
        return f"{words}, {count(usual)} of them as is usual there"
    return words


def _without_anomalies(health: Health) -> str:
    unchecked = len(health.unchecked)
    if not health.checked:
        return "not checked" if unchecked else "no weights to check"
    if unchecked:
        return f"no anomalies in {tensors(health.checked)}, {count(unchecked)} not checked"
    return "no anomalies"


def _clauses(health: Health) -> Iterator[str]:
    """What was found, a clause for each kind of anomaly, the worst first."""
    of = {result.check: result.anomalies for result in health.results}
    if found := of[Check.NOT_FINITE]:
        kinds = [kind for kind in ("NaN", "Inf") if any(kind in one.kinds for one in found)]
        yield f"{tensors(len(found))} {_hold(found)} {' or '.join(kinds)}"
    negative = [one for one in of[Check.VARIANCE] if "negative" in one.kinds]
    if negative:
        yield f"{tensors(len(negative))} {_hold(negative)} negative variances"
    if found := of[Check.ZERO]:
        yield f"{tensors(len(found))} {are(len(found))} all zero"
    if found := of[Check.CONSTANT]:
        yield f"{tensors(len(found))} {are(len(found))} constant"
    if found := of[Check.EXTREME]:
        yield f"{tensors(len(found))} {_hold(found)} values above {EXTREME:g} in magnitude"
    zero = {one.key for one in health.result(Check.ZERO).findings}
    if dead := sum(one.count for one in of[Check.DEAD] if one.key not in zero):
        yield f"{counted(dead, 'output channel')} {are(dead)} zero throughout"
    near_zero = [one for one in of[Check.VARIANCE] if "negative" not in one.kinds]
    if near_zero:
        yield f"{tensors(len(near_zero))} {_hold(near_zero)} variances near 0"


def _hold(findings: Sequence[Finding]) -> str:
    return "holds" if len(findings) == 1 else "hold"
