"""The predictions: a card per image with its charts, and a table of all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import streamlit as st

from core.inputs import Preprocessing
from core.plain_text import plain, visible
from core.predict import UNTRAINED, Labels, Prediction, bars, predictions_csv
from core.wording import pass_time
from pages.components.predict.image_tray import TrayImage
from pages.components.predict.topk_chart import topk_chart


@dataclass(frozen=True, slots=True)
class Answer:
    """One slot's answer: its file's name, its preprocessing, a prediction per image, and the names
    of its classes."""

    file: str
    preprocessing: Preprocessing
    predictions: tuple[Prediction, ...]
    labels: Labels


def result_cards(images: Sequence[TrayImage], answers: Mapping[str, Answer], k: int) -> None:
    """Draw a card per image, with each slot's k most probable classes next to the image."""
    for slot, answer in answers.items():
        if any(prediction.untrained for prediction in answer.predictions):
            st.warning(
                f"**{slot}** · {plain(answer.file)}. {UNTRAINED} Fit lists the keys.",
                icon=":material/warning:",
            )
        height, width = answer.preprocessing.crop
        st.caption(
            f"**{slot}** · Input: {height:d} × {width:d} px, {plain(answer.preprocessing.source)}. "
            f"Class names: {plain(answer.labels.source)}."
        )
    for number, image in enumerate(images):
        with st.container(border=True):
            _card(image, number, answers, k)


def _card(image: TrayImage, number: int, answers: Mapping[str, Answer], k: int) -> None:
    predictions = {slot: answer.predictions[number] for slot, answer in answers.items()}
    labels = {slot: answer.labels.names for slot, answer in answers.items()}
    rows = bars(predictions, labels, k)
    widths = [1, *[3 if len(predictions) == 1 else 2] * len(predictions)]
    image_column, *columns = st.columns(widths, gap="medium")
    with image_column:
        st.image(image.thumbnail, width=128, alt=image.name)
        st.caption(plain(image.name))
    for column, (slot, prediction) in zip(columns, predictions.items(), strict=True):
        with column:
            flag = " · untrained" if prediction.untrained else ""
            time = pass_time(prediction.seconds)
            st.caption(f"**{slot}** · {plain(answers[slot].file)} · {time}{flag}")
            if prediction.trouble:
                st.error(plain(prediction.trouble), icon=":material/error:")
            else:
                topk_chart(rows[slot], slot, f"chart-{slot}-{image.identity}")


def result_table(images: Sequence[TrayImage], answers: Mapping[str, Answer], k: int) -> None:
    """Draw the most probable class of every image, and a download of the top-k classes as CSV."""
    st.subheader("All images", anchor=False)
    columns: dict[str, list[str | float | None]] = {
        "Image": [visible(image.name) for image in images]
    }
    formats = {}
    for slot, answer in answers.items():
        names, predictions = answer.labels.names, answer.predictions
        columns[f"{slot}: class"] = [
            visible(names[p.indices[0]]) if p.indices else "–" for p in predictions
        ]
        probability, time = f"{slot}: probability", f"{slot}: time"
        columns[probability] = [
            100 * p.probabilities[0] if p.indices else None for p in predictions
        ]
        columns[time] = [1000 * p.seconds for p in predictions]
        formats[probability] = st.column_config.NumberColumn(format="%.2f %%")
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
        f"Download top-{k:d} as CSV",
        data,
        name,
        "text/csv",
        key="prediction-csv",
        on_click="ignore",
    )
