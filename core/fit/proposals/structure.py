"""Ideas on tensors that the file stores in another number of parts than the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.architectures import Signature
from core.checkpoint import Quantized, StateDict
from core.fit.proposals.proposal import Idea
from core.fixes import (
    ZEROS,
    ApplyMasks,
    Dequantize,
    Fuse,
    MergeLora,
    Split,
    WeightNorm,
    scale_assumed,
    unscaled_adapters,
)
from core.keys import BIASES_APART, FUSED_BESIDE_Q, FUSED_LAYERS, leaf, words
from core.wording import are, counted

IN_PROJECTION = ("in_proj_weight", "in_proj_bias")
"""torch.nn.MultiheadAttention's parameters for q, k and v, which belong to no layer inside it."""

LORA = ("lora_A", "lora_B", "lora_down", "lora_up")

NORMED = ("weight_g", "weight_v", "original0", "original1")


def structure_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Fuse or split, fold or rename weight norm, apply masks, merge adapters, dequantize."""
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
    masks = [
        key for key in state_dict if key.endswith("_mask") and f"{key[:-5]}_orig" in state_dict
    ]
    if masks:
        why = (
            f"{counted(len(masks), 'tensor')} {are(len(masks))} stored with a mask, as pruning does"
        )
        yield Idea((ApplyMasks(),), f"{why}; the model has their products.")
    merging = merging_idea(state_dict)
    if merging is not None:
        yield merging
    quantized = [entry.key for entry in state_dict.values() if isinstance(entry.form, Quantized)]
    if quantized:
        why = (
            f"{counted(len(quantized), 'tensor')} {are(len(quantized))} quantized, and the model "
            "has floats. Dequantizing computes floats, without the precision that quantizing lost."
        )
        yield Idea((Dequantize(),), why)
    wanted = _parts(signature)
    yield from _fused_ideas(in_file, wanted)
    yield from _fused_beside_q_ideas(in_file, wanted)
    yield from _bias_ideas(in_file, signature)
    yield from _unbiased_key_ideas(state_dict, signature)


def merging_idea(state_dict: StateDict) -> Idea | None:
    """Merge the LoRA adapters; None if there are none."""
    adapters = sum(map(_is_lora, state_dict))
    if not adapters:
        return None
    belong = "belongs" if adapters == 1 else "belong"
    why = f"{counted(adapters, 'key')} {belong} to LoRA adapters, which change base weights."
    return Idea((MergeLora(),), why + scale_assumed(unscaled_adapters(state_dict)))


def _parts(keys: StateDict | Signature) -> frozenset[str]:
    return frozenset(part for key in keys for part in key.split("."))


def _is_lora(key: str) -> bool:
    return any(part in LORA for part in key.split("."))


def _fused_ideas(in_file: frozenset[str], wanted: frozenset[str]) -> Iterator[Idea]:
    for wholes, choices in FUSED_LAYERS:
        for parts in choices:
            yield from _fusing_ideas(parts, wholes, in_file, wanted)
            if wanted.issuperset(parts) and not in_file.issuperset(parts):
                for whole in wholes:
                    if whole in in_file:
                        yield Idea((Split(whole, parts),), _splitting_why(whole, parts))
                if wholes[0] == "qkv" and in_file.issuperset(IN_PROJECTION[:1]):
                    splits = tuple(Split(name, _with(parts, name)) for name in IN_PROJECTION)
                    yield Idea(splits, _splitting_why(IN_PROJECTION[0], parts))


def _fused_beside_q_ideas(in_file: frozenset[str], wanted: frozenset[str]) -> Iterator[Idea]:
    """Fuse q with k and v, which are one layer in the file. The other way round, no cut into equal
    parts would do."""
    wholes, _ = FUSED_LAYERS[0]
    for parts in FUSED_BESIDE_Q:
        yield from _fusing_ideas(parts, wholes, in_file, wanted)


def _fusing_ideas(
    parts: tuple[str, ...], wholes: Sequence[str], in_file: frozenset[str], wanted: frozenset[str]
) -> Iterator[Idea]:
    if not in_file.issuperset(parts) or wanted.issuperset(parts):
        return
    for whole in wholes:
        if whole in wanted:
            yield Idea((Fuse(parts, whole),), _fusing_why(parts, whole))
    if wholes[0] == "qkv" and wanted.issuperset(IN_PROJECTION[:1]):
        fuses = tuple(Fuse(_with(parts, name), name) for name in IN_PROJECTION)
        yield Idea(fuses, _fusing_why(parts, IN_PROJECTION[0]))


def _bias_ideas(in_file: frozenset[str], signature: Signature) -> Iterator[Idea]:
    """Fuse the biases of q, k and v that are beside a fused weight."""
    if in_file.issuperset(BIASES_APART):
        for _, bias in _fused_parameters():
            if any(_ends(key, bias) for key in signature):
                yield Idea((Fuse(BIASES_APART, bias),), _fusing_why(BIASES_APART, bias))


def _fused_parameters() -> Iterator[tuple[str, str]]:
    """The ends of the keys of a fused layer of q, k and v: of its weight and of its bias."""
    wholes, _ = FUSED_LAYERS[0]
    yield from ((f"{whole}.weight", f"{whole}.bias") for whole in wholes)
    yield IN_PROJECTION


def _unbiased_key_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Fuse q, k and v where q and v have a bias and k has none, as in BEiT, EVA and Whisper."""
    biased = _modules_with_key_bias(state_dict)
    wanted = _parts(signature)
    _, choices = FUSED_LAYERS[0]
    for q, k, v in (*choices, BIASES_APART):
        of_module = not q.endswith("_bias")
        q_bias, v_bias = (f"{part}.bias" if of_module else part for part in (q, v))
        modules = [f".{key}"[: -len(q_bias)] for key in state_dict if _ends(key, q_bias)]
        paired = any(f"{module}{v_bias}"[1:] in state_dict for module in modules)
        if wanted.issuperset((q, v)) or not paired or not biased.isdisjoint(modules):
            continue
        for weight, bias in _fused_parameters():
            # If k has a bias in another block, zeros would be made up.
            if _has_fused_key_bias(state_dict, weight, bias):
                continue
            if any(_ends(key, bias) for key in signature):
                weights = (Fuse(_with((q, k, v), "weight"), weight),) if of_module else ()
                why = (
                    f"The file has `{q_bias}` and `{v_bias}` but no bias for k, where the model "
                    f"has one `{bias}`: zeros in the place of k's bias compute the same as none."
                )
                yield Idea((*weights, Fuse((q_bias, ZEROS, v_bias), bias)), why)


def _has_fused_key_bias(state_dict: StateDict, weight: str, bias: str) -> bool:
    """Whether a fused bias is as long as q, k and v of its module together: GC ViT's other blocks
    fuse k and v alone."""
    return any(
        fused is not None and entry.shape == (3 * fused.shape[-1],)
        for key, entry in state_dict.items()
        if _ends(key, bias)
        for fused in [state_dict.get(f"{key.removesuffix(bias)}{weight}")]
    )


def _ends(key: str, path: str) -> bool:
    return f".{key}".endswith(f".{path}")


def _modules_with_key_bias(state_dict: StateDict) -> frozenset[str]:
    """The paths, each with a dot before and after it, of modules that have a bias for k."""
    modules = set()
    for key in state_dict:
        steps = f".{key}".split(".")
        for at in (-1, -2):
            names = words(".".join(steps[at:]))
            if leaf(key) == "bias" and "k" in names and "norm" not in names:
                modules.add(".".join((*steps[:at], "")))
    return frozenset(modules)


def _with(parts: Sequence[str], name: str) -> tuple[str, ...]:
    leaf = name.rpartition("_")[2]
    return tuple(f"{part}.{leaf}" for part in parts)


def _fusing_why(parts: Sequence[str], whole: str) -> str:
    names = ", ".join(f"`{part}`" for part in parts)
    return f"The file has {names} where the model has one fused `{whole}`."


def _splitting_why(whole: str, parts: Sequence[str]) -> str:
    names = ", ".join(f"`{part}`" for part in parts)
    return f"The file has one fused `{whole}` where the model has {names}."
