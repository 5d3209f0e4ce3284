"""Whether a state_dict's values are sound, in six checks that read every byte once."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import StateDict
from core.health import (
    MOST_BY_ITSELF,
    TITLES,
    CheckResult,
    Health,
    bytes_to_scan,
    count_words,
    health_verdict,
    scan,
    usual_words,
)
from core.plain_text import markup, plain, plain_sentence
from core.progress import Progress
from core.wording import size, tensors
from pages.components.cached import cached
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob
from pages.components.treegrid.tree_table import choose_row

MOST_LINKS = 8
"""Keys of a check that the panel links to."""


def known_health(identity: str) -> Health | None:
    """The result of the checks, if they were made."""
    return _job(identity).result


def health_panel(state_dict: StateDict, identity: str, table: str, *, told: bool) -> None:
    """Draw the checks, which a small file gets by itself; findings choose their row of `table`.

    The page is drawn again if its title has not `told` a result that is there by now.
    """
    job = _job(identity)
    under_way, health = job.under_way, job.result
    with st.container(border=True):
        if health is not None and not told:
            st.rerun()
        if health is not None:
            _result(health, state_dict, identity, table)
            return
        st.markdown("**Health**")
        if under_way:
            if job.watch("Checking the values") is not None:
                st.rerun()
            return
        job.draw_failure()
        nbytes = _nbytes(identity, state_dict)
        start = nbytes <= MOST_BY_ITSELF and not (job.stopped or job.failed)
        if not start:
            st.caption(
                f"Reads {size(nbytes)} once: NaN, zeros, constants, dead channels, extreme values."
            )
            start = pressed("Check the values", key=f"{job.widget_key}-start")
        if start:
            job.start(lambda progress: _work(state_dict, progress))
            st.rerun()


def _job(identity: str) -> SharedJob[Health]:
    return SharedJob("health", identity, max_results=64)


def _work(state_dict: StateDict, progress: Progress) -> Health:
    def report(done: int, total: int, _: str) -> None:
        progress(done, total, f"{size(done)} of {size(total)} checked")

    return scan(state_dict, report)


@cached(64)
def _nbytes(identity: str, _state_dict: StateDict) -> int:
    return bytes_to_scan(_state_dict)


def _result(health: Health, state_dict: StateDict, identity: str, table: str) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown("**Health**", width="content")
        st.markdown(_state(health), width="content")
    lines = "".join(_line(result) for result in health.results)
    st.html(f'{STYLE}<div class="loupe-health">{lines}</div>')
    if health.anomalies:
        places = {key: place for place, key in enumerate(state_dict)}
        for result in health.results:
            if result.anomalies:
                _links(result, places, identity, table)
    if health.unchecked:
        reasons = dict.fromkeys(skipped.reason for skipped in health.unchecked)
        st.caption(
            f"Not checked: {tensors(len(health.unchecked))} "
            f"({plain(', '.join(list(reasons)[:3]))})."
        )


STYLE = """<style>
.loupe-health {display: grid; gap: 0.35rem 1.25rem; font-size: 0.9rem;
  grid-template-columns: repeat(auto-fit, minmax(min(15rem, 100%), 1fr))}
.loupe-health p {display: flex; flex-wrap: wrap; gap: 0 0.4rem; margin: 0; font-size: inherit}
.loupe-health small {flex-basis: 100%; padding-left: 1.1rem; font-size: 0.8rem;
  color: var(--loupe-muted)}
.loupe-health b {color: var(--loupe-fresh); font-weight: 650}
.loupe-health .found b {color: var(--loupe-changed)}
.loupe-health span {margin-left: auto; color: var(--loupe-muted); white-space: nowrap;
  font-variant-numeric: tabular-nums}
</style>"""


def _line(result: CheckResult) -> str:
    """A check with its mark and what it found, as HTML."""
    look = "found" if result.anomalies else "clean"
    mark = "!" if result.anomalies else "✓"
    usual = usual_words(result)
    why = f"<small>{markup(usual)}</small>" if usual else ""
    return (
        f'<p class="{look}"><b>{mark}</b>{markup(TITLES[result.check])}'
        f"<span>{markup(count_words(result))}</span>{why}</p>"
    )


def _state(health: Health) -> str:
    if health.anomalies:
        return f":yellow[! {plain_sentence(health_verdict(health))}]"
    return f":green[✓ {plain(health_verdict(health))}]"


def _links(result: CheckResult, places: dict[str, int], identity: str, table: str) -> None:
    """Draw the keys that a check found, each a button that chooses its row."""
    with st.expander(plain(TITLES[result.check])):
        for number, finding in enumerate(result.anomalies[:MOST_LINKS]):
            st.button(
                f"{plain(finding.key)}: {plain(finding.words)}",
                key=f"health-{result.check.name}-{number}-{identity}",
                type="tertiary",
                on_click=choose_row,
                args=(table, places.get(finding.key)),
            )
