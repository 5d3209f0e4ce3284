"""The checkpoints of one training run in order, and what changed from each to the next.

Checkpoints go in; their order by epoch or step, and a summary in words, come out.
`numbers.measure_run` measures a Run.
"""

from core.compare.run.run_order import in_order, labels
from core.compare.run.training_run import MAX_CHECKPOINTS, Run, RunRow

__all__ = ["MAX_CHECKPOINTS", "Run", "RunRow", "in_order", "labels"]
