"""What the models see of the chosen image, and what they would say if they were fed wrongly.

It is closed at first: each model runs about ten more times, once it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from core.images import image_workers
from core.inputs import Preprocessing
from core.load import ModelPool
from core.plain_text import image_address, markup, plain, plain_sentence
from core.predict.answers import told_outputs
from core.predict.seen import (
    MistakenAnswer,
    SeenImage,
    SkippedMistake,
    TopClass,
    ValueRange,
    WhatIf,
    skipped_words,
    what_if,
    what_if_verdict,
)
from core.progress import Progress
from core.theme import STATE_MARKS
from core.wording import capital, percent, shape, share_text, signed
from pages.components.predict.image_table import slot_fill
from pages.components.predict.image_tray import TrayImage
from pages.components.predict.prediction_job import Task
from pages.components.predict.preprocessing_editor import editor_key, use_preprocessing
from pages.components.predict.results import Results
from pages.components.pressed import pressed
from pages.components.resources import model_pool
from pages.components.shared_job import SharedJob

EDGE = 192
"""The least width in pixels that an image is enlarged to, by whole numbers: 64 is shown as 192."""

STYLE = """<style>
.st-key-seen summary, .st-key-seen summary * {color: var(--loupe-text); opacity: 1}
.seen figure {display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1rem;
  margin: 0}
.seen img {display: block; max-width: 100%; image-rendering: pixelated; border-radius: 4px;
  border: 1px solid var(--loupe-line)}
.seen figcaption {min-width: 0; font-size: 0.9rem; line-height: 1.5; color: var(--loupe-muted)}
.seen figcaption > b {padding: 0.15rem 0.45rem; border-radius: 6px; color: var(--fill);
  font-weight: 650; background: color-mix(in srgb, var(--fill) 16%, transparent)}
.seen .ranges {display: grid; grid-template-columns: repeat(4, max-content); gap: 0.1rem 0.9rem;
  margin-top: 0.4rem; font-variant-numeric: tabular-nums; text-align: right}
.seen .ranges > :nth-child(4n + 1) {text-align: left}
.seen .ranges > b {font-weight: 400; color: var(--loupe-text)}
.seen ol {display: grid; gap: 0.5rem 0.75rem; margin: 0; padding: 0; list-style: none;
  grid-template-columns: fit-content(42%) fit-content(28%) minmax(2.5rem, 1fr) max-content
  max-content}
.seen li {display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; align-items: center;
  margin: 0; padding: 0; font-size: 0.95rem; line-height: 1.3}
.seen li:first-child {font-weight: 650}
.seen li > span {min-width: 0; overflow-wrap: anywhere}
.seen li > .share {text-align: right; font-variant-numeric: tabular-nums}
.seen li > .track {height: 8px; border-radius: 3px; background: var(--loupe-line)}
.seen .track b {display: block; height: 100%; min-width: 1px; border-radius: 3px;
  background: var(--fill)}
.seen li > .mark {white-space: nowrap; font-weight: 400; color: var(--mark)}
.seen li > small {grid-column: 1 / -1; margin-top: -0.1rem; font-size: 0.86rem;
  color: var(--loupe-muted); overflow-wrap: anywhere}
.seen small code {padding: 0; background: none; color: inherit; font-size: 0.95em}
.seen p {margin: 0.75rem 0 0; font-size: 0.9rem; color: var(--loupe-muted)}
@media (max-width: 640px) {
  .seen ol {grid-template-columns: fit-content(40%) minmax(2.5rem, 1fr) max-content max-content}
  .seen li > .name {grid-column: 1 / -1}
  .seen ol {row-gap: 0.8rem} .seen li {row-gap: 0.1rem}}
</style>"""


def seen_panel(results: Results, place: int, tasks: Sequence[Task]) -> None:
    """Draw the closed panel; where it is open, what each model sees of the image at this place.

    `tasks` are those of the models with an answer.
    """
    st.html(STYLE)
    panel = st.expander("What the model sees", on_change="rerun", key="seen", type="compact")
    if not panel.open:
        return
    image = results.images[place]
    heads = {name: row[place].head for name, row in results.predictions.items()}
    work = {task.slot: _job(task, image, heads[task.slot]) for task in tasks}
    with panel:
        for task in tasks:  # so that the second runs while the first is waited for
            _start(work[task.slot], task, image, heads[task.slot])
        for position, (task, places) in enumerate(zip(tasks, _places(len(tasks)), strict=True)):
            with places[0]:
                found = _found(work[task.slot])
            if found is not None:
                names = results.labels[task.slot].names
                _draw(task.slot, found, names, slot_fill(task.slot, position), places)


def _places(models: int) -> Iterator[Sequence[DeltaGenerator]]:
    """Two places for each model: side by side if it is alone, else in a column of its own."""
    if models == 1:
        yield st.columns([1, 3], gap="large")
        return
    for column in st.columns(models, gap="large"):
        yield column.container(), column.container()


def _job(task: Task, image: TrayImage, head: str) -> SharedJob[WhatIf]:
    identity = f"{image.identity}|{task.told}|{head}"
    return SharedJob("seen", identity, max_results=16)


def _start(job: SharedJob[WhatIf], task: Task, image: TrayImage, head: str) -> None:
    """Start the work, unless it is done, under way, or has ended without a result."""
    if job.under_way or job.result is not None:
        return
    if job.stopped or job.failed:
        job.draw_failure()
        if not pressed(f"Look again with {plain(task.slot)}", key=f"{job.widget_key}-again"):
            return
    job.start(_work(model_pool(), task, image, head))


def _found(job: SharedJob[WhatIf]) -> WhatIf | None:
    return job.watch() if job.under_way else job.result


def _work(pool: ModelPool, task: Task, image: TrayImage, head: str) -> Callable[[Progress], WhatIf]:
    def work(progress: Progress) -> WhatIf:
        def report(done: int, total: int, what: str) -> None:
            progress(done, total, f"{task.slot}: {what}")

        decoded = image_workers().decoded(image.data, image.name)
        with task.model(pool, progress) as loaded, decoded as whole:
            told = told_outputs(task.request.architecture, loaded.model, task.checkpoint)
            return what_if(
                loaded,
                whole.image,
                task.preprocessing,
                report,
                told=told,
                kinds=task.kinds,
                head=head,
            )

    return work


def _draw(
    name: str, found: WhatIf, names: Sequence[str], fill: str, places: Sequence[DeltaGenerator]
) -> None:
    """Draw the image in the first of two places, and the answers in the second."""
    style = f"--fill:{markup(fill)}"
    with places[0]:
        st.html(f'<div class="seen" style="{style}">{_figure(name, found.seen)}</div>')
    with places[1]:
        st.markdown(plain_sentence(what_if_verdict(found, names)))
        rows = "".join(_mistaken(each, found.right, names) for each in found.answers)
        st.html(
            f'<div class="seen" style="{style}"><ol><li>'
            f"{_cells('This preprocessing', found.right, names)}</li>{rows}</ol>"
            f"{_foot(found.skipped)}</div>"
        )
        _use_another(name, found.answers)


def _foot(skipped: Sequence[SkippedMistake]) -> str:
    words = skipped_words(skipped)
    return f"<p>{markup(words, len(words))}</p>" if words else ""


def _figure(name: str, seen: SeenImage) -> str:
    address = image_address(_png(seen.image), "png")
    width = seen.image.width * max(1, EDGE // seen.image.width)
    remark = f"<br>{markup(seen.remark)}" if seen.remark else ""
    return (
        f'<figure><img src="{markup(address, len(address))}" style="width:{width:d}px" '
        f'alt="What the model sees"><figcaption><b>{markup(name)}</b> '
        f"{markup(shape(seen.shape))}{remark}"
        f'<div class="ranges"><span></span><span>min</span><span>mean</span><span>max</span>'
        f"{_range_row('0 to 1', seen.pixels)}"
        f"{_range_row('normalised', seen.normalised)}</div></figcaption></figure>"
    )


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _range_row(name: str, values: ValueRange) -> str:
    numbers = (values.smallest, values.mean, values.largest)
    cells = "".join(f"<b>{markup(signed(number))}</b>" for number in numbers)
    return f"<span>{markup(name)}</span>{cells}"


def _mistaken(answer: MistakenAnswer, right: TopClass | None, names: Sequence[str]) -> str:
    name, code = answer.mistake.name, answer.mistake.code
    cells = _cells(capital(name), answer.top, names)
    if right is None:
        return f"<li>{cells}</li>"
    if not answer.changes:
        return f"<li>{cells}{_mark('agree')}</li>"
    still = ""
    if answer.of_right is not None:
        still = f"{names[right.index]} at {percent(answer.of_right)} · "
    return (
        f"<li>{cells}{_mark('differ')}"
        f"<small>{markup(still)}<code>{markup(code)}</code></small></li>"
    )


def _cells(name: str, top: TopClass | None, names: Sequence[str]) -> str:
    label, share, filled = "not a number", "–", 0.0
    if top is not None:
        label, share = names[top.index], share_text(top.probability)
        filled = 100 * top.probability
    return (
        f'<span class="name">{markup(name)}</span><span>{markup(label)}</span>'
        f'<span class="track" aria-hidden="true"><b style="width:{filled:.2f}%"></b></span>'
        f'<span class="share">{markup(share)}</span>'
    )


def _mark(state: str) -> str:
    mark = STATE_MARKS[state]
    return (
        f'<span class="mark" style="--mark:{markup(mark.colour)}">'
        f"{markup(mark.sign)} {markup(state)}</span>"
    )


def _use_another(slot: str, answers: Sequence[MistakenAnswer]) -> None:
    """Draw the menu of the preprocessings that the editor can be filled with."""
    usable = {
        each.mistake.name: each.mistake.preprocessing
        for each in answers
        if each.mistake.preprocessing is not None
    }
    key = f"seen-use-{slot}"
    st.menu_button(
        "Use another preprocessing",
        list(usable),
        format_func=capital,
        key=key,
        on_click=_use,
        args=(slot, key, usable),
    )


def _use(slot: str, key: str, usable: Mapping[str, Preprocessing]) -> None:
    use_preprocessing(editor_key(slot), usable[st.session_state[key]])
