"""Pairs a file's keys with an architecture's, where both have the same tensors under other names.

`align` takes a StateDict and a signature, and returns an Alignment: the pairs with the confidence
of each, and the recipe that renames, fuses and splits accordingly. `norms_by_values` says what the
tensors of norms are whose names say nothing.
"""

from core.fit.align.aligned import align
from core.fit.align.alignment import Alignment
from core.fit.align.norm_values import norms_by_values

__all__ = ["Alignment", "align", "norms_by_values"]
