"""Ideas on tensors that the file stores in another number of parts than the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.architectures import Signature
from core.checkpoint import Quantized, StateDict
from core.fit.proposals.proposal import Idea
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
from core.wording import are, counted

IN_PROJECTION = ("in_proj_weight", "in_proj_bias")
"""torch.nn.MultiheadAttention's parameters for q, k and v, which belong to no layer inside it."""

LORA = ("lora_A", "lora_B", "lora_down", "lora_up")

NORMED = ("weight_g", "weight_v", "original0", "original1")


def structure_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Fuse or split, fold or rename weight norm, merge adapters, dequantize."""
    in_file = _parts(state_dict)
    normed = [key for key in state_dict if key.rpartition(".")[2] in NORMED]
    if normed:
        number = len(normed) // 2
        why = (
            f"{counted(number, 'weight')} {are(number)} stored as magnitude and "
            "direction, as weight norm does"
        )
        yield Idea((WeightNorm("folded"),), f"{why}; the model has plain weights.")
        yield Idea((WeightNorm("parametrized"),), f"{why} under its old names.")
        yield Idea((WeightNorm("hooked"),), f"{why} under its new names.")
    adapters = [key for key in state_dict if not in_file.isdisjoint(LORA) and _is_lora(key)]
    if adapters:
        why = f"{counted(len(adapters), 'key')} belong to LoRA adapters, which change base weights."
        yield Idea((MergeLora(),), why + scale_assumed(unscaled_adapters(state_dict)))
    quantized = [entry.key for entry in state_dict.values() if isinstance(entry.form, Quantized)]
    if quantized:
        why = (
            f"{counted(len(quantized), 'tensor')} {are(len(quantized))} quantized, and the model "
            "has floats. Dequantizing computes floats, without the precision that quantizing lost."
        )
        yield Idea((Dequantize(),), why)
    yield from _fused_ideas(in_file, _parts(signature))


def _parts(keys: StateDict | Signature) -> frozenset[str]:
    return frozenset(part for key in keys for part in key.split("."))


def _is_lora(key: str) -> bool:
    return any(part in LORA for part in key.split("."))


def _fused_ideas(in_file: frozenset[str], wanted: frozenset[str]) -> Iterator[Idea]:
    for wholes, choices in FUSED_LAYERS:
        for parts in choices:
            if in_file.issuperset(parts) and not wanted.issuperset(parts):
                for whole in wholes:
                    if whole in wanted:
                        yield Idea((Fuse(parts, whole),), _fusing_why(parts, whole))
                if wholes[0] == "qkv" and wanted.issuperset(IN_PROJECTION[:1]):
                    fuses = tuple(Fuse(_with(parts, name), name) for name in IN_PROJECTION)
                    yield Idea(fuses, _fusing_why(parts, IN_PROJECTION[0]))
            if wanted.issuperset(parts) and not in_file.issuperset(parts):
                for whole in wholes:
                    if whole in in_file:
                        yield Idea((Split(whole, parts),), _splitting_why(whole, parts))
                if wholes[0] == "qkv" and in_file.issuperset(IN_PROJECTION[:1]):
                    splits = tuple(Split(name, _with(parts, name)) for name in IN_PROJECTION)
                    yield Idea(splits, _splitting_why(IN_PROJECTION[0], parts))


def _with(parts: Sequence[str], name: str) -> tuple[str, ...]:
    leaf = name.rpartition("_")[2]
    return tuple(f"{part}.{leaf}" for part in parts)


def _fusing_why(parts: Sequence[str], whole: str) -> str:
    names = ", ".join(f"`{part}`" for part in parts)
    return f"The file has {names} where the model has one fused `{whole}`."


def _splitting_why(whole: str, parts: Sequence[str]) -> str:
    names = ", ".join(f"`{part}`" for part in parts)
    return f"The file has one fused `{whole}` where the model has {names}."
