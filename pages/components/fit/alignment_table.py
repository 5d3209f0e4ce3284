"""How the keys of a file were found under other names: pair by pair, with how sure that is."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.align import Alignment, align
from core.plain_text import visible
from core.wording import count
from pages.components.cached import cached


def alignment_table(key: str, identity: str, state_dict: StateDict, signature: Signature) -> None:
    """A fold that shows every pair, the doubtful ones first; computed once it is opened.

    `identity` tells the file, the recipe so far and the architecture.
    """
    fold = st.expander("Look at the pairs", on_change="rerun", key=f"{key}-pairs")
    if not fold.open:
        return
    found = _aligned(identity, state_dict, signature)
    with fold:
        doubtful = len(found.ambiguous)
        if doubtful:
            st.warning(
                f"{count(doubtful)} pairs could as well be others: their shapes repeat, and the "
                "names do not tell them apart.",
                icon=":material/help:",
            )
        pairs = sorted(found.pairs, key=lambda pair: (not pair.ambiguous, pair.confidence))
        st.dataframe(
            pd.DataFrame(
                {
                    "Sure": [100 * pair.confidence for pair in pairs],
                    "In the file": [visible(pair.key) for pair in pairs],
                    "In the network": [visible(pair.wanted) for pair in pairs],
                    "Doubt": ["could be another" if pair.ambiguous else "" for pair in pairs],
                    "Why": [visible(pair.why) for pair in pairs],
                }
            ),
            hide_index=True,
            height=320,
            column_config={"Sure": st.column_config.NumberColumn(format="%.0f %%", width=60)},
        )


@cached(16, show_spinner="Finding each key’s place")
def _aligned(identity: str, _state_dict: StateDict, _signature: Signature) -> Alignment:
    return align(_state_dict, _signature)
