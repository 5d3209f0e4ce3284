"""All images as a table: what each model says first, and whether two models agree."""

from __future__ import annotations

from dataclasses import replace

from core.predict import NO_ANSWER, answer_title, differing_first
from core.theme import SLOT_FILLS
from core.wording import counted, share_text
from pages.components.predict.results import Answer, Results
from pages.components.treegrid.table_data import Column, Table, packed
from pages.components.treegrid.tree_table import tree_table

ROW = 36
"""The height of a row in pixels: an image of 28, or two lines of a class's name."""

ROWS = 12
"""The most images before the table scrolls."""

STATES = {True: "agree", False: "differ", None: NO_ANSWER}


def image_table(results: Results) -> int:
    """Draw the table, the images that differ first. Returns the place of the chosen image among
    `results.images`, which at first is the table's first."""
    order = differing_first(results.same)
    images = [results.images[place] for place in order]
    columns = [
        Column("Thumbnail", "image", [image.icon for image in images]),
        Column("Image", "key", [image.name for image in images], share=3),
    ]
    for position, (name, answer) in enumerate(results.answers.items()):
        columns += _columns(name, answer, order, slot_fill(name, position))
    if len(results.answers) > 1 and not results.classes.obstacle:
        states = [STATES[results.same[place]] for place in order]
        hint = "Whether the answers are the same"
        columns.append(Column("", "state", states, hint=hint, worded=True))
    table = packed(
        Table(
            "The images, with the answer to each",
            columns,
            numbers=[images[row].number for row in range(len(images))],
            foot=counted(len(images), "image"),
            rows=ROWS,
            clears=False,
            height=ROW,
        )
    )
    chosen = tree_table(table, f"images-{results.images[0].identity}", images[0].number)
    places = {image.number: place for place, image in enumerate(results.images)}
    return places.get(chosen, order[0]) if chosen is not None else order[0]


def slot_fill(name: str, position: int) -> str:
    """The colour of a model's bars: its slot's; of `A as …`, which stands beside A alone, the other
    slot's."""
    return SLOT_FILLS.get(name) or [*SLOT_FILLS.values()][position]


def _columns(name: str, answer: Answer, order: tuple[int, ...], colour: str) -> list[Column]:
    predictions = [answer.predictions[place] for place in order]
    names = [answer_title(each, answer.labels.names) for each in predictions]
    shares = [each.probabilities[0] if each.indices else None for each in predictions]
    title = Column(title=name, kind="label", values=names, hint=f"What {name} answers")
    if not any(each.indices for each in predictions):
        return [replace(title, share=4, most=420)]
    return [
        title,
        Column(
            title=f"{name} %",
            kind="bar",
            values=shares,
            text=lambda share: "–" if share is None else share_text(share),
            hint=f"The probability of that by {name}",
            drop=1,
            colour=colour,
            share=4,
        ),
    ]
