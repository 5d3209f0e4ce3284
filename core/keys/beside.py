"""What the names in keys say is beside a network: heads, projections, decoders, losses, copies."""

from __future__ import annotations

import re
from collections.abc import Iterable

from core.keys.parts import common_prefix

_BESIDE = (
    r"proj\w*|predict\w*|prototypes?|queue\w*|decod\w*|text\w*|aux\w*|mask\w*|bbox\w*|boxes|rpn\w*"
    r"|roi\w*|seg\w*|loss\w*|criteri\w*|contrast\w*|momentum\w*|ema\w*|averaged?|shadow|teacher\w*"
    r"|student\w*|centers?|memory|bank|temperature|logit_scale|mean|std|distill\w*|lm|mlm|nsp"
    r"|pooler|arcface|margin|metric"
)
"""Names of what is beside a network and its classifier, as alternatives of a regex."""

_HEADS = r"heads?(?!_norm)|fcs?(?!_norm)|classif\w*|logits?|linear|output|out|final"

_A_HEAD = re.compile(rf"(?:^|[._])(?:{_HEADS})(?=[._\d]|$)", re.IGNORECASE)

_BESIDE_A_HEAD = re.compile(rf"(?:^|[._])(?:{_BESIDE})(?=[._\d]|$)", re.IGNORECASE)

_ANOTHER_PART = re.compile(
    rf"(?:^|[._])(?:{_HEADS}|cls[._](?:head|score|pred)|necks?|{_BESIDE})(?=[._\d]|$)",
    re.IGNORECASE,
)
_OF_THE_NETWORK = re.compile(
    r"adapter|prompt|side|gate|deep|norm|lora|gamma|scale|bias(?![a-z])|token(?!iz)|embed",
    re.IGNORECASE,
)
"""Words for what changes a network from beside its layers: such a part is no other part, unless it
begins like one, as `decoder_embed` does."""

_BEGINS_ANOTHER = re.compile(
    r"(?:decod|text(?!_prompt)|logit_|ema|momentum|teacher|student|shadow|averaged?[._]|head\.)",
    re.IGNORECASE,
)
"""What the names of decoders, copies and the like begin with, whatever else is in them."""


def names_head(key: str) -> bool:
    """Whether a part of the path names a head, of which a model may have another."""
    return _A_HEAD.search(key) is not None


def names_beside_head(path: str) -> bool:
    """Whether a part of the path names what is beside a network and its classifier: a loss, a
    decoder, a copy."""
    return _BESIDE_A_HEAD.search(path) is not None


def begins_beside(path: str) -> bool:
    """Whether the outermost name of a path is that of a decoder, a loss, a copy or the like."""
    outermost = path.partition(".")[0]
    if _BEGINS_ANOTHER.match(path) and not names_head(outermost):
        return True
    return names_beside_head(outermost) and not _OF_THE_NETWORK.search(outermost)


def network_prefix(keys: Iterable[str]) -> str:
    """The longest prefix that the keys of a network have in common, but for those of its head."""
    keys = list(keys)
    return common_prefix([key for key in keys if not _ANOTHER_PART.search(key)] or keys)


def names_another_part(path: str) -> bool:
    """Whether the outermost name of a path is that of a head, a decoder or the like."""
    outermost = path.partition(".")[0]
    if _BEGINS_ANOTHER.match(path):
        return True
    return _ANOTHER_PART.search(outermost) is not None and not _OF_THE_NETWORK.search(outermost)
