"""The chosen image, and beside it the most probable classes of each model as bars.

The bars are HTML, since a plotly figure takes 20 ms to build at each run. Their colours follow the
theme by themselves.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import streamlit as st

from core.plain_text import markup
from core.predict import Bar, answer_title, bars, fed_size
from core.wording import THIN, pass_time, share_text
from pages.components.predict.image_table import slot_fill
from pages.components.predict.image_tray import TrayImage
from pages.components.predict.results import Results

STYLE = """<style>
.chosen {display: grid; grid-template-columns: 200px repeat(var(--models), minmax(0, 1fr));
  grid-template-rows: auto 1fr; gap: 1rem 2rem}
.chosen figure {grid-row: span 2; margin: 0; min-width: 0}
.chosen img {display: block; width: 200px; height: 200px; object-fit: contain; border-radius: 6px;
  border: 1px solid var(--loupe-line); background: var(--loupe-panel)}
.chosen figcaption {margin-top: 0.4rem; font-size: 0.9rem; line-height: 1.4;
  color: var(--loupe-muted); overflow-wrap: anywhere}
.chosen figcaption code {display: block; padding: 0; background: none; color: inherit;
  font-size: 0.9rem}
.chosen section {min-width: 0}
.chosen h2 {display: flex; align-items: center; gap: 0.6rem; margin: 0 0 0.75rem; padding: 0;
  font-size: 1.4rem; line-height: 1.3; font-weight: 650; letter-spacing: -0.01em}
.chosen h2 > b {flex: none; min-width: 1.7rem; padding: 0 0.4rem; border-radius: 6px;
  text-align: center; font-size: 0.9rem; line-height: 1.7rem; color: var(--fill);
  background: color-mix(in srgb, var(--fill) 16%, transparent)}
.chosen h2 > span {min-width: 0; overflow-wrap: anywhere}
.chosen h2 > small {flex: none; margin-left: auto; font-size: 0.9rem; font-weight: 400;
  letter-spacing: 0; color: var(--loupe-muted)}
.chosen ol {display: grid; grid-template-columns: fit-content(45%) minmax(3rem, 1fr) max-content;
  gap: 0.6rem 0.75rem; margin: 0; padding: 0; list-style: none}
.chosen li {display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; align-items: center;
  margin: 0; padding: 0; font-size: 1rem; line-height: 1.3}
.chosen li:first-child {font-weight: 650}
.chosen li > span:first-child {overflow-wrap: anywhere}
.chosen li > span:last-child {text-align: right; font-variant-numeric: tabular-nums}
.chosen .track {position: relative; height: 12px; border-radius: 3px; background: var(--loupe-line)}
.chosen .track b {display: block; height: 100%; min-width: 1px; border-radius: 3px;
  background: var(--fill)}
.chosen i {display: inline-block; width: 2px; height: 16px; border-radius: 1px;
  background: var(--other)}
.chosen .track i {position: absolute; top: -2px; margin-left: -1px;
  box-shadow: 0 0 0 1px var(--loupe-ground)}
.chosen p {margin: 0; color: var(--loupe-muted); font-size: 0.9rem}
.chosen p.trouble {color: var(--loupe-gone)}
.chosen p.legend {grid-column: 2 / -1; align-self: start; display: flex; align-items: center;
  gap: 0.4rem}
.chosen p.legend i {height: 12px}
@media (max-width: 1000px) {.chosen {column-gap: 1.25rem;
    grid-template-columns: 150px repeat(var(--models), minmax(0, 1fr))}
  .chosen img {width: 150px; height: 150px}}
@media (max-width: 640px) {.chosen {grid-template: none / minmax(0, 1fr); gap: 1rem}
  .chosen figure {grid-row: auto; display: flex; align-items: center; gap: 0.75rem}
  .chosen img {flex: none; width: 96px; height: 96px}
  .chosen p.legend {grid-column: 1}}
</style>"""


LEAST_TICK = 0.01
"""The least probability of the other model that has a tick: more to the left it would look like the
end of the bar."""


def chosen_image(results: Results, place: int, k: int) -> None:
    """Draw the image at this place with the k most probable classes of each model."""
    predictions = {name: row[place] for name, row in results.predictions.items()}
    found = bars(predictions, results.labels, results.classes, k)
    fills = [slot_fill(name, position) for position, name in enumerate(found)]
    sections = "".join(
        _section(name, results, place, found[name], (fill, fills[position - 1]))
        for position, (name, fill) in enumerate(zip(found, fills, strict=True))
    )
    compares = any((bar.other or 0) >= LEAST_TICK for row in found.values() for bar in row)
    legend = _legend(fills) if compares else ""
    preprocessings = {name: answer.preprocessing for name, answer in results.answers.items()}
    figure = _figure(results.images[place], fed_size(results.images[place].size, preprocessings))
    grid = f'<div class="chosen" style="--models:{len(found)}">{figure}{sections}{legend}</div>'
    st.html(f"{STYLE}{grid}")


def _figure(image: TrayImage, size: str) -> str:
    address = f"data:image/webp;base64,{b64encode(image.thumbnail).decode()}"
    remark = f" {markup(image.remark)}" if image.remark else ""
    return (
        f'<figure><img src="{markup(address, len(address))}" alt="The chosen image">'
        f"<figcaption><code>{markup(image.name)}</code>{markup(size)}{remark}</figcaption></figure>"
    )


def _section(
    name: str, results: Results, place: int, row: Sequence[Bar], fills: tuple[str, str]
) -> str:
    prediction = results.predictions[name][place]
    style = f"--fill:{markup(fills[0])};--other:{markup(fills[1])}"
    top = markup(answer_title(prediction, results.labels[name].names))
    time = "" if prediction.trouble else pass_time(prediction.seconds)
    flag = " · untrained" if prediction.untrained else ""
    trouble = f'<p class="trouble">{markup(prediction.trouble)}</p>' if prediction.trouble else ""
    items = "".join(_item(bar) for bar in row)
    return (
        f'<section style="{style}" aria-label="{markup(name)}"><h2><b>{markup(name)}</b>'
        f"<span>{top}</span><small>{time}{flag}</small></h2>{trouble}<ol>{items}</ol></section>"
    )


def _item(bar: Bar) -> str:
    other = bar.other or 0.0
    tick = f'<i style="left:{100 * other:.2f}%"></i>' if other >= LEAST_TICK else ""
    filled = f'<b style="width:{100 * bar.probability:.2f}%"></b>'
    return (
        f'<li><span>{markup(bar.label)}</span><span class="track" aria-hidden="true">{filled}{tick}'
        f"</span><span>{markup(share_text(bar.probability))}</span></li>"
    )


def _legend(fills: Sequence[str]) -> str:
    ticks = "".join(f'<i style="--other:{markup(fill)}"></i>' for fill in reversed(fills))
    return f'<p class="legend">{ticks} the other model’s value, from 1{THIN}%</p>'
