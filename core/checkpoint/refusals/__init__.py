"""What is said of a file that does not open: what it would have run comes before what is wrong.

The error of a reader goes in, with the names of all pickles that were read; the same error, or one
that tells of the dangerous names first, comes out. For a part of a checkpoint that is left out,
it is a sentence, and the uses of these names.
"""

from core.checkpoint.refusals.danger_first import danger_first, dangers_in_part

__all__ = ["danger_first", "dangers_in_part"]
