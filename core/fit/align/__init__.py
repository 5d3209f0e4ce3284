"""The right tensors under other names: which key of a file is which of an architecture's.

A StateDict and a signature go in; an Alignment comes out with the confidence of each pair, and the
recipe that renames, fuses or splits accordingly.
"""

from core.fit.align.aligned import align
from core.fit.align.alignment import Alignment

__all__ = ["Alignment", "align"]
