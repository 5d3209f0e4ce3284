"""A file at a glance: its numbers in one row."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.inspect import FileNumber, file_numbers
from core.plain_text import plain, plain_sentence
from pages.components.cached import cached


def numbers_row(slot: str, checkpoint: Checkpoint, state_dict: StateDict) -> None:
    """Draw the numbers of a slot's file; the last is what of it could run code."""
    st.html(_STYLE)
    with st.container(horizontal=True, gap=None, key=f"numbers-{slot}"):
        numbers = _numbers(checkpoint.identity, state_dict.path, checkpoint, state_dict)
        for place, number in enumerate(numbers):
            with st.container(key=f"number-{number.tone}-{slot}-{place}", width="content"):
                st.metric(
                    plain(number.words),
                    number.value,
                    width="content",
                    help=plain_sentence(number.detail) if number.detail else None,
                )


@cached(64)
def _numbers(
    identity: str, path: str, _checkpoint: Checkpoint, _state_dict: StateDict
) -> tuple[FileNumber, ...]:
    return file_numbers(_checkpoint, _state_dict)


_STYLE = """<style>
[class*=st-key-numbers-] {row-gap: 0.75rem}
[class*=st-key-number-] {padding: 0 1.4rem; border-left: 1px solid var(--loupe-line)}
[class*=st-key-numbers-] > :first-child > [class*=st-key-number-] {padding-left: 0; border: none}
[class*=st-key-number-] [data-testid=stMetric] > div, [class*=st-key-number-]
  [data-testid=stMetric] {display: flex; flex-direction: column-reverse}
[class*=st-key-number-] [data-testid=stMetricValue] {font-size: 1.43rem; line-height: 1.3;
  font-weight: 650; font-variant-numeric: tabular-nums; padding: 0}
[class*=st-key-number-] [data-testid=stMetricLabel], [class*=st-key-number-]
  [data-testid=stMetricLabel] * {font-size: 0.89rem; color: var(--loupe-muted); white-space: normal;
  overflow: visible}
[class*=st-key-number-good] [data-testid=stMetricValue] {color: var(--loupe-fresh)}
[class*=st-key-number-doubt] [data-testid=stMetricValue] {color: var(--loupe-changed)}
[class*=st-key-number-danger] [data-testid=stMetricValue] {color: var(--loupe-gone)}
[data-testid=stLayoutWrapper]:has(> [class*=st-key-numbers-]) {container-type: inline-size}
@container (max-width: 50rem) {
  [class*=st-key-numbers-] {display: grid; grid-template-columns: repeat(3, minmax(0, 1fr))}
  [class*=st-key-number-] {padding: 0 0 0 0.75rem}
  [class*=st-key-numbers-] > :nth-child(3n + 1) > [class*=st-key-number-] {padding-left: 0;
    border: none}
  [class*=st-key-number-] [data-testid=stMetricValue] {font-size: 1.2rem}}
</style>"""
