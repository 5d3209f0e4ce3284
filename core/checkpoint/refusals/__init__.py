"""What is said of pickles that no reader came to: those of a refused file, and those beside one.

What a refused file would have run comes before what is wrong with it. The error of its reader goes
in, with the names of all pickles that were read; the same error, or one that tells of the dangerous
names first, comes out. A set of files goes in with the names of those that were read; the dangerous
globals of the others come out.
"""

from core.checkpoint.refusals.danger_first import danger_first, dangers_in_part
from core.checkpoint.refusals.files_beside import PicklesBeside, look_beside, look_into_archive

__all__ = ["PicklesBeside", "danger_first", "dangers_in_part", "look_beside", "look_into_archive"]
