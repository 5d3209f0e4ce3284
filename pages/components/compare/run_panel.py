"""Several checkpoints of one training run: how each tensor changed, and where it first had NaN."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.checkpoint import Checkpoint, StateDict
from core.compare.numbers import measure_run
from core.compare.report import row_figure, run_figure, small_lines
from core.compare.run import MAX_CHECKPOINTS, Run, RunRow, in_order, labels
from core.compare.texts import run_csv
from core.errors import CheckpointError, FilterError, LoupeError, SourceError, shown
from core.keys import fitting_keys
from core.plain_text import plain, plain_sentence, visible
from core.server import SAMPLES, evenly, run_files
from core.server.files import locate, path_of_link
from core.wording import PERCENT_CELL, count, in_percent, size
from pages.components.frame import danger_notice, page_verdict
from pages.components.pressed import pressed
from pages.components.resources import open_file, settings, store
from pages.components.shared_job import SharedJob
from pages.components.treegrid.key_search import key_search

AUTOMATIC = 512 << 20
"""Bytes of all checkpoints up to which the run is measured without a click."""

HEIGHT, FEW = 480, 12
"""The height of a long table in pixels, and the most rows of one that is as high as its rows."""

SAMPLE = "The sample's two epochs"
NAMED = "Named on the command line"
"""The sources of a run besides server folders, as the choice shows them."""


def run_panel(top: DeltaGenerator) -> None:
    """Draw the choice of checkpoints, then their run, and its sentence at the `top`."""
    references = _chosen_files()
    if len(references) < 2:
        _untold(top)
        st.caption("Choose at least two checkpoints of one run, such as one per epoch.")
        return
    try:
        opened = [_opened(reference) for reference in references]
        checkpoints, evidence = in_order(opened)
        names = dict(zip(map(id, opened), labels(opened), strict=True))
        state_dicts = [_counterpart(checkpoint, checkpoints[0]) for checkpoint in checkpoints]
    except LoupeError as error:
        _untold(top)
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return
    for checkpoint in checkpoints:
        danger_notice(checkpoint)
    identity = "|".join(
        f"{c.identity}:{s.path!a}" for c, s in zip(checkpoints, state_dicts, strict=True)
    )
    run = _measured(identity, state_dicts, [names[id(checkpoint)] for checkpoint in checkpoints])
    if run is None:
        _untold(top)
        return
    with top:
        page_verdict(run.sentence)
        st.caption(f"{', '.join(map(plain, run.names))}: ordered {plain(evidence)}.")
    _run(run, identity)


def _untold(top: DeltaGenerator) -> None:
    """Draw the title while the run has no sentence."""
    with top:
        page_verdict("A training run, step by step")


def _chosen_files() -> list[str]:
    """Draw the choice of files. Returns their references, from a server folder, the command line
    or the sample."""
    roots, bench = settings().roots, settings().bench
    places = [*range(len(roots)), *([NAMED] if len(bench) > 1 else []), SAMPLE]
    left, right = st.columns([2, 7], vertical_alignment="bottom")
    place = left.selectbox(
        "Source of the run",
        places,
        format_func=lambda place: place if isinstance(place, str) else _root_name(roots[place]),
        key="run-place",
        persist_state="session",
        help="The server’s owner lists the server folders in `LOUPE_ROOTS`.",
    )
    if place == SAMPLE:
        return [f"sample:{name}" for name in SAMPLES]
    if place == NAMED:
        return [f"bench:{number}" for number in range(min(len(bench), MAX_CHECKPOINTS))]
    with right:
        return _in_folder(int(place or 0))


def _folder_name(path: str) -> str:
    return shown(PurePosixPath(path_of_link(path)).name)


def _root_name(root: Path) -> str:
    return shown(root.name or str(root))


def _in_folder(root: int) -> list[str]:
    state_key = f"run-folder-{root}"
    folder: str = st.session_state.get(state_key, "")
    try:
        files, folders = run_files(settings().roots[root], folder)
    except SourceError as error:
        st.session_state[state_key] = ""
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return []
    targets = [*([".."] if folder else []), *folders]
    folder_column, files_column = st.columns([2, 5]) if targets else (st, st)
    if targets:
        target = folder_column.selectbox(
            "Folder",
            targets,
            index=None,
            format_func=lambda path: path if path == ".." else _folder_name(path),
            placeholder=shown(path_of_link(folder)) or "Choose a folder",
            key=f"{state_key}-into-{folder}",
        )
        if target:
            st.session_state[state_key] = folder.rpartition("/")[0] if target == ".." else target
            st.rerun()
    paths = {entry.path: entry for entry in files}
    chosen = files_column.multiselect(
        f"Checkpoints, up to {MAX_CHECKPOINTS}",
        list(paths),
        default=evenly(list(paths)),
        format_func=lambda path: paths[path].name,
        max_selections=MAX_CHECKPOINTS,
        key=f"{state_key}-files-{folder}",
        placeholder="No checkpoint in this folder"
        if not paths
        else "Choose checkpoints of one run",
    )
    return [f"root:{root}/{path}" for path in chosen]


def _opened(reference: str) -> Checkpoint:
    """The file of a reference, opened. Raises SourceError, and CheckpointError naming the file."""
    try:
        return open_file(reference)
    except CheckpointError as error:
        name = locate(reference, settings(), store()).name
        raise CheckpointError(f"{name}: {error.problem}", error.remedy, error.whole) from error


def _counterpart(checkpoint: Checkpoint, first: Checkpoint) -> StateDict:
    """The state_dict at the path of the first checkpoint's best one, else the file's own best."""
    path = first.best if first.best in checkpoint.choices else None
    return checkpoint.state_dict(path)


def _measured(identity: str, state_dicts: Sequence[StateDict], names: Sequence[str]) -> Run | None:
    """The run, measured automatically if it is small, else at a click; None until it is measured.

    If the job was cancelled, the run has what was measured until then.
    """
    job: SharedJob[Run] = SharedJob("run", identity, max_results=16)
    if not job.under_way:
        so_far = job.result
        if so_far is not None and so_far.complete:
            return so_far
        job.draw_failure()
        if job.stopped and so_far is not None:
            st.info("Cancelled. What was measured is below.", icon=":material/info:")
        nbytes = sum(state_dict.nbytes for state_dict in state_dicts)
        automatic = nbytes <= AUTOMATIC and not job.stopped and not job.failed
        if not automatic and not pressed(
            f"Measure the run (reads up to {size(2 * nbytes)})",
            type="primary",
            key=f"{job.widget_key}-start",
        ):
            return so_far
        job.start(
            lambda progress: measure_run(state_dicts, names, progress=progress, so_far=job.keep)
        )
        if not automatic:
            st.rerun()  # without the button
    return job.watch("Measuring the run")


@st.fragment
def _run(run: Run, identity: str) -> None:
    steps = run_figure(run)
    if steps is not None:
        st.plotly_chart(
            steps, config={"displayModeBar": False}, alt="Change of the weights by step"
        )
    broken = [row for row in run.rows if row.first_nan is not None and not row.lasting]
    search, only = st.columns([3, 2], vertical_alignment="bottom")
    with search:
        text = key_search("run-search")
    only_broken = bool(broken) and only.toggle(
        f"Only the {count(len(broken))} with NaN or Inf", key="run-odd"
    )
    try:
        matching = fitting_keys(text, [row.key for row in run.rows])
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return
    rows = [row for row in (broken if only_broken else run.rows) if row.key in matching]
    row = _table(run, rows, f"{identity}-{text}-{only_broken}")
    st.download_button(
        "Download run as CSV",
        lambda: run_csv(run),
        file_name=f"run-{sha256(f'{identity}{run.complete}'.encode()).hexdigest()[:12]}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        type="tertiary",
    )
    if row is not None:
        st.markdown(f"#### {plain(row.key)}")
        st.plotly_chart(
            row_figure(run, row),
            config={"displayModeBar": False},
            alt="Norm and change of the tensor by step",
        )


def _table(run: Run, rows: Sequence[RunRow], view: str) -> RunRow | None:
    lines = {line.key: line for line in small_lines(run)}
    frame = pd.DataFrame(
        {
            "key": [visible(row.key) for row in rows],
            "norms": [list(lines[row.key].norms) for row in rows],
            "changes": [list(lines[row.key].changes) for row in rows],
            "last": [_in_percent(row.changes[-1]) for row in rows],
            "nan": [run.names[row.first_nan] if row.first_nan is not None else "" for row in rows],
        }
    )
    event = st.dataframe(
        frame if any(frame["nan"]) else frame.drop(columns="nan"),
        key=f"run-{sha256(view.encode()).hexdigest()[:16]}",
        hide_index=True,
        height=HEIGHT if len(rows) > FEW else "content",
        column_config={
            "key": st.column_config.TextColumn("Key", width=340),
            "norms": st.column_config.LineChartColumn(
                "Norm", width=200, help="The norm in each checkpoint, from the first to the last"
            ),
            "changes": st.column_config.BarChartColumn(
                "Change", width=200, y_min=0, help="Relative L2 from each checkpoint to the next"
            ),
            "last": st.column_config.NumberColumn("Last change", format=PERCENT_CELL),
            "nan": st.column_config.TextColumn("First NaN or Inf"),
        },
        on_select="rerun",
        selection_mode="single-row",
        lazy=False,
        alt="Tensors of the run",
    )
    selected = event.selection.rows
    return rows[selected[0]] if selected and selected[0] < len(rows) else None


def _in_percent(share: float | None) -> float | None:
    return None if share is None else in_percent(share)
