"""The chosen image, and beside it what each model says: the most probable classes as bars, or
another kind of answer.

The bars are HTML, since a plotly figure takes 20 ms to build at each run. Their colours follow the
theme by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isinf, log2

import streamlit as st

from core.errors import ImageError
from core.inputs import Preprocessing
from core.plain_text import image_address, markup
from core.predict import (
    SUMMARY_COLUMNS,
    Bar,
    Prediction,
    answer_lines,
    answer_title,
    bars,
    fed_size,
    probability_change,
    summary_cells,
)
from core.predict.answers import HeadAnswer, ScoredRow
from core.predict.drawing import found_bars
from core.wording import THIN, pass_time, share_text, small
from pages.components.predict.image_table import slot_fill
from pages.components.predict.image_tray import TrayImage
from pages.components.predict.results import Results
from pages.components.predict.shown.overlay import Overlay, drawn_image, is_drawn

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
.chosen .track u {position: absolute; left: 50%; top: -3px; width: 0; height: 18px;
  border-left: 2px dashed var(--loupe-muted)}
.chosen img.drawn {width: auto; max-width: 100%; height: auto; max-height: 46vh;
  object-fit: contain; object-position: left; margin-bottom: 0.9rem; background: none; border: none}
.chosen ol:empty {display: none}
.chosen ol + p {margin-top: 0.75rem}
.chosen .tensors {overflow-x: auto}
.chosen table {border-collapse: collapse; margin: 0; border: none; font-size: 0.9rem}
.chosen :is(th, td) {padding: 0.3rem 1rem 0.3rem 0; border: none; text-align: left;
  border-bottom: 1px solid var(--loupe-line); font-weight: 400; white-space: nowrap;
  color: var(--loupe-text); font-variant-numeric: tabular-nums}
.chosen th {color: var(--loupe-muted)}
.chosen p {margin: 0; color: var(--loupe-muted); font-size: 0.9rem}
.chosen p.trouble {color: var(--loupe-gone)}
.chosen p.legend {grid-column: 2 / -1; align-self: start; display: flex; align-items: center;
  gap: 0.4rem}
.chosen p.legend i {height: 12px}
.chosen p.legend {flex-wrap: wrap} .chosen p.legend span {margin-left: 1.25rem}
@media (max-width: 1000px) {.chosen {column-gap: 1.25rem;
    grid-template-columns: 150px repeat(var(--models), minmax(0, 1fr))}
  .chosen img {width: 150px; height: 150px}}
@media (max-width: 640px) {.chosen {grid-template: none / minmax(0, 1fr); gap: 1rem}
  .chosen figure {grid-row: auto; display: flex; align-items: center; gap: 0.75rem}
  .chosen img {flex: none; width: 96px; height: 96px}
  .chosen p.legend {grid-column: 1}}
</style>"""


FIRST_NUMBERS = 6
"""Numbers of an embedding that are shown."""

LEAST_TICK = 0.01
"""The least probability of the other model that has a tick: more to the left it would look like the
end of the bar."""


def chosen_image(results: Results, place: int, k: int, overlay: Overlay) -> None:
    """Draw the image at this place with what each model says of it: of classes the k most
    probable."""
    predictions = {name: row[place] for name, row in results.predictions.items()}
    found = {
        name: tuple(row)
        for name, row in bars(predictions, results.labels, results.classes, k).items()
    }
    for name, prediction in predictions.items():
        answer, names = prediction.answer, results.labels[name].names
        if answer is not None and not found[name]:
            only = overlay.only(names, answer.value)
            found[name] = found_bars(answer.value, names, k, overlay.threshold, only)
    fills = [slot_fill(name, position) for position, name in enumerate(found)]
    sections = "".join(
        _section(name, results, place, found[name], (fill, fills[position - 1]), overlay)
        for position, (name, fill) in enumerate(zip(found, fills, strict=True))
    )
    compares = any((bar.other or 0) >= LEAST_TICK for row in found.values() for bar in row)
    legend = _legend(fills, _apart(results, predictions)) if compares else ""
    preprocessings = {
        name: _as_fed(answer.preprocessing, predictions[name])
        for name, answer in results.answers.items()
    }
    figure = _figure(results.images[place], fed_size(results.images[place].size, preprocessings))
    grid = f'<div class="chosen" style="--models:{len(found)}">{figure}{sections}{legend}</div>'
    st.html(f"{STYLE}{grid}")


def _as_fed(preprocessing: Preprocessing, prediction: Prediction) -> Preprocessing:
    """The preprocessing with the size that this image had for the model."""
    return replace(preprocessing, crop=prediction.fed) if any(prediction.fed) else preprocessing


def _figure(image: TrayImage, size: str) -> str:
    address = image_address(image.thumbnail)
    remark = f" {markup(image.remark)}" if image.remark else ""
    return (
        f'<figure><img src="{markup(address, len(address))}" alt="The chosen image">'
        f"<figcaption><code>{markup(image.name)}</code>{markup(size)}{remark}</figcaption></figure>"
    )


def _section(
    name: str,
    results: Results,
    place: int,
    row: Sequence[Bar],
    fills: tuple[str, str],
    overlay: Overlay,
) -> str:
    prediction, names = results.predictions[name][place], results.labels[name].names
    style = f"--fill:{markup(fills[0])};--other:{markup(fills[1])}"
    top = markup(answer_title(prediction, names, overlay.threshold))
    time = "" if prediction.trouble else pass_time(prediction.seconds)
    flag = " · untrained" if prediction.untrained else ""
    trouble = f'<p class="trouble">{markup(prediction.trouble)}</p>' if prediction.trouble else ""
    answer = prediction.answer
    drawn = _drawn(results, name, place, overlay) if is_drawn(answer) else ""
    level = prediction.kind in ("labels", "score")
    items = "".join(_item(bar, level=level) for bar in row)
    return (
        f'<section style="{style}" aria-label="{markup(name)}"><h2><b>{markup(name)}</b>'
        f"<span>{top}</span><small>{time}{flag}</small></h2>{trouble}{drawn}<ol>{items}</ol>"
        f"{_further(answer)}</section>"
    )


def _drawn(results: Results, name: str, place: int, overlay: Overlay) -> str:
    """What was found, over the image."""
    try:
        data = drawn_image(results, name, place, overlay)
    except ImageError as error:
        return f'<p class="trouble">{markup(str(error))}</p>'
    address = image_address(data)
    words = f"What {name} found in the image"
    return f'<img class="drawn" src="{markup(address, len(address))}" alt="{markup(words)}">'


def _further(answer: HeadAnswer | None) -> str:
    """What an answer says that is no bar."""
    if answer is None or answer.value is None:
        return ""
    if isinstance(answer.value, ScoredRow) and answer.value.margin is not None:
        return _certainty(answer.value, answer.outputs)
    if answer.kind == "labels":
        return "<p>The line is at 50&#8239;%: from there on a label counts.</p>"
    if answer.kind == "score":
        raw = answer.value.raw if isinstance(answer.value, ScoredRow) else None
        told = "" if raw is None else f" The model returned {small(raw, 4)}.".replace("-", "−")
        return f"<p>The line is at 50&#8239;%.{markup(told)}</p>"
    if answer.kind == "tree":
        return _tensors(answer)
    if answer.kind in ("embedding", "map"):
        lines = "".join(
            f"<p>{markup(line)}</p>" for line in answer_lines(answer, (), FIRST_NUMBERS)
        )
        return lines
    return ""


def _certainty(row: ScoredRow, outputs: int) -> str:
    """How sure a model is among all its classes."""
    entropy, most = row.entropy or 0.0, log2(outputs)
    margin = share_text(row.margin or 0.0)
    words = f"Entropy {entropy:.2f} of {most:.2f} bits, margin {margin}"
    return f"<p>{markup(words)}</p>"


def _tensors(answer: HeadAnswer) -> str:
    """The tensors of an output with their shapes and values, as a table."""
    assert isinstance(answer.value, tuple)
    rows = "".join(
        "<tr>" + "".join(f"<td>{markup(cell)}</td>" for cell in summary_cells(each)) + "</tr>"
        for each in answer.value
    )
    head = "".join(f"<th>{markup(word)}</th>" for word in SUMMARY_COLUMNS)
    return (
        '<div class="tensors" tabindex="0" role="group" aria-label="The tensors of the output">'
        f"<table><tr>{head}</tr>{rows}</table></div>"
    )


def _item(bar: Bar, *, level: bool) -> str:
    other = bar.other or 0.0
    tick = f'<i style="left:{100 * other:.2f}%"></i>' if other >= LEAST_TICK else ""
    line = "<u></u>" if level else ""
    own = f";background:{markup(bar.colour)}" if bar.colour else ""
    filled = f'<b style="width:{100 * bar.probability:.2f}%{own}"></b>'
    return (
        f'<li><span>{markup(bar.label)}</span><span class="track" aria-hidden="true">{filled}{tick}'
        f"{line}</span><span>{markup(share_text(bar.probability))}</span></li>"
    )


def _apart(results: Results, predictions: Mapping[str, Prediction]) -> str:
    """How far two models are apart, in words; empty if that is not known."""
    change = probability_change(predictions, results.classes)
    if change is None:
        return ""
    (first, second), labels = predictions, results.labels
    far = "infinite" if isinf(change.divergence) else f"{small(change.divergence, 3)} bits"
    label = labels[first].names[change.index]
    return f"Largest |Δp| {share_text(change.largest)} ({label}), KL({first}‖{second}) {far}"


def _legend(fills: Sequence[str], apart: str) -> str:
    ticks = "".join(f'<i style="--other:{markup(fill)}"></i>' for fill in reversed(fills))
    more = f"<span>{markup(apart)}</span>" if apart else ""
    return f'<p class="legend">{ticks} the other model’s value, from 1{THIN}% {more}</p>'
