"""Ideas that drop keys on which a strict or a partial load would fail."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from glob import escape

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.key_match import Match
from core.fit.proposals.option_hints import options_sentence
from core.fit.proposals.prefixes import MAX_PARTS
from core.fit.proposals.proposal import Idea, listed_keys
from core.fixes import MAX_TEXT, Drop, DropMismatched, adapter_keys
from core.keys import starts
from core.wording import have


def removal_ideas(now: Match, state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """A DropMismatched if shapes differ, and one Drop of the unexpected keys."""
    shapes = [
        mismatch.key for mismatch in now.mismatched if mismatch.file_shape != mismatch.model_shape
    ]
    if shapes:
        why = f"{listed_keys(shapes)} {have(len(shapes))} another shape in the model."
        yield Idea((DropMismatched(),), f"{why} {options_sentence(now, signature)}".strip())
    if now.unexpected_keys:
        fix = drop_of(now.unexpected_keys, state_dict)
        if fix is not None:
            why = f"The model has no {listed_keys(list(now.unexpected_keys))}."
            if not adapter_keys(state_dict).isdisjoint(now.unexpected_keys):
                why += " Without its LoRA adapters, the model is what it was before their training."
            yield Idea((fix,), f"{why} {options_sentence(now, signature)}".strip())


def drop_of(keys: Sequence[str], state_dict: StateDict) -> Drop | None:
    """One Drop of exactly these keys, by whole modules or by the last parts of the keys.

    None if its pattern would be longer than MAX_TEXT.
    """
    gone = set(keys)
    staying = [key for key in state_dict if key not in gone]
    modules = modules_of(keys, staying)
    ends = dict.fromkeys(key.rpartition(".")[2] for key in keys)
    if len(ends) < len(modules) and not any(key.rpartition(".")[2] in ends for key in staying):
        if len(ends) == 1 and not any("." not in key for key in keys):
            return _checked(Drop(f"*.{escape(next(iter(ends)))}"))
        pattern = rf"(?:^|\.)(?:{'|'.join(map(re.escape, ends))})$"
    elif len(modules) == 1:
        (module,) = modules
        return _checked(Drop(escape(module) + ("*" if module.endswith(".") else "")))
    else:
        pattern = f"^(?:{'|'.join(_as_regex(module) for module in modules)})"
        if len(pattern) > MAX_TEXT:
            pattern = f"^(?:{'|'.join(_by_first_word(modules, staying))})"
    return _checked(Drop(pattern, "regex"))


def _checked(fix: Drop) -> Drop | None:
    return fix if len(fix.pattern) <= MAX_TEXT else None


def _by_first_word(modules: Iterable[str], staying: Sequence[str]) -> Iterator[str]:
    """Regexes for modules and keys, of which keys such as `ema_layer1_0_weight`, whose names have
    no dots, are one regex for all that begin with their first word, if no key that stays does."""
    kept = {key.partition("_")[0] for key in staying if "_" in key}
    seen: set[str] = set()
    for module in modules:
        word, underscore, _ = module.partition("_")
        if module.endswith(".") or not underscore or "." in word or word in kept:
            yield _as_regex(module)
        elif word not in seen:
            seen.add(word)
            yield re.escape(f"{word}_")


def _as_regex(module: str) -> str:
    return re.escape(module) + ("" if module.endswith(".") else "$")


def modules_of(keys: Iterable[str], staying: Iterable[str]) -> dict[str, list[str]]:
    """The outermost modules of the keys, as `path.`, that contain no key that stays → their keys.

    A key without such a module stands for itself.
    """
    kept = {key[:start] for key in staying for start in starts(key, MAX_PARTS)}
    modules: dict[str, list[str]] = {}
    for key in keys:
        inner = (key[:start] for start in starts(key, MAX_PARTS)[1:] if key[:start] not in kept)
        modules.setdefault(next(inner, key), []).append(key)
    return modules
