"""The parts that wrappers put into the keys of what they wrap."""

from __future__ import annotations

from collections.abc import Mapping

WRAPPED: Mapping[str, str] = {
    "module": "DataParallel",  # and DistributedDataParallel, AveragedModel
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FullyShardedDataParallel",
    "_checkpoint_wrapped_module": "activation checkpointing",
}
"""Parts that stand anywhere in a path, and who puts them there."""
