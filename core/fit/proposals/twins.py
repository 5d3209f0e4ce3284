"""Ideas for a file that holds the network several times: its weights and an average of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.proposals.prefixes import MAX_PARTS, glob_of
from core.fit.proposals.proposal import Idea, counted
from core.fixes import MAX_TEXT, Fix, Keep, RenameTable, StripPrefix
from core.keys import names_average, names_follower, starts


def twin_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Each of the sets to be kept alone, where the file holds most of the network twice or more."""
    sets = _sets(state_dict, signature)
    dotless = list(_without_dots(state_dict, signature))
    times = len(sets) + len(dotless)
    if times > 1:
        told = " and ".join(
            f"{f'under `{prefix}`' if prefix else 'without a prefix'} ({counted(keys, 'key')})"
            for prefix, keys in sets.items()
        )
        if dotless:
            told += " and with the dots left out of its names"
        for prefix in sets:
            strip: tuple[Fix, ...] = (StripPrefix(prefix),) if prefix else ()
            inside = [other[len(prefix) :] for other in sets if other.startswith(prefix)]
            keep = _keep(prefix, [other for other in inside if other])
            why = f"The file holds this network {times} times, {told}{_average(prefix)}."
            yield Idea((keep, *strip), why)
    yield from dotless


def _average(prefix: str) -> str:
    if not (names_average(prefix) or names_follower(prefix)):
        return ""
    return f"; `{prefix}` reads like the average over training (EMA), often the better one"


def _keep(prefix: str, others: list[str]) -> Keep:
    """What begins with a prefix, but with none of the others after it."""
    if not others:
        return Keep(glob_of(prefix))
    return Keep(f"^{re.escape(prefix)}(?!{'|'.join(map(re.escape, others))})", "regex")


def _sets(state_dict: StateDict, signature: Signature) -> Mapping[str, int]:
    """Prefixes before which the same keys of the network stand, most of it each, the fullest
    first."""
    below: dict[str, set[str]] = defaultdict(set)
    for key, entry in state_dict.items():
        for start in starts(key, MAX_PARTS):
            spec = signature.get(key[start:])
            if spec is not None and spec.shape == entry.shape:
                below[key[:start]].add(key[start:])
                break
    full = {prefix: keys for prefix, keys in below.items() if 2 * len(keys) > len(signature)}
    ranked = sorted(full.items(), key=lambda found: -len(found[1]))
    return {prefix: len(keys) for prefix, keys in ranked}


def _without_dots(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """An average that keeps its names without their dots, as LitEma of latent diffusion does:
    `model_ema.layer10conv1weight`. It has no buffers; those are taken from the weights beside it.
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
                f"`{prefix}` holds {counted(len(table), 'key')} of this network with the dots left "
                "out, as LitEma writes an average over training (EMA)"
                + (", and the buffers stand beside it." if buffers else ".")
            )
            yield Idea((keep, RenameTable(tuple((table | buffers).items()))), why)


def _buffers(state_dict: StateDict, signature: Signature, there: set[str]) -> dict[str, str]:
    """The network's buffers in the file, under whatever prefix most of them stand."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for key, entry in state_dict.items():
        for start in starts(key, MAX_PARTS):
            spec = signature.get(key[start:])
            if spec is not None and spec.kind == "buffer" and spec.shape == entry.shape:
                if key[start:] not in there:
                    found[key[:start]][key] = key[start:]
                break
    return max(found.values(), key=len, default={})
