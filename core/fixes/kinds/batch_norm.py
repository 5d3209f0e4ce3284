"""The fix that adds the BatchNorm statistics that a file lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.checkpoint import Filled, StateDict, TensorEntry
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import computed
from core.fixes.form import Form
from core.fixes.script_part import ScriptPart
from core.keys import BATCH_COUNTER
from core.wording import counted

if TYPE_CHECKING:
    import torch

DEFAULTS = {"running_mean": 0.0, "running_var": 1.0, BATCH_COUNTER: 0.0}
"""The values that _NormBase.reset_running_stats sets (torch/nn/modules/batchnorm.py)."""


@dataclass(frozen=True, slots=True)
class AddBatchStatistics(Fix):
    """Add the BatchNorm statistics that the signature has and the file lacks, at their defaults.

    The defaults are 0 for `running_mean`, 1 for `running_var`, 0 for `num_batches_tracked`.
    """

    json_name = "add_batch_statistics"
    form = Form(
        "Add BatchNorm's default statistics",
        "Mean 0, variance 1, counter 0, where the model has them and the file has none.",
    )

    def words(self) -> str:
        return "Add BatchNorm's default statistics"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Add the missing statistics after the other tensors of their layer.

        Only for layers of which the file has another tensor, and for layers that consist of
        statistics.
        """
        wanted = context.wanted
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
            sentence = "No BatchNorm statistic is missing."
        added = StateDict(entries, state_dict.path, state_dict.versions) if missing else state_dict
        return added, Effect(len(missing), 0, sentence)

    def script(self) -> ScriptPart:
        call = "state_dict = add_batch_statistics(state_dict, model.state_dict())"
        functions = missing_statistics, add_batch_statistics
        return ScriptPart((call,), functions, needs_model=True)


# In scripts: repeats STATISTICS of core/keys/vocabulary.py.
def missing_statistics(keys: list[str], wanted: list[str]) -> list[str]:
    """The statistics that the model has and the file lacks.

    Only of layers of which the file has another tensor, and of layers that consist of statistics.
    """
    names = ("running_mean", "running_var", "num_batches_tracked")
    modules = {key.rpartition(".")[0] for key in keys}
    others = {key.rpartition(".")[0] for key in wanted if key.rpartition(".")[2] not in names}
    present = set(keys)
    missing = []
    for key in wanted:
        module, _, name = key.rpartition(".")
        if name in names and key not in present and (module in modules or module not in others):
            missing.append(key)
    return missing


def add_batch_statistics(
    state_dict: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The state_dict with the BatchNorm statistics that it lacks, at their defaults."""
    missing = missing_statistics(list(state_dict), list(wanted))
    last = {key.rpartition(".")[0]: key for key in state_dict}
    after: dict[str | None, list[str]] = {}
    for added in missing:
        after.setdefault(last.get(added.rpartition(".")[0]), []).append(added)
    result = {}
    for key in [*state_dict, None]:
        if key is not None:
            result[key] = state_dict[key]
        for added in after.get(key, []):
            default = torch.ones_like if added.endswith("running_var") else torch.zeros_like
            result[added] = default(wanted[added])
    return result
