"""The exports of a fit: the recipe as PyTorch code, and the repaired file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.checkpoint import Checkpoint, StateDict, ties
from core.errors import FixError, LoupeError
from core.export import (
    ExportSizes,
    Format,
    Keep,
    LeftOut,
    by_part,
    export_sizes,
    export_state_dict,
)
from core.plain_text import code, markup, plain, plain_sentence
from core.progress import Cancelled, Progress
from core.recipe import RecipeFile, in_pickled_object, recipe_code, recipe_to_json
from core.server import Job
from core.server.files import export_name, export_path
from core.server.web import Transfers
from core.wording import count, counted, size
from pages.components.cached import cached
from pages.components.fit.fit_view import FitView
from pages.components.fit.fitting import Fitting
from pages.components.fit.recipe_bar import save_recipe
from pages.components.job_panel import job_panel
from pages.components.panels.panel import panel
from pages.components.resources import jobs, transfers
from pages.components.session import session_id
from pages.components.workspace import workspace

FORMATS: tuple[Format, ...] = ("pth", "safetensors")

KEEP_WORDS: Mapping[Keep, str] = {
    "weights": "Weights only",
    "metadata": "Weights and metadata",
    "all": "Everything",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: its URL, the name that it is saved under, its size, and what of the source
    it does not contain."""

    address: str
    name: str
    nbytes: int
    left_out: tuple[LeftOut, ...] = ()


def export_panel(view: FitView, fitted: Fitting, *, loaded: bool) -> None:
    """Draw the files to take away, and the script that needs the file and PyTorch, but not Loupe.

    The script is open once the model is loaded.
    """
    if view.architecture is None:
        return
    tools, body = panel("export", "Export")
    key, checkpoint, repaired = view.key, view.checkpoint, fitted.trial.state_dict
    steps = recipe_to_json(view.recipe)
    with body:
        keep_of = {name: keep for keep, name in KEEP_WORDS.items()}
        chosen = st.segmented_control(
            "Keep",
            list(keep_of),
            default=KEEP_WORDS["weights"],
            required=True,
            key=f"{key}-keep",
            label_visibility="collapsed",
            help="Metadata is plain data, such as the epoch and class names. Everything includes "
            "the optimizer and other weights too, and can be written as .pth only.",
        )
        keep = keep_of[chosen]
        st.caption(f"{count(len(repaired))} keys, {size(repaired.nbytes)} of weights")
        _sizes(checkpoint, repaired, json.dumps(steps), keep)
        _written(key, checkpoint, repaired, steps)
        _code(view, fitted, expanded=loaded)
    with tools:
        for form in FORMATS:
            identity = json.dumps([checkpoint.identity, repaired.path, steps, form, keep])
            st.button(
                f".{plain(form)}",
                key=f"{key}-export-{form}",
                on_click=_start,
                args=(key, identity, form, keep, checkpoint, repaired),
                icon=":material/download:",
                disabled=form == "safetensors" and keep == "all",
            )
        if view.recipe.steps:
            file = RecipeFile(view.recipe, view.state_dict.path, view.architecture)
            save_recipe(f"{key}-export-recipe", "Recipe .json", file, Path(checkpoint.name).stem)


def _code(view: FitView, fitted: Fitting, *, expanded: bool) -> None:
    """Draw the script."""
    if view.architecture is None:
        return
    checkpoint, path = view.checkpoint, view.state_dict.path
    with st.expander("PyTorch code that loads the original file, without Loupe", expanded=expanded):
        try:
            script = recipe_code(
                checkpoint.name,
                path,
                view.recipe,
                view.architecture,
                strict=workspace().slot(view.slot).strict,
                computed=fitted.match.computed,
                whole_model=in_pickled_object(checkpoint.tree, path),
                format=checkpoint.format,
                tree=checkpoint.tree,
            )
        except FixError as error:
            st.caption(plain_sentence(str(error)))
        else:
            st.code(script, language="python", wrap_lines=True)


def _written(key: str, checkpoint: Checkpoint, repaired: StateDict, steps: object) -> None:
    """Draw what a written file is like, its progress, and the link to it once it is there."""
    tied = ties(repaired)
    if tied:
        st.caption(_ties_note(tied))
    started: tuple[str, Job[Exported]] | None = st.session_state.get(f"{key}-export")
    if started is None or json.loads(started[0])[:3] != [checkpoint.identity, repaired.path, steps]:
        return
    try:
        exported = job_panel(f"{key}-export-job", started[1])
    except Cancelled:
        st.caption("The export was cancelled. No partial file is left.")
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
    else:
        if exported:
            _link(exported)


def _link(exported: Exported) -> None:
    name = markup(exported.name)
    st.html(
        f'<a style="color:inherit" href="{markup(exported.address)}" download="{name}">'
        f"Download {name}</a> ({size(exported.nbytes)}, verified by reading it again)"
    )
    if exported.left_out:
        sentences = [plain(part.sentence) for part in by_part(exported.left_out)]
        more = len(sentences) - NAMED
        st.caption(
            "Left out: "
            + "; ".join(sentences[:NAMED])
            + (f"; and {counted(more, 'more part')}" if more > 0 else "")
        )


NAMED = 5
"""The most left-out parts of the source that are named."""


def _sizes(checkpoint: Checkpoint, repaired: StateDict, steps: str, keep: Keep) -> None:
    """Draw the size of the chosen export, relative to the source."""
    try:
        sizes = _sizes_of(checkpoint.identity, repaired.path, steps, checkpoint, repaired)
    except LoupeError as error:
        st.caption(plain_sentence(str(error)))
    else:
        st.caption(plain(sizes.sentence(keep)))


@cached(64)
def _sizes_of(
    identity: str, path: str, steps: str, _checkpoint: Checkpoint, _repaired: StateDict
) -> ExportSizes:
    return export_sizes(_repaired, "pth", _checkpoint)


def _ties_note(tied: Sequence[Sequence[str]]) -> str:
    """How the two formats write tied weights: safetensors cannot share a tensor between keys."""
    first = " and ".join(code(key) for key in tied[0][:2])
    more = f", and {count(len(tied) - 1)} more such groups" if len(tied) > 1 else ""
    return (
        f"{first} are one tensor{more}. A .pth file contains it once, a .safetensors file once for "
        "each of its keys."
    )


def _start(
    key: str, identity: str, form: Format, keep: Keep, checkpoint: Checkpoint, repaired: StateDict
) -> None:
    work = _export(transfers(), identity, form, keep, checkpoint, repaired)
    job = jobs().start(work, session_id(), ("export", identity, checkpoint.name))
    st.session_state[f"{key}-export"] = identity, job


def _export(
    transfers: Transfers,
    identity: str,
    form: Format,
    keep: Keep,
    checkpoint: Checkpoint,
    repaired: StateDict,
) -> Callable[[Progress], Exported]:
    def work(progress: Progress) -> Exported:
        path = export_path(transfers.store, identity, f".{form}")
        left_out: tuple[LeftOut, ...] = ()
        if not path.is_file():
            with transfers.store.room_for_export(repaired.nbytes):
                written = export_state_dict(
                    repaired,
                    path,
                    form,
                    progress=progress,
                    keep=keep,
                    checkpoint=checkpoint,
                )
            left_out = written.left_out
        saved_as = export_name(checkpoint.name, f".{form}")
        return Exported(transfers.offer(path, saved_as), saved_as, path.stat().st_size, left_out)

    return work
