"""The fix that adds the BatchNorm statistics that a file lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.checkpoint import Filled, StateDict, TensorEntry
from core.errors import FixError
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import computed
from core.fixes.form import Form, RealField
from core.fixes.script_part import ScriptPart
from core.wording import counted

if TYPE_CHECKING:
    import torch

VARIANCE = 1.0
"""The variance that _NormBase.reset_running_stats sets (torch/nn/modules/batchnorm.py); it sets
the mean and the counter to 0."""

FOLDED_VARIANCE = 1.0 - 1e-5
"""The variance with which a BatchNorm of torch's default eps, 1e-5, divides by 1, so that its
weight and bias alone count. Detectron2's FrozenBatchNorm2d has it too
(detectron2/layers/batch_norm.py)."""


@dataclass(frozen=True, slots=True)
class AddBatchStatistics(Fix):
    """Add the BatchNorm statistics that the signature has and the file lacks.

    `running_mean` and `num_batches_tracked` are 0, and every `running_var` is `variance`.
    """

    json_name = "add_batch_statistics"
    keeps_names = True
    form = Form(
        "Add BatchNorm's default statistics",
        "Mean 0, variance 1, counter 0, where the model has them and the file has none. Where the "
        f"statistics were folded into the weights, the variance is 1 − eps: {FOLDED_VARIANCE} for "
        "torch's eps.",
        (RealField("variance", "Variance", 1e6, VARIANCE),),
    )

    variance: float = VARIANCE

    def words(self) -> str:
        if self.variance == VARIANCE:
            return "Add BatchNorm's default statistics"
        return f"Add BatchNorm's statistics with variance {self.variance}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Add the missing statistics after the other tensors of their layer.

        Only for layers of which the file has another tensor, and for layers that consist of
        statistics. Raises FixError if the variance is below 0.
        """
        if self.variance < 0:
            raise FixError(f"{self.variance} is no variance.", "It is 0 or more.")
        wanted = context.wanted
        missing = missing_statistics(list(state_dict), list(wanted))
        after: dict[str | None, list[TensorEntry]] = {}
        last = {key.rpartition(".")[0]: key for key in state_dict}
        for key in missing:
            spec = wanted[key]
            empty = TensorEntry(key, spec.dtype, (), (), 0, None)
            value = self.variance if key.endswith("running_var") else 0.0
            entry = computed(empty, Filled(value), (), spec.shape)
            after.setdefault(last.get(key.rpartition(".")[0]), []).append(entry)
        entries: list[TensorEntry] = []
        for key, entry in state_dict.items():
            entries += [entry, *after.get(key, ())]
        entries += after.get(None, ())
        sentence = f"{counted(len(missing), 'statistic')} of BatchNorm added at their defaults."
        if self.variance != VARIANCE:
            statistics = counted(len(missing), "statistic")
            sentence = f"{statistics} of BatchNorm added: mean 0, variance {self.variance}."
        if not missing:
            sentence = "No BatchNorm statistic is missing."
        added = StateDict(entries, state_dict.path, state_dict.versions) if missing else state_dict
        return added, Effect(len(missing), 0, sentence)

    def script(self) -> ScriptPart:
        variance = "" if self.variance == VARIANCE else f", {self.variance!r}"
        call = f"state_dict = add_batch_statistics(state_dict, model.state_dict(){variance})"
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
    state_dict: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], variance: float = 1.0
) -> dict[str, torch.Tensor]:
    """The state_dict with the BatchNorm statistics that it lacks: mean 0, and this variance."""
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
            value = variance if added.endswith("running_var") else 0
            result[added] = torch.full_like(wanted[added], value)
    return result
