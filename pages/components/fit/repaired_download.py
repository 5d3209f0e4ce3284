"""What a person takes away: the recipe as code, and the repaired file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint, StateDict, ties
from core.errors import FixError, LoupeError
from core.export import (
    ExportSizes,
    Format,
    Keep,
    LeftOut,
    export_sizes,
    export_state_dict,
)
from core.fixes import Recipe
from core.plain_text import code, markup, plain, plain_sentence
from core.progress import Cancelled, Progress
from core.recipe import in_pickled_object, recipe_code, recipe_to_json
from core.server import Job
from core.server.files import export_name, export_path
from core.server.web import Transfers
from core.wording import count, size
from pages.components.cached import cached
from pages.components.job_panel import job_panel
from pages.components.resources import jobs, transfers
from pages.components.session import session_id

FORMATS: tuple[Format, ...] = ("pth", "safetensors")

KEEP_WORDS: Mapping[Keep, str] = {
    "weights": "Weights alone",
    "metadata": "And metadata",
    "all": "Everything",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: its address, the name that it is saved under, what it came to."""

    address: str
    name: str
    nbytes: int
    left_out: tuple[LeftOut, ...] = ()


def recipe_as_code(
    checkpoint: Checkpoint,
    path: str,
    recipe: Recipe,
    architecture: Architecture,
    strict: bool,
    computed: Sequence[str],
) -> None:
    """The recipe as a script that needs PyTorch and the file, and no Loupe."""
    with st.expander("The recipe as PyTorch code"):
        try:
            script = recipe_code(
                checkpoint.name,
                path,
                recipe,
                architecture,
                strict=strict,
                computed=computed,
                whole_model=in_pickled_object(checkpoint.tree, path),
                format=checkpoint.format,
                tree=checkpoint.tree,
            )
        except FixError as error:
            st.caption(plain_sentence(str(error)))
        else:
            st.code(script, language="python", wrap_lines=True)


def repaired_download(
    key: str, checkpoint: Checkpoint, repaired: StateDict, recipe: Recipe
) -> None:
    """Writes the repaired state_dict into a file on the server, and offers it to the browser."""
    steps = recipe_to_json(recipe)
    st.markdown(f"Repaired file: {count(len(repaired))} keys, {size(repaired.nbytes)} of weights")
    words = {name: keep for keep, name in KEEP_WORDS.items()}
    chosen = st.segmented_control(
        "Keep",
        list(words),
        default=KEEP_WORDS["weights"],
        required=True,
        key=f"{key}-keep",
        help="Metadata is what is plain data, such as epoch and class names; everything is the "
        "optimizer and other weights too, as .pth only.",
    )
    keep = words[chosen]
    _sizes(checkpoint, repaired, json.dumps(steps), keep)
    with st.container(horizontal=True):
        for form in FORMATS:
            wanted = json.dumps([checkpoint.identity, repaired.path, steps, form, keep])
            st.button(
                f".{plain(form)}",
                key=f"{key}-export-{form}",
                on_click=_start,
                args=(key, wanted, form, keep, checkpoint, repaired),
                icon=":material/download:",
                disabled=form == "safetensors" and keep == "all",
            )
    tied = ties(repaired)
    if tied:
        st.caption(_ties_note(tied))
    started: tuple[str, Job[Exported]] | None = st.session_state.get(f"{key}-export")
    if started is None or json.loads(started[0])[:3] != [checkpoint.identity, repaired.path, steps]:
        return
    try:
        exported = job_panel(f"{key}-export-job", started[1])
    except Cancelled:
        st.caption("The export was cancelled; nothing of it is left.")
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
    else:
        if exported:
            _link(exported)


def _link(exported: Exported) -> None:
    name = markup(exported.name)
    st.html(
        f'<a style="color:inherit" href="{markup(exported.address)}" download="{name}">'
        f"Download {name}</a> ({size(exported.nbytes)}, read again and verified)"
    )
    if exported.left_out:
        st.caption(
            "Left out: " + "; ".join(plain(each.sentence) for each in exported.left_out[:NAMED])
        )


NAMED = 5
"""Left out things that are named."""


def _sizes(checkpoint: Checkpoint, repaired: StateDict, steps: str, keep: Keep) -> None:
    """What the choice weighs, and what it takes off the source."""
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
    """What becomes of tied weights, of which safetensors has none (FIELD 33)."""
    first = " and ".join(code(key) for key in tied[0][:2])
    more = f", and {count(len(tied) - 1)} more such groups" if len(tied) > 1 else ""
    return (
        f"{first} are one tensor{more}: a .pth keeps it once, a .safetensors under each of its "
        "keys."
    )


def _start(
    key: str, words: str, form: Format, keep: Keep, checkpoint: Checkpoint, repaired: StateDict
) -> None:
    work = _export(transfers(), words, form, keep, checkpoint, repaired)
    job = jobs().start(work, session_id(), ("export", words, checkpoint.name))
    st.session_state[f"{key}-export"] = words, job


def _export(
    transfers: Transfers,
    words: str,
    form: Format,
    keep: Keep,
    checkpoint: Checkpoint,
    repaired: StateDict,
) -> Callable[[Progress], Exported]:
    def work(progress: Progress) -> Exported:
        path = export_path(transfers.store, words, f".{form}")
        left_out: tuple[LeftOut, ...] = ()
        if not path.is_file():
            with transfers.store.room_for_export(repaired.nbytes):
                written = export_state_dict(
                    repaired,
                    path,
                    form,
                    progress=progress.report,
                    keep=keep,
                    checkpoint=checkpoint,
                )
            left_out = written.left_out
        saved_as = export_name(checkpoint.name, f".{form}")
        return Exported(transfers.offer(path, saved_as), saved_as, path.stat().st_size, left_out)

    return work
