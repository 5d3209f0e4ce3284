"""Names what of a checkpoint an export does not keep, by its parts."""

from __future__ import annotations

from core.checkpoint import Checkpoint
from core.export.exported import Keep
from core.export.plain_tree import TRAINING_STATE
from core.wording import place_in_file, tensors


def dropped_parts(checkpoint: Checkpoint, path: str, keep: Keep) -> list[str]:
    """The parts that an export of the state_dict at `path` drops, each in words.

    They are the other state_dicts with the number of their tensors and, where only the weights are
    kept, the names of the other data: `optimizer.state (6 tensors)`, `epoch`. Those in byte strings
    stay with the metadata, unless they are a training's state.
    """
    if keep == "all":
        return []
    chosen = checkpoint.parts(path)
    others = {at: part for at, part in checkpoint.state_dicts.items() if at not in chosen}
    if keep == "metadata":
        others = {
            at: part
            for at, part in others.items()
            if at not in checkpoint.in_bytes or _is_training_state(at)
        }
    dropped = [f"{place_in_file(at)} ({tensors(len(part))})" for at, part in others.items()]
    if keep == "weights":
        named = {at.partition(".")[0] for at in (*chosen, *others)}
        dropped += [name for name in checkpoint.metadata if name not in named]
    return dropped


def _is_training_state(path: str) -> bool:
    return any(name.lower() in TRAINING_STATE for name in path.split("."))
