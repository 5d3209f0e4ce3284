"""Compare: what became of each tensor from A to B."""

import streamlit as st

from core.checkpoint import StateDict
from core.compare.judge import bytes_to_read, compare
from core.compare.pairing import pair
from core.compare.words import EVIDENCE, Comparison, Pairing
from core.errors import LoupeError
from core.jobs import Cancelled, Job
from core.theme import size
from pages.components.comparison_table import comparison_table
from pages.components.frame import empty_state, page_header
from pages.components.job_panel import job_panel
from pages.components.resources import jobs
from pages.components.slot_choice import state_dict_choice
from pages.components.workspace import workspace

# Bytes up to which files without checksums are compared at once, not as a job.
STRAIGHT = 64 << 20


def main() -> None:
    page_header("Compare", "A against B, a row a key: what changed, and how that is known.")
    bench = workspace()
    checkpoint_a, checkpoint_b = bench.checkpoint("A"), bench.checkpoint("B")
    if checkpoint_a is None and checkpoint_b is None:
        empty_state(
            "Nothing to compare yet",
            "Open two checkpoints, such as an early and a late epoch, to see which tensors changed "
            "and by how much. The sample is such a pair.",
        )
        return
    if checkpoint_a is None or checkpoint_b is None:
        _one_missing("A" if checkpoint_a is None else "B")
        return
    left, right = st.columns(2)
    with left:
        a = state_dict_choice("A")
    with right:
        b = state_dict_choice("B")
    if a is None or b is None:
        return
    identity = f"{checkpoint_a.identity}:{a.path}|{checkpoint_b.identity}:{b.path}"
    comparison = _comparison(identity, a, b)
    if comparison is None:
        return
    st.subheader(comparison.sentence, anchor=False)
    comparison_table(comparison, identity)
    _notes(comparison)


def _one_missing(slot: str) -> None:
    empty_state(
        f"{slot} is still empty",
        f"Open a checkpoint in {slot}, and each tensor of the two files is compared. "
        "The sample pair shows how that looks; it takes the place of what is open now.",
    )


def _comparison(identity: str, a: StateDict, b: StateDict) -> Comparison | None:
    """Compare at once where checksums tell; else as a job with a progress bar."""
    pairing = _paired(identity, a, b)
    if bytes_to_read(pairing) <= STRAIGHT:
        return _compared(identity, a, b, pairing)
    kept = _kept(identity)
    if kept:
        return kept[0]
    slot = f"comparison-job-{identity}"
    if slot not in st.session_state:
        st.session_state[slot] = jobs().start(
            lambda progress: compare(a, b, pairing, progress=progress)
        )
    job: Job[Comparison] = st.session_state[slot]
    try:
        found = job_panel(slot, job)
    except Cancelled:
        del st.session_state[slot]
        st.info("The comparison was stopped.", icon=":material/info:")
        st.button("Compare again", type="primary")
        return None
    except LoupeError as error:
        del st.session_state[slot]
        st.error(str(error), icon=":material/error:")
        return None
    if found is None:
        st.caption(
            f"Checksums do not tell: {size(bytes_to_read(pairing))} of tensors are read from each "
            "file, and compared."
        )
        return None
    del st.session_state[slot]
    kept.append(found)
    return found


@st.cache_resource(max_entries=16, show_spinner=False)
def _paired(identity: str, _a: StateDict, _b: StateDict) -> Pairing:
    return pair(_a, _b)


@st.cache_resource(max_entries=16, show_spinner=False)
def _compared(identity: str, _a: StateDict, _b: StateDict, _pairing: Pairing) -> Comparison:
    return compare(_a, _b, _pairing)


@st.cache_resource(max_entries=16, show_spinner=False)
def _kept(identity: str) -> list[Comparison]:
    """Where a job's result is kept for all sessions; empty until it is there."""
    return []


def _notes(comparison: Comparison) -> None:
    with st.expander("What the evidence means"):
        for evidence in dict.fromkeys(row.evidence for row in comparison.rows):
            st.markdown(f"**{evidence}**: {EVIDENCE[evidence]}")


main()
