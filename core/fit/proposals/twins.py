"""Ideas for a file that contains the model several times: its weights and an average of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.copies import AS_MUCH
from core.fit.proposals.prefixes import MAX_PARTS, glob_of
from core.fit.proposals.proposal import Idea
from core.fixes import MAX_TEXT, Fix, Keep, RenameTable, StripPrefix
from core.keys import copy_preference, names_slow_copy, starts
from core.wording import counted


def twin_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Ideas that keep one set of weights, if the file contains most of the model several times."""
    sets = _sets(state_dict, signature)
    dotless = list(_without_dots(state_dict, signature))
    times = len(sets) + len(dotless)
    if times > 1:
        places = " and ".join(
            f"{f'under `{prefix}`' if prefix else 'without a prefix'} ({counted(keys, 'key')})"
            for prefix, keys in sets.items()
        )
        if dotless:
            places += " and with names without dots"
        for prefix in sets:
            strip: tuple[Fix, ...] = (StripPrefix(prefix),) if prefix else ()
            inside = [other[len(prefix) :] for other in sets if other.startswith(prefix)]
            keep = _keep(prefix, [other for other in inside if other])
            why = f"The file contains this model {times} times: {places}{_average(prefix)}."
            yield Idea((keep, *strip), why)
    yield from dotless


def _average(prefix: str) -> str:
    if not names_slow_copy(prefix):
        return ""
    return f"; `{prefix}` reads like the average over training (EMA), often the better one"


def _keep(prefix: str, others: list[str]) -> Keep:
    """Keep the keys that begin with a prefix, unless one of the others follows it."""
    if not others:
        return Keep(glob_of(prefix))
    return Keep(f"^{re.escape(prefix)}(?!{'|'.join(map(re.escape, others))})", "regex")


def _sets(state_dict: StateDict, signature: Signature) -> Mapping[str, int]:
    """The prefixes below which most of the model's keys are, each with their number.

    The prefix with the most keys is first; of prefixes with about as many, the copy to use.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for key, entry in state_dict.items():
        for start in starts(key, MAX_PARTS):
            spec = signature.get(key[start:])
            if spec is not None and spec.shape == entry.shape:
                below[key[:start]].add(key[start:])
                break
    full = {prefix: keys for prefix, keys in below.items() if 2 * len(keys) > len(signature)}
    most = max(map(len, full.values()), default=0)

    def rank(found: tuple[str, set[str]]) -> tuple[object, ...]:
        prefix, keys = found
        fewer = len(keys) < AS_MUCH * most
        return fewer, *((-len(keys),) if fewer else ()), *copy_preference(prefix)

    ranked = sorted(full.items(), key=rank)
    return {prefix: len(keys) for prefix, keys in ranked}


def _without_dots(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """An average whose names have no dots, such as `model_ema.layer10conv1weight`.

    LitEma of latent diffusion writes it so, since torch forbids dots in a buffer's name. It has no
    buffers of the model; these are taken from the weights outside it.
    """
    dotless = Counter(key.replace(".", "") for key in signature)
    wanted = {key.replace(".", ""): key for key in signature if dotless[key.replace(".", "")] == 1}
    tables: dict[str, dict[str, str]] = defaultdict(dict)
    for key, entry in state_dict.items():
        prefix, dot, name = key.rpartition(".")
        new = wanted.get(name)
        if dot and new is not None and "." in new and signature[new].shape == entry.shape:
            tables[f"{prefix}."][key] = new
    parameters = [key for key, spec in signature.items() if spec.kind == "parameter"]
    for prefix, table in tables.items():
        if 2 * len(table) <= len(parameters):
            continue
        buffers = _buffers(state_dict, signature, set(table.values()))
        ends = sorted({re.escape(key.rpartition(".")[2]) for key in buffers.values()})
        also = rf"|(?:^|\.)(?:{'|'.join(ends)})$" if ends else ""
        keep = Keep(f"^{re.escape(prefix)}{also}", "regex")
        if len(keep.pattern) <= MAX_TEXT:
            why = (
                f"`{prefix}` contains {counted(len(table), 'key')} of this model without their "
                "dots, as LitEma writes an average over training (EMA)"
                + ("; the buffers are outside it." if buffers else ".")
            )
            yield Idea((keep, RenameTable(tuple((table | buffers).items()))), why)


def _buffers(state_dict: StateDict, signature: Signature, present: set[str]) -> dict[str, str]:
    """The model's buffers in the file, below the prefix that has most of them: old key → new key.

    `present` are keys of the model that need no tensor any more.
    """
    by_prefix: dict[str, dict[str, str]] = defaultdict(dict)
    for key, entry in state_dict.items():
        for start in starts(key, MAX_PARTS):
            spec = signature.get(key[start:])
            if spec is not None and spec.kind == "buffer" and spec.shape == entry.shape:
                if key[start:] not in present:
                    by_prefix[key[:start]][key] = key[start:]
                break
    return max(by_prefix.values(), key=len, default={})
