"""Fixes that drop tensors, by their keys or by their shapes."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from core.checkpoint import StateDict
from core.fixes.base import Changed, Context, Effect, Fix, Syntax
from core.fixes.computed import rebuilt
from core.fixes.effects import effect_sentence, keys_words
from core.fixes.form import PATTERN, SYNTAX, Form
from core.fixes.script_part import SHAPES, ScriptPart, choosing, matches
from core.fixes.selection import matching


@dataclass(frozen=True, slots=True)
class Keep(Fix):
    """Drop every key that does not match."""

    json_name = "keep"
    keeps_names = True
    form = Form("Keep only", "Keeps the keys that match, drops all others.", (PATTERN, SYNTAX))

    pattern: str
    syntax: Syntax = "glob"

    def words(self) -> str:
        return f"Keep only {keys_words(self.pattern, self.syntax)}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        return kept(state_dict, matching(self.pattern, self.syntax, state_dict, context.patience))

    def script(self) -> ScriptPart:
        return ScriptPart((choosing(matches(self.pattern, self.syntax)),))


@dataclass(frozen=True, slots=True)
class Drop(Fix):
    """Drop every key that matches."""

    json_name = "drop"
    keeps_names = True
    form = Form("Drop", "Drops the keys that match.", (PATTERN, SYNTAX))

    pattern: str
    syntax: Syntax = "glob"

    def words(self) -> str:
        return f"Drop {keys_words(self.pattern, self.syntax)}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        gone = matching(self.pattern, self.syntax, state_dict, context.patience)
        return kept(state_dict, state_dict.keys() - gone)

    def script(self) -> ScriptPart:
        return ScriptPart((choosing(f"not {matches(self.pattern, self.syntax)}"),))


@dataclass(frozen=True, slots=True)
class DropMismatched(Fix):
    """Drop the tensors whose shape differs from the signature's."""

    json_name = "drop_mismatched"
    keeps_names = True
    form = Form(
        "Drop what has another shape",
        "Drops tensors whose shape differs from the model's, so that the rest can be loaded.",
    )

    def words(self) -> str:
        return "Drop what has another shape"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Keep the tensors that have the signature's shape, or whose key it does not have."""
        wanted = {key: spec.shape for key, spec in context.wanted.items()}
        fitting = {
            key for key, entry in state_dict.items() if wanted.get(key, entry.shape) == entry.shape
        }
        return kept(state_dict, fitting)

    def script(self) -> ScriptPart:
        lines = SHAPES, choosing("shapes.get(key, value.shape) == value.shape")
        return ScriptPart(lines, needs_model=True, leaves_out=True)


def kept(state_dict: StateDict, keys: Container[str]) -> Changed:
    """The state_dict with these keys alone, and how many were dropped."""
    entries = [entry for key, entry in state_dict.items() if key in keys]
    dropped = len(state_dict) - len(entries)
    names = ((entry.key, entry.key) for entry in entries)
    return rebuilt(state_dict, entries, names), Effect(
        0, dropped, effect_sentence(dropped, "dropped")
    )
