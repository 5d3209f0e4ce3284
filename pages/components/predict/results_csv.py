"""The top-k classes of all images as a CSV file."""

from __future__ import annotations

from hashlib import sha256

import streamlit as st

from core.predict import predictions_csv
from pages.components.predict.results import Results


def results_csv(results: Results, k: int) -> None:
    """Draw the button that downloads the k most probable classes of every image."""
    data = predictions_csv(
        results.predictions,
        {name: labels.names for name, labels in results.labels.items()},
        {name: answer.file for name, answer in results.answers.items()},
        k,
    )
    # The hash in the name keeps Streamlit from serving another run's file of the same length.
    name = f"predictions-{sha256(data).hexdigest()[:12]}.csv"
    st.download_button(
        "Results as CSV", data, name, "text/csv", key="prediction-csv", on_click="ignore"
    )
