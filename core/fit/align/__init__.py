"""Pairs a file's keys with an architecture's, where both have the same tensors under other names.

`align` takes a StateDict and a signature, and returns an Alignment: the pairs with the confidence
of each, and the recipe that renames, fuses and splits accordingly.
"""

from core.fit.align.aligned import align
from core.fit.align.alignment import Alignment

__all__ = ["Alignment", "align"]
