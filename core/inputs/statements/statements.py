"""Finds what a checkpoint and the files beside it state on preprocessing, and has it read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

from core.inputs.preprocessing import Preprocessing
from core.inputs.statements import openmmlab, plain_entries, timm_config
from core.inputs.statements.config_text import config_of
from core.inputs.statements.fields import mapping
from core.inputs.statements.processor import is_processor, read_processor
from core.inputs.statements.steps import is_steps, read_steps, steps_in
from core.inputs.statements.understood import (
    COMPLETE,
    INTERPOLATION,
    ORDER,
    SIZE,
    VALUES,
    Reading,
    Subject,
)
from core.wording import listed

FROM_CHECKPOINT = "the checkpoint's own"
"""How a `source` begins where the checkpoint's metadata states all of it."""

STATED = frozenset(
    {
        *("preprocessing", "preprocess", "preprocessor", "preprocessor_config", "img_norm_cfg"),
        *("normalization", "normalize", "transform", "transforms", "image_processor"),
        *("feature_extractor", "data_config", "pretrained_cfg", "default_cfg"),
        *("data_preprocessor", "test_pipeline", "preprocess_cfg", "preprocessor_config.json"),
    }
)
"""Metadata keys under which training scripts keep their preprocessing. For an evaluation it may be
`val_transforms` too."""

EVALUATION = ("test", "val", "valid", "validation", "eval", "evaluation", "inference", "predict")
"""How scripts call what is not training, the most final first."""

OPTIONS = frozenset(
    {
        *("args", "opt", "opts", "options", "hyper_parameters", "hparams", "config", "cfg"),
        *("params", "data", "dataset", "datamodule", "data_module", "image", "images", "input"),
        *("inputs", "model", "model_args", "model_kwargs", "model_config", "model_cfg"),
        *("datamodule_hyper_parameters", "hyperparameters", "hyper_params", "train_args"),
        *("training_args", "settings", "conf"),
    }
)
"""Metadata keys under which scripts keep their options, among which a few are on images."""

CONFIG_TEXTS = frozenset({"cfg", "config"})
"""Keys of OpenMMLab's `meta` under which is the text of its config."""

DEPTH = 4
"""How many levels deep in the metadata such a key is searched."""

Read = Callable[[Preprocessing], Reading]

EXACT, PLAIN, BESIDE, AMONG_OPTIONS = range(4)
"""How sure it is that a statement is on the images of an evaluation: one in a library's format, one
of a script, one in a file beside the checkpoint, one among options."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement on preprocessing: how sure it is one, where it is, and how it is read."""

    rank: int
    where: str
    read: Read


def stated_preprocessing(
    metadata: Mapping[str, object],
    otherwise: Preprocessing,
    beside: Mapping[str, object] | None = None,
    library: Mapping[str, object] | None = None,
) -> Preprocessing | None:
    """The preprocessing that a checkpoint states, with `otherwise` for the rest.

    `beside` are the configurations beside the file, by their names, None for one that cannot be
    read; `library` is the config that timm has of the weights, if the architecture is timm's. What
    is stated and not understood is named in the result. None if nothing is stated.
    """
    own = library or {}
    found = [*_statements(metadata, "", DEPTH, own), *_options("metadata", metadata, own)]
    for name, document in (beside or {}).items():
        if document is None:
            found.append(Statement(BESIDE, name, partial(_unread, name, "cannot be read")))
        else:
            below = _statements({name: document}, "", DEPTH, own)
            found += [replace(statement, rank=BESIDE) for statement in below]
    return _joined(sorted(found, key=lambda statement: statement.rank), otherwise)


def _joined(found: Sequence[Statement], otherwise: Preprocessing) -> Preprocessing | None:
    """All statements together: the surer one decides, the others fill in what it leaves open."""
    used: list[Statement] = []
    on: set[Subject] = set()
    lacking: list[str] = []
    for statement in found:
        reading = statement.read(otherwise)
        adds = reading.on - on or (reading.not_understood and not on >= COMPLETE)
        if adds:
            used.append(statement)
            lacking += [each for each in reading.not_understood if each not in lacking]
            on |= reading.on
    if not used:
        return None
    preprocessing = otherwise
    for statement in reversed(used):
        preprocessing = statement.read(preprocessing).preprocessing
    return replace(
        preprocessing,
        not_understood=tuple(lacking),
        source=_source(used, on, otherwise),
        guessed=otherwise.guessed and not on >= COMPLETE,
    )


def _source(used: Sequence[Statement], on: Set[Subject], otherwise: Preprocessing) -> str:
    places = " and ".join(
        dict.fromkeys(
            f"{statement.where} beside the file"
            if statement.rank == BESIDE
            else f"{FROM_CHECKPOINT} {statement.where}"
            for statement in sorted(used, key=lambda statement: statement.rank != BESIDE)
        )
    )
    if on >= COMPLETE:
        return places
    if not on:
        return otherwise.source
    rest = otherwise.source.partition(", as neither ")[0]
    stated = listed(
        [word for each in (SIZE, INTERPOLATION, VALUES, ORDER) if each in on for word in each]
    )
    return f"{rest}; {stated} from {places}"


def _statements(
    tree: Mapping[str, object], path: str, depth: int, library: Mapping[str, object]
) -> Iterator[Statement]:
    """The statements in a part of the metadata, those of one level in the order of the file."""
    for key, value in tree.items():
        where = f"{path}.{key}" if path else str(key)
        name = _of_evaluation(str(key).lower())
        entry = mapping(value)
        if name is None:
            continue
        statement = _statement(name, where, value, entry, library)
        if statement is not None:
            yield statement
        elif entry is not None:
            if name in OPTIONS:
                yield from _options(where, entry, library)
            if depth > 1:
                yield from _statements(entry, where, depth - 1, library)


def _of_evaluation(key: str) -> str | None:
    """The key without a word for evaluation before it; None for one of training."""
    first, _, rest = key.partition("_")
    if first in ("train", "training"):
        return None
    return rest if first in EVALUATION and rest in STATED else key


def _statement(
    name: str,
    where: str,
    value: object,
    entry: Mapping[str, object] | None,
    library: Mapping[str, object],
) -> Statement | None:
    """The statement that a value under a key is; None if it is none."""
    if name in STATED and is_steps(steps := steps_in(value)):
        mm = name == "test_pipeline"
        return Statement(EXACT, where, partial(read_steps, steps, openmmlab=mm))
    if entry is None:
        return _text(name, where, value)
    if is_processor(entry):
        return Statement(EXACT, where, partial(read_processor, entry))
    if (
        name in ("pretrained_cfg", "default_cfg")
        or (name in STATED and timm_config.is_config(entry))
        or (name == "config.json" and timm_config.is_whole_file(entry))
    ):
        return Statement(
            EXACT, where, lambda otherwise: timm_config.read_config(entry, otherwise, library)
        )
    if name in ("data_preprocessor", "img_norm_cfg"):
        return Statement(EXACT, where, partial(openmmlab.read_values, entry))
    if name == "preprocess_cfg":
        return Statement(EXACT, where, partial(plain_entries.read_open_clip, entry))
    if openmmlab.is_project(entry):
        return Statement(EXACT, where, partial(openmmlab.read_project, entry))
    if name in STATED:
        parts = {str(key).lower(): part for key, part in entry.items()}
        split = next((part for part in EVALUATION if part in parts), None)
        if split is not None:
            part = parts[split]
            return _statement(name, f"{where}.{split}", part, mapping(part), library)
        return Statement(PLAIN, where, partial(plain_entries.read_entry, entry))
    return None


def _text(name: str, where: str, value: object) -> Statement | None:
    """The statement in a text: a config of OpenMMLab, or one that is not understood."""
    if not isinstance(value, str) or not value.strip():
        return None
    if name in CONFIG_TEXTS and any(word in value for word in openmmlab.WORDS):
        config = config_of(value)
        if config is None:
            return Statement(EXACT, where, partial(_unread, where, "is no Python"))
        if openmmlab.is_project(config):
            return Statement(EXACT, where, partial(openmmlab.read_project, config))
    if name in STATED:
        return Statement(PLAIN, where, partial(_unread, where, value))
    return None


def _unread(where: str, value: object, otherwise: Preprocessing) -> Reading:
    return Reading(otherwise).lacking(where, value)


def _options(
    where: str, entry: Mapping[str, object], library: Mapping[str, object]
) -> Iterator[Statement]:
    """The statement that a script's options are."""
    if timm_config.is_options(entry):
        yield Statement(
            AMONG_OPTIONS,
            where,
            lambda otherwise: timm_config.read_timm_options(entry, library, otherwise),
        )
    else:
        yield Statement(AMONG_OPTIONS, where, partial(plain_entries.read_options, entry))
