"""Keys without dots, such as Caffe2's `res2_0_branch2a_w`, with dots between their parts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from core.keys.parts import LEAVES, SYNONYMS
from core.keys.wrappers import MAX_KEYS, MAX_LENGTH

COMPOUNDS = frozenset(word for word in (*LEAVES, *SYNONYMS, "in_proj") if "_" in word)
"""Words that are written with an underscore, and stay one part of the path."""

MOST_JOINED = max(word.count("_") + 1 for word in COMPOUNDS)

SHORT = {"w": "weight", "b": "bias"}
"""Caffe2's last parts of a name (caffe2/python/helpers/conv.py) → torch's."""

CAFFE2 = re.compile(
    r"res(?P<stage>[2-5])_(?P<block>\d{1,3})_branch(?P<branch>1|2[abc])_(?P<leaf>w|b|[bg]n_[sb])"
    r"|(?P<stem>conv1|res_conv1_[bg]n)_(?P<stem_leaf>[wbs])"
    r"|(?:pred|fc1000)_(?P<head_leaf>[wb])"
)
"""A ResNet's keys in Caffe2, as in detectron2/checkpoint/c2_model_loading.py: branch 1 is the
shortcut, 2a to 2c are the convolutions, `bn_s` is the scale and `bn_b` the bias of a BatchNorm,
`gn_s` and `gn_b` those of a GroupNorm, which timm calls `bn` too."""

GPU_SCOPE = re.compile(r"gpu_\d{1,3}/")
"""What Caffe2 writes before the blobs of one GPU (`NameScope` in caffe2/python/scope.py, which
Detectron opens for each GPU)."""

MXNET_GROUP = re.compile(r"(?:arg|aux):")
"""What MXNet writes before parameters and before statistics (`save_checkpoint` in
python/mxnet/model.py)."""

MOMENTUM = "_momentum"
"""The end of the names of the blobs in which Caffe2's SGD keeps the momentum of a parameter
(`MomentumSgdOptimizer` in caffe2/python/optimizer.py). Detectron2 drops them
(detectron2/checkpoint/detection_checkpoint.py)."""

RECURRENT = re.compile(r"(?:^|_)((?:weight|bias)_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?)$")
"""A parameter of torch.nn.LSTM, GRU or RNN, or of one of their cells."""

SCALE = re.compile(r"(?:^|_)[bg]n_s$")
"""The scale of a norm in Caffe2. A BatchNorm with statistics has `bn_rm` and `bn_riv` beside it."""

STATED_STATISTICS = re.compile(r"_(?:rm|riv|running_mean|running_var)$|running_mean|running_var")


def dotted(keys: Collection[str]) -> Mapping[str, str]:
    """Each key with dots between its parts, where no key has one and `_` or `/` joins the parts.

    Empty for keys with dots, for keys of few parts, and where two keys would become one. A ResNet's
    names in Caffe2 become torchvision's. Caffe2's name of a GPU and MXNet's groups are left out.
    """
    if any("." in key or len(key) > MAX_LENGTH for key in keys) or len(keys) > MAX_KEYS:
        return {}
    bare = _bare(keys)
    spell = _by_slashes if any("/" in key for key in bare.values()) else _by_underscores
    names = {key: spell(own) for key, own in bare.items()}
    deep = sum(name.count(".") > 1 for name in names.values())
    return names if 2 * deep >= len(names) > 0 and len({*names.values()}) == len(names) else {}


def is_caffe2(key: str) -> bool:
    """Whether the key is that of a ResNet's block in Caffe2, below the name of a GPU or not."""
    return "_branch" in key and CAFFE2.fullmatch(GPU_SCOPE.sub("", key, count=1)) is not None


def momentum_blobs(keys: Collection[str]) -> frozenset[str]:
    """The keys of the momentum that Caffe2's SGD keeps beside the weights of a ResNet."""
    momenta = frozenset(key for key in keys if key.endswith(MOMENTUM))
    return momenta if momenta and any(map(is_caffe2, keys)) else frozenset()


def folded_scales(keys: Collection[str]) -> frozenset[str]:
    """The scales of BatchNorms whose statistics are folded into the scale and the bias.

    Only of a ResNet in Caffe2, where Detectron writes such a BatchNorm as an AffineChannel
    (`ConvAffine` in detectron/modeling/detector.py), and only if the file has no statistics at all.
    """
    if any(map(STATED_STATISTICS.search, keys)):
        return frozenset()
    present = frozenset(keys)
    return frozenset(key for key in batch_norm_scales(keys) if f"{key[:-1]}b" in present)


def batch_norm_scales(keys: Collection[str]) -> frozenset[str]:
    """The scales of BatchNorms of a ResNet in Caffe2, where `gn_s` is that of a GroupNorm."""
    if not any(map(is_caffe2, keys)):
        return frozenset()
    return frozenset(key for key in keys if key.endswith("bn_s") and SCALE.search(key))


def _bare(keys: Collection[str]) -> dict[str, str]:
    """The keys without what comes before the names of all of them: one GPU, or MXNet's groups."""
    if all(map(MXNET_GROUP.match, keys)):
        return {key: key.partition(":")[2] for key in keys}
    scope = GPU_SCOPE.match(next(iter(keys), ""))
    if scope is None or not all(key.startswith(scope[0]) for key in keys):
        return {key: key for key in keys}
    return {key: key.removeprefix(scope[0]) for key in keys}


def _by_slashes(key: str) -> str:
    """TensorFlow's `block/conv/kernel:0` as `block.conv.kernel`."""
    return key.removesuffix(":0").strip("/").replace("/", ".")


def _by_underscores(key: str) -> str:
    known = _from_caffe2(key)
    if known:
        return known
    recurrent = RECURRENT.search(key)
    path = key[: recurrent.start()] if recurrent else key
    parts = [part for part in path.split("_") if part]
    steps: list[str] = []
    at = 0
    while at < len(parts):
        length = next(
            (
                size
                for size in range(min(MOST_JOINED, len(parts) - at), 1, -1)
                if "_".join(parts[at : at + size]) in COMPOUNDS
            ),
            1,
        )
        steps.append("_".join(parts[at : at + length]))
        at += length
    if recurrent:
        steps.append(recurrent[1])
    elif len(steps) > 1:
        steps[-1] = "weight" if SCALE.search(key) else SHORT.get(steps[-1], steps[-1])
    return ".".join(steps)


def _from_caffe2(key: str) -> str:
    """torchvision's name for a key of a ResNet in Caffe2; empty for another key."""
    hit = CAFFE2.fullmatch(key)
    if hit is None:
        return ""
    if hit["head_leaf"]:
        return f"fc.{SHORT[hit['head_leaf']]}"
    if hit["stem"]:
        leaf = SHORT.get(hit["stem_leaf"], "weight")
        return f"{'conv1' if hit['stem'] == 'conv1' else 'bn1'}.{leaf}"
    norm = "n_" in hit["leaf"]
    if hit["branch"] == "1":
        module = f"downsample.{int(norm)}"
    else:
        module = f"{'bn' if norm else 'conv'}{'abc'.index(hit['branch'][1]) + 1}"
    leaf = "bias" if hit["leaf"].endswith("b") else "weight"
    return f"layer{int(hit['stage']) - 1}.{hit['block']}.{module}.{leaf}"
