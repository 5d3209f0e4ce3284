"""Checkpoints in several files: shards with an index, numbered parts, torch.distributed's folders.

A FileSet goes in; one Contents comes out in which each tensor knows the files that hold it. A file
that is missing or does not belong raises CheckpointError.
"""

from core.checkpoint.sets.assembled import COMPONENTS, LATEST, is_one_checkpoint
from core.checkpoint.sets.distributed import DATA, METADATA
from core.checkpoint.sets.shards import numbered

__all__ = ["COMPONENTS", "DATA", "LATEST", "METADATA", "is_one_checkpoint", "numbered"]
