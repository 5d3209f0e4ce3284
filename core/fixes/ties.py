"""The fix that gives each key a storage of its own."""

from __future__ import annotations

from core.checkpoint.entries import StateDict
from core.checkpoint.operations import Joined
from core.fixes.computed import computed
from core.fixes.effects import effect_sentence
from core.fixes.fix import Effect
from core.fixes.kinds.views import exchanged
from core.ties import ties


def untie(state_dict: StateDict) -> tuple[StateDict, Effect]:
    """Copies in the place of all but the first of the keys that are one tensor in the file."""
    new = {
        key: computed(state_dict[key], Joined(), (state_dict[key],), state_dict[key].shape)
        for group in ties(state_dict)
        for key in group[1:]
    }
    return exchanged(state_dict, new), Effect(len(new), 0, effect_sentence(len(new), "untied"))
