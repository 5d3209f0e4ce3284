"""How far each slot's file has come, from the results that all sessions share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.architectures import Architecture
from core.checkpoint import Checkpoint
from core.errors import LoupeError
from core.fit.identify import Candidate
from core.predict import require_image_model
from core.server import EMPTY_SLOT, SlotStage, Stage, slot_stage
from pages.components.fit.fitting import fitting
from pages.components.identified import identification
from pages.components.slot_model import is_loaded, slot_architecture, slot_request
from pages.components.workspace import SLOTS, workspace


@dataclass(frozen=True, slots=True)
class BenchSlot:
    """A slot for the bar: its file, the stage of that, and the architecture that is chosen or sure.

    `checkpoint` is None while the slot is empty or its file cannot be read. `waits_for_index` says
    that the file cannot be identified yet.
    """

    stage: SlotStage
    checkpoint: Checkpoint | None = None
    architecture: Architecture | None = None
    sure: Candidate | None = None
    waits_for_index: bool = False


def bench_slots() -> Mapping[str, BenchSlot]:
    """Both slots of this session."""
    return {slot: _slot(slot) for slot in SLOTS}


def _slot(slot: str) -> BenchSlot:
    state = workspace().slot(slot)
    if state.file is None:
        return BenchSlot(EMPTY_SLOT)
    checkpoint = workspace().checkpoint(slot)
    state_dict = workspace().state_dict(slot)
    if checkpoint is None or state_dict is None:
        return BenchSlot(SlotStage(Stage.UNREADABLE))
    try:
        identified = identification(checkpoint, state_dict)
        chosen = slot_architecture(slot)
        request = slot_request(slot)
        fit = fitting(checkpoint.identity, state_dict, state.recipe, chosen).fit if chosen else None
    except LoupeError:
        # The page says what is wrong: an unknown architecture, or an index that cannot be built.
        return BenchSlot(SlotStage(Stage.UNKNOWN), checkpoint)
    sure = identified.sure if identified is not None else None
    architecture = chosen or (sure.architecture if sure is not None else None)
    stage = slot_stage(
        identified,
        fit,
        state.recipe,
        chosen=chosen.key if chosen is not None else None,
        resident=request is not None and is_loaded(request),
        predicts=architecture is not None and _predicts(architecture),
        strict=state.strict,
    )
    return BenchSlot(stage, checkpoint, architecture, sure, waits_for_index=identified is None)


def _predicts(architecture: Architecture) -> bool:
    try:
        require_image_model(architecture)
    except LoupeError:
        return False
    return True
