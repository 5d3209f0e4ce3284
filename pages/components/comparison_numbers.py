"""The numbers of a comparison: taken by themselves where that is quick, else when asked for."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

import streamlit as st

from core.checkpoint import TensorEntry
from core.compare.measurable import BY_ITSELF, measurable
from core.compare.measure import differences
from core.compare.numbers import ALLCLOSE, Numbers, Tolerance
from core.compare.words import Comparison
from core.errors import LoupeError
from core.jobs import Cancelled, Job, Progress
from core.plain_text import plain, plain_sentence
from core.theme import count, size
from pages.components.job_panel import job_panel
from pages.components.pressed import pressed
from pages.components.resources import jobs, numbers_cache


def comparison_numbers(comparison: Comparison, identity: str) -> Mapping[str, Numbers]:
    """Draw the work while it is under way, or the offer to do it; the numbers so far, by row key.

    `identity` tells the pair of files and how their tensors are paired.
    """
    tolerance = chosen_tolerance()
    slot = f"numbers-{identity}-{tolerance}"
    rows = measurable(comparison)
    if slot not in st.session_state:
        known = numbers_cache().known(list(rows.values()), tolerance)
        keys = list(rows)
        st.session_state[slot] = {keys[index]: found for index, found in known.items()}
    numbers: dict[str, Numbers] = st.session_state[slot]
    left = {key: pair for key, pair in rows.items() if key not in numbers}
    job_slot, stopped = f"{slot}-job", f"{slot}-stopped"
    if left and job_slot not in st.session_state:
        nbytes = sum(entry.nbytes for pair in left.values() for entry in pair)
        by_itself = nbytes <= BY_ITSELF and stopped not in st.session_state
        if by_itself or _offer(len(left), nbytes, slot):
            st.session_state[job_slot] = jobs().start(
                lambda progress: _take(left, numbers, tolerance, progress)
            )
    if job_slot in st.session_state:
        _watch(st.session_state[job_slot], job_slot, stopped)
    return numbers.copy()


def chosen_tolerance() -> Tolerance:
    """The tolerance that this session compares with."""
    return Tolerance(
        st.session_state.get("compare-rtol", ALLCLOSE.rtol),
        st.session_state.get("compare-atol", ALLCLOSE.atol),
    )


def tolerance_popover(numbers: Mapping[str, Numbers]) -> None:
    """Let a person say how close is close, and tell how many tensors are."""
    tolerance = chosen_tolerance()
    with st.popover(f"Tolerance {tolerance.rtol:g}, {tolerance.atol:g}", type="tertiary"):
        st.markdown(
            "Two elements are **close** where |A − B| ≤ atol + rtol · |B|, as `torch.allclose` "
            "has it."
        )
        if numbers:
            close = sum(found.close for found in numbers.values())
            st.caption(
                f"All elements of {count(close)} of the {count(len(numbers))} measured tensors "
                "are: these are numerically the same."
            )
        for name, given in (("rtol", tolerance.rtol), ("atol", tolerance.atol)):
            st.number_input(
                plain(name),
                min_value=0.0,
                value=given,
                step=None,
                format="%.3g",
                key=f"compare-{name}",
                persist_state="session",
            )


def _offer(tensors: int, nbytes: int, slot: str) -> bool:
    return pressed(
        f"Measure the {count(tensors)} that differ",
        help=f"Largest difference, relative L2, cosine and more of each: reads {size(nbytes)}",
        icon=":material/functions:",
        type="primary",
        key=f"{slot}-start",
    )


def _watch(job: Job[None], job_slot: str, stopped: str) -> None:
    try:
        if job_panel(job_slot, job) is None:
            return
    except Cancelled:
        st.session_state[stopped] = True
        del st.session_state[job_slot]
        st.rerun()
    except LoupeError as error:
        st.session_state[stopped] = True
        st.error(plain_sentence(str(error)), icon=":material/error:")
    st.session_state.pop(job_slot, None)


def _take(
    pairs: Mapping[str, tuple[TensorEntry, TensorEntry]],
    numbers: MutableMapping[str, Numbers],
    tolerance: Tolerance,
    progress: Progress,
) -> None:
    """Fill in the numbers one by one, so that a cancel keeps what is done."""
    keys, cache = list(pairs), numbers_cache()
    for index, found in differences(list(pairs.values()), tolerance, progress=progress):
        numbers[keys[index]] = found
        cache.put(pairs[keys[index]], tolerance, found)
