"""Whether the values of a state_dict's tensors are sound: NaN, zeros, constants, dead channels.

A StateDict goes in; a Health comes out: for each Check how much was looked at, what was found under
which key, and which findings are usual; and which tensors were not checked, with the reason. `scan`
reads each byte once, in bounded memory. This package imports no torch; scanning tensors that numpy
cannot read does.
"""

from core.health.float_bits import EXTREME
from core.health.health import TITLES, UNITS, Check, CheckResult, Finding, Health, Skipped
from core.health.health_summary import count_words, health_verdict, result_words, usual_words
from core.health.one_pass import MOST_BY_ITSELF, bytes_to_scan, scan

__all__ = [
    "EXTREME",
    "MOST_BY_ITSELF",
    "TITLES",
    "UNITS",
    "Check",
    "CheckResult",
    "Finding",
    "Health",
    "Skipped",
    "bytes_to_scan",
    "count_words",
    "health_verdict",
    "result_words",
    "scan",
    "usual_words",
]
