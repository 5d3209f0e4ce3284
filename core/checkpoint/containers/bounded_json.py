"""JSON that a file gives, read where it cannot become far larger than its text."""

from __future__ import annotations

import json
from collections.abc import Mapping

MAX_SIGNS: Mapping[bytes, int] = {b"{": 500_000, b"[": 500_000, b",": 2_000_000}
"""How often signs may stand in a document: each makes an object of 60 to 200 bytes, and a text of
few bytes may be all signs. An exported tensor takes some ten mappings, a shard's key one comma."""


def read_json(data: bytes) -> object:
    """The document. Raises ValueError where it is no sound JSON, or holds too much."""
    if any(data.count(sign) > most for sign, most in MAX_SIGNS.items()):
        raise ValueError("more than any checkpoint's")
    try:
        found: object = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return found
