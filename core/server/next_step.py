"""What a person does next: the one main button that every page has at the same place.

Each slot of the bench is in a Stage. From the stages and the page in view follows one NextStep: its
label, what it does, and the slots that it does it to. Nothing here draws or loads anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from core.fit import Fit
from core.fit.identify import Identification
from core.fit.review import keys_to_decide
from core.fixes import Recipe
from core.wording import counted, listed


class Stage(Enum):
    """How far the file of a slot has come.

    SURE: the identification proves its architecture, which is not chosen yet. SEVERAL: some fit,
    and nothing proves which. NEAR: the nearest architecture, or the chosen one, fits in part.
    UNKNOWN: no architecture explains it. FITS: all keys of the chosen architecture match.
    """

    EMPTY = auto()
    UNREADABLE = auto()
    IDENTIFYING = auto()
    UNKNOWN = auto()
    SEVERAL = auto()
    NEAR = auto()
    SURE = auto()
    FITS = auto()
    LOADED = auto()


class Action(Enum):
    """What the button does."""

    OPEN_SAMPLE = auto()
    WAIT = auto()
    QUICK_DEMO = auto()
    APPLY = auto()
    CHOOSE = auto()
    REVIEW = auto()
    LOAD = auto()
    PREDICT = auto()
    ADD_IMAGES = auto()
    OPEN_ANOTHER = auto()


@dataclass(frozen=True, slots=True)
class SlotStage:
    """The stage of a slot.

    `needs_repair` says that the recipe of its sure architecture has steps, `keys` how many keys do
    not match, `partial` that the model may be loaded without them, and `predicts` that it is one
    that Predict can run.
    """

    stage: Stage
    needs_repair: bool = False
    keys: int = 0
    predicts: bool = True
    partial: bool = False


@dataclass(frozen=True, slots=True)
class NextStep:
    """The main button: its label, its action and the slots that it acts on."""

    label: str
    action: Action
    slots: tuple[str, ...] = ()


EMPTY_SLOT = SlotStage(Stage.EMPTY)

SAMPLE = NextStep("Open the sample pair", Action.OPEN_SAMPLE)

BEFORE_LOADING = (Stage.FITS, Stage.SURE)


def slot_stage(
    identified: Identification | None,
    fit: Fit | None,
    recipe: Recipe,
    *,
    chosen: str | None,
    resident: bool,
    predicts: bool,
    strict: bool = True,
) -> SlotStage:
    """The stage of a slot whose file is open.

    `identified` is None while the index is built, `fit` without a chosen architecture. `recipe` is
    the slot's own, `chosen` the key of its architecture, and `resident` says that the model that
    the slot asks for is loaded. `predicts` is that of the chosen or the sure architecture, and
    `strict` says that every key must match.
    """
    if resident:
        return SlotStage(Stage.LOADED, predicts=predicts)
    sure = identified.sure if identified is not None else None
    if fit is not None:
        if fit.fits:
            return SlotStage(Stage.FITS, predicts=predicts)
        if sure is None or recipe.steps or sure.architecture.key != chosen:
            keys = keys_to_decide(fit.match, fit.doubts)
            partial = not strict and bool(fit.match.matched)
            return SlotStage(Stage.NEAR, keys=keys, predicts=predicts, partial=partial)
    if identified is None:
        return SlotStage(Stage.IDENTIFYING)
    if sure is not None:
        return SlotStage(Stage.SURE, bool(sure.recipe.steps), predicts=predicts)
    if not identified.known:
        return SlotStage(Stage.UNKNOWN)
    best = identified.candidates[0]
    if best.fits:
        return SlotStage(Stage.SEVERAL)
    return SlotStage(Stage.NEAR, keys=keys_to_decide(best, best.doubts, best.unsure))


def next_step(page: str, stages: Mapping[str, SlotStage], in_view: str | None = None) -> NextStep:
    """The main button of a page.

    `page` is `open`, `inspect`, `compare`, `fit` or `predict`, `stages` the stage of each slot, and
    `in_view` the slot that Inspect or Fit shows, by default the first that has a file. The other
    pages show both.
    """
    opened = [slot for slot in stages if stages[slot].stage is not Stage.EMPTY]
    if not opened:
        return SAMPLE
    if page in ("open", "compare", "predict"):
        slots = [slot for slot in opened if stages[slot].stage is not Stage.UNREADABLE]
    else:
        slots = [in_view if in_view in opened else opened[0]]
    if not slots or all(stages[slot].stage is Stage.UNREADABLE for slot in slots):
        return NextStep("Open another file", Action.OPEN_ANOTHER)
    return _for_slots(page, {slot: stages[slot] for slot in slots})


def _for_slots(page: str, stages: Mapping[str, SlotStage]) -> NextStep:
    """The button for the slots in view. The slot that is furthest behind in a way that a click can
    mend comes first; what a person must decide comes last, except where it is all that there is."""

    def those(*wanted: Stage) -> tuple[str, ...]:
        return tuple(slot for slot in stages if stages[slot].stage in wanted)

    loaded = those(Stage.LOADED)
    if page == "predict" and any(stages[slot].predicts for slot in loaded):
        return NextStep("Add images", Action.ADD_IMAGES, loaded)
    waiting = those(Stage.IDENTIFYING)
    if len(waiting) == len(stages):
        return NextStep("Reading…", Action.WAIT, waiting)
    if sure := those(Stage.SURE):
        if page == "open":
            return _quick_demo(stages, those(*BEFORE_LOADING))
        repaired = tuple(slot for slot in sure if stages[slot].needs_repair)
        if len(repaired) > 1:
            return NextStep(f"Repair {listed(list(repaired), 2)}", Action.APPLY, sure)
        if repaired:
            label = f"Repair {repaired[0]}" if len(stages) > 1 else "Apply repair"
            return NextStep(label, Action.APPLY, sure)
        return NextStep(_load_words(stages, sure), Action.LOAD, sure)
    if fits := those(Stage.FITS):
        return NextStep(_load_words(stages, fits), Action.LOAD, fits)
    if loaded and any(stages[slot].predicts for slot in loaded):
        return NextStep("Predict", Action.PREDICT, loaded)
    if several := those(Stage.SEVERAL, Stage.UNKNOWN):
        return NextStep("Choose an architecture", Action.CHOOSE, several[:1])
    if in_part := tuple(slot for slot in stages if stages[slot].partial):
        return NextStep("Load in part", Action.LOAD, in_part[:1])
    if near := those(Stage.NEAR):
        keys = counted(stages[near[0]].keys, "key")
        return NextStep(f"Review {keys}", Action.REVIEW, near[:1])
    return NextStep("Open another file", Action.OPEN_ANOTHER)


def _load_words(stages: Mapping[str, SlotStage], slots: tuple[str, ...]) -> str:
    return f"Load {listed(list(slots), 2)}" if len(stages) > 1 else "Load"


def _quick_demo(stages: Mapping[str, SlotStage], slots: tuple[str, ...]) -> NextStep:
    """All that is left to the first prediction in one click; if there can be none, to the model."""
    acted = [stages[slot] for slot in slots]
    steps = ["repair"] if any(stage.needs_repair for stage in acted) else []
    steps.append("load")
    if any(stage.predicts for stage in acted):
        steps.append("predict")
    label = listed(steps, len(steps)).capitalize()
    if len(slots) < len(stages):
        label += f" {slots[0]}"
    return NextStep(label, Action.QUICK_DEMO, slots)
