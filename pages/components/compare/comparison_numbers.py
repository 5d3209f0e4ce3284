"""The numbers of a comparison: measured automatically if that is quick, else at a click."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from core.checkpoint import TensorEntry
from core.compare import ALLCLOSE, BY_ITSELF, Comparison, Numbers, Tolerance, measurable
from core.compare.numbers import differences
from core.inspect import RecordChecks
from core.plain_text import plain
from core.progress import Progress
from core.wording import count, size, small
from pages.components.cached import cached
from pages.components.link.page_view import shared
from pages.components.pressed import pressed
from pages.components.resources import numbers_cache
from pages.components.shared_job import SharedJob


def comparison_numbers(comparison: Comparison, identity: str) -> Mapping[str, Numbers]:
    """Draw the progress of the measurement, or the button that starts it. Returns the numbers that
    are known so far, by row key.

    `identity` distinguishes the pair of files and their pairing from all others.
    """
    tolerance = chosen_tolerance()
    job: SharedJob[dict[str, Numbers]] = SharedJob(
        "numbers", f"{identity}-{tolerance}", max_results=16
    )
    rows = _measurable(identity, comparison)
    numbers = job.result
    if numbers is None:
        cached_numbers = numbers_cache().known(list(rows.values()), tolerance)
        keys = list(rows)
        numbers = {keys[index]: of_pair for index, of_pair in cached_numbers.items()}
        job.keep(numbers)
    under_way = job.under_way
    unmeasured = {key: pair for key, pair in rows.items() if key not in numbers}
    if unmeasured and not under_way:
        nbytes = sum(entry.nbytes for pair in unmeasured.values() for entry in pair)
        job.draw_failure()
        automatic = nbytes <= BY_ITSELF and not job.stopped and not job.failed
        if automatic or _measure_pressed(len(unmeasured), nbytes, job.widget_key):
            job.start(_measuring(unmeasured, numbers, tolerance))
            if not automatic:
                st.rerun()  # without the button
            under_way = True
    if under_way:
        job.watch("Measuring how far each tensor moved")
    return numbers.copy()  # the job goes on to fill in the dict itself


@cached(16)
def _measurable(
    identity: str, _comparison: Comparison
) -> Mapping[str, tuple[TensorEntry, TensorEntry]]:
    """The pairs that can be measured, by row key. Sessions share the result, so it is never
    changed."""
    return measurable(_comparison)


def numbers_identity(numbers: Mapping[str, Numbers]) -> str:
    """A text that distinguishes these numbers from others of the same two files, within this
    process: it depends on the tolerance and on which rows have numbers."""
    return f"{chosen_tolerance()}|{len(numbers)}|{hash(frozenset(numbers))}"


def chosen_tolerance() -> Tolerance:
    """The tolerance that this session has chosen, by default that of torch.allclose."""
    return Tolerance(
        st.session_state.get("compare-rtol", ALLCLOSE.rtol),
        st.session_state.get("compare-atol", ALLCLOSE.atol),
    )


def tolerance_popover(numbers: Mapping[str, Numbers]) -> None:
    """Draw the fields of the tolerance, and the number of tensors within it."""
    tolerance = chosen_tolerance()
    with st.popover(f"Tolerance {plain(small(tolerance.rtol))}, {plain(small(tolerance.atol))}"):
        st.markdown(
            "Two elements are **close** if |A − B| ≤ atol + rtol · |B|, as in `torch.allclose`."
        )
        if numbers:
            close = sum(of_pair.close for of_pair in numbers.values())
            st.caption(
                f"All elements are close in {count(close)} of the {count(len(numbers))} measured "
                "tensors. These tensors are numerically the same."
            )
        for name, value in (("rtol", tolerance.rtol), ("atol", tolerance.atol)):
            st.number_input(
                plain(name),
                min_value=0.0,
                value=value,
                step=None,
                format="%.3g",
                key=shared(f"compare-{name}", getattr(ALLCLOSE, name), float),
                persist_state="session",
            )


def _measure_pressed(tensors: int, nbytes: int, widget_key: str) -> bool:
    return pressed(
        f"Measure the {count(tensors)} that differ",
        help="Computes the largest difference, the relative L2, the cosine and more of each "
        f"tensor. Reads {size(nbytes)}.",
        icon=":material/functions:",
        type="primary",
        key=f"{widget_key}-start",
    )


def _measuring(
    pairs: Mapping[str, tuple[TensorEntry, TensorEntry]],
    numbers: dict[str, Numbers],
    tolerance: Tolerance,
) -> Callable[[Progress], dict[str, Numbers]]:
    def work(progress: Progress) -> dict[str, Numbers]:
        """Fill in the numbers one by one, so that a cancelled job keeps what it has measured."""
        keys, cache = list(pairs), numbers_cache()
        measured = differences(
            list(pairs.values()), tolerance, checks=RecordChecks(), progress=progress
        )
        for index, of_pair in measured:
            numbers[keys[index]] = of_pair
            cache.put(pairs[keys[index]], tolerance, of_pair)
        return numbers

    return work
