"""Loads a slot's model: the choice of device, dtype and `strict`, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from core.checkpoint import StateDict
from core.errors import LoadError, LoupeError
from core.fit import Line, initialised, obstacle
from core.load import (
    DTYPES,
    WAYS,
    LoadedModel,
    LoadOutcome,
    ModelPool,
    ModelRequest,
    SmokeRun,
    SwitchEffect,
    devices,
    load_requested,
    load_words,
    own_dtype,
    smoke_run,
)
from core.plain_text import markup, plain, plain_sentence
from core.predict import UNTRAINED, untrained_keys
from core.progress import Cancelled, Progress
from core.server import Job, SlotState
from core.wording import count, pass_time, size
from pages.components.fit.fit_view import FitView
from pages.components.fit.fitting import Fitting
from pages.components.fit.matching.lines_table import lines_table
from pages.components.job_panel import job_panel
from pages.components.panels.panel import panel
from pages.components.resources import jobs, model_pool
from pages.components.session import session_id
from pages.components.slot_model import slot_request
from pages.components.workspace import workspace

OWN_DTYPE = "the model's own"


PATIENCE = 1.0
"""Seconds to wait before a progress bar is drawn. Most loads are done by then."""


def load_choices(key: str, request: SlotState, change: Callable[..., None]) -> None:
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


def _switches(key: str, request: SlotState, change: Callable[..., None]) -> None:
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


def load_panel(view: FitView, fitted: Fitting) -> LoadOutcome | None:
    """Draw the options of the load in one line, and what stands in its way; or, of a loaded model,
    what came of it. Unlike the bar's button, its own leaves the page as it is while it loads.

    Returns the outcome of this session's own load while the model is loaded, else None.
    """
    request = slot_request(view.slot) if not view.proposed else None
    resident = request is not None and request in model_pool().resident()
    tools, body = panel("load", "Load", "loaded" if resident else "")
    state, own = workspace().slot(view.slot), own_dtype(fitted.signature)
    with tools, st.popover("Change", type="tertiary", width="content"):
        load_choices(view.key, state, lambda **choice: workspace().update(view.slot, **choice))
    with body:
        outcome = _outcome(view, request) if request is not None else None
        if outcome is not None and resident:
            _show(outcome, own)
            return outcome
        switches = tuple(label for name, label in SWITCHES.items() if getattr(state, name))
        st.caption(plain(load_words(state.device, state.dtype, state.strict, switches, own)))
        if request is None:
            return None
        if outcome is not None:
            st.caption("The server has unloaded this model to make room for others.")
        elif resident:
            st.caption("This model is loaded on this server already. It is shared, not read again.")
        _before_loading(view, request, fitted, resident=resident)
    return None


def _before_loading(
    view: FitView, request: ModelRequest, fitted: Fitting, *, resident: bool
) -> None:
    """Draw what a load would leave out, and the button that starts it, or what forbids it."""
    if not request.strict:
        _partial_notice(initialised(fitted.match, fitted.signature), len(fitted.signature))
    reason = obstacle(fitted.match, fitted.trial.failed, request.strict)
    if reason:
        st.caption(plain_sentence(reason))
    job = load_job(view.key, request)
    if reason or (job is not None and job.unfinished):
        return
    label = "Use the loaded model" if resident else "Load the model"
    st.button(
        label if request.strict else f"{label} partially",
        key=f"{view.key}-load",
        on_click=start_load,
        args=(view.key, request, view.state_dict),
    )


def _outcome(view: FitView, request: ModelRequest) -> LoadOutcome | None:
    """The outcome of this session's load; its progress or its failure is drawn."""
    job = load_job(view.key, request)
    if job is None:
        return None
    try:
        return job_panel(f"{view.key}-job-panel", job)
    except Cancelled:
        st.caption("Loading was cancelled.")
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
    return None


def _partial_notice(lines: Sequence[Line], wanted: int) -> None:
    """Warn, before a partial load, about the keys that it leaves untrained; `wanted` is the number
    of the model's keys."""
    left = sum(len(line.keys) for line in lines)
    if not left:
        st.caption("The file contains every key of the model: a partial load leaves nothing out.")
        return
    st.warning(
        f"{count(left)} of {count(wanted)} keys will not be loaded. {UNTRAINED}",
        icon=":material/warning:",
    )
    lines_table(lines)


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


def _show(outcome: LoadOutcome, own: str) -> None:
    request, smoke = outcome.request, outcome.smoke
    facts = {
        "device, dtype": f"{request.device}, {request.dtype or own}",
        "keys": WAYS[request.strict],
        "took": outcome.took,
    }
    if outcome.initialised:
        facts["untrained"] = f"{count(outcome.initialised)} keys keep their initial values"
    if not isinstance(smoke, LoadError):
        facts["trial pass"] = f"{smoke.input_words} → {smoke.output_words}"
        facts["its time"] = f"{pass_time(smoke.seconds)}, {size(smoke.peak_bytes)} of memory"
    lines = "".join(
        f"<span>{markup(name)}</span><b>{markup(value)}</b>" for name, value in facts.items()
    )
    st.html(f'<div class="fit-facts">{lines}</div>')
    if isinstance(smoke, LoadError):
        st.warning(plain_sentence(str(smoke)), icon=":material/warning:")
    for note in outcome.notes:
        st.caption(plain_sentence(note))
    for effect in outcome.effects:
        _show_effect(effect)


def _show_effect(effect: SwitchEffect) -> None:
    if effect.trouble:
        st.warning(plain_sentence(effect.trouble), icon=":material/warning:")
        return
    first = f" (first pass: {pass_time(effect.preparing)})" if effect.preparing >= 1 else ""
    times = f"{pass_time(effect.before)} → {pass_time(effect.after)}"
    st.markdown(f"{plain(effect.switch)}: {times}{first}")
