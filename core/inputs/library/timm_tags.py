"""The preprocessing of timm's weights: each tag of a model has its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from core.architectures import Architecture
from core.inputs.library.known_weights import OpenedFile, Told, Weights, weights_of
from core.inputs.library.offer import Offer, distinct
from core.inputs.preprocessing import Preprocessing
from core.inputs.statements import read_config
from core.wording import count

if TYPE_CHECKING:
    from timm.models import PretrainedCfg


def timm_offers(architecture: Architecture, file: OpenedFile | None) -> tuple[Offer, ...]:
    """The preprocessing of each of the model's tags, that of the file's weights first, else that
    of the architecture's own tag, else the default one.

    Tags for another number of classes are left out, if there are some for the model's. The first
    tag comes with its size at the test too, where that is another one.
    """
    tags = _tags(architecture)
    if not tags:
        return ()
    name, size = architecture.name, architecture.size("img_size")
    told = _told(architecture, file, tags)
    first = list(tags)[told.number] if told else next(iter(tags))
    others = [tag for tag in _alike(architecture, tags) if tag != first]
    offers = distinct(_offer(name, tag, tags[tag], size) for tag in (first, *others))
    certain = bool(architecture.tag) or (told is not None and told.certain)
    guessed = not certain and len(offers) > 1
    source = offers[0].preprocessing.source
    if guessed:
        how = f", {told.how}" if told else ""
        source = f"guessed: {first or name}{how}, of timm's {count(len(offers))} recipes"
    elif told and told.certain:
        source += f", {told.how}"
    default = replace(offers[0].preprocessing, source=source, guessed=guessed)
    tested = None if size else _at_test(name, first, tags[first])
    return distinct(
        [replace(offers[0], preprocessing=default), *offers[1:], *([tested] if tested else [])]
    )


def timm_config_of(architecture: Architecture, file: OpenedFile | None) -> Mapping[str, object]:
    """The `pretrained_cfg` that timm has of the first of `timm_offers`; empty if it has none."""
    tags = _tags(architecture) if architecture.library == "timm" else {}
    told = _told(architecture, file, tags)
    configs = list(tags.values())
    return configs[told.number if told else 0].to_dict() if configs else {}


def _told(
    architecture: Architecture, file: OpenedFile | None, tags: Mapping[str, PretrainedCfg]
) -> Told | None:
    """The file's weights; the architecture's own tag is surer than a guess."""
    known = [_weights(architecture.name, tag, config) for tag, config in tags.items()]
    told = weights_of(file, known)
    return told if told and (told.certain or not architecture.tag) else None


def _tags(architecture: Architecture) -> Mapping[str, PretrainedCfg]:
    """The configs of the model's tags, its own or the default one first."""
    from timm import get_pretrained_cfg
    from timm.models import get_arch_pretrained_cfgs

    own = get_pretrained_cfg(architecture.tagged_name)
    if own is None:
        return {}
    configs = get_arch_pretrained_cfgs(architecture.name)
    return {own.tag or "": own} | {full.partition(".")[2]: each for full, each in configs.items()}


def _alike(architecture: Architecture, tags: Mapping[str, PretrainedCfg]) -> list[str]:
    """The tags of weights with as many classes as the model, or all if there are none."""
    classes = architecture.size("num_classes")
    if classes is None:
        classes = next(iter(tags.values())).num_classes
    return [tag for tag in tags if tags[tag].num_classes == classes] or list(tags)


def _full(name: str, tag: str) -> str:
    return f"{name}.{tag}" if tag else name


def _weights(name: str, tag: str, config: PretrainedCfg) -> Weights:
    url = config.url if isinstance(config.url, str) else ""
    return Weights((_full(name, tag),) if tag else (), url, tag)


def _offer(name: str, tag: str, config: PretrainedCfg, size: int | None) -> Offer:
    stated = config.to_dict()
    if size:
        stated["input_size"] = (3, size, size)
    return Offer(tag or "default", _preprocessing(name, tag, stated))


def _at_test(name: str, tag: str, config: PretrainedCfg) -> Offer | None:
    """The preprocessing with which the weights score best, where timm has one besides its own."""
    if config.test_input_size is None and config.test_crop_pct is None:
        return None
    stated = config.to_dict()
    stated["input_size"] = config.test_input_size or config.input_size
    stated["crop_pct"] = config.test_crop_pct or config.crop_pct
    tested = _preprocessing(name, tag, stated)
    return Offer(
        f"{tag or 'default'}-test", replace(tested, source=f"{tested.source} at its test size")
    )


def _preprocessing(name: str, tag: str, stated: Mapping[str, object]) -> Preprocessing:
    preprocessing = read_config(stated).preprocessing
    return replace(
        preprocessing, source=f"timm's data config for {_full(name, tag)}", guessed=False
    )
