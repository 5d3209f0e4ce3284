"""How the keys of a file were aligned with the model's keys: pair by pair, with the confidence."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.align import Alignment, align
from core.plain_text import visible
from core.wording import are, counted
from pages.components.cached import cached


def alignment_table(key: str, identity: str, state_dict: StateDict, signature: Signature) -> None:
    """Draw an expander with every pair, the ambiguous ones first. The pairs are computed only when
    it is opened.

    `identity` distinguishes the file, the recipe so far and the architecture from all others.
    """
    expander = st.expander("Show the pairs", on_change="rerun", key=f"{key}-pairs")
    if not expander.open:
        return
    alignment = _aligned(identity, state_dict, signature)
    with expander:
        ambiguous = len(alignment.ambiguous)
        if ambiguous:
            st.warning(
                f"{counted(ambiguous, 'pair')} {are(ambiguous)} ambiguous: shapes repeat, and the "
                "names do not distinguish the tensors.",
                icon=":material/help:",
            )
        pairs = sorted(alignment.pairs, key=lambda pair: (not pair.ambiguous, pair.confidence))
        st.dataframe(
            pd.DataFrame(
                {
                    "Confidence": [100 * pair.confidence for pair in pairs],
                    "Key in the file": [visible(pair.key) for pair in pairs],
                    "Key in the model": [visible(pair.wanted) for pair in pairs],
                    "Ambiguous": ["ambiguous" if pair.ambiguous else "" for pair in pairs],
                    "Why": [visible(pair.why) for pair in pairs],
                }
            ),
            hide_index=True,
            height=320,
            column_config={"Confidence": st.column_config.NumberColumn(format="%.0f %%", width=90)},
        )


@cached(16, show_spinner="Aligning the keys with the model")
def _aligned(identity: str, _state_dict: StateDict, _signature: Signature) -> Alignment:
    return align(_state_dict, _signature)
