"""Proof: what was measured of a repaired state_dict in its architecture, and `prove`."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace

from core.architectures import Architecture
from core.checkpoint import StateDict
from core.errors import ArchitectureError, LoadError
from core.fit import Match
from core.fit.identify import Hints, Identification
from core.fixes import Recipe
from core.inputs import RandomInputs, random_inputs
from core.load import load_model
from core.predict.proof.outputs import (
    IMAGES,
    SEED,
    OutputComparison,
    Outputs,
    compare_outputs,
    run_seeded,
)
from core.predict.proof.source_models import Sources, find_sources
from core.predict.proof.values import ValueCheck, check_values
from core.progress import Report, ignore
from core.wording import shape as shape_words

NOT_COMPARED = OutputComparison("not compared")


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured; a step that failed leaves those after it out.

    `match` is None if the model was not loaded. `inputs` are those of the forward pass in words,
    `elements` and `not_finite` the numbers of its outputs. `source` is the model with whose outputs
    they were compared, None if they were not; `alike` are the architectures that have the source's
    keys and shapes, and `named_by` are sentences on where the file names it. `trouble` is a
    sentence on what failed to load or to run.
    """

    architecture: Architecture
    match: Match | None = None
    values: ValueCheck | None = None
    inputs: str = ""
    elements: int = 0
    not_finite: int = 0
    source: Architecture | None = None
    alike: tuple[Architecture, ...] = ()
    named_by: tuple[str, ...] = ()
    compared: OutputComparison = NOT_COMPARED
    trouble: str = ""

    @property
    def proved(self) -> bool:
        """Whether nothing failed. Outputs that could not be compared are no failure."""
        return (
            not self.trouble
            and self.values is not None
            and not self.values.differing
            and not self.not_finite
            and self.compared.verdict != "other outputs"
        )


@dataclass(frozen=True, slots=True)
class _Target:
    """What is known of the target once its model is freed."""

    match: Match | None = None
    values: ValueCheck | None = None
    inputs: RandomInputs | None = None
    outputs: Outputs | None = None
    trouble: str = ""


def prove(
    original: StateDict,
    repaired: StateDict,
    architecture: Architecture,
    recipe: Recipe,
    *,
    written: StateDict | None = None,
    identification: Identification | None = None,
    hints: Hints | None = None,
    progress: Report = ignore,
) -> Proof:
    """Load a repaired state_dict, check every value, run it, and compare it with its source.

    `repaired` is `original` after `recipe`; `written` is the same read back from a file, and is
    what is loaded if it is given. `identification` and `hints` are those of `original`. The models
    are on the CPU, one at a time. `progress` may raise to cancel. Raises FixError, and SourceError
    or CheckpointError if a tensor cannot be read.
    """
    loaded_from = repaired if written is None else written
    target = _run_target(loaded_from, repaired, original, architecture, progress)
    gc.collect()
    proof = Proof(
        architecture,
        target.match,
        target.values,
        "" if target.inputs is None else _words(target.inputs),
        0 if target.outputs is None else target.outputs.numel,
        0 if target.outputs is None else target.outputs.not_finite,
        trouble=target.trouble,
    )
    if target.inputs is None or target.outputs is None or not proof.proved:
        return proof
    sources = find_sources(
        original, repaired, architecture, recipe, identification, hints or Hints()
    )
    if not sources.architectures:
        compared = OutputComparison("not compared", sources.reason)
        return replace(proof, alike=sources.alike, compared=compared)
    tried = _tried(sources, target.inputs, target.outputs, progress)
    # The file does not say which of the sources was trained: the first that agrees is taken.
    source, compared = next((each for each in tried if each[1].verdict == "same outputs"), tried[0])
    return replace(
        proof, source=source, alike=sources.alike, named_by=sources.named_by, compared=compared
    )


def _run_target(
    loaded_from: StateDict,
    repaired: StateDict,
    original: StateDict,
    architecture: Architecture,
    progress: Report,
) -> _Target:
    try:
        loaded = load_model(loaded_from, architecture, progress=progress)
    except (ArchitectureError, LoadError) as error:
        return _Target(trouble=str(error))
    values = check_values(loaded.model, repaired, original, progress)
    progress(1, 1, f"Running {architecture.title}")
    try:
        inputs = random_inputs(
            architecture, loaded.model, loaded.device, loaded.dtype, images=IMAGES, seed=SEED
        )
        outputs = run_seeded(loaded, inputs)
    except (ArchitectureError, LoadError) as error:
        return _Target(loaded.match, values, trouble=str(error))
    return _Target(loaded.match, values, inputs, outputs)


def _tried(
    sources: Sources, inputs: RandomInputs, outputs: Outputs, progress: Report
) -> list[tuple[Architecture, OutputComparison]]:
    """The sources with what comparing them says, up to the first with the same outputs."""
    tried = []
    for architecture in sources.architectures:
        compared = _compared(sources.state_dict, architecture, inputs, outputs, progress)
        gc.collect()
        tried.append((architecture, compared))
        if compared.verdict == "same outputs":
            break
    return tried


def _compared(
    state_dict: StateDict,
    architecture: Architecture,
    inputs: RandomInputs,
    outputs: Outputs,
    progress: Report,
) -> OutputComparison:
    try:
        loaded = load_model(state_dict, architecture, progress=progress)
        progress(1, 1, f"Running {architecture.title}")
        return compare_outputs(run_seeded(loaded, inputs), outputs)
    except (ArchitectureError, LoadError) as error:
        return OutputComparison("not compared", error.problem.rstrip("."))


def _words(inputs: RandomInputs) -> str:
    """The inputs in words, with the shape of one: `2 random images of 3 × 224 × 224`."""
    shape = inputs.shape[1:] if len(inputs.shape) > 3 else inputs.shape
    return f"{inputs.what} of {shape_words(shape)}"
