"""The checkpoints of one training in their order, and what happened from step to step.

Checkpoints go in; the order by epoch or step and a summary in words come out. `numbers.measure_run`
fills a Run with numbers.
"""

from core.compare.run.run_order import in_order, labels, natural
from core.compare.run.training_run import MAX_CHECKPOINTS, Run, RunRow

__all__ = ["MAX_CHECKPOINTS", "Run", "RunRow", "in_order", "labels", "natural"]
