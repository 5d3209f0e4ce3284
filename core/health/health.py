"""The result of a scan: what each check found, and what was not checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Check(StrEnum):
    """What is looked for, in the order in which it is shown."""

    NOT_FINITE = "not finite"
    ZERO = "zero"
    CONSTANT = "constant"
    DEAD = "dead channels"
    EXTREME = "extreme"
    VARIANCE = "variance"


TITLES: Mapping[Check, str] = {
    Check.NOT_FINITE: "NaN or Inf",
    Check.ZERO: "All-zero tensors",
    Check.CONSTANT: "Constant tensors",
    Check.DEAD: "Dead output channels",
    Check.EXTREME: "|weight| above 100",
    Check.VARIANCE: "running_var near 0",
}
"""The name of each check on screen."""


UNITS: Mapping[Check, str] = {
    Check.NOT_FINITE: "value",
    Check.ZERO: "tensor",
    Check.CONSTANT: "tensor",
    Check.DEAD: "output channel",
    Check.EXTREME: "value",
    Check.VARIANCE: "variance",
}
"""What each check counts."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A tensor that is not checked, and the `reason`, such as `sparse (sparse_csr)`."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found in a tensor.

    `count` of the tensor's `of` units (see UNITS) are meant, and `words` say what is there.
    `usual` says why this is usual, such as `as biases often start out`; it is empty for an anomaly.
    `kinds` are the kinds among the units: `NaN` and `Inf`, or `negative` and `near zero`.
    """

    key: str
    count: int
    of: int
    words: str
    usual: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found in all tensors that it is about.

    `anomalies` are worth a look, and `usual` are the findings that are expected; `of` units in
    `tensors` tensors were looked at.
    """

    check: Check
    anomalies: tuple[Finding, ...]
    usual: tuple[Finding, ...]
    of: int
    tensors: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, the anomalies first."""
        return self.anomalies + self.usual

    @property
    def count(self) -> int:
        """The units of all findings, the usual ones included."""
        return sum(finding.count for finding in self.findings)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the tensors with anomalies; of those with usual findings where there is
        none."""
        return tuple(finding.key for finding in self.anomalies or self.usual)


@dataclass(frozen=True, slots=True)
class Health:
    """What was found in a state_dict of `tensors` tensors, of which `checked` were read.

    `results` has each Check once, in its order. No check is about the `exempt` tensors, such as
    counters and tensors without elements. The `unchecked` ones may hold anything. `nbytes` were
    looked at.
    """

    results: tuple[CheckResult, ...]
    tensors: int
    checked: int
    exempt: tuple[Skipped, ...]
    unchecked: tuple[Skipped, ...]
    nbytes: int

    def result(self, check: Check) -> CheckResult:
        """What a check found."""
        return next(result for result in self.results if result.check is check)

    @property
    def anomalies(self) -> int:
        """How many checks found an anomaly."""
        return sum(bool(result.anomalies) for result in self.results)

    @property
    def is_complete(self) -> bool:
        """Whether every tensor was checked that a check is about."""
        return not self.unchecked
