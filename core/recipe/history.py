"""A recipe with what it was before and after, so that a person can go back and forth."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.fixes import Recipe

MOST = 100
"""Recipes that are remembered in either direction."""


@dataclass(frozen=True, slots=True)
class History:
    """The recipe now, those before it, the latest last, and those that were undone, the next one
    to come back first."""

    past: tuple[Recipe, ...] = ()
    present: Recipe = field(default_factory=Recipe)
    future: tuple[Recipe, ...] = ()

    def done(self, recipe: Recipe) -> History:
        """The history after a change to this recipe, which ends what could be redone; the same
        history where nothing changes."""
        if recipe == self.present:
            return self
        return History((*self.past, self.present)[-MOST:], recipe)

    def undo(self) -> History:
        """One change back, or the same history where there is none."""
        if not self.past:
            return self
        return History(self.past[:-1], self.past[-1], (self.present, *self.future)[:MOST])

    def redo(self) -> History:
        """One change forth again, or the same history where there is none."""
        if not self.future:
            return self
        return History((*self.past, self.present)[-MOST:], self.future[0], self.future[1:])
