"""What a state_dict is made of, while no row is chosen: its modules, its health, its largest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from core.checkpoint import StateDict
from core.inspect import ModuleNode
from core.plain_text import markup, plain
from core.wording import count, share_text, size
from pages.components.cached import cached
from pages.components.inspect.health_panel import health_panel
from pages.components.inspect.module_tiles import module_tiles

LARGEST = 5
"""The tensors that are listed as the largest."""

STYLE = """<style>
.loupe-largest {display: grid; grid-template-columns: minmax(0, 1fr) 6rem 3.5rem;
  gap: 0.4rem 0.75rem; align-items: center; font-size: 0.9rem}
.loupe-largest code {background: none; color: inherit; padding: 0;
  overflow-wrap: anywhere}
.loupe-largest i {height: 7px; border-radius: 4px; background: var(--loupe-line)}
.loupe-largest b {display: block; height: 100%; border-radius: 4px;
  background: var(--loupe-accent)}
.loupe-largest span {text-align: right; font-variant-numeric: tabular-nums}
.loupe-dtypes > div {display: flex; gap: 2px; height: 7px}
.loupe-dtypes b {flex: 0 0 3px; border-radius: 3px}
.loupe-dtypes p {display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; margin: 0.5rem 0 0;
  color: var(--loupe-muted); font-size: 0.9rem}
.loupe-dtypes span {white-space: nowrap}
.loupe-dtypes i {display: inline-block; width: 10px; height: 10px; border-radius: 2px;
  margin-right: 0.4rem}
.loupe-dtypes code {background: none; color: inherit; padding: 0}
.tint0 {background: var(--loupe-accent)}
.tint1 {background: light-dark(#C5CBC4, #4A5359)}
.tint2 {background: color-mix(in srgb, var(--loupe-accent) 55%, var(--loupe-ground))}
.tint3 {background: light-dark(#8D969C, #79838A)}
</style>"""

TINTS = 4
"""The tints of the bar of dtypes; any further dtype has the last one."""


def overview(
    state_dict: StateDict,
    identity: str,
    table: str,
    nodes: Sequence[ModuleNode],
    *,
    told: bool,
) -> None:
    """Draw it. `nodes` are the tree of modules; `table` is the name of the table of keys, whose
    rows the findings choose. `told` says that the title has the result of the checks."""
    with st.container(border=True, key="module-map", gap="small"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.markdown("**Parameters by module**", width="content")
            st.caption("click to filter", width="content")
        module_tiles(nodes, identity)
        st.html(f"{STYLE}{_dtypes(identity, state_dict)}")
    health_panel(state_dict, identity, table, told=told)
    with st.container(border=True):
        st.markdown("**Largest tensors**")
        st.html(f'{STYLE}<div class="loupe-largest">{_largest(identity, state_dict)}</div>')
    st.caption(plain(f"Choose one of the {count(len(state_dict))} rows to see its values."))


@cached(16)
def _dtypes(identity: str, _state_dict: StateDict) -> str:
    """A bar of the bytes of each dtype, the largest first, as HTML, with what each takes."""
    nbytes: Counter[str] = Counter()
    for entry in _state_dict.values():
        nbytes[entry.dtype] += entry.nbytes
    total = sum(nbytes.values())
    shown = [(dtype, many) for dtype, many in nbytes.most_common() if many]
    bar = "".join(
        f'<b class="{_tint(at)}" style="flex-grow:{markup(str(many))}"></b>'
        for at, (_, many) in enumerate(shown)
    )
    words = "".join(
        f'<span><i class="{_tint(at)}"></i><code>{markup(dtype)}</code> '
        f"{markup(size(many))}, {markup(share_text(many / total))}</span>"
        for at, (dtype, many) in enumerate(shown)
    )
    return f'<div class="loupe-dtypes"><div>{bar}</div><p>{words}</p></div>'


def _tint(at: int) -> str:
    """The class of the dtype at this place."""
    return markup(f"tint{min(at, TINTS - 1)}")


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
