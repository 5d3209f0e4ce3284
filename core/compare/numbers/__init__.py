"""How far the values of paired tensors are apart, measured block by block.

Pairs of tensors go in; Numbers come out for each: norms, relative L2, cosine, and counts of
changed, zero and non-finite elements, all summed in float64. `measure_run` measures all checkpoints
of a run. The sums need numpy alone; torch is imported only for tensors that numpy cannot read, and
Numba only where there is so much to sum that compiled loops are worth it.
"""

from core.compare.numbers.contiguous import load_kernel
from core.compare.numbers.measure import differences
from core.compare.numbers.run_measure import measure_run

__all__ = ["differences", "load_kernel", "measure_run"]
