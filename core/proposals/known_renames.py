"""Ideas from names that changed over the years, or differ between libraries."""

from __future__ import annotations

from collections.abc import Iterator

from core.architectures.tensor_spec import Signature
from core.checkpoint.entries import StateDict
from core.fixes import Rename
from core.proposals.words import Idea

KNOWN = (
    (
        Rename(r"(^|\.)gamma$", r"\1weight"),
        "Norms that come from TensorFlow call their weight `gamma`.",
    ),
    (
        Rename(r"(^|\.)beta$", r"\1bias"),
        "Norms that come from TensorFlow call their bias `beta`.",
    ),
    (
        Rename(r"\.(norm|relu|conv)\.(\d)\.", r".\1\2."),
        "torchvision before 0.3 wrote `norm.1` in DenseNet where it is now `norm1`.",
    ),
    (
        Rename(r"(^|\.)in_proj_(weight|bias)$", r"\1qkv.\2"),
        "`in_proj_weight` of torch.nn.MultiheadAttention is what others call `qkv.weight`.",
    ),
    (
        Rename(r"(^|\.)qkv\.(weight|bias)$", r"\1in_proj_\2"),
        "`qkv.weight` is `in_proj_weight` in torch.nn.MultiheadAttention.",
    ),
)
"""Renamings with the sentence that says who needs them."""


def known_ideas(_state_dict: StateDict, _signature: Signature) -> Iterator[Idea]:
    """Every known renaming; most do nothing for a given file, and are then left out."""
    for fix, why in KNOWN:
        yield Idea((fix,), why, known=True)
