"""The comparison as one HTML file to keep or to send."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.compare import BY_ITSELF, Comparison, Numbers, Tolerance, side
from core.compare.metadata import content_changes
from core.compare.report import report_html


def report_download(
    comparison: Comparison,
    numbers: Mapping[str, Numbers],
    sentence: str,
    tolerance: Tolerance,
    files: tuple[tuple[Checkpoint, StateDict], tuple[Checkpoint, StateDict]],
    identity: str,
) -> None:
    """Draw the button; the report is written only when somebody presses it."""

    def report() -> str:
        (a, _), (b, _) = files
        pieces = report_html(
            comparison,
            *(side(checkpoint, state_dict) for checkpoint, state_dict in files),
            sentence=sentence,
            numbers=numbers or None,
            tolerance=tolerance,
            metadata=content_changes(a, b, BY_ITSELF).changes,
            notes=comparison.notes,
        )
        # Streamlit encodes the text strictly, and a key may contain lone surrogates.
        return "".join(pieces).encode("utf-8", "backslashreplace").decode()

    content = sha256(repr((identity, tolerance, sentence, sorted(numbers))).encode()).hexdigest()
    st.download_button(
        "Report",
        report,
        file_name=f"comparison-{content[:12]}.html",
        mime="text/html",
        icon=":material/description:",
        on_click="ignore",
        help="One HTML file with the sentence, the charts and the table. It opens offline.",
    )
