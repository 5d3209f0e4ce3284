"""The renamings that make most keys match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.key_match import match
from core.fit.one_module import filled_by_projection, torn_by_names
from core.fit.proposals.adapters import trained_module_ideas, uses_untrained
from core.fit.proposals.prefixes import prefix_ideas
from core.fit.proposals.proposal import Idea, listed_keys
from core.fit.proposals.tried import matched_after, names_after
from core.fit.proposals.twins import twin_ideas
from core.fixes import Drop, Fix, Rename, RenameTable
from core.keys import MOMENTUM, batch_norm_scales, dotted, is_caffe2, momentum_blobs
from core.wording import are

MAX_SHOWN = 4
"""The most renamings that are proposed."""


def best_renamings(state_dict: StateDict, signature: Signature) -> list[Idea]:
    """The renamings after which the most keys match, the best first.

    Of renamings that make the same keys match, only the first is listed. None fills a layer of the
    model from several layers of the file, or its head from a projection. Empty if none gains more
    than an accident would.
    """
    before = len(match(state_dict, signature).matched)
    seen: dict[frozenset[str], Idea] = {}
    for idea in _ideas(state_dict, signature):
        names = names_after(idea.fixes, state_dict.keys())
        if names is None:
            continue
        matched = matched_after(names, state_dict, signature)
        sources = {names[key]: key for key in matched}
        if uses_untrained(matched, state_dict) or torn_by_names(sources):
            continue
        if filled_by_projection(sources):
            continue
        if _is_worthwhile(len(matched) - before, before, len(signature), idea.known):
            seen.setdefault(matched, idea)
    ranked = sorted(seen.items(), key=lambda found: -len(found[0]))
    if not ranked:
        return []
    enough = before + (len(ranked[0][0]) - before) / 2
    return [idea for matched, idea in ranked if len(matched) >= enough][:MAX_SHOWN]


def _ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Ideas that choose one of several sets of weights first, so that they win over the others."""
    yield from chain(
        twin_ideas(state_dict, signature),
        dotless_ideas(state_dict, signature),
        trained_module_ideas(state_dict),
        prefix_ideas(state_dict, signature),
        known_ideas(state_dict, signature),
    )


def _is_worthwhile(gain: int, before: int, total: int, known: bool) -> bool:
    """Whether a gain is no accident: a twentieth of all keys, or half of those that do not match.

    For an idea with known names a hundredth of all keys is enough.
    """
    if gain <= 0:
        return False
    return (100 if known else 20) * gain >= total or 2 * gain >= total - before


KNOWN = (
    (
        Rename(r"(^|\.)gamma$", r"\1weight"),
        "Norms that come from TensorFlow call their weight `gamma`.",
    ),
    (
        Rename(r"(^|\.)beta$", r"\1bias"),
        "Norms that come from TensorFlow call their bias `beta`.",
    ),
    (
        Rename(r"\.(norm|relu|conv)\.(\d)\.", r".\1\2."),
        "torchvision before 0.3 wrote `norm.1` in DenseNet where it is now `norm1`.",
    ),
    (
        Rename(r"(^|\.)in_proj_(weight|bias)$", r"\1qkv.\2"),
        "`in_proj_weight` of torch.nn.MultiheadAttention is what others call `qkv.weight`.",
    ),
    (
        Rename(r"(^|\.)qkv\.(weight|bias)$", r"\1in_proj_\2"),
        "`qkv.weight` is `in_proj_weight` in torch.nn.MultiheadAttention.",
    ),
)
"""Renamings between known conventions, each with a sentence that says whose they are."""


def dotless_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Keys without dots as the model writes them, with dots between their parts.

    The momentum of an optimizer is dropped first.
    """
    momenta = momentum_blobs(state_dict)
    names = dotted([key for key in state_dict if key not in momenta])
    if not names:
        return
    exact = Counter(key.replace(".", joint) for key in signature for joint in "_/")
    table = dict(names)
    for key in signature:
        for joint in "_/":
            own = key.replace(".", joint)
            if own in table and exact[own] == 1:
                table[own] = key
    example = next((key for key, name in table.items() if name in signature), None)
    if example is None or moves_batch_norms(table, signature):
        return
    why = f"The file's keys have no dots: `{example}` is the model's `{table[example]}`."
    if any(map(is_caffe2, state_dict)):
        why += (
            " They are a ResNet's in Caffe2, where most have the stride of a block in its first "
            "convolution, branch2a; torchvision's and timm's have it in the second one."
        )
    dropping: tuple[Fix, ...] = ()
    if momenta:
        dropping = (Drop(f"*{MOMENTUM}"),)
        why += (
            f" {listed_keys(sorted(momenta))} {are(len(momenta))} left out: Caffe2's SGD keeps the "
            "momentum of a weight so, which is the state of an optimizer."
        )
    yield Idea((*dropping, RenameTable(tuple(table.items()))), why, known=True)


def moves_batch_norms(names: Mapping[str, str], signature: Signature) -> bool:
    """Whether the names put a BatchNorm of Caffe2 where the model has a norm without statistics.

    A GroupNorm has a weight and a bias of the same shapes, and timm calls it `bn` too.
    """
    targets = [names[key] for key in batch_norm_scales(names)]
    return any(
        name in signature and f"{name.removesuffix('weight')}running_mean" not in signature
        for name in targets
    )


def known_ideas(_state_dict: StateDict, _signature: Signature) -> Iterator[Idea]:
    """Every known renaming; those that gain nothing for the file are left out by the caller."""
    for fix, why in KNOWN:
        yield Idea((fix,), why, known=True)
