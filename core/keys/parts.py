"""A key's parts: where they begin, and its words with synonyms replaced by one of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from core.keys.vocabulary import STATISTICS

SYNONYMS = {
    word: group[0]
    for group in (
        ("weight", "gamma", "kernel", "w"),
        ("bias", "beta", "b"),
        ("running_mean", "moving_mean", "_mean"),
        ("running_var", "moving_variance", "moving_var", "_variance"),
        ("norm", "bn", "ln", "gn", "layernorm", "batchnorm", "layer_norm", "rmsnorm"),
        ("attn", "attention", "self_attn", "self_attention", "mha", "selfattention"),
        ("head", "fc", "classifier", "heads", "last_linear", "lm_head", "output_layer"),
        ("block", "blocks", "layers", "layer", "h", "stages", "stage", "blk"),
        ("downsample", "shortcut", "skip", "identity"),
        ("mlp", "ffn", "feed_forward", "feedforward", "intermediate"),
        ("embed", "embedding", "embeddings", "wte", "embed_tokens", "word_embeddings"),
        ("q", "query", "queries", "q_proj", "wq"),
        ("k", "key", "keys", "k_proj", "wk"),
        ("v", "value", "values", "v_proj", "wv"),
        ("o", "out_proj", "o_proj", "wo"),
        ("conv", "conv2d", "convolution"),
    )
    for word in group
}
"""Each word → the first of its group: names by which PyTorch, timm, transformers and TensorFlow
call the same thing."""

LEAVES = STATISTICS | {"weight", "bias"}
"""Last parts of a key that say what a tensor is to its module."""

_LONGEST_FIRST = sorted(LEAVES, key=len, reverse=True)

_WORD = re.compile(r"\d+|[^\W\d_]+(?:_[^\W\d_]+)*")


@lru_cache(maxsize=1 << 15)
def starts(key: str, most: int) -> tuple[int, ...]:
    """Where the first `most` parts of a dotted path begin, as indexes into the key."""
    begins = [0]
    while len(begins) < most and (dot := key.find(".", begins[-1])) >= 0:
        begins.append(dot + 1)
    return tuple(begins)


def common_prefix(keys: Collection[str], ends: str = ".") -> str:
    """The longest prefix, up to one of `ends`, that all keys begin with; empty if there is none."""
    if not keys:
        return ""
    first, last = min(keys), max(keys)
    length = min(len(first), len(last))
    same = next((at for at in range(length) if first[at] != last[at]), length)
    return first[: max(first.rfind(end, 0, same) for end in ends) + 1]


@lru_cache(maxsize=1 << 14)
def words(key: str) -> frozenset[str]:
    """The words of a key. A number becomes a word such as `0#3`: the key's first number is 3."""
    key_words = set()
    seen_numbers = 0
    for step in re.split(r"[./]", key):
        for word in _WORD.findall(step):
            if word.isdecimal():
                key_words.add(f"{seen_numbers}#{int(word) if len(word) < 10 else word}")
                seen_numbers += 1
            elif word.lower() in SYNONYMS:
                key_words.add(SYNONYMS[word.lower()])
            else:
                key_words.update(SYNONYMS.get(part, part) for part in word.lower().split("_"))
    return frozenset(key_words)


@lru_cache(maxsize=1 << 14)
def leaf(key: str) -> str:
    """What the tensor is to its module, such as `weight`; empty where the key does not say."""
    last = key.rpartition(".")[2].lower()
    for known in _LONGEST_FIRST:
        if last == known or last.endswith(f"_{known}"):
            return known
    named = SYNONYMS.get(last, last)
    return named if named in LEAVES else ""


def block_of(key: str) -> str:
    """The path of the outermost numbered module that a tensor is in; empty if there is none."""
    path = key.split(".")[:-1]
    number = next((at for at, part in enumerate(path) if part.isdecimal()), None)
    return "" if number is None else ".".join(path[: number + 1])


def numbers_in(key: str) -> tuple[int, ...]:
    """The numbers in a key, in order: `layers.3.fc2` → 3, 2."""
    return tuple(int(number) for number in re.findall(r"\d{1,9}", key))


def natural_order(name: str) -> tuple[tuple[str, int, str], ...]:
    """A sort key for names that compares the numbers in them: `epoch_9` before `epoch_10`."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.lower())
    digits = [(text, number.lstrip("0")) for text, number in parts]
    return (*((text, len(number), number) for text, number in digits), (name, 0, ""))
