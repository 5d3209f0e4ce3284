"""Checkpoints in several files: shards with an index, numbered parts, torch.distributed's folders.

A FileSet goes in; one Contents comes out, whose tensors know the files with their bytes. A file
that is missing or does not belong to the set raises CheckpointError.
"""

from core.checkpoint.sets.assembled import COMPONENTS, LATEST, is_one_checkpoint
from core.checkpoint.sets.distributed import DATA, METADATA
from core.checkpoint.sets.shards import numbered

__all__ = ["COMPONENTS", "DATA", "LATEST", "METADATA", "is_one_checkpoint", "numbered"]
