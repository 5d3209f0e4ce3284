"""The numbers of a comparison: taken by themselves where that is quick, else when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from core.checkpoint import TensorEntry
from core.compare import ALLCLOSE, BY_ITSELF, Comparison, Numbers, Tolerance, measurable
from core.compare.numbers import differences
from core.plain_text import plain
from core.progress import Progress
from core.wording import count, size
from pages.components.cached import cached
from pages.components.pressed import pressed
from pages.components.resources import numbers_cache
from pages.components.shared_job import SharedJob


def comparison_numbers(comparison: Comparison, identity: str) -> Mapping[str, Numbers]:
    """Draw the work while it is under way, or the offer to do it; the numbers so far, by row key.

    `identity` tells the pair of files and how their tensors are paired.
    """
    tolerance = chosen_tolerance()
    job: SharedJob[dict[str, Numbers]] = SharedJob(
        "numbers", f"{identity}-{tolerance}", max_results=16
    )
    rows = _measurable(identity, comparison)
    numbers = job.result
    if numbers is None:
        known = numbers_cache().known(list(rows.values()), tolerance)
        keys = list(rows)
        numbers = {keys[index]: found for index, found in known.items()}
        job.keep(numbers)
    going = job.under_way
    left = {key: pair for key, pair in rows.items() if key not in numbers}
    if left and not going:
        nbytes = sum(entry.nbytes for pair in left.values() for entry in pair)
        job.draw_failure()
        by_itself = nbytes <= BY_ITSELF and not job.stopped and not job.failed
        if by_itself or _offer(len(left), nbytes, job.slot):
            job.start(_taking(left, numbers, tolerance))
            if not by_itself:
                st.rerun()  # without the offer
            going = True
    if going:
        job.watch()
    return numbers.copy()


@cached(16)
def _measurable(
    identity: str, _comparison: Comparison
) -> Mapping[str, tuple[TensorEntry, TensorEntry]]:
    """The pairs that can be measured, by row key; shared by sessions, never changed."""
    return measurable(_comparison)


def measured(numbers: Mapping[str, Numbers]) -> str:
    """What tells these numbers from others of the same two files, within this process: the
    tolerance, and which rows have theirs."""
    return f"{chosen_tolerance()}|{len(numbers)}|{hash(frozenset(numbers))}"


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


def _taking(
    pairs: Mapping[str, tuple[TensorEntry, TensorEntry]],
    numbers: dict[str, Numbers],
    tolerance: Tolerance,
) -> Callable[[Progress], dict[str, Numbers]]:
    def work(progress: Progress) -> dict[str, Numbers]:
        """Fill in the numbers one by one, so that a cancel keeps what is done."""
        keys, cache = list(pairs), numbers_cache()
        for index, found in differences(list(pairs.values()), tolerance, progress=progress):
            numbers[keys[index]] = found
            cache.put(pairs[keys[index]], tolerance, found)
        return numbers

    return work
