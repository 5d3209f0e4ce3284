"""Fixes that would help a state_dict into an architecture, each tried before it is proposed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING

from core.checkpoint.entries import StateDict, TensorEntry
from core.errors import FixError
from core.fixes import (
    MAX_TEXT,
    AddPrefix,
    Drop,
    DropMismatched,
    Fix,
    Recipe,
    Rename,
    Step,
    StripPrefix,
    apply_recipe,
    describe,
    new_keys,
)
from core.match import Match, match
from core.signature import Signature

if TYPE_CHECKING:
    from core.architectures import Architecture

Renaming = StripPrefix | AddPrefix | Rename

WRAPPERS = (
    "module",  # DataParallel, DistributedDataParallel, AveragedModel
    "_orig_mod",  # torch.compile
    "_fsdp_wrapped_module",  # FullyShardedDataParallel
    "_checkpoint_wrapped_module",  # activation checkpointing
    "model",
    "net",
    "network",
    "backbone",
)
"""Names that a wrapper puts into the keys of what it wraps."""

LEGACY = (
    Rename(r"(^|\.)gamma$", r"\1weight"),
    Rename(r"(^|\.)beta$", r"\1bias"),
    Rename(r"\.(norm|relu|conv)\.(\d)\.", r".\1\2."),
)
"""Names that changed: norms converted from TensorFlow, torchvision's DenseNet before 0.3."""

MAX_VOTED = 12
"""Prefixes that are tried, those with most votes."""

MAX_PARTS = 16
"""Parts at the beginning of a path that are looked at."""

MAX_SHOWN = 4
"""Renamings that are proposed at once."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A fix with the keys that match before and after it, out of those that are wanted then."""

    fix: Fix
    before: int
    after: int
    total: int
    sentence: str


def propose(state_dict: StateDict, signature: Signature) -> tuple[Proposal, ...]:
    """The fixes that bring the state_dict nearer to the signature, the best one first.

    First those that make more keys match. Where most keys match, also those that remove what
    stands in the way: unexpected keys, and tensors of another shape. Empty where it fits.
    """
    now = match(state_dict, signature)
    if now.fits:
        return ()
    proposals = [
        _proposal(fix, now, state_dict, signature)
        for fix in _best_renamings(state_dict, signature, len(now.matched))
    ]
    if 2 * len(now.matched) >= now.total:
        proposals += [
            _proposal(fix, now, state_dict, signature) for fix in _removals(now, state_dict)
        ]
    return tuple(proposals)


def propose_num_classes(
    state_dict: StateDict, architecture: Architecture | Signature
) -> int | None:
    """How many classes the file's head has, or None where it has none.

    The head is the architecture's last layer, found in the file as it is or under the best
    renaming; else the file's own last layer, where that is linear or a 1 × 1 convolution.
    Raises ArchitectureError.
    """
    wanted = _signature(architecture)
    weights = [
        key
        for key, spec in wanted.items()
        if spec.kind == "parameter" and len(spec.shape) >= 2 and key.endswith("weight")
    ]
    head = weights[-1] if weights else None
    if head is not None:
        found = state_dict.get(head) or _found_under_renaming(head, state_dict, wanted)
        if found is not None and len(found.shape) == len(wanted[head].shape):
            return found.shape[0]
    return _rows_of_last_layer(state_dict)


def _signature(architecture: Architecture | Signature) -> Signature:
    if isinstance(architecture, Mapping):
        return architecture
    from core.architectures import signature

    return signature(architecture)


def _found_under_renaming(
    key: str, state_dict: StateDict, signature: Signature
) -> TensorEntry | None:
    before = len(match(state_dict, signature).matched)
    for fix in _best_renamings(state_dict, signature, before):
        renamed = apply_recipe(Recipe((Step(fix),)), state_dict).state_dict
        if key in renamed:
            return renamed[key]
    return None


def _rows_of_last_layer(state_dict: StateDict) -> int | None:
    """Rows of the last weight, unless it is a norm's or a convolution with a larger kernel."""
    weights = [entry for key, entry in state_dict.items() if key.endswith("weight")]
    if not weights:
        return None
    shape = weights[-1].shape
    return shape[0] if len(shape) >= 2 and set(shape[2:]) <= {1} else None


def _proposal(fix: Fix, now: Match, state_dict: StateDict, signature: Signature) -> Proposal:
    fixed = apply_recipe(Recipe((Step(fix),)), state_dict, signature).state_dict
    then = match(fixed, signature)
    before, after = len(now.matched), len(then.matched)
    words = describe(fix)
    sentence = f"{words[0].lower()}{words[1:]}: "
    if after > before:
        sentence += f"{_thin(before)} → {_thin(after)} of {_thin(then.total)} keys"
    else:
        removed = len(state_dict) - len(fixed)
        sentence += (
            f"{_thin(removed)} {'key' if removed == 1 else 'keys'} less in the way, "
            f"{_thin(after)} of {_thin(then.total)} keys match"
        )
    return Proposal(fix, before, after, then.total, sentence)


def _best_renamings(state_dict: StateDict, signature: Signature, before: int) -> list[Renaming]:
    """Renamings by the keys that match after them; of two alike the simpler one."""
    seen: dict[frozenset[str], tuple[int, Renaming]] = {}
    for fix in dict.fromkeys(_candidates(state_dict, signature)):
        matched = _matched(fix, state_dict, signature)
        if _is_worthwhile(len(matched) - before, len(signature) - before, len(signature)):
            seen.setdefault(matched, (len(matched), fix))
    ranked = sorted(seen.values(), key=lambda found: -found[0])
    if not ranked:
        return []
    enough = before + (ranked[0][0] - before) / 2
    return [fix for after, fix in ranked if after >= enough][:MAX_SHOWN]


def _is_worthwhile(gain: int, lacking: int, total: int) -> bool:
    """A gain that is no accident: a twentieth of all keys, or half of those that lack."""
    return gain > 0 and (20 * gain >= total or 2 * gain >= lacking)


def _matched(fix: Renaming, state_dict: StateDict, signature: Signature) -> frozenset[str]:
    """The file's keys that match under a renaming, none where it cannot be applied."""
    matched: list[str] = []
    taken: set[str] = set()
    try:
        renamed = _renamed(fix, list(state_dict))
    except FixError:
        return frozenset()
    for new, (key, entry) in zip(renamed, state_dict.items(), strict=True):
        if new in taken or not new:
            return frozenset()
        taken.add(new)
        spec = signature.get(new)
        if spec is not None and spec.shape == entry.shape:
            matched.append(key)
    return frozenset(matched)


def _renamed(fix: Renaming, keys: Sequence[str]) -> list[str]:
    """The keys under a renaming out of `_candidates`, whose patterns are sure to end soon."""
    if isinstance(fix, Rename):
        return [re.sub(fix.pattern, fix.replacement, key) for key in keys]
    return new_keys(fix, keys)


def _candidates(state_dict: StateDict, signature: Signature) -> Iterator[Renaming]:
    """Renamings worth a try, the simple ones first."""
    for old, new in _prefixes(state_dict, signature):
        if not new:
            yield StripPrefix(old)
        elif not old:
            yield AddPrefix(new)
        else:
            yield Rename(f"^{re.escape(old)}", new.replace("\\", r"\\"))
    for parts in _inserted(state_dict, signature):
        yield StripPrefix(f"{parts}.", anywhere=True)
    own = {part for key in signature for part in key.split(".")}
    parts_found = {part for key in state_dict for part in key.split(".")}
    wrapped = [part for part in WRAPPERS if part in parts_found - own]
    if len(wrapped) > 1:
        yield Rename(rf"(?:^|(?<=\.))(?:{'|'.join(wrapped)})\.", "")
    yield from LEGACY


def _prefixes(state_dict: StateDict, signature: Signature) -> list[tuple[str, str]]:
    """Pairs of a prefix in the file and the one wanted instead, by votes.

    Each key of the file votes for what stands before the longest ending, cut at a dot, that it
    shares with a wanted key of the same shape.
    """
    wanted: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for key, spec in signature.items():
        for start in _starts(key):
            wanted[key[start:], spec.shape].append(key[:start])
    votes: Counter[tuple[str, str]] = Counter()
    for key, entry in state_dict.items():
        for start in _starts(key):
            prefixes = wanted.get((key[start:], entry.shape))
            if prefixes:
                votes.update((key[:start], prefix) for prefix in prefixes[:MAX_VOTED])
                break
    votes.pop(("", ""), None)
    return [pair for pair, _ in votes.most_common(MAX_VOTED)]


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


def _starts(key: str) -> list[int]:
    """Where a dotted path's parts begin, the first ones of a very long path."""
    starts = [0]
    while len(starts) < MAX_PARTS and (dot := key.find(".", starts[-1])) >= 0:
        starts.append(dot + 1)
    return starts


def _removals(now: Match, state_dict: StateDict) -> Iterator[Fix]:
    """Fixes that take away what a strict or a partial load would stumble on."""
    if any(mismatch.found != mismatch.wanted for mismatch in now.mismatched):
        yield DropMismatched()
    if now.unexpected_keys:
        fix = _drop_of(now.unexpected_keys, state_dict)
        if fix is not None:
            yield fix


def _drop_of(keys: Sequence[str], state_dict: StateDict) -> Drop | None:
    """One Drop of exactly these keys, by whole modules or by the names at their ends."""
    gone = set(keys)
    staying = [key for key in state_dict if key not in gone]
    modules = _modules_of(keys, staying)
    ends = dict.fromkeys(key.rpartition(".")[2] for key in keys)
    if len(ends) < len(modules) and not any(key.rpartition(".")[2] in ends for key in staying):
        if len(ends) == 1 and not any("." not in key for key in keys):
            return Drop(f"*.{escape(next(iter(ends)))}")
        pattern = rf"(?:^|\.)(?:{'|'.join(map(re.escape, ends))})$"
    elif len(modules) == 1:
        (module,) = modules
        return Drop(escape(module) + ("*" if module.endswith(".") else ""))
    else:
        pattern = f"^(?:{'|'.join(_as_regex(module) for module in modules)})"
    return Drop(pattern, "regex") if len(pattern) <= MAX_TEXT else None


def _as_regex(module: str) -> str:
    return re.escape(module) + ("" if module.endswith(".") else "$")


def _modules_of(keys: Iterable[str], staying: Iterable[str]) -> list[str]:
    """The outermost modules, as `path.`, that hold none of what stays; else single keys."""
    kept = {key[:start] for key in staying for start in _starts(key)}
    modules: dict[str, None] = {}
    for key in keys:
        inner = [key[:start] for start in _starts(key)[1:] if key[:start] not in kept]
        modules[inner[0] if inner else key] = None
    return list(modules)


def _thin(number: int) -> str:
    return f"{number:,}".replace(",", "\u2009")
