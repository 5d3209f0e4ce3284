"""Ideas on what stands before or inside the keys: wrappers' names, a network's own name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from glob import escape

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.proposals.proposal import Idea, share
from core.fixes import AddPrefix, Rename, StripPrefix
from core.keys import WRAPPERS, WRITERS, starts

MAX_VOTED = 12
"""Prefixes that are tried, those with most votes."""

MAX_PARTS = 16
"""Parts at the beginning of a path that are looked at."""


def prefix_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Prefixes to strip, to add or to exchange, parts inside the path to take out."""
    for old, new in voted_prefixes(state_dict, signature):
        yield _exchange(old, new, state_dict)
    for parts in _inserted(state_dict, signature):
        fix = StripPrefix(f"{parts}.", anywhere=True)
        inside = [key for key in state_dict if f".{parts}." in f".{key}"]
        why = f"`{parts}.` stands in {_share(inside, state_dict)}{_written_by(parts)}."
        yield Idea((fix,), why)
    own = {part for key in signature for part in key.split(".")}
    parts_found = {part for key in state_dict for part in key.split(".")}
    wrapped = [part for part in WRAPPERS if part in parts_found - own]
    if len(wrapped) > 1:
        strips = tuple(StripPrefix(f"{part}.", anywhere=True) for part in wrapped)
        names = ", ".join(f"`{part}.`" for part in wrapped)
        why = f"{names} stand in the keys, at several depths{_written_by('.'.join(wrapped))}."
        yield Idea(strips, why)


def _exchange(old: str, new: str, state_dict: StateDict) -> Idea:
    begin = [key for key in state_dict if key.startswith(old)]
    if not new:
        why = f"{_share(begin, state_dict)} begin with `{old}`{_written_by(old)}."
        wrapped = set(old.rstrip(".").split(".")) <= set(WRAPPERS)
        return Idea((StripPrefix(old),), why, known=wrapped)
    if not old:
        return Idea((AddPrefix(new),), f"The network's keys begin with `{new}`, the file's do not.")
    fix = Rename(f"^{re.escape(old)}", new.replace("\\", r"\\"))
    why = f"{_share(begin, state_dict)} begin with `{old}`, where the network's begin with `{new}`."
    return Idea((fix,), why)


def _share(some: Collection[str], state_dict: StateDict) -> str:
    return share(len(some), len(state_dict), "key")


def _written_by(path: str) -> str:
    writers = list(dict.fromkeys(WRITERS[part] for part in path.split(".") if part in WRITERS))
    if not writers:
        return ""
    return f", as {' and '.join(writers)} write{'s' if len(writers) == 1 else ''} them"


def voted_prefixes(state_dict: StateDict, signature: Signature) -> list[tuple[str, str]]:
    """Pairs of a prefix in the file and the one wanted instead, by votes.

    Each key of the file votes for what stands before the longest ending, cut at a dot, that it
    shares with a wanted key of the same shape. Where one prefix might as well be exchanged for
    another, or another for the same one, neither is a pair: that is for an alignment to weigh.
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
    votes.pop(("", ""), None)
    torn = _torn({pair: number for pair, number in votes.items() if all(pair)})
    clear = Counter({pair: number for pair, number in votes.items() if pair not in torn})
    return [pair for pair, _ in clear.most_common(MAX_VOTED)]


def _torn(votes: Mapping[tuple[str, str], int]) -> frozenset[tuple[str, str]]:
    """Pairs that share a side with another pair of as many votes."""
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
    """Parts of a path that are too many, by votes: without them a key is a wanted one."""
    votes: Counter[str] = Counter()
    for key, entry in state_dict.items():
        parts = key.split(".")
        for start, end in _spans(parts):
            spec = signature.get(".".join(parts[:start] + parts[end:]))
            if spec is not None and spec.shape == entry.shape:
                votes[".".join(parts[start:end])] += 1
    return [part for part, _ in votes.most_common(MAX_VOTED)]


def _spans(parts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Spans of a path that may be too many: one part, or several wrappers' in a row."""
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
