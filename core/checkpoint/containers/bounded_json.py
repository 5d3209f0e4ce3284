"""Reads JSON from a checkpoint only if the parsed objects cannot take far more memory than it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.wording import count

MAX_SIGNS: Mapping[bytes, int] = {b"{": 500_000, b"[": 500_000, b",": 2_000_000}
"""How often these characters may occur in a document. Each makes an object of 60 to 200 bytes, and
a hostile text may consist of nothing else. An exported tensor takes some ten mappings, a shard's
key one comma."""

PARTS: Mapping[bytes, str] = {b"{": "objects", b"[": "lists", b",": "commas"}
"""What these characters are, in words."""


def read_json(data: bytes, name: str) -> object:
    """The parsed document, which has a name in the sentences.

    Raises ValueError where it is not valid JSON, and MoreThanLoupeReads where it has too many parts
    or is nested too deeply.
    """
    for sign, most in MAX_SIGNS.items():
        if data.count(sign) > most:
            raise MoreThanLoupeReads(f"{name[:200]} has more than {count(most)} {PARTS[sign]}")
    try:
        document: object = json.loads(data)
    except RecursionError:
        raise MoreThanLoupeReads(f"{name[:200]} is nested more deeply than Python reads") from None
    return document
