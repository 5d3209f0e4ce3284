"""What the models said: a card a picture with its charts, and a table over all pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import streamlit as st

from core.inputs import Preprocessing
from core.plain_text import plain, visible
from core.predict import Labels, Prediction, bars, predictions_csv
from pages.components.predict.picture_tray import TrayImage
from pages.components.predict.topk_chart import topk_chart

UNTRAINED = (
    "Untrained: a part of this model stays as initialised, so these numbers mean nothing. "
    "Fit lists which keys."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One slot's part: its file's name, what the model was fed, a prediction a picture, and the
    names of its classes."""

    file: str
    preprocessing: Preprocessing
    predictions: tuple[Prediction, ...]
    labels: Labels


def result_cards(pictures: Sequence[TrayImage], answers: Mapping[str, Answer], k: int) -> None:
    """A card a picture: the picture, and beside it each slot's k most probable classes."""
    for slot, answer in answers.items():
        if any(prediction.untrained for prediction in answer.predictions):
            st.warning(f"**{slot}** · {plain(answer.file)}. {UNTRAINED}", icon=":material/warning:")
        height, width = answer.preprocessing.crop
        st.caption(
            f"**{slot}** is fed {height:d} × {width:d} px: {plain(answer.preprocessing.source)}. "
            f"Its classes: {plain(answer.labels.source)}."
        )
    if len(answers) == 2:
        st.markdown(f"A and B {_agreement(answers)}.")
    for number, picture in enumerate(pictures):
        with st.container(border=True):
            _card(picture, number, answers, k)


def _agreement(answers: Mapping[str, Answer]) -> str:
    """`agree on 3 of 8 pictures`: where both put the same label first."""
    first = [
        [answer.labels.names[each.indices[0]] if each.indices else None for each in each_answer]
        for answer in answers.values()
        for each_answer in [answer.predictions]
    ]
    same = sum(a is not None and a == b for a, b in zip(*first, strict=True))
    return f"agree on the most probable class of **{same:d} of {len(first[0])}** pictures"


def _card(picture: TrayImage, number: int, answers: Mapping[str, Answer], k: int) -> None:
    mine = {slot: answer.predictions[number] for slot, answer in answers.items()}
    labels = {slot: answer.labels.names for slot, answer in answers.items()}
    rows = bars(mine, labels, k)
    image, *columns = st.columns([1, *[3 if len(mine) == 1 else 2] * len(mine)], gap="medium")
    with image:
        st.image(picture.thumbnail, width=128, alt=picture.name)
        st.caption(plain(picture.name))
    for column, (slot, prediction) in zip(columns, mine.items(), strict=True):
        with column:
            flag = " · untrained" if prediction.untrained else ""
            time = f"{1000 * prediction.seconds:.1f}\u202fms"
            st.caption(f"**{slot}** · {plain(answers[slot].file)} · {time}{flag}")
            if prediction.trouble:
                st.error(plain(prediction.trouble), icon=":material/error:")
            else:
                topk_chart(rows[slot], slot, f"chart-{slot}-{picture.identity}")


def result_table(pictures: Sequence[TrayImage], answers: Mapping[str, Answer], k: int) -> None:
    """The most probable class of every picture, and all of the k as a CSV file."""
    st.subheader("All pictures", anchor=False)
    columns: dict[str, list[str | float | None]] = {
        "Picture": [visible(each.name) for each in pictures]
    }
    formats = {}
    for slot, answer in answers.items():
        names, ours = answer.labels.names, answer.predictions
        columns[f"{slot}: class"] = [
            visible(names[p.indices[0]]) if p.indices else "–" for p in ours
        ]
        chance, time = f"{slot}: probability", f"{slot}: time"
        columns[chance] = [100 * p.probabilities[0] if p.indices else None for p in ours]
        columns[time] = [1000 * p.seconds for p in ours]
        formats[chance] = st.column_config.NumberColumn(format="%.2f %%")
        formats[time] = st.column_config.NumberColumn(format="%.1f ms")
    st.dataframe(columns, hide_index=True, column_config=formats, key="prediction-table")
    data = predictions_csv(
        {slot: answer.predictions for slot, answer in answers.items()},
        {slot: answer.labels.names for slot, answer in answers.items()},
        {slot: answer.file for slot, answer in answers.items()},
        k,
    )
    # The hash in the name keeps Streamlit from serving another run's file of the same length.
    name = f"predictions-{sha256(data).hexdigest()[:12]}.csv"
    st.download_button(
        f"Download the top {k:d} as CSV",
        data,
        name,
        "text/csv",
        key="prediction-csv",
        on_click="ignore",
    )
