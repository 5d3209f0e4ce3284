"""Tries a recipe step by step, so that a page can show what each step does, or why it fails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.architectures import Signature
from core.checkpoint import Derived, StateDict, TensorEntry
from core.errors import FixError
from core.fixes import Recipe, Step
from core.keys import Patience
from core.recipe.apply import apply_recipe
from core.wording import shape as shape_words

MAX_CHANGES = 1_000
"""The most changes of a step that are listed; all are counted."""

ChangeKind: TypeAlias = Literal["renamed", "changed", "joined", "split", "added", "dropped"]
"""`changed`: another shape, another dtype or other numbers, under the same key or a new one."""


@dataclass(frozen=True, slots=True)
class Change:
    """Tensors that a step made of others: their keys before and after the step.

    There are several keys on a side if the step joins or splits. `was` and `now` are shapes and
    dtypes in words, such as `10 × 512 float32`; both are empty if neither changes.
    """

    kind: ChangeKind
    before: tuple[str, ...]
    after: tuple[str, ...]
    was: str = ""
    now: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step did: how many keys it changed and dropped, an example, and its changes.

    `example` is (before, after), with an empty `after` for a dropped key; None if nothing changed.
    `changes` are in the file's order, added tensors last, at most MAX_CHANGES out of `total`. A
    step that is switched off has no sentence. `error` is set if the step cannot be applied; the
    next step is then applied to the result of those before.
    """

    changed: int = 0
    dropped: int = 0
    sentence: str = ""
    example: tuple[str, str] | None = None
    error: FixError | None = None
    changes: tuple[Change, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """The state_dict after a recipe, with an Outcome for each of its steps."""

    state_dict: StateDict
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[int, ...]:
        """The positions of the steps that cannot be applied."""
        return tuple(i for i, outcome in enumerate(self.outcomes) if outcome.error)


def try_recipe(recipe: Recipe, state_dict: StateDict, signature: Signature | None = None) -> Trial:
    """Apply a recipe as `apply_recipe` does, but skip a step that raises FixError."""
    outcomes = []
    patience = Patience()
    for step in recipe.steps:
        state_dict, outcome = _try_step(step, state_dict, signature, patience)
        outcomes.append(outcome)
    return Trial(state_dict, tuple(outcomes))


def _try_step(
    step: Step, before: StateDict, signature: Signature | None, patience: Patience
) -> tuple[StateDict, Outcome]:
    if not step.enabled:
        return before, Outcome()
    try:
        applied = apply_recipe(Recipe((step,)), before, signature, patience)
    except FixError as error:
        return before, Outcome(error=error)
    effect = applied.effects[0]
    example = _example(before, applied.state_dict)
    changes = changes_between(before, applied.state_dict)
    return applied.state_dict, Outcome(
        effect.changed,
        effect.dropped,
        effect.sentence,
        example,
        changes=changes[:MAX_CHANGES],
        total=len(changes),
    )


def _example(before: StateDict, after: StateDict) -> tuple[str, str] | None:
    """The first key that is renamed or has another dtype, else the first that is dropped."""
    now = {entry.origin or entry.key: entry for entry in after.values()}
    gone = None
    for key, entry in before.items():
        new = now.get(entry.origin or key)
        if new is None:
            gone = gone or (key, "")
        elif new.key != key:
            return key, new.key
        elif new.dtype != entry.dtype:
            return f"{key}: {entry.dtype}", f"{key}: {new.dtype}"
    return gone


def changes_between(before: StateDict, after: StateDict) -> tuple[Change, ...]:
    """What became of each tensor that is not the same under the same key.

    A tensor is recognised by its origin in the file, and by what it is computed from.
    """
    new = [entry for entry in after.values() if not _same(before.get(entry.key), entry)]
    old = [entry for entry in before.values() if not _same(after.get(entry.key), entry)]
    if not (new or old):
        return ()
    results: dict[tuple[str, ...], list[TensorEntry]] = defaultdict(list)
    added: list[TensorEntry] = []
    places = _Places(before)
    for entry in new:
        sources = places.sources(entry)
        if sources:
            results[sources].append(entry)
        else:
            added.append(entry)
    used = {key for sources in results for key in sources}
    gone = {entry.key for entry in old} - used
    order = {key: position for position, key in enumerate(before)}
    changes = [
        _change([before[key] for key in sources], entries) for sources, entries in results.items()
    ]
    changes += [Change("dropped", (key,), ()) for key in gone]
    changes.sort(key=lambda change: order[change.before[0]])
    return (*changes, *(_change([], [entry]) for entry in added))


def _same(old: TensorEntry | None, new: TensorEntry) -> bool:
    return old is new or old == new  # The first is quick, and true for most tensors of a file.


class _Places:
    """The tensors before a step, by origin and by contents, to recognise them after it."""

    def __init__(self, before: StateDict) -> None:
        self.by_origin: dict[str, list[str]] = defaultdict(list)
        self.by_contents: dict[Hashable, str] = {}
        for key, entry in before.items():
            self.by_origin[_origin(entry)].append(key)
            self.by_contents.setdefault(_contents(entry), key)

    def sources(self, entry: TensorEntry) -> tuple[str, ...]:
        """The keys before the step of what an entry is made of; empty for an added entry."""
        key = self.by_contents.get(_contents(entry))
        if key is not None:
            return (key,)
        if isinstance(entry.form, Derived):
            parts = (key for part in entry.form.parts for key in self.sources(part))
            return tuple(dict.fromkeys(parts))
        return tuple(self.by_origin.get(_origin(entry), ())[:1])


def _origin(entry: TensorEntry) -> str:
    return entry.origin or entry.key


def _contents(entry: TensorEntry) -> Hashable:
    """Equal for a tensor and the same tensor under another key, while both exist."""
    place = id(entry.record), entry.storage_offset, entry.shape, entry.stride
    return _origin(entry), place, entry.dtype, entry.transforms, entry.form


def _change(before: Sequence[TensorEntry], after: Sequence[TensorEntry]) -> Change:
    was, now = _form_words(before), _form_words(after)
    if was == now:
        was = now = ""
    return Change(
        _kind(before, after),
        tuple(entry.key for entry in before),
        tuple(entry.key for entry in after),
        was,
        now,
    )


def _kind(before: Sequence[TensorEntry], after: Sequence[TensorEntry]) -> ChangeKind:
    if not before:
        return "added"
    if len(before) > 1:
        return "joined"
    if len(after) > 1:
        return "split"
    return "renamed" if _contents(before[0]) == _contents(after[0]) else "changed"


def _form_words(entries: Sequence[TensorEntry]) -> str:
    """The shapes and dtypes of the entries, each different one once."""
    words = (f"{shape_words(entry.shape)} {entry.dtype}" for entry in entries)
    return ", ".join(dict.fromkeys(words))
