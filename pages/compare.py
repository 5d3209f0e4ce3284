"""Compare: what changed in each tensor from A to B, or from step to step of a training run."""

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.checkpoint import Checkpoint, StateDict
from core.compare import BY_ITSELF, EVIDENCE, Comparison, Numbers, with_damage
from core.compare.metadata import (
    compare_arrays,
    content_changes,
    found_beside,
    other_tensors,
    training_order,
    training_words,
)
from core.compare.pairing import distinct_keys
from core.compare.verdict import Beside, ComparisonVerdict, verdict
from core.plain_text import plain
from core.wording import clauses
from pages.components.cached import cached
from pages.components.compare.changes import changes
from pages.components.compare.comparison_job import comparison_job, read_offer
from pages.components.compare.comparison_numbers import (
    chosen_tolerance,
    comparison_numbers,
    numbers_identity,
    tolerance_popover,
)
from pages.components.compare.metadata_panel import metadata_panel
from pages.components.compare.pairs_panel import pairs_panel
from pages.components.compare.report_download import report_download
from pages.components.compare.run_panel import run_panel
from pages.components.frame import danger_notice, empty_state, heading, page_verdict
from pages.components.link.page_view import one_of, shared
from pages.components.workspace import workspace

PAIR, RUN = "A and B", "Run"

TABS = ("Tensors", "Pairs", "Metadata", "Evidence")


def main() -> None:
    top, tools = heading("compare")
    mode = tools.segmented_control(
        "Compare",
        [PAIR, RUN],
        required=True,
        default=PAIR,
        key=shared("compare-mode", PAIR, one_of([PAIR, RUN])),
        persist_state="session",
        label_visibility="collapsed",
    )
    if mode == RUN:
        run_panel(top)
        return
    bench = workspace()
    checkpoint_a, checkpoint_b = bench.checkpoint("A"), bench.checkpoint("B")
    if checkpoint_a is None and checkpoint_b is None:
        with top:
            page_verdict("Nothing to compare yet")
        empty_state(
            "Open two checkpoints, such as an early and a late epoch, to see which tensors changed "
            "and by how much. The sample is a pair of this kind.",
        )
        return
    if checkpoint_a is None or checkpoint_b is None:
        empty = "A" if checkpoint_a is None else "B"
        with top:
            page_verdict(f"{empty} is still empty")
        _slot_is_empty(empty)
        return
    a, b = bench.state_dict("A"), bench.state_dict("B")
    for checkpoint in (checkpoint_a, checkpoint_b):
        danger_notice(checkpoint)
    if a is None or b is None:
        return
    _compare(checkpoint_a, checkpoint_b, a, b, top, tools)


def _compare(
    checkpoint_a: Checkpoint,
    checkpoint_b: Checkpoint,
    a: StateDict,
    b: StateDict,
    top: DeltaGenerator,
    tools: DeltaGenerator,
) -> None:
    a, b = distinct_keys(a, b)
    choices = workspace().bench.pairing
    files = f"{checkpoint_a.identity}:{a.path!a}|{checkpoint_b.identity}:{b.path!a}"
    compared = comparison_job(files, choices, a, b)
    if compared is None:
        with top:
            page_verdict("A compared with B")
        return
    comparison, identity = compared
    numbers = comparison_numbers(comparison, identity)
    offered = identity
    if any(of_pair.damaged for of_pair in numbers.values()):
        comparison, identity = with_damage(comparison, numbers), f"{identity}|damaged"
    numbers_id = numbers_identity(numbers)
    beside = _beside(
        checkpoint_a.identity, checkpoint_b.identity, a.path, b.path, checkpoint_a, checkpoint_b
    )
    found = _verdict(identity, numbers_id, a.path, b.path, beside, comparison, numbers)
    training = training_words(checkpoint_a, checkpoint_b)
    said = [*found.headline.evidence, *([training] if training else [])]
    with top:
        page_verdict(found.headline.title, clauses(said), *comparison.notes)
        read_offer(offered, comparison, a, b)
    with tools:
        tolerance_popover(numbers)
        report_download(
            comparison,
            numbers,
            found.sentence,
            chosen_tolerance(),
            ((checkpoint_a, a), (checkpoint_b, b)),
            identity,
        )
    tensors, pairs, metadata, evidence = st.tabs(
        TABS, key=shared("compare-tab", TABS[0], one_of(TABS)), on_change="rerun"
    )
    if tensors.open:
        with tensors:
            changes(comparison, numbers, identity, numbers_id)
    if pairs.open:
        with pairs:
            pairs_panel(comparison.pairing, files)
    if metadata.open:
        with metadata:
            metadata_panel(checkpoint_a, checkpoint_b, (a, b))
    if evidence.open:
        with evidence:
            _evidence(comparison)


@cached(16)
def _verdict(
    identity: str,
    numbers_id: str,
    path_a: str,
    path_b: str,
    _beside: Beside,
    _comparison: Comparison,
    _numbers: Mapping[str, Numbers],
) -> ComparisonVerdict:
    paths = {"path_a": path_a, "path_b": path_b}
    return verdict(_comparison.rows, _numbers, **paths, beside=_beside)


@cached(16, show_spinner="Comparing what lies beside the tensors")
def _beside(
    identity_a: str, identity_b: str, path_a: str, path_b: str, _a: Checkpoint, _b: Checkpoint
) -> Beside:
    arrays, unread = compare_arrays(_a, _b, BY_ITSELF)
    others = other_tensors(_a, _b, (path_a, path_b), scalars=0)
    contents, order = content_changes(_a, _b, BY_ITSELF), training_order(_a, _b)
    return found_beside(arrays, unread, contents, others, order=order)


def _slot_is_empty(slot: str) -> None:
    empty_state(
        f"Open a checkpoint in {slot} to compare the two files tensor by tensor.",
    )


def _evidence(comparison: Comparison) -> None:
    """What each kind of evidence in this comparison means."""
    for evidence in dict.fromkeys(row.evidence for row in comparison.rows):
        st.markdown(f"**{plain(str(evidence))}**: {EVIDENCE[evidence]}")


main()
