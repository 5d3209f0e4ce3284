"""The right tensors under other names: which key of a file is which of an architecture's."""

from core.fit.align.aligned import align
from core.fit.align.alignment import AlignedPair, Alignment
from core.fit.align.recipe_from_alignment import alignment_recipe

__all__ = ["AlignedPair", "Alignment", "align", "alignment_recipe"]
