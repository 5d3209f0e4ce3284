"""What the words in keys mean: wrappers, averages, heads, fused layers, BatchNorm's buffers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

WRAPPED: Mapping[str, str] = {
    "module": "DataParallel",  # and DistributedDataParallel, AveragedModel
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FullyShardedDataParallel",
    "_checkpoint_wrapped_module": "activation checkpointing",
}
"""Parts that may be anywhere in a path, and what puts them there."""


BATCH_COUNTER = "num_batches_tracked"
"""BatchNorm's buffer since PyTorch 0.4.1. Inference does not use it, and older files lack it."""


COMPUTED = frozenset(
    (
        "relative_position_index",  # torchvision Swin, Video Swin and MaxViT; Microsoft's Swin
        "relative_coords_table",  # torchvision Swin V2
        "attn_mask",  # Microsoft's Swin, older timm's
        "attention_bias_idxs",  # timm EfficientFormer, and LeViT's and TinyViT's own files
        "rel_pos_index",  # older timm's RelPosBias
        "position_ids",  # the embeddings of older transformers
    )
)
"""Buffers that a constructor computes from sizes alone, and that a state_dict contains
nevertheless.

timm's own filters drop them too (timm/models/swin_transformer.py, checkpoint_filter_fn).
"""


OUTPUT_MODULES = frozenset(
    (
        *("fc", "head", "heads", "classifier", "lm_head", "last_linear", "score", "logits"),
        *("head_dist", "aux_head", "cls_head", "output_layer", "qa_outputs", "heads_drop"),
    )
)
"""What torchvision, timm and transformers call the module that gives the outputs."""


LAST_LAYERS = OUTPUT_MODULES | {"cls", "fc_out", "linear", "out", "output", "pred", "predictor"}
"""What the layer that gives the outputs may be called: names that layers inside blocks have too, so
use it only for a layer that is known to be the last."""


AVERAGES = frozenset(("average", "averaged", "averager", "averaging", "ema", "shadow", "swa"))
"""Words for an average over the steps of a training: `model_ema`, torch's `swa_model`."""


FOLLOWERS = frozenset(("momentum", "target", "teacher"))
"""Words for a model that follows another as its average: BYOL's `target_network`, DINO's `teacher`,
MoCo v3's `momentum_encoder`. MoCo's `encoder_k` is one too; it is two words, so `names_follower`
looks for it separately."""


PROJECTIONS = frozenset(
    (
        *("projector", "projectors", "projection_head", "projection_mlp", "proj_head"),
        *("prototypes", "contrast_head", "contrastive_head", "dino_head", "ibot_head"),
    )
)
"""What self-supervised trainings call the layers after a network that only their loss uses: SwAV's
`projection_head` and `prototypes`, BYOL's and solo-learn's `projector`. Their outputs are no
classes. Not `projection` alone, which names layers of attention and of patch embeddings too."""


OPTIMIZER_STATE = frozenset(
    (
        *("acc_delta", "exp_avg", "exp_avg_sq", "exp_inf", "grad_avg", "max_exp_avg_sq"),
        *("momentum_buffer", "square_avg", "step", "sum"),
    )
)
"""The tensors that torch.optim keeps for a parameter."""


GRADIENTS = frozenset(("grad", "grads", "gradient", "gradients", "fisher", "importance"))
"""What training scripts call the gradients of the weights, and what they compute of these."""


PREFERRED = ("encoder_q", "base_encoder", "online_encoder", "teacher", "model", "student")
"""Where several parts of a file contain the same model, the one that is used after training: MoCo's
query encoder, BYOL's online network, DINO's teacher."""


HOLDER_WORDS = {
    "encoder_q": "inside a MoCo encoder",
    "encoder_k": "inside a MoCo key encoder",
    "base_encoder": "inside a MoCo encoder",
    "momentum_encoder": "inside a MoCo momentum encoder",
    "teacher": "inside a teacher",
    "student": "inside a student",
    "model_ema": "as a moving average (EMA)",
    "ema": "as a moving average (EMA)",
    "ema_model": "as a moving average (EMA)",
    "shadow": "as a moving average (EMA)",
    "backbone": "as a backbone",
}
"""A part of a path → how the model below it is stored, in words."""


WRITERS: Mapping[str, str] = {
    **WRAPPED,
    "model": "a Lightning module or a wrapper",
    "net": "a wrapper",
    "network": "a wrapper",
    "backbone": "a module with a head of its own",
}
"""Names that a wrapper adds to the keys of the module that it wraps → the wrapper."""


WRAPPERS = tuple(WRITERS)


ATTENTION = (
    r"attn|attention|c_attn|self_?attn|self_?attention|cross_?attn|cross_?attention|"
    r"encdecattention|xca|mha|qkv|[qkv]_proj|in_proj_weight|in_proj_bias|query|query_key_value"
)
"""What modules of attention and their projections are called, as alternatives of a regex for a part
of a path in lower case. Not `key`, `value` and `in_proj`, which name other things too, such as the
head of an actor-critic and a projection of Mamba."""


FUSED_LAYERS = (
    (
        ("qkv", "Wqkv", "c_attn", "query_key_value", "in_proj", "qkv_proj", "to_qkv"),
        (
            ("q", "k", "v"),
            ("query", "key", "value"),
            ("q_proj", "k_proj", "v_proj"),
            ("to_q", "to_k", "to_v"),
            ("wq", "wk", "wv"),
            ("q_lin", "k_lin", "v_lin"),
            ("queries", "keys", "values"),
        ),
    ),
    (("kv", "to_kv", "kv_proj"), (("k", "v"), ("key", "value"), ("k_proj", "v_proj"))),
    (("w12", "gate_up_proj"), (("w1", "w2"), ("gate_proj", "up_proj"))),
)
"""Names of a fused layer, and the names of the layers that it fuses, in its order."""


BIASES_APART = ("q_bias", "k_bias", "v_bias")
"""Parameters beside a fused layer of q, k and v that are its bias, in its order. BEiT's k has
none."""


FUSED_BESIDE_Q = (("to_q", "to_kv"), ("q", "kv"), ("q_proj", "kv_proj"))
"""Names of the layer of q and of the one that fuses k and v, as in lucidrains' vit-pytorch and PVT.
Not `key_value`, of which Megatron has each head's k and v together."""


FUSED_PARTS = (("q", "k", "v"), ("gate_proj", "up_proj"), ("w1", "w3"))
"""Words for sibling modules that other models store as one fused module, in its order."""


FUSED_WORD = re.compile(r"qkv|in_proj|c_attn|query_key_value|gate_up|gate_and_up|w13|fc1_g")
"""Words for such a fused module."""


OPPOSITES = (
    frozenset(("q", "k", "v", "o")),
    frozenset(("gate", "up", "down")),
    frozenset(("encoder", "decoder")),
    frozenset(("student", "teacher")),
    frozenset(("online", "target", "momentum")),
    frozenset(("left", "right")),
    frozenset(("forward", "backward")),
    frozenset(("real", "imag")),
    frozenset(("mu", "mean", "logvar", "var", "std")),
    frozenset(("src", "tgt")),
    frozenset(("row", "col")),
    frozenset(("rgb", "flow")),
    frozenset(("actor", "critic")),
)
"""Words that exclude one another in the names of two layers, however equal the shapes are. `q`
stands for its synonyms too, such as `query`."""


STATISTICS = frozenset(("running_mean", "running_var", BATCH_COUNTER))
"""The buffers that BatchNorm updates in train mode (torch/nn/modules/batchnorm.py)."""


# Searched in every key of a file: one search is quicker than the words of the key.
_AVERAGE = re.compile(rf"(?<![a-z])(?:{'|'.join(sorted(AVERAGES))})(?![a-z])")
_FOLLOWER = re.compile(rf"(?<![a-z])(?:{'|'.join(sorted(FOLLOWERS))})(?![a-z])|encoder_k")


_PROJECTED = re.compile(
    r"(?:(?!visual_)\w+_)?proj(?:ection)?s?(?:_(?:head|layer|mlp|out))?\d*"
    r"|emb(?:ed(?:ding)?)?s?(?:_(?:head|layer|fc))?"
)


def names_average(path: str) -> bool:
    """Whether a word of the path of a state_dict, or of a key's beginning, is one of AVERAGES."""
    return _AVERAGE.search(path.lower()) is not None


def names_follower(path: str) -> bool:
    """Whether a word of the path is one of FOLLOWERS, or a part of it begins with `encoder_k`."""
    return _FOLLOWER.search(path.lower()) is not None


@lru_cache(maxsize=1 << 14)
def names_slow_copy(path: str) -> bool:
    """Whether the path names weights that follow others: an average of them, or a follower."""
    return names_average(path) or names_follower(path)


def follows_others(path: str) -> bool:
    """Whether the path names a slow copy that is not the one to use, as a teacher is."""
    return names_slow_copy(path) and "teacher" not in _words(path)


def names_optimizer_state(prefix: str) -> bool:
    """Whether a path names gradients, or what an optimizer keeps, which are no weights."""
    return not (OPTIMIZER_STATE | GRADIENTS).isdisjoint(prefix.lower().split("."))


def copy_preference(prefix: str) -> tuple[bool, bool, int, int]:
    """A sort key for the prefixes of several copies of a network: the one to use comes first.

    Weights come before an average of them, since a training goes on from the weights; a teacher,
    which is what is used after such a training, comes before its student; an encoder before a
    decoder; then PREFERRED.
    """
    words = {*_words(prefix), *prefix.lower().split(".")}
    known = [place for place, name in enumerate(PREFERRED) if name in words]
    return (
        follows_others(prefix),
        "decoder" in words,
        min(known, default=len(PREFERRED)),
        prefix.count("."),
    )


def names_projection(path: str) -> bool:
    """Whether a part of the path is one of PROJECTIONS, or a copy such as `momentum_projector`."""
    return any(
        part in PROJECTIONS
        or (part.partition("_")[2] in PROJECTIONS and names_follower(part.partition("_")[0]))
        for part in path.lower().split(".")
    )


def names_projected_outputs(path: str) -> bool:
    """Whether a part of a last layer's path says that its outputs are a projection, no classes.

    `projection`, `proj_out` and `embedding` count too, but not CLIP's `visual_projection`, of which
    timm makes a head. Use it only for a layer that is known to be the last: layers of attention and
    of patch embeddings have these names too.
    """
    parts = path.lower().split(".")
    return names_projection(path) or any(map(_PROJECTED.fullmatch, parts))


def _words(path: str) -> list[str]:
    return re.split(r"[^a-z]+", path.lower())
