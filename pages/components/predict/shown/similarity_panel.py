"""How alike the models find the images at hand: a matrix of cosines, and the nearest pairs."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.plain_text import image_address, markup
from core.predict import ImagePair, Similarity, similarity
from core.wording import cosine, counted
from pages.components.predict.image_table import slot_fill
from pages.components.predict.image_tray import TrayImage
from pages.components.predict.results import Results

MOST_IMAGES = 16
"""Images of the matrix: more would be smaller than a number."""

MOST_PAIRS = 5

STYLE = """<style>
.alike {display: grid; gap: 1.25rem 2rem;
  grid-template-columns: repeat(var(--models), minmax(0, 1fr))}
.alike section {min-width: 0}
.alike h3 {margin: 0 0 0.6rem; padding: 0; font-size: 1rem; font-weight: 650}
.alike h3 > b {padding: 0.15rem 0.45rem; border-radius: 6px; color: var(--fill);
  font-size: 0.9rem; background: color-mix(in srgb, var(--fill) 16%, transparent)}
.alike .matrix {overflow-x: auto}
.alike table {border-collapse: separate; border-spacing: 2px; margin: 0; border: none}
.alike :is(td, th) {min-width: 2.9rem; padding: 0.3rem 0.25rem; border: none; border-radius: 4px;
  font-size: 0.86rem; font-weight: 400; text-align: center; font-variant-numeric: tabular-nums;
  color: var(--loupe-text)}
.alike td {background: color-mix(in srgb, var(--fill) var(--share), var(--loupe-panel))}
.alike td.itself {background: none; color: var(--loupe-muted)}
.alike img {display: block; width: 28px; height: 28px; margin: auto; object-fit: contain;
  border-radius: 4px; background: var(--loupe-panel)}
.alike ol {display: grid; grid-template-columns: max-content minmax(0, 1fr) max-content;
  gap: 0.4rem 0.75rem; margin: 1rem 0 0; padding: 0; list-style: none}
.alike li {display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; margin: 0;
  padding: 0; align-items: center; font-size: 0.95rem; line-height: 1.3}
.alike li > span:first-child {display: flex; gap: 0.25rem}
.alike li > code {padding: 0; background: none; color: inherit; font-size: 0.9rem;
  overflow-wrap: anywhere}
.alike li > b {font-weight: 650; font-variant-numeric: tabular-nums}
.alike p {margin: 0.75rem 0 0; font-size: 0.9rem; color: var(--loupe-muted)}
@media (max-width: 640px) {.alike {grid-template-columns: minmax(0, 1fr)}}
</style>"""


def similarity_panel(results: Results) -> None:
    """Draw the cosines of the images' embeddings of every model that gives some."""
    images = results.images[:MOST_IMAGES]
    found = {
        (name, slot_fill(name, position)): similarity(row[: len(images)])
        for position, (name, row) in enumerate(results.predictions.items())
        if any(each.kind == "embedding" and each.heads for each in row)
    }
    if not found or len(images) < 2:
        return
    sections = "".join(_section(name, fill, each, images) for (name, fill), each in found.items())
    more = len(results.images) - len(images)
    rest = f"<p>The first {len(images):d} images; {_rest(more)}.</p>" if more else ""
    with st.container(border=True):
        st.markdown("**How alike the images are:** the cosine of their embeddings")
        st.html(f'{STYLE}<div class="alike" style="--models:{len(found):d}">{sections}</div>{rest}')


def _rest(more: int) -> str:
    return markup(f"{counted(more, 'image')} more are not shown here")


def _section(name: str, fill: str, found: Similarity, images: Sequence[TrayImage]) -> str:
    head = "".join(f'<th scope="col">{_icon(image)}</th>' for image in images)
    rows = "".join(
        f'<tr><th scope="row">{_icon(images[place])}</th>{_cells(row, place)}</tr>'
        for place, row in enumerate(found.cosines)
    )
    pairs = "".join(_pair(pair, images) for pair in found.pairs[:MOST_PAIRS])
    return (
        f'<section style="--fill:{markup(fill)}" aria-label="{markup(name)}">'
        f"<h3><b>{markup(name)}</b></h3>"
        f'<div class="matrix" tabindex="0" role="group" aria-label="The cosines of all pairs">'
        f'<table><tr><td class="itself"></td>{head}</tr>{rows}</table></div>'
        f"<ol>{pairs}</ol></section>"
    )


def _icon(image: TrayImage) -> str:
    address = image_address(image.icon)
    return f'<img src="{markup(address, len(address))}" alt="{markup(image.name)}">'


def _cells(row: Sequence[float | None], itself: int) -> str:
    return "".join(_cell(value, is_itself=place == itself) for place, value in enumerate(row))


def _cell(value: float | None, *, is_itself: bool) -> str:
    if is_itself or value is None:
        return f'<td class="itself">{"=" if is_itself else "–"}</td>'
    share = f"{55 * max(0.0, value):.0f}%"
    return f'<td style="--share:{markup(share)}">{markup(cosine(value))}</td>'


def _pair(pair: ImagePair, images: Sequence[TrayImage]) -> str:
    first, second = images[pair.first], images[pair.second]
    return (
        f"<li><span>{_icon(first)}{_icon(second)}</span>"
        f"<code>{markup(f'{first.name} and {second.name}')}</code>"
        f"<b>{markup(cosine(pair.cosine))}</b></li>"
    )
