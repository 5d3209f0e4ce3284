"""Ideas on what peft adds to a model: modules that were trained beside the original ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from core.checkpoint import StateDict
from core.fit.proposals.proposal import Idea
from core.fixes import MAX_TEXT, Drop, StripPrefix

ORIGINAL = "original_module"
"""What peft calls the module that `modules_to_save` replaces (ModulesToSaveWrapper in
peft/utils/other.py)."""

TRAINED = re.compile(r"(?:^|\.)(?P<parts>modules_to_save\.(?P<adapter>[^.]+)\.)")


def trained_module_ideas(state_dict: StateDict) -> Iterator[Idea]:
    """Take the modules that were trained in place of the original ones, if they have one name."""
    found = {hit["parts"]: key for key in state_dict if (hit := TRAINED.search(key))}
    if len(found) != 1:
        return
    ((parts, example),) = found.items()
    if len(parts) > MAX_TEXT:
        return
    module = example[: example.index(parts)].removesuffix(".")
    drops = (Drop(rf"(^|\.){ORIGINAL}\.", "regex"),) if any(map(is_original, state_dict)) else ()
    why = (
        f"`{module}` was trained anew in `{parts.removesuffix('.')}`, as peft's modules_to_save "
        f"are; its `{ORIGINAL}` is what it was before."
    )
    yield Idea((*drops, StripPrefix(parts, anywhere=True)), why, known=True)


def is_original(key: str) -> bool:
    """Whether the key is in a module that peft keeps as it was before the training."""
    return f".{ORIGINAL}." in f".{key}"


def uses_untrained(keys: Iterable[str], state_dict: StateDict) -> bool:
    """Whether one of the keys is in an original module of a file that has the trained one too."""
    return any(map(is_original, keys)) and any(map(TRAINED.search, state_dict))
