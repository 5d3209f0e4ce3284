"""A recipe with its undo and redo history."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.fixes import Recipe

MAX_UNDO = 100
"""The most changes that can be undone, and as many that can be redone."""


@dataclass(frozen=True, slots=True)
class History:
    """The present recipe, the past ones with the latest last, and the undone ones, next first."""

    past: tuple[Recipe, ...] = ()
    present: Recipe = field(default_factory=Recipe)
    future: tuple[Recipe, ...] = ()

    def done(self, recipe: Recipe) -> History:
        """The history after a change to this recipe, after which nothing can be redone.

        It is the same history if nothing changes.
        """
        if recipe == self.present:
            return self
        return History((*self.past, self.present)[-MAX_UNDO:], recipe)

    def undo(self) -> History:
        """The history one change back; the same one if there is none."""
        if not self.past:
            return self
        return History(self.past[:-1], self.past[-1], (self.present, *self.future)[:MAX_UNDO])

    def redo(self) -> History:
        """The history with the last undone change again; the same one if there is none."""
        if not self.future:
            return self
        return History((*self.past, self.present)[-MAX_UNDO:], self.future[0], self.future[1:])
