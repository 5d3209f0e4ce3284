"""How two checkpoints differ besides the compared weights."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.compare import BY_ITSELF
from core.compare.metadata import (
    ChangeKind,
    MetadataChange,
    Node,
    OtherTensors,
    change_words,
    changes_in,
    content_changes,
    file_facts,
    metadata_sentence,
    other_tensors,
    value_words,
)
from core.plain_text import MAX_SENTENCE_LENGTH, markup, plain
from core.wording import are, count, counted, place_in_file
from pages.components.cached import cached

MAX_LINES = 400
"""The most lines of the tree; of the others only the number is shown."""

MAX_CHANGE_LENGTH = 600
"""The most characters of one change, which contains two values."""


def metadata_panel(a: Checkpoint, b: Checkpoint, chosen: tuple[StateDict, StateDict]) -> None:
    """Draw the sentence, the files' facts, the tree of changes, and the other tensors."""
    tree, others = _differences(a.identity, b.identity, chosen[0].path, chosen[1].path, a, b)
    changes = tuple(changes_in(tree))
    st.markdown(f"**{plain(metadata_sentence(a, b, changes), MAX_SENTENCE_LENGTH)}**")
    left, right = st.columns([3, 2], gap="large")
    with left:
        _changes(tree)
    with right:
        _facts(a, b)
        _others(others)


@cached(32, show_spinner="Comparing the metadata")
def _differences(
    identity_a: str, identity_b: str, path_a: str, path_b: str, _a: Checkpoint, _b: Checkpoint
) -> tuple[Node, tuple[OtherTensors, ...]]:
    return (
        content_changes(_a, _b, BY_ITSELF).tree,
        other_tensors(_a, _b, (path_a, path_b)),
    )


def _changes(tree: Node) -> None:
    if not tree.changes:
        st.caption("No value differs.")
        return
    lines = list(_lines(tree, 0))
    st.html(STYLE + f'<div class="changes">{"".join(lines[:MAX_LINES])}</div>')
    if len(lines) > MAX_LINES:
        more = len(lines) - MAX_LINES
        st.caption(f"{counted(more, 'more line')} {are(more)} not shown.")


STYLE = """<style>
.changes{font-size:.9rem;line-height:1.55}
.changes div{border-left:2px solid color-mix(in srgb,currentColor 15%,transparent);
  padding-left:.7rem;overflow-wrap:anywhere}
.changes code{font-family:'JetBrains Mono',ui-monospace,monospace;font-size:.82rem}
.changes .group{font-weight:600}
.changes small{opacity:.65;font-weight:400}
.changes .added::before{content:"+ ";color:#0FA192;font-weight:700}
.changes .removed::before{content:"− ";color:#D65C97;font-weight:700}
.changes .changed::before{content:"~ ";color:#C98200;font-weight:700}
</style>"""


def _lines(node: Node, depth: int) -> Iterator[str]:
    """One line per place, indented by its depth. Unchanged values are only counted."""
    margin = f'style="margin-left:{depth * 1.1:.1f}rem"'
    for child in node.children:
        name = markup(child.name)
        if child.change is not None:
            yield (
                f'<div {margin} class="{markup(child.change.kind)}"><code>{name}</code> '
                f"{markup(_words(child.change), MAX_CHANGE_LENGTH)}</div>"
            )
            continue
        same = f", {count(child.unchanged)} the same" if child.unchanged else ""
        counts = f"{markup(counted(child.changes, 'change'))}{same}"
        yield f'<div {margin} class="group"><code>{name}</code> <small>{counts}</small></div>'
        yield from _lines(child, depth + 1)


def _words(change: MetadataChange) -> str:
    # The style sheet marks what is added and removed by a sign in front of the line.
    if change.kind is ChangeKind.ADDED:
        return value_words(change.after)
    if change.kind is ChangeKind.REMOVED:
        return value_words(change.before)
    return change_words(change)


def _facts(a: Checkpoint, b: Checkpoint) -> None:
    facts = file_facts(a, b)
    st.table(
        {
            "": [plain(fact.name) for fact in facts],
            "A": [plain(fact.a) for fact in facts],
            "B": [plain(fact.b) for fact in facts],
        },
        border="horizontal",
        hide_index=True,
    )


def _others(others: tuple[OtherTensors, ...]) -> None:
    if not others:
        return
    st.markdown("**Other tensors**")
    for other in others:
        words = "; ".join([other.sentence, *other.scalars])
        path = place_in_file(other.path)
        st.markdown(f"{plain(path)}: {plain(words, MAX_SENTENCE_LENGTH)}.")
