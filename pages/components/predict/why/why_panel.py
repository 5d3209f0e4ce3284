"""Why the models answer so: heat maps over the chosen image, of A and B on one scale.

It is closed at first: a map takes a few passes of each model, or some hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import streamlit as st

from core.explain import METHODS, heat_image, hottest_value
from core.plain_text import image_address, markup, plain, plain_sentence
from core.wording import signed
from pages.components.predict.image_table import slot_fill
from pages.components.predict.prediction_job import Task
from pages.components.predict.results import Results
from pages.components.predict.why.why_job import Wanted, Why, WhyJob

STYLE = """<style>
.st-key-why summary, .st-key-why summary * {color: var(--loupe-text); opacity: 1}
.why figure {margin: 0}
.why img {display: block; width: 20rem; max-width: 100%; border-radius: 4px;
  border: 1px solid var(--loupe-line)}
.why figcaption {margin-top: 0.5rem; font-size: 0.9rem; line-height: 1.5; color: var(--loupe-muted);
  overflow-wrap: anywhere}
.why figcaption > b {padding: 0.15rem 0.45rem; border-radius: 6px; color: var(--fill);
  font-weight: 650; background: color-mix(in srgb, var(--fill) 16%, transparent)}
.why figcaption > strong {color: var(--loupe-text); font-weight: 650}
.why .scale {display: flex; align-items: center; gap: 0.5rem; margin-top: 0.4rem;
  font-variant-numeric: tabular-nums}
.why .scale i {flex: none; width: 7rem; height: 8px; border-radius: 3px;
  background: linear-gradient(to right, transparent, #65156e, #d44842, #fac127, #fcffa4)}
</style>"""

PROPOSED = ""
"""The layer that Grad-CAM proposes."""


@dataclass(frozen=True, slots=True)
class _Option:
    """A class that can be explained: its index in the model of this name."""

    slot: str
    index: int


def why_panel(results: Results, place: int, tasks: Sequence[Task]) -> None:
    """Draw the closed panel; where it is open, each model's map of the image at this place.

    `tasks` are those of the models with an answer.
    """
    st.html(STYLE)
    panel = st.expander("Why", on_change="rerun", key="why", type="compact")
    if not panel.open:
        return
    with panel:
        options = _options(results, place)
        if not options:
            st.caption("No model has an answer for this image that could be explained.")
            return
        option, method, opacity = _choices(results, place, options)
        jobs: dict[str, WhyJob] = {}
        columns = dict(zip((task.slot for task in tasks), st.columns(len(tasks)), strict=True))
        for task in tasks:  # so that the second runs while the first is waited for
            target = _target(results, option, task.slot)
            with columns[task.slot]:
                if target is None:
                    st.caption(plain_sentence(f"{task.slot} has no such class."))
                    continue
                layer = st.session_state.get(_layer_key(task), PROPOSED)
                chosen = layer if method == "gradcam" else PROPOSED
                head = results.predictions[task.slot][place].head
                wanted = Wanted(task, results.images[place], target, method, chosen, head)
                job = WhyJob(wanted)
                job.start()
                jobs[task.slot] = job
        found: dict[str, Why] = {}
        for slot, job in jobs.items():
            with columns[slot]:
                why = job.found()
            if why is not None:
                found[slot] = why
        hottest = hottest_value(why.heat for why in found.values())
        for position, task in enumerate(tasks):
            if task.slot in found:
                with columns[task.slot]:
                    fill = slot_fill(task.slot, position)
                    label = results.labels[task.slot].names[found[task.slot].heat.target]
                    _draw(task.slot, found[task.slot], label, fill, opacity, hottest)
                    _layer_choice(task, found[task.slot])
        if len(found) > 1:
            st.caption("Both maps are on one scale.")
            if len({why.heat.layer for why in found.values()}) > 1:
                st.caption("Their layers differ: compare the places, not the values.")


def _options(results: Results, place: int) -> list[_Option]:
    """The classes in the answers of the models, each once, the most probable first."""
    seen = set()
    options = []
    for slot, row in results.predictions.items():
        for index in row[place].indices[:MOST_CLASSES]:
            key = results.classes.keys[slot][index]
            identity = (slot, key) if results.classes.obstacle else key
            if identity not in seen:
                seen.add(identity)
                options.append(_Option(slot, index))
    return options


MOST_CLASSES = 10
"""The classes of each model that are offered: the less probable ones are rarely asked for."""


def _choices(
    results: Results, place: int, options: Sequence[_Option]
) -> tuple[_Option, str, float]:
    """Draw the choice of the class, the method and the opacity."""
    image = results.images[place].identity
    names = [results.labels[each.slot].names[each.index] for each in options]

    def named(option: _Option) -> str:
        name = results.labels[option.slot].names[option.index]
        return name if names.count(name) == 1 else f"{name} ({option.slot}, class {option.index})"

    left, middle, right = st.columns(3, vertical_alignment="bottom")
    with left:
        option = st.selectbox(
            "Class",
            options,
            format_func=named,
            key=f"why-class-{image}",
        )
    with middle:
        method = st.selectbox(
            "Method", [*METHODS], format_func=METHODS.__getitem__, key="why-method"
        )
    with right:
        opacity = st.slider("Opacity", 0, 100, 60, 5, format="%d %%", key="why-opacity")
    return option, method, opacity / 100


def _target(results: Results, option: _Option, slot: str) -> int | None:
    """The index of the chosen class in another model; None if it does not have it."""
    if option.slot == slot:
        return option.index
    if results.classes.obstacle:
        return None
    key, keys = results.classes.keys[option.slot][option.index], results.classes.keys[slot]
    return next((index for index, other in enumerate(keys) if other == key), None)


def _layer_key(task: Task) -> str:
    return f"why-layer-{task.slot}-{task.request.architecture.key}"


def _layer_choice(task: Task, why: Why) -> None:
    """Draw the choice of the layer that Grad-CAM looks at, the last first."""
    if why.layers:
        st.selectbox(
            f"Layer of {plain(task.slot)}",
            [PROPOSED, *reversed(why.layers)],
            format_func=lambda name: name or "The last that the answer depends on",
            key=_layer_key(task),
            persist_state="session",  # it is not drawn while a map is computed
        )


def _draw(slot: str, why: Why, label: str, fill: str, opacity: float, hottest: float) -> None:
    drawn = heat_image(why.image, why.heat, opacity, part=why.part, hottest=hottest)
    buffer = BytesIO()
    drawn.save(buffer, "WEBP", quality=85)
    address = image_address(buffer.getvalue())
    st.html(
        f'<div class="why" style="--fill:{markup(fill)}"><figure>'
        f'<img src="{markup(address, len(address))}" alt="What speaks for the class">'
        f"<figcaption><b>{markup(slot)}</b> <strong>{markup(label)}</strong>, score "
        f"{markup(signed(why.heat.score))}"
        '<div class="scale"><span>0</span><i></i>'
        f"<span>{markup(signed(hottest))} and more</span></div></figcaption></figure></div>"
    )
    st.caption(plain_sentence(why.heat.evidence))
