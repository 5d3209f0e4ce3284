"""Loads a slot's model: the choice of device, dtype and `strict`, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st

from core.checkpoint import StateDict
from core.errors import LoadError, LoupeError
from core.fit import SummarySection
from core.load import (
    DTYPES,
    LoadedModel,
    ModelPool,
    ModelRequest,
    SmokeRun,
    SwitchEffect,
    devices,
    load_requested,
    smoke_run,
)
from core.plain_text import plain, plain_sentence
from core.predict import UNTRAINED, untrained_keys
from core.progress import Cancelled, Progress
from core.server import Job
from core.wording import count, pass_time, size
from pages.components.fit.matching.match_summary import lines_table
from pages.components.job_panel import job_panel
from pages.components.resources import jobs, model_pool
from pages.components.session import session_id

OWN_DTYPE = "the model's own"


PATIENCE = 1.0
"""Seconds to wait before a progress bar is drawn. Most loads are done by then."""


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """The outcome of a load, without the model itself: only the pool decides how long that lives.

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


def load_choices(key: str, request: ModelRequest, change: Callable[..., None]) -> None:
    """Draw the choice of device, dtype and strict or partial. `change(device=…)` is called with
    what is chosen."""

    def on_change(name: str, values: Mapping[str, object]) -> None:
        chosen = st.session_state[f"{key}-{name}"]
        change(**{name: values.get(chosen, chosen)})

    ways = {"All (strict)": True, "Some (partial)": False}
    st.session_state[f"{key}-device"] = request.device
    st.session_state[f"{key}-dtype"] = request.dtype or OWN_DTYPE
    st.session_state[f"{key}-strict"] = next(
        way for way, strict in ways.items() if strict == request.strict
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Device",
            dict.fromkeys((*devices(), request.device)),
            key=f"{key}-device",
            on_change=on_change,
            args=("device", {}),
            width=130,
        )
        st.selectbox(
            "dtype",
            (OWN_DTYPE, *DTYPES),
            key=f"{key}-dtype",
            on_change=on_change,
            args=("dtype", {OWN_DTYPE: None}),
            width=200,
        )
        st.segmented_control(
            "Keys that must match",
            ways,
            required=True,
            key=f"{key}-strict",
            on_change=on_change,
            args=("strict", ways),
        )
    _switches(key, request, change)


SWITCHES = {"channels_last": "channels_last", "compiled": "torch.compile"}


def _switches(key: str, request: ModelRequest, change: Callable[..., None]) -> None:
    def on_change(name: str) -> None:
        change(**{name: st.session_state[f"{key}-{name}"]})

    with st.container(horizontal=True, vertical_alignment="center"):
        for name, label in SWITCHES.items():
            st.session_state[f"{key}-{name}"] = getattr(request, name)
            st.toggle(plain(label), key=f"{key}-{name}", on_change=on_change, args=(name,))
    if request.channels_last or request.compiled:
        st.caption(
            "A forward pass is timed before and after. torch.compile may take minutes, and takes "
            "them again for each new input size."
        )


def partial_notice(section: SummarySection, wanted: int) -> None:
    """Warn, before a partial load, about the keys that it leaves untrained; `wanted` is the number
    of the model's keys."""
    if not section.keys:
        st.caption("The file contains every key of the model: a partial load leaves nothing out.")
        return
    st.warning(
        f"{count(section.keys)} of {count(wanted)} keys will not be loaded. {UNTRAINED}",
        icon=":material/warning:",
    )
    lines_table(section.lines)


def load_button(
    key: str, request: ModelRequest, state_dict: StateDict, obstacle: str | None
) -> LoadOutcome | None:
    """Draw the button that starts the load, its progress and its outcome.

    Returns the outcome while the model is loaded, else None. `obstacle` is a sentence that says why
    the model cannot be loaded as it is, or None.
    """
    resident = request in model_pool().resident()
    job = load_job(key, request)
    if job is None or not (job.unfinished or resident):
        _button(key, request, state_dict, obstacle, resident)
    if job is None:
        return None
    try:
        outcome = job_panel(f"{key}-job-panel", job)
    except Cancelled:
        st.caption("Loading was cancelled.")
        return None
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return None
    if outcome and resident:
        _show(outcome)
        return outcome
    if outcome:
        st.caption("The server has unloaded this model to make room for others. Load it again.")
    return None


def _button(
    key: str, request: ModelRequest, state_dict: StateDict, obstacle: str | None, resident: bool
) -> None:
    label = "Use the loaded model" if resident else "Load the model"
    st.button(
        label if request.strict else f"{label} partially",
        key=f"{key}-load",
        type="secondary" if obstacle else "primary",
        disabled=obstacle is not None,
        on_click=start_load,
        args=(key, request, state_dict),
    )
    if obstacle:
        st.caption(plain_sentence(obstacle))
    elif resident:
        st.caption("This model is loaded on this server already. It is shared, not read again.")


def load_job(key: str, request: ModelRequest | None) -> Job[LoadOutcome] | None:
    """The job that this session started for this model, also after its end; None for another."""
    started: tuple[ModelRequest, Job[LoadOutcome]] | None = st.session_state.get(f"{key}-job")
    return started[1] if started and started[0] == request else None


def start_load(key: str, request: ModelRequest, state_dict: StateDict) -> None:
    """Start a job that loads the model; `load_button` with the same key shows it."""
    work = _loading(model_pool(), request, state_dict)
    job = jobs().start(work, session_id())
    st.session_state[f"{key}-job"] = request, job
    job.wait(PATIENCE)


def _loading(
    pool: ModelPool, request: ModelRequest, state_dict: StateDict
) -> Callable[[Progress], LoadOutcome]:
    def work(progress: Progress) -> LoadOutcome:
        loaded_here = []  # not empty once the pool has called `load`, as it does for a new model

        def load() -> LoadedModel:
            loaded_here.append(request)
            return load_requested(request, state_dict, progress)

        with pool.get(request, load) as loaded:
            progress(1, 1, "Running the model once on a random input")
            return LoadOutcome(
                request,
                not loaded_here,
                loaded.seconds,
                loaded.nbytes,
                len(untrained_keys(loaded)),
                loaded.notes,
                loaded.bytes_per_second,
                loaded.effects,
                _smoke(loaded),
            )

    return work


def _smoke(loaded: LoadedModel) -> SmokeRun | LoadError:
    try:
        return smoke_run(loaded)
    except LoadError as error:
        return error


def _show(outcome: LoadOutcome) -> None:
    device = plain(outcome.request.device)
    sentence = (
        f"Already loaded on {device} and shared: nothing was read again."
        if outcome.shared
        else f"Loaded on {device} in {pass_time(outcome.seconds)}{_rate(outcome)}."
    )
    initial = (
        f" {count(outcome.initialised)} keys keep their initial values."
        if outcome.initialised
        else ""
    )
    st.success(f"{sentence} {size(outcome.nbytes)} of weights.{initial}", icon=":material/check:")
    for note in outcome.notes:
        st.caption(plain_sentence(note))
    for effect in outcome.effects:
        _show_effect(effect)
    smoke = outcome.smoke
    if isinstance(smoke, LoadError):
        st.warning(plain_sentence(str(smoke)), icon=":material/warning:")
    else:
        st.markdown(
            f"Trial pass on {plain(smoke.input_words)}: {pass_time(smoke.seconds)}, "
            f"{size(smoke.peak_bytes)} of memory, output {plain(smoke.output_words)}."
        )


def _rate(outcome: LoadOutcome) -> str:
    """The rate at which the bytes were read and copied to the device, if it is known."""
    rate = outcome.bytes_per_second
    return f", reading {size(rate)}/s" if rate else ""


def _show_effect(effect: SwitchEffect) -> None:
    if effect.trouble:
        st.warning(plain_sentence(effect.trouble), icon=":material/warning:")
        return
    first = f" (first pass: {pass_time(effect.preparing)})" if effect.preparing >= 1 else ""
    times = f"{pass_time(effect.before)} → {pass_time(effect.after)}"
    st.markdown(f"{plain(effect.switch)}: {times}{first}")
