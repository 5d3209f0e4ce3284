"""What models were fed and how their classes are named, with who says so, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from core.inputs import FROM_CHECKPOINT, IMAGENET, Preprocessing
from core.predict.labels import Labels
from core.predict.whole_image import WholeImage
from core.wording import THIN, capital, counted, listed


def fed_sentence(fed: Mapping[str, tuple[Preprocessing, Labels]]) -> str:
    """What every model, by its name on screen, is fed and which classes it has, and who says so.

    What is the same for all is said once. Class names are in single backticks.
    """
    given = [part for parts in fed.values() for part in parts if _is_told(part)]
    same = len({*fed.values()}) == 1
    if same and all(part.source.startswith(FROM_CHECKPOINT) for part in given):
        words = ", ".join(_words(part) for part in next(iter(fed.values())) if _is_told(part))
        said = f"{words}, all from the checkpoint{'s' if len(fed) > 1 else ''}."
        return " ".join([said, *_lacking({"": next(iter(fed.values()))[0]})])
    sentences = []
    for kind in (0, 1):
        parts = {name: parts[kind] for name, parts in fed.items() if _is_told(parts[kind])}
        told = {name: f"{_words(part)} ({part.source})." for name, part in parts.items()}
        if len({*told.values()}) == 1 and len(told) == len(fed):
            sentence = next(iter(told.values()))
            sentences.append(capital(sentence))
        else:
            sentences += [f"{name}: {sentence}" for name, sentence in told.items()]
    each = {name: preprocessing for name, (preprocessing, _) in fed.items()}
    one = len({preprocessing.not_understood for preprocessing in each.values()}) == 1
    return " ".join([*sentences, *_lacking({"": next(iter(each.values()))} if one else each)])


def _lacking(fed: Mapping[str, Preprocessing]) -> list[str]:
    """For each model, by its name on screen, what is stated of its images and is not done."""
    return [
        f"{name}: {words}" if name else words
        for name, preprocessing in fed.items()
        if (words := not_understood_words(preprocessing))
    ]


def not_understood_words(preprocessing: Preprocessing) -> str:
    """What is stated on the images and is not done, as a sentence; empty if there is nothing."""
    lacking = preprocessing.not_understood
    if not lacking:
        return ""
    named = listed([f"`{each.replace('`', chr(39))}`" for each in lacking])
    return f"Stated, but not done: {named}."


def _is_told(part: Preprocessing | Labels) -> bool:
    """There are no class names where no image reached the model; nor does a number for the only one
    say anything."""
    if isinstance(part, Preprocessing):
        return True
    return bool(part.names) and not (part.numbered and len(part.names) == 1)


def _words(part: Preprocessing | Labels) -> str:
    return fed_words(part) if isinstance(part, Preprocessing) else _classes(part)


def fed_words(preprocessing: Preprocessing) -> str:
    """What is done to an image, in few words: `224 px cropped from 256, bilinear, mean/std 0.5`."""
    if isinstance(preprocessing, WholeImage) and preprocessing.crop == preprocessing.resize:
        return _whole_words(preprocessing)
    parts = [f"{_edges(preprocessing.crop)}{THIN}px"]
    if preprocessing.resize != preprocessing.crop:
        parts[0] += f" cropped from {_edges(preprocessing.resize)}"
    if preprocessing.fit != "cover":
        parts.append(
            {"squash": "squashed", "pad": "padded", "keep": "not resized"}[preprocessing.fit]
        )
    if preprocessing.channels != IMAGENET.channels:
        channels = counted(preprocessing.channels, "channel")
        parts.append("grey" if preprocessing.channels == 1 else channels)
    if preprocessing.bgr:
        parts.append("BGR")
    if preprocessing.fit == "keep":
        return ", ".join([*parts, _normalised(preprocessing)])
    return ", ".join([*parts, preprocessing.interpolation, _normalised(preprocessing)])


def _whole_words(preprocessing: WholeImage) -> str:
    """What is done to an image of which nothing is cropped."""
    if preprocessing.fit == "keep":
        words = ["whole images, not resized"]
    else:
        edge = f"{_edges(preprocessing.resize)}{THIN}px"
        shorter = "the shorter edge " if preprocessing.fit == "cover" else ""
        words = [f"whole images, {shorter}resized to {edge}", preprocessing.interpolation]
    if preprocessing.bgr:
        words.append("BGR")
    if (set(preprocessing.mean), set(preprocessing.std)) == ({0.0}, {1.0}):
        return ", ".join([*words, "values from 0 to 1"])
    return ", ".join([*words, _normalised(preprocessing)])


def _edges(size: tuple[int, int]) -> str:
    height, width = size
    return f"{height}" if height == width else f"{width} × {height}"


def _normalised(preprocessing: Preprocessing) -> str:
    if (preprocessing.mean, preprocessing.std) == (IMAGENET.mean, IMAGENET.std):
        return "ImageNet mean/std"
    return mean_std_words(preprocessing)


def mean_std_words(preprocessing: Preprocessing) -> str:
    """The mean and the standard deviation that are taken from a channel and divide it."""
    mean, std = _per_channel(preprocessing.mean), _per_channel(preprocessing.std)
    return f"mean/std {mean}" if mean == std else f"mean {mean}, std {std}"


def _per_channel(values: tuple[float, ...]) -> str:
    """One number where all channels have the same."""
    distinct = list(dict.fromkeys(values))
    return " ".join(f"{value:.3g}" for value in (distinct if len(distinct) == 1 else values))


def _classes(labels: Labels) -> str:
    """The first and the last class, or their number if they have no names."""
    names = [f"`{name}`" for name in labels.names]
    if labels.numbered:
        return counted(len(names), "class")
    if len(names) <= 2:
        return f"class{'es' if len(names) > 1 else ''} {listed(names)}"
    return f"classes {names[0]} … {names[-1]}"


def fed_size(size: tuple[int, int], fed: Mapping[str, Preprocessing]) -> str:
    """An image's (width, height), and what each model was fed of it: `128 × 128, fed 64 × 64`."""
    crops = {name: "{1} × {0}".format(*each.crop) for name, each in fed.items()}
    own = f"{size[0]} × {size[1]}"
    if len(set(crops.values())) == 1:
        return f"{own}, fed {next(iter(crops.values()))}"
    return f"{own}, fed {' and '.join(f'{crop} to {name}' for name, crop in crops.items())}"
