"""Plans an export: its contents and size, before a byte is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.checkpoint import Checkpoint, StateDict
from core.errors import StoreError
from core.export.exported import KEEPS, Format, Keep, LeftOut
from core.export.kept_data import KeptData, metadata_texts, weights_alone, whole_tree, with_metadata
from core.export.pth_writer import PthPlan, plan_pth
from core.export.safetensors_writer import SafetensorsPlan, plan_safetensors
from core.wording import size


def plan_export(
    state_dict: StateDict, format: Format, keep: Keep, checkpoint: Checkpoint | None
) -> tuple[PthPlan | SafetensorsPlan, KeptData]:
    """The plan of a file, and what it contains besides the weights.

    Raises StoreError if there is no tensor, the format cannot store one, or the rest of the file
    cannot be kept with the state_dict, and ValueError if `keep` needs a checkpoint and there is
    none.
    """
    if not state_dict:
        raise StoreError(
            "No tensor is left to write: the recipe drops them all.",
            "Switch off the step that drops too much.",
        )
    if keep != "weights" and checkpoint is None:
        raise ValueError(f"keep={keep!r} needs the checkpoint that the state_dict is from")
    if keep != "weights" and checkpoint is not None and state_dict.path in checkpoint.in_bytes:
        raise StoreError(
            f"{state_dict.path} is a checkpoint in the bytes of the file, which stay as they are: "
            "what is around it cannot be kept with it.",
            "Keep the weights alone (--keep weights on the command line).",
        )
    if format == "safetensors":
        texts: dict[str, str] = {}
        kept = weights_alone(state_dict)
        if keep == "all":
            raise StoreError(
                "A .safetensors stores tensors and texts, but not the whole state of a training.",
                "Export it as .pth, or keep the weights and the metadata.",
            )
        if keep == "metadata" and checkpoint is not None:
            texts, kept = metadata_texts(state_dict, checkpoint)
        return plan_safetensors(state_dict, texts), kept
    if checkpoint is None or keep == "weights":
        kept = weights_alone(state_dict)
    elif keep == "metadata":
        kept = with_metadata(state_dict, checkpoint)
    else:
        kept = whole_tree(state_dict, checkpoint)
    return plan_pth(kept.tree, state_dict, kept.path), kept


ROLES: Mapping[str, str] = {
    "optimizer": "optimizer state",
    "ema": "EMA weights",
    "model": "other weights",
    "other": "other tensors",
}
"""The roles of state_dicts in words."""


@dataclass(frozen=True, slots=True)
class ExportSize:
    """The bytes of a file with one choice of `keep`, what it keeps and what it leaves out."""

    nbytes: int
    kept: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class ExportSizes:
    """The bytes of the source file, and of the export for each choice of `keep`.

    A choice that the format does not allow is in `refused`, with a sentence that says why.
    `others` are the bytes in the source of tensors that the weights do not need, by the role of
    their state_dict; without those in byte strings, which are plain data to an export.
    """

    source: int
    choices: Mapping[Keep, ExportSize]
    refused: Mapping[Keep, str]
    others: Mapping[str, int]

    def sentence(self, keep: Keep) -> str:
        """The sizes in words: `Strips 2.1 GB of optimizer state: 2.9 GB → 0.8 GB.`"""
        if keep not in self.choices:
            return self.refused[keep]
        stripped = [
            f"{size(nbytes)} of {ROLES[role]}" for role, nbytes in self.others.items() if nbytes
        ]
        before, after = size(self.source), size(self.choices[keep].nbytes)
        sizes = f"{after}, as before." if before == after else f"{before} → {after}."
        if keep == "all" or not stripped:
            return sizes
        *others, last = stripped
        return f"Strips {', '.join(others)}{' and ' if others else ''}{last}: {sizes}"


def export_sizes(
    state_dict: StateDict,
    format: Format,
    checkpoint: Checkpoint,
    keeps: Sequence[Keep] = KEEPS,
) -> ExportSizes:
    """The size of the export for each choice of `keep`, before anything is written.

    Exact for files of less than 4 GiB. It reads no tensor. Raises StoreError if the format allows
    none of the choices.
    """
    choices: dict[Keep, ExportSize] = {}
    refused: dict[Keep, StoreError] = {}
    for keep in keeps:
        try:
            plan, kept = plan_export(state_dict, format, keep, checkpoint)
        except StoreError as error:
            refused[keep] = error
        else:
            choices[keep] = ExportSize(plan.nbytes, kept.names, kept.left_out)
    if not choices:
        raise refused[keeps[0]]
    sentences = {keep: str(error) for keep, error in refused.items()}
    return ExportSizes(checkpoint.size, choices, sentences, _others(state_dict, checkpoint))


def _others(state_dict: StateDict, checkpoint: Checkpoint) -> dict[str, int]:
    """The bytes of other state_dicts by role, the largest first.

    A record counts once, for the first role that uses it.
    """
    seen = {record.place for entry in state_dict.values() for record in entry.records}
    by_role: dict[str, int] = {}
    for path, other in checkpoint.state_dicts.items():
        if path in checkpoint.in_bytes:
            continue
        role = checkpoint.roles[path]
        for entry in other.values():
            for record in entry.records:
                if record.place not in seen:
                    seen.add(record.place)
                    by_role[role] = by_role.get(role, 0) + record.nbytes
    return dict(sorted(by_role.items(), key=lambda item: -item[1]))
