"""Reads JSON from a checkpoint only if the parsed objects cannot take far more memory than it."""

from __future__ import annotations

import json
from collections.abc import Mapping

MAX_SIGNS: Mapping[bytes, int] = {b"{": 500_000, b"[": 500_000, b",": 2_000_000}
"""How often these characters may occur in a document. Each makes an object of 60 to 200 bytes, and
a hostile text may consist of nothing else. An exported tensor takes some ten mappings, a shard's
key one comma."""


def read_json(data: bytes) -> object:
    """The parsed document. Raises ValueError where it is not valid JSON, or has too many parts."""
    if any(data.count(sign) > most for sign, most in MAX_SIGNS.items()):
        raise ValueError("more parts than any checkpoint's JSON has")
    try:
        document: object = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return document
