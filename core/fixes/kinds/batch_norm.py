"""The fix that gives BatchNorm layers the statistics that a file lacks."""

from __future__ import annotations

from core.checkpoint.entries import StateDict, TensorEntry
from core.checkpoint.operations import Filled
from core.fixes.computed import computed
from core.fixes.effects import counted
from core.fixes.fix import Effect
from core.fixes.kinds.filtering import wanted_by
from core.match import BATCH_COUNTER
from core.signature import Signature

DEFAULTS = {"running_mean": 0.0, "running_var": 1.0, BATCH_COUNTER: 0.0}
"""What torch's _NormBase.reset_running_stats fills them with."""


def add_batch_statistics(
    state_dict: StateDict, signature: Signature | None
) -> tuple[StateDict, Effect]:
    """The statistics that the signature wants, at their defaults, after their layer's other
    tensors; for layers of which the file has something, or which have nothing else.

    Raises FixError without a signature.
    """
    wanted = wanted_by(signature)
    missing = missing_statistics(list(state_dict), list(wanted))
    after: dict[str | None, list[TensorEntry]] = {}
    last = {key.rpartition(".")[0]: key for key in state_dict}
    for key in missing:
        spec = wanted[key]
        empty = TensorEntry(key, spec.dtype, (), (), 0, None)
        entry = computed(empty, Filled(DEFAULTS[key.rpartition(".")[2]]), (), spec.shape)
        after.setdefault(last.get(key.rpartition(".")[0]), []).append(entry)
    entries: list[TensorEntry] = []
    for key, entry in state_dict.items():
        entries += [entry, *after.get(key, ())]
    entries += after.get(None, ())
    sentence = f"{counted(len(missing), 'statistic')} of BatchNorm added at their defaults."
    if not missing:
        sentence = "No key of BatchNorm's statistics is missing."
    added = StateDict(entries, state_dict.path, state_dict.versions) if missing else state_dict
    return added, Effect(len(missing), 0, sentence)


def missing_statistics(held: list[str], wanted: list[str]) -> list[str]:
    """The statistics that are wanted and not there, of layers of which something is there, or
    which have nothing but statistics."""
    names = ("running_mean", "running_var", "num_batches_tracked")
    modules = {key.rpartition(".")[0] for key in held}
    others = {key.rpartition(".")[0] for key in wanted if key.rpartition(".")[2] not in names}
    present = set(held)
    missing = []
    for key in wanted:
        module, _, name = key.rpartition(".")
        if name in names and key not in present and (module in modules or module not in others):
            missing.append(key)
    return missing
