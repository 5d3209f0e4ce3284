"""The right tensors under other names: which key of a file is which of an architecture's."""

from core.align.align import align
from core.align.recipe import alignment_recipe
from core.align.words import AlignedPair, Alignment

__all__ = ["AlignedPair", "Alignment", "align", "alignment_recipe"]
