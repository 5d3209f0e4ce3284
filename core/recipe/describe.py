"""A fix in a few words."""

from __future__ import annotations

from core.fixes import Fix


def describe(fix: Fix) -> str:
    """The fix in a few words that begin with a verb, with keys in backticks."""
    return fix.words()
