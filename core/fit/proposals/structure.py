"""Ideas on tensors that are kept in another number of pieces than the network wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.architectures import Signature
from core.checkpoint import Quantized, StateDict
from core.fit.proposals.proposal import Idea, counted
from core.fixes import (
    Dequantize,
    Fuse,
    MergeLora,
    Split,
    WeightNorm,
    scale_assumed,
    unscaled_adapters,
)
from core.keys import FUSED_LAYERS

IN_PROJECTION = ("in_proj_weight", "in_proj_bias")
"""torch.nn.MultiheadAttention's own names, which are no module's."""

LORA = ("lora_A", "lora_B", "lora_down", "lora_up")

NORMED = ("weight_g", "weight_v", "original0", "original1")


def structure_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Fuse or split, fold or rename weight norm, merge adapters, dequantize."""
    found = _parts(state_dict)
    normed = [key for key in state_dict if key.rpartition(".")[2] in NORMED]
    if normed:
        why = (
            f"{counted(len(normed) // 2, 'weight')} are kept as a length and a direction, as "
            "weight norm does"
        )
        yield Idea((WeightNorm("folded"),), f"{why}; the network wants them whole.")
        yield Idea((WeightNorm("parametrized"),), f"{why} with its old names.")
        yield Idea((WeightNorm("hooked"),), f"{why} with its new names.")
    adapters = [key for key in state_dict if not found.isdisjoint(LORA) and _is_lora(key)]
    if adapters:
        why = f"{counted(len(adapters), 'key')} are LoRA's, which change the weights beside them."
        yield Idea((MergeLora(),), why + scale_assumed(unscaled_adapters(state_dict)))
    quantized = [entry.key for entry in state_dict.values() if isinstance(entry.form, Quantized)]
    if quantized:
        why = (
            f"{counted(len(quantized), 'tensor')} are quantized; the network's are floats, to "
            "which they can be computed back, with what quantizing lost."
        )
        yield Idea((Dequantize(),), why)
    yield from _fused_ideas(found, _parts(signature))


def _parts(keys: StateDict | Signature) -> frozenset[str]:
    return frozenset(part for key in keys for part in key.split("."))


def _is_lora(key: str) -> bool:
    return any(part in LORA for part in key.split("."))


def _fused_ideas(found: frozenset[str], wanted: frozenset[str]) -> Iterator[Idea]:
    for wholes, choices in FUSED_LAYERS:
        for parts in choices:
            if found.issuperset(parts) and not wanted.issuperset(parts):
                for whole in wholes:
                    if whole in wanted:
                        yield Idea((Fuse(parts, whole),), _fusing_why(parts, whole))
                if wholes[0] == "qkv" and wanted.issuperset(IN_PROJECTION[:1]):
                    fuses = tuple(Fuse(_with(parts, name), name) for name in IN_PROJECTION)
                    yield Idea(fuses, _fusing_why(parts, IN_PROJECTION[0]))
            if wanted.issuperset(parts) and not found.issuperset(parts):
                for whole in wholes:
                    if whole in found:
                        yield Idea((Split(whole, parts),), _splitting_why(whole, parts))
                if wholes[0] == "qkv" and found.issuperset(IN_PROJECTION[:1]):
                    splits = tuple(Split(name, _with(parts, name)) for name in IN_PROJECTION)
                    yield Idea(splits, _splitting_why(IN_PROJECTION[0], parts))


def _with(parts: Sequence[str], name: str) -> tuple[str, ...]:
    leaf = name.rpartition("_")[2]
    return tuple(f"{part}.{leaf}" for part in parts)


def _fusing_why(parts: Sequence[str], whole: str) -> str:
    told = ", ".join(f"`{part}`" for part in parts)
    return f"The file has {told} where the network has `{whole}` in one."


def _splitting_why(whole: str, parts: Sequence[str]) -> str:
    told = ", ".join(f"`{part}`" for part in parts)
    return f"The file has `{whole}` in one where the network has {told}."
