"""What a state_dict is made of, while no row is chosen: its modules, its health, its largest."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.checkpoint import StateDict
from core.plain_text import markup, plain
from core.wording import count, share_text
from pages.components.cached import cached
from pages.components.inspect.health_panel import health_panel

LARGEST = 5
"""The tensors that are listed as the largest."""

STYLE = """<style>
.loupe-largest {display: grid; grid-template-columns: minmax(0, 1fr) 6rem 3.5rem;
  gap: 0.4rem 0.75rem; align-items: center; font-size: 0.9rem}
.loupe-largest code {background: none; color: inherit; padding: 0; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap}
.loupe-largest i {height: 7px; border-radius: 4px; background: var(--loupe-line)}
.loupe-largest b {display: block; height: 100%; border-radius: 4px;
  background: var(--loupe-accent)}
.loupe-largest span {text-align: right; font-variant-numeric: tabular-nums}
</style>"""


def overview(
    state_dict: StateDict,
    identity: str,
    table: str,
    treemap: Callable[[int], None],
    *,
    told: bool,
) -> None:
    """Draw it. `treemap` draws the modules at a height in pixels; `table` is the name of the table
    of keys, whose rows the findings choose. `told` says that the title has the result of the
    checks."""
    with st.container(border=True):
        st.markdown("**Parameters by module**")
        treemap(240)
    health_panel(state_dict, identity, table, told=told)
    with st.container(border=True):
        st.markdown("**Largest tensors**")
        st.html(f'{STYLE}<div class="loupe-largest">{_largest(identity, state_dict)}</div>')
    st.caption(plain(f"Choose one of the {count(len(state_dict))} rows to see its values."))


@cached(16)
def _largest(identity: str, _state_dict: StateDict) -> str:
    """The rows of the list as HTML."""
    total = _state_dict.numel or 1
    entries = sorted(_state_dict.values(), key=lambda entry: -entry.numel)[:LARGEST]
    most = (entries[0].numel or 1) if entries else 1
    return "".join(
        f'<code title="{markup(entry.key)}">{markup(entry.key)}</code>'
        f'<i><b style="width:{100 * entry.numel / most:.2f}%"></b></i>'
        f"<span>{markup(share_text(entry.numel / total))}</span>"
        for entry in entries
    )
