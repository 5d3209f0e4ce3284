"""What a process imports and prepares once for the children that `prepared.py` forks from it."""

import numba
import PIL.Image  # noqa: F401
import timm  # noqa: F401
import torchvision.models  # noqa: F401

# The first function that Numba compiles, or reads from disk, takes it half a second more: it then
# prepares its types and LLVM, for any function.
numba.njit(lambda number: number)(0)
