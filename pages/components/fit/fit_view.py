"""What the page shows of a slot: the architecture that is chosen, or else the one proposed."""

from __future__ import annotations

from dataclasses import dataclass

from core.architectures import Architecture
from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.fit.identify import Candidate, Identification
from core.fit.review import chosen_headline, proposed_headline, taken_headline
from core.fixes import Recipe
from core.wording import Headline
from pages.components.fit.fitting import Fitting, fitting
from pages.components.fit.recipe_bar import use
from pages.components.identified import identification
from pages.components.slot_model import slot_architecture
from pages.components.workspace import workspace


@dataclass(frozen=True, slots=True)
class FitView:
    """A slot's file with an architecture and a recipe, and what follows from them.

    `proposed` says that they are those of `candidate`, the identification's first, and that nobody
    chose them yet; else they are the slot's own. `architecture` and `fitted` are None if nothing is
    chosen and there is no candidate. `errors` are sentences on what could not be found out.
    """

    slot: str
    checkpoint: Checkpoint
    state_dict: StateDict
    identified: Identification | None
    architecture: Architecture | None
    recipe: Recipe
    candidate: Candidate | None
    fitted: Fitting | None
    proposed: bool
    errors: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The beginning of the keys of the slot's widgets."""
        return f"fit-{self.slot}"

    @property
    def name(self) -> str:
        """Distinguishes the file, its state_dict and the architecture from all others."""
        key = self.architecture.key if self.architecture else ""
        return f"{self.checkpoint.identity}:{self.state_dict.path!a}:{key}"

    @property
    def is_sure(self) -> bool:
        """Whether the file proves this architecture, or one that computes the same."""
        if self.identified is None or self.architecture is None:
            return False
        return self.identified.proves(self.architecture)

    @property
    def headline(self) -> Headline:
        """The title, and the evidence below it."""
        fit = self.fitted.fit if self.fitted else None
        if self.architecture is not None and fit is None:
            return Headline("This architecture cannot be compared with the file")
        if self.proposed and self.identified is not None:
            return proposed_headline(self.identified, fit)
        if self.architecture is None or self.fitted is None:
            return Headline("Which architecture does this checkpoint fit?")
        return chosen_headline(self.architecture, self.fitted.fit, self.fitted.proposals)

    @property
    def taken(self) -> Headline | None:
        """What the file is by the architecture that is chosen for it; None if none is."""
        if self.proposed or self.architecture is None or self.fitted is None:
            return None
        return taken_headline(self.architecture, self.recipe, self.fitted.fit)

    def take(self, architecture: Architecture, recipe: Recipe) -> None:
        """Choose them for the slot; it can be undone."""
        use(self.slot, architecture, recipe)

    def change(self, recipe: Recipe) -> None:
        """Take the architecture on show with this recipe; it can be undone."""
        if self.architecture is not None:
            self.take(self.architecture, recipe)


def fit_view(slot: str, checkpoint: Checkpoint, state_dict: StateDict) -> FitView:
    """What the page shows of a slot whose file is open."""
    errors = []
    chosen, identified = None, None
    try:
        chosen = slot_architecture(slot)
    except LoupeError as error:
        errors.append(str(error))
    try:
        identified = identification(checkpoint, state_dict)
    except LoupeError as error:
        errors.append(str(error))
    recipe = workspace().slot(slot).recipe
    architecture, candidate, proposed = chosen, _candidate(identified, chosen), chosen is None
    if chosen is None:
        recipe = candidate.recipe if candidate else Recipe()
        architecture = candidate.architecture if candidate else None
    elif candidate is not None and not recipe.steps and candidate.recipe.steps:
        # The bar proposes the same repair for it.
        sure = identified.sure if identified else None
        if sure is not None and sure.architecture == chosen:
            recipe, proposed = sure.recipe, True
    fitted = None
    if architecture is not None:
        try:
            fitted = fitting(checkpoint.identity, state_dict, recipe, architecture)
        except LoupeError as error:
            errors.append(str(error))
    return FitView(
        slot,
        checkpoint,
        state_dict,
        identified,
        architecture,
        recipe,
        candidate,
        fitted,
        proposed,
        tuple(errors),
    )


def _candidate(identified: Identification | None, chosen: Architecture | None) -> Candidate | None:
    """The identification's candidate of the chosen architecture; without one, its first."""
    if identified is None:
        return None
    fitting_it = (each for each in identified.candidates if chosen in (None, each.architecture))
    return next(fitting_it, None)
