"""State_dicts as people save them: every model in every wrapping, with every change.

Entries without data: to identify a file no tensor is read.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.checkpoint import StateDict, TensorEntry
from core.fit.identify import Candidate
from core.fit.index import Index, IndexedModel, Variation, find_index
from core.keys import block_of
from core.server import read_settings

Shapes = dict[str, tuple[int, ...]]

CLASSES = 37
"""Classes of another head; the index holds each model's shapes with as many."""


@dataclass(frozen=True, slots=True)
class Case:
    """A state_dict, what it is of, and what should be found below its wrapping.

    `kept` are the model's own keys with the file's shapes. `fits` says whether the file must fit:
    None where it may be wholly another model's, and False where it has tensors inside the network
    that the model lacks. Below `place` is all that a recipe may take that makes it fit.
    """

    model: IndexedModel
    wrapping: str
    change: str
    state_dict: StateDict
    kept: Shapes
    fits: bool | None
    place: str = ""


def index_here() -> Index:
    """The index of the installed versions. Raises SystemExit where there is none."""
    index = find_index(read_settings(os.environ).data)
    if index is None:
        raise SystemExit(
            "There is no index of the installed versions: python -m core.fit.index.build"
        )
    return index


def is_of(candidate: Candidate, model: IndexedModel) -> bool:
    """Whether the model is the candidate, or one of those that fit as well, with as many input
    channels as the file has if need be."""
    truth = model.architecture
    return any(
        (one.library, one.name) == (truth.library, truth.name)
        for one in (candidate.architecture, *candidate.also, *candidate.adapted)
    )


def times(seconds: Sequence[float]) -> str:
    """Their median, 95th percentile and maximum in ms."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return (
        f"time: median {ordered[len(ordered) // 2] * 1e3:.0f} ms, "
        f"95 % {ordered[int(0.95 * last)] * 1e3:.0f} ms, longest {ordered[last] * 1e3:.0f} ms"
    )


def state_dict_of(shapes: Mapping[str, tuple[int, ...]], dtype: str = "float32") -> StateDict:
    return StateDict(
        TensorEntry(key, dtype, shape, _row_major(shape), 0, None) for key, shape in shapes.items()
    )


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def _variation(model: IndexedModel, option: str, value: int | None = None) -> Variation | None:
    return next(
        (
            each
            for each in model.variations
            if each.option == option and (value is None or each.value == value)
        ),
        None,
    )


def _varied(shapes: Shapes, variation: Variation | None) -> Shapes | None:
    if variation is None:
        return None
    gone = set(variation.gone)
    kept = {
        key: variation.shapes.get(key, shape) for key, shape in shapes.items() if key not in gone
    }
    return kept | {key: spec.shape for key, spec in variation.added.items()}


def head_of(model: IndexedModel) -> set[str]:
    """The keys of the layers whose size is the number of classes."""
    variation = _variation(model, "num_classes", CLASSES)
    return set(variation.shapes) if variation else set()


Changed = Shapes | None
Change = Callable[[IndexedModel, Shapes, random.Random], Changed]


def _another_head(model: IndexedModel, shapes: Shapes, _: random.Random) -> Changed:
    return _varied(shapes, _variation(model, "num_classes", CLASSES))


def _no_head(model: IndexedModel, shapes: Shapes, _: random.Random) -> Changed:
    none = _varied(shapes, _variation(model, "num_classes", 0))
    return _without_head(model, shapes) if none is None and head_of(model) else none


def _no_counters(_: IndexedModel, shapes: Shapes, __: random.Random) -> Changed:
    kept = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    return kept if len(kept) < len(shapes) else None


def _one_channel(model: IndexedModel, shapes: Shapes, _: random.Random) -> Changed:
    varied = _varied(shapes, _variation(model, "in_chans", 1))
    if varied is not None:
        return varied
    first = next((key for key, shape in shapes.items() if len(shape) >= 4 and shape[1] == 3), None)
    return None if first is None else shapes | {first: (shapes[first][0], 1, *shapes[first][2:])}


def _other_size(model: IndexedModel, shapes: Shapes, _: random.Random) -> Changed:
    for option in ("img_size", "image_size"):
        if (variation := _variation(model, option)) is not None:
            return _varied(shapes, variation)
    return None


def _extra_keys(_: IndexedModel, shapes: Shapes, __: random.Random) -> Changed:
    extra: Shapes = {
        "log_temperature": (),
        "projector.0.weight": (256, 512),
        "projector.0.bias": (256,),
    }
    return shapes | extra


def _another_option(model: IndexedModel, shapes: Shapes, chance: random.Random) -> Changed:
    """An option other than the sizes of head, input and image, such as the pooling of a ViT.

    Most models pool the class token, and cannot be built without it where no other option changes.
    """
    apart = {"num_classes", "in_chans", "img_size", "image_size", "class_token"}
    others = [each for each in model.variations if each.option not in apart]
    return _varied(shapes, chance.choice(others)) if others else None


def _missing(_: IndexedModel, shapes: Shapes, chance: random.Random) -> Changed:
    gone = set(chance.sample(list(shapes), len(shapes) // 10))
    return {key: shape for key, shape in shapes.items() if key not in gone}


def _block_less(_: IndexedModel, shapes: Shapes, __: random.Random) -> Changed:
    last = _last_block(shapes)
    if last is None:
        return None
    path, number = last
    return {key: shape for key, shape in shapes.items() if not key.startswith(f"{path}{number}.")}


def _as_it_is(_: IndexedModel, shapes: Shapes, __: random.Random) -> Changed:
    return dict(shapes)


CHANGES: dict[str, Change] = {
    "as it is": _as_it_is,
    "another head": _another_head,
    "no head": _no_head,
    "no num_batches_tracked": _no_counters,
    "one-channel input": _one_channel,
    "other image size": _other_size,
    "half precision": _as_it_is,
    "extra keys": _extra_keys,
    "another option": _another_option,
    "10 % missing keys": _missing,
    "a block less": _block_less,
}

OPEN = "another option", "no head", "10 % missing keys", "a block less"
"""The changes after which a file may be wholly another model's."""


def _biases_of_q_and_v(_: IndexedModel, shapes: Shapes) -> Changed:
    """EVA's and MAE's: no bias for k."""
    changed: Shapes = {}
    places = _of_thirds(shapes)
    for key, shape in shapes.items():
        start, found, _ = key.partition("qkv.bias")
        if found and start in places:
            third = shape[0] // 3
            changed |= {f"{start}q_bias": (third,), f"{start}v_bias": (third,)}
        else:
            changed[key] = shape
    return changed if len(changed) > len(shapes) else None


def _k_q_v_apart(_: IndexedModel, shapes: Shapes) -> Changed:
    changed: Shapes = {}
    places = _of_thirds(shapes)
    for key, shape in shapes.items():
        start, _, leaf = key.rpartition("qkv.")
        if leaf in ("weight", "bias") and start in places:
            third = (shape[0] // 3, *shape[1:])
            changed |= {f"{start}{part}_proj.{leaf}": third for part in "kqv"}
        else:
            changed[key] = shape
    return changed if len(changed) > len(shapes) else None


def _of_thirds(shapes: Shapes) -> set[str]:
    """Where there is a `qkv` of three equal parts."""
    found = ((key, shape) for key, shape in shapes.items() if key.endswith(".qkv.weight"))
    return {
        key.removesuffix("qkv.weight")
        for key, shape in found
        if len(shape) == 2 and shape[0] == 3 * shape[1]
    }


def _renamed_head(model: IndexedModel, shapes: Shapes) -> Changed:
    head = _one_layer(model)
    return head and {key.replace(head, "fc_new."): shape for key, shape in shapes.items()}


def _head_in_another_dict(model: IndexedModel, shapes: Shapes) -> Changed:
    head = _one_layer(model)
    return head and {
        f"heads.0.clf.0.{key.removeprefix(head)}"
        if key.startswith(head)
        else f"trunk._feature_blocks.{key}": shape
        for key, shape in shapes.items()
    }


def _average_without_dots(_: IndexedModel, shapes: Shapes) -> Changed:
    """mmcv's: the average's names have underscores in place of dots, beside a detector's parts."""
    average = {f"ema_backbone_{key.replace('.', '_')}": shape for key, shape in shapes.items()}
    own = {f"backbone.{key}": shape for key, shape in shapes.items()}
    return own | {"bbox_head.conv_cls.weight": (720, 256, 3, 3)} | average


def _no_dots(_: IndexedModel, shapes: Shapes) -> Changed:
    changed = {key.replace(".", "_"): shape for key, shape in shapes.items()}
    return changed if len(changed) == len(shapes) else None


NAMINGS: dict[str, Callable[[IndexedModel, Shapes], Changed]] = {
    "biases of q and v alone": _biases_of_q_and_v,
    "k, q and v apart": _k_q_v_apart,
    "head under another name": _renamed_head,
    "head in another dict": _head_in_another_dict,
    "average without dots": _average_without_dots,
    "names without dots": _no_dots,
}
"""Changes of names after which the file must fit as before, with its own recipe."""


def _block_more(_: IndexedModel, shapes: Shapes) -> Changed:
    last = _last_block(shapes)
    if last is None:
        return None
    path, number = last
    block = f"{path}{number}."
    return shapes | {
        f"{path}{number + 1}.{key.removeprefix(block)}": shape
        for key, shape in shapes.items()
        if key.startswith(block)
    }


def _adapters(_: IndexedModel, shapes: Shapes) -> Changed:
    """A layer of one's own in every numbered block."""
    blocks = dict.fromkeys(filter(None, map(block_of, shapes)))
    return shapes | {f"{block}.adapter.weight": (64, 64) for block in blocks} if blocks else None


BACKBONE = "backbone."


def _head_beside(model: IndexedModel, shapes: Shapes) -> Changed:
    """A network with its own head, and the one that was trained on its features."""
    width = _features(model, shapes)
    if not width or shapes[f"{_one_layer(model)}weight"][0] == width:
        return None  # the new head may be one on the old one's outputs
    return _below_backbone(shapes) | _linear("classifier.", CLASSES, width)


def _norm_and_head_beside(model: IndexedModel, shapes: Shapes) -> Changed:
    """A network without its head, and a norm and a head under the names that timm's ViTs have."""
    width = _features(model, shapes)
    if not width:
        return None
    norm: Shapes = {"norm.weight": (width,), "norm.bias": (width,)}
    trunk = _below_backbone(_without_head(model, shapes))
    return trunk | norm | _linear("head.", CLASSES, width)


def _branch_beside(model: IndexedModel, shapes: Shapes) -> Changed:
    """A network without its head, and beside it its last block once more, with the head."""
    last = _last_block(shapes)
    if last is None or not _features(model, shapes):
        return None
    block = "{}{}.".format(*last)
    head = head_of(model)
    branch = {key: shape for key, shape in shapes.items() if key.startswith(block) or key in head}
    return _below_backbone(_without_head(model, shapes)) | branch


BESIDE: dict[str, tuple[bool | None, Callable[[IndexedModel, Shapes], Changed]]] = {
    "another head beside": (True, _head_beside),
    "a norm and a head beside": (None, _norm_and_head_beside),
    "a block and the head beside": (None, _branch_beside),
}
"""Whether the model must fit below `backbone.`, and what is beside that, of which no recipe that
fits takes anything."""


def _below_backbone(shapes: Shapes) -> Shapes:
    return {BACKBONE + key: shape for key, shape in shapes.items()}


def _without_head(model: IndexedModel, shapes: Shapes) -> Shapes:
    head = head_of(model)
    return {key: shape for key, shape in shapes.items() if key not in head}


def _features(model: IndexedModel, shapes: Shapes) -> int:
    """How many inputs the head has if it is one linear layer; else 0."""
    head = _one_layer(model)
    weight = shapes.get(f"{head}weight", ()) if head else ()
    return weight[1] if len(weight) == 2 else 0


def _linear(path: str, outputs: int, inputs: int) -> Shapes:
    return {f"{path}weight": (outputs, inputs), f"{path}bias": (outputs,)}


FOREIGN: dict[str, Callable[[IndexedModel, Shapes], Changed]] = {
    "a block more": _block_more,
    "layers of one's own in the blocks": _adapters,
}
"""Changes after which the model fits no more: a recipe that drops what was added is wrong."""


def _one_layer(model: IndexedModel) -> str | None:
    """The path of the head, with a dot, if it is one layer."""
    layers = {key.rpartition(".")[0] for key in head_of(model)}
    return f"{layers.pop()}." if len(layers) == 1 else None


def _last_block(shapes: Shapes) -> tuple[str, int] | None:
    """The path of the longest list of numbered modules, with a dot, and the last number in it."""
    lists: dict[str, set[int]] = {}
    for block in filter(None, map(block_of, shapes)):
        path, dot, number = block.rpartition(".")
        lists.setdefault(path + dot, set()).add(int(number))
    if not lists:
        return None
    longest = max(lists, key=lambda path: len(lists[path]))
    return longest, max(lists[longest])


def _prefixed(prefix: str) -> Callable[[IndexedModel, Shapes], Shapes]:
    def wrap(_: IndexedModel, shapes: Shapes) -> Shapes:
        return {prefix + key: shape for key, shape in shapes.items()}

    return wrap


def _fsdp(_: IndexedModel, shapes: Shapes) -> Shapes:
    """Fully sharded, and so is each numbered block: the part stands inside the paths too."""
    wrapped = {}
    for key, shape in shapes.items():
        parts: list[str] = ["_fsdp_wrapped_module"]
        for part in key.split("."):
            parts.append(part)
            if part.isdigit():
                parts.append("_fsdp_wrapped_module")
        if parts[-1] == "_fsdp_wrapped_module":
            parts.pop()
        wrapped[".".join(parts)] = shape
    return wrapped


def _compiled_blocks(_: IndexedModel, shapes: Shapes) -> Shapes:
    """DataParallel around a network whose first modules are compiled one by one."""
    return {"module." + key.replace(".", "._orig_mod.", 1): shape for key, shape in shapes.items()}


def _moco(model: IndexedModel, shapes: Shapes) -> Shapes:
    """The layout of MoCo's own checkpoints: two encoders and a queue."""
    return {
        **_prefixed("module.encoder_q.")(model, shapes),
        **_prefixed("module.encoder_k.")(model, shapes),
        "module.queue": (128, 65536),
        "module.queue_ptr": (1,),
    }


def _dino(model: IndexedModel, shapes: Shapes) -> Shapes:
    """Teacher and student in one dict, each with a projection head of its own."""
    head = {"head.mlp.0.weight": (2048, 384), "head.last_layer.weight_v": (65536, 256)}
    wrapped: Shapes = {}
    for network in ("student", "teacher"):
        wrapped |= _prefixed(f"{network}.backbone.")(model, shapes)
        wrapped |= _prefixed(f"{network}.")(model, head)
    return wrapped


def _mmpretrain(model: IndexedModel, shapes: Shapes) -> Shapes:
    head = head_of(model)
    return {("head." if key in head else "backbone.") + key: shape for key, shape in shapes.items()}


def _ema_beside(model: IndexedModel, shapes: Shapes) -> Shapes:
    return _prefixed("model.")(model, shapes) | _prefixed("model_ema.")(model, shapes)


def _averaged(model: IndexedModel, shapes: Shapes) -> Shapes:
    return {"n_averaged": (), **_prefixed("module.")(model, shapes)}


WRAPPINGS: dict[str, Callable[[IndexedModel, Shapes], Shapes]] = {
    "bare": _prefixed(""),
    "DataParallel, DDP": _prefixed("module."),
    "torch.compile": _prefixed("_orig_mod."),
    "FSDP": _fsdp,
    "compiled blocks in DDP": _compiled_blocks,
    "Lightning model.": _prefixed("model."),
    "Lightning net.": _prefixed("net."),
    "MoCo": _moco,
    "DINO": _dino,
    "mmpretrain": _mmpretrain,
    "EMA beside the model": _ema_beside,
    "AveragedModel": _averaged,
    "compiled, then DDP": _prefixed("module._orig_mod."),
    "DDP, then compiled": _prefixed("_orig_mod.module."),
    "Lightning around DDP": _prefixed("model.module."),
    "a user's own prefix": _prefixed("trunk.visual_encoder."),
}


def cases(
    model: IndexedModel, pairs: list[tuple[str, str]], chance: random.Random
) -> Iterator[Case]:
    """The model in these wrappings with these changes, those that it has no place for left out.

    Then, bare, with each change of names, and with what is not its own, inside and beside.
    """
    shapes: Shapes = {key: spec.shape for key, spec in model.signature.items()}
    for wrapping, change in pairs:
        changed = CHANGES[change](model, shapes, chance)
        if changed is None:
            continue
        kept = {
            key: shape
            for key, shape in changed.items()
            if key in shapes or change not in ("extra keys",)
        }
        dtype = "float16" if change == "half precision" else "float32"
        yield Case(
            model,
            wrapping,
            change,
            state_dict_of(WRAPPINGS[wrapping](model, changed), dtype),
            kept,
            None if change in OPEN else True,
        )
    for fits, changes in ((True, NAMINGS), (False, FOREIGN)):
        for name, make in changes.items():
            changed = make(model, shapes)
            if changed is not None:
                yield Case(model, "bare", name, state_dict_of(changed), shapes, fits)
    for name, (fits, beside) in BESIDE.items():
        changed = beside(model, shapes)
        if changed is not None:
            yield Case(model, "bare", name, state_dict_of(changed), shapes, fits, BACKBONE)
