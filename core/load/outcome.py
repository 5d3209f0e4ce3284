"""What came of a load, without the model itself, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.architectures import Signature
from core.errors import LoadError
from core.fit import Match
from core.fit.identify import architecture_words
from core.load.model_request import ModelRequest
from core.load.smoke import SmokeRun
from core.load.switches import SwitchEffect
from core.wording import Headline, count, counted, pass_time, size

WAYS: Mapping[bool, str] = {True: "strict: every key must match", False: "partial"}
"""How a load treats keys that do not match, by `strict`."""


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """The outcome of a load, without the model: only the pool decides how long that lives.

    `shared` means that the model was loaded already; `initialised` is the number of keys that keep
    their initial values; `seconds`, `nbytes` and `bytes_per_second` are those of the load.
    """

    request: ModelRequest
    shared: bool
    seconds: float
    nbytes: int
    initialised: int
    notes: tuple[str, ...]
    bytes_per_second: float
    effects: tuple[SwitchEffect, ...]
    smoke: SmokeRun | LoadError

    @property
    def took(self) -> str:
        """The time and the amount: `59 ms, 1.44 MB`; of a shared model, that nothing was read."""
        if self.shared:
            return f"shared: nothing was read again, {size(self.nbytes)}"
        rate = f" at {size(self.bytes_per_second)}/s" if self.bytes_per_second else ""
        return f"{pass_time(self.seconds)}, {size(self.nbytes)}{rate}"


def loaded_headline(request: ModelRequest, match: Match, outcome: LoadOutcome | None) -> Headline:
    """What is loaded and how it went.

    `match` is that of the repaired state_dict with the architecture; `outcome` is None if another
    session loaded the model.
    """
    name = architecture_words(request.architecture)
    if match.fits:
        title = f"Loaded as {name}: all {counted(match.total, 'key')} match"
    else:
        matched = f"{count(len(match.matched))} of {count(match.total)} keys"
        title = f"Loaded in part as {name}: {matched} are from the file"
    if outcome is None:
        return Headline(
            title,
            f"On {request.device}. It was loaded on this server before, and is shared.",
        )
    return Headline(title, " ".join(_evidence(outcome)))


def load_words(
    device: str, dtype: str | None, strict: bool, switches: tuple[str, ...], own: str
) -> str:
    """The options of a load in one line: `cpu, float32 as in the model, strict: every key must
    match`. `own` is the model's dtype, taken where `dtype` is None."""
    kind = dtype or f"{own} as in the model"
    return ", ".join([device, kind, *switches, WAYS[strict]])


def own_dtype(signature: Signature) -> str:
    """The dtype of a model's parameters; `mixed dtypes` if they have several."""
    dtypes = {spec.dtype for spec in signature.values() if spec.kind == "parameter"}
    return dtypes.pop() if len(dtypes) == 1 else "mixed dtypes"


def _evidence(outcome: LoadOutcome) -> Iterator[str]:
    device, way = outcome.request.device, "strict" if outcome.request.strict else "partial"
    if outcome.shared:
        yield f"Already loaded on {device} and shared: nothing was read again, {way}."
    else:
        weights = f"{size(outcome.nbytes)} of weights"
        yield f"On {device} in {pass_time(outcome.seconds)}, {way}, {weights}."
    if outcome.initialised:
        keep = "keeps its initial value" if outcome.initialised == 1 else "keep initial values"
        yield f"{counted(outcome.initialised, 'key')} {keep}."
    if isinstance(outcome.smoke, SmokeRun):
        gave, seconds = outcome.smoke.output_words, pass_time(outcome.smoke.seconds)
        yield f"A random input gave {gave} in {seconds}."
