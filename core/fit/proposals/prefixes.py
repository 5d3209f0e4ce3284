"""Ideas on parts of a path that are too many or too few: wrappers' names, the model's name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from glob import escape

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.proposals.proposal import Idea, all_or_part
from core.fixes import AddPrefix, Keep, Rename, StripPrefix
from core.keys import WRAPPERS, WRITERS, copy_preference, names_slow_copy, starts

MAX_VOTED = 12
"""The most prefixes that are tried, those with the most votes."""

MAX_PARTS = 16
"""Only this many parts at the beginning of a path are searched for prefixes."""


def prefix_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Prefixes to strip, to add or to replace, and parts inside the path to take out."""
    for old, new in voted_prefixes(state_dict, signature):
        yield _exchange(old, new, state_dict)
    for parts in _inserted(state_dict, signature):
        fix = StripPrefix(f"{parts}.", anywhere=True)
        inside = [key for key in state_dict if f".{parts}." in f".{key}"]
        why = f"{_part_of_keys(inside, state_dict)} contain `{parts}.`{_written_by(parts)}."
        yield Idea((fix,), why)
    own = {part for key in signature for part in key.split(".")}
    parts_found = {part for key in state_dict for part in key.split(".")}
    wrapped = [part for part in WRAPPERS if part in parts_found - own]
    if len(wrapped) > 1:
        strips = tuple(StripPrefix(f"{part}.", anywhere=True) for part in wrapped)
        names = ", ".join(f"`{part}.`" for part in wrapped)
        why = f"The keys contain {names} at several depths{_written_by('.'.join(wrapped))}."
        yield Idea(strips, why)


def _exchange(old: str, new: str, state_dict: StateDict) -> Idea:
    begin = [key for key in state_dict if key.startswith(old)]
    if not new:
        why = f"{_part_of_keys(begin, state_dict)} begin with `{old}`{_written_by(old)}."
        wrapped = set(old.rstrip(".").split(".")) <= set(WRAPPERS)
        taken = {key.removeprefix(old) for key in begin}
        if not taken.isdisjoint(state_dict):
            # What has the names of the network's own layers is of another one: a head too.
            why += " Other keys have these names without it: they are left out."
            return Idea((Keep(glob_of(old)), StripPrefix(old)), why)
        return Idea((StripPrefix(old),), why, known=wrapped)
    if not old:
        return Idea((AddPrefix(new),), f"The model's keys begin with `{new}`, the file's do not.")
    fix = Rename(f"^{re.escape(old)}", new.replace("\\", r"\\"))
    part = _part_of_keys(begin, state_dict)
    why = f"{part} begin with `{old}`, where the model's begin with `{new}`."
    return Idea((fix,), why)


def _part_of_keys(keys: Collection[str], state_dict: StateDict) -> str:
    return all_or_part(len(keys), len(state_dict), "key")


def _written_by(path: str) -> str:
    """`, as DataParallel writes them`, for the wrappers in a path; empty if none is known."""
    writers = list(dict.fromkeys(WRITERS[part] for part in path.split(".") if part in WRITERS))
    if not writers:
        return ""
    return f", as {' and '.join(writers)} write{'s' if len(writers) == 1 else ''} them"


def voted_prefixes(state_dict: StateDict, signature: Signature) -> list[tuple[str, str]]:
    """Pairs of (prefix in the file, prefix in the model), those with the most votes first.

    Each key of the file looks for the model's keys of the same shape with which it shares the
    longest ending, cut at a dot. It votes for what is before that ending on both sides. Of as many
    votes for several copies of the network, those for the copy to use come first. Two pairs
    that share a side and have equal votes are both left out: an alignment decides between them.
    """
    wanted: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for key, spec in signature.items():
        for start in starts(key, MAX_PARTS):
            wanted[key[start:], spec.shape].append(key[:start])
    votes: Counter[tuple[str, str]] = Counter()
    for key, entry in state_dict.items():
        for start in starts(key, MAX_PARTS):
            prefixes = wanted.get((key[start:], entry.shape))
            if prefixes:
                votes.update((key[:start], prefix) for prefix in prefixes[:MAX_VOTED])
                break
    beside = votes.pop(("", ""), 0)
    torn = _torn({pair: number for pair, number in votes.items() if all(pair)})
    clear = Counter({pair: number for pair, number in votes.items() if pair not in torn})

    def rank(vote: tuple[tuple[str, str], int]) -> tuple[object, ...]:
        (prefix, _), number = vote
        # What is beside all copies, such as a head, was trained with the weights.
        return -number, bool(beside) and names_slow_copy(prefix), *copy_preference(prefix)

    return [pair for pair, _ in sorted(clear.items(), key=rank)[:MAX_VOTED]]


def _torn(votes: Mapping[tuple[str, str], int]) -> frozenset[tuple[str, str]]:
    """The pairs that share a side with another pair of as many votes or more."""
    best: dict[tuple[int, str], list[int]] = defaultdict(list)
    for pair, number in votes.items():
        for side in enumerate(pair):
            best[side] = sorted((*best[side], number))[-2:]
    return frozenset(
        pair
        for pair, number in votes.items()
        for side in enumerate(pair)
        if len(best[side]) == 2 and (number < best[side][1] or best[side][0] == number)
    )


def _inserted(state_dict: StateDict, signature: Signature) -> list[str]:
    """Parts of a path without which keys of the file are keys of the model, by votes."""
    votes: Counter[str] = Counter()
    for key, entry in state_dict.items():
        parts = key.split(".")
        for start, end in _spans(parts):
            spec = signature.get(".".join(parts[:start] + parts[end:]))
            if spec is not None and spec.shape == entry.shape:
                votes[".".join(parts[start:end])] += 1
    return [part for part, _ in votes.most_common(MAX_VOTED)]


def _spans(parts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Spans of a path that may be too many: one part, or several parts of wrappers in a row."""
    for start in range(min(len(parts) - 1, MAX_PARTS)):
        yield start, start + 1
        end = start + 1
        while end < len(parts) - 1 and parts[end] in WRAPPERS and parts[start] in WRAPPERS:
            end += 1
            yield start, end
            if end - start >= MAX_PARTS:
                break


def glob_of(prefix: str) -> str:
    """A glob for all keys that begin with a prefix."""
    return f"{escape(prefix)}*"
