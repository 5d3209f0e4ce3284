"""What would be written, before a byte of it is."""

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


def planned(
    state_dict: StateDict, format: Format, keep: Keep, checkpoint: Checkpoint | None
) -> tuple[PthPlan | SafetensorsPlan, KeptData]:
    """The plan of a file, and what is in it beside the weights.

    Raises StoreError where there is no tensor, or the format does not take it, ValueError for a
    choice that needs the checkpoint and has none.
    """
    if not state_dict:
        raise StoreError(
            "No tensor is left to write: the recipe drops them all.",
            "Switch off the step that drops what is to stay.",
        )
    if keep != "weights" and checkpoint is None:
        raise ValueError(f"keep={keep!r} needs the checkpoint that the state_dict is from")
    if format == "safetensors":
        texts: dict[str, str] = {}
        kept = weights_alone(state_dict)
        if keep == "all":
            raise StoreError(
                "A .safetensors holds tensors and texts, and no training's whole state.",
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
"""What the parts of a checkpoint are called in a sentence."""


@dataclass(frozen=True, slots=True)
class ExportSize:
    """What one choice weighs in bytes, as the file would be written, and what it leaves out."""

    nbytes: int
    kept: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class ExportSizes:
    """The source's bytes, and each choice's; a choice that the format does not take is missing,
    and `refused` has its sentence.

    `beside` are the bytes that the source keeps for tensors of which the weights need none, by
    the role of their state_dict.
    """

    source: int
    choices: Mapping[Keep, ExportSize]
    refused: Mapping[Keep, str]
    beside: Mapping[str, int]

    def sentence(self, keep: Keep) -> str:
        """`Strips 2.1 GB of optimizer state: 2.9 GB → 0.8 GB.`"""
        if keep not in self.choices:
            return self.refused[keep]
        stripped = [
            f"{size(nbytes)} of {ROLES[role]}" for role, nbytes in self.beside.items() if nbytes
        ]
        sizes = f"{size(self.source)} → {size(self.choices[keep].nbytes)}."
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
    """What each choice for a checkpoint's repaired state_dict would weigh, before it is written.

    Exact for files of less than 4 GiB. Reads no tensor. Raises StoreError where the format takes
    none of the choices.
    """
    choices: dict[Keep, ExportSize] = {}
    refused: dict[Keep, StoreError] = {}
    for keep in keeps:
        try:
            plan, kept = planned(state_dict, format, keep, checkpoint)
        except StoreError as error:
            refused[keep] = error
        else:
            choices[keep] = ExportSize(plan.nbytes, kept.names, kept.left_out)
    if not choices:
        raise refused[keeps[0]]
    told = {keep: str(error) for keep, error in refused.items()}
    return ExportSizes(checkpoint.size, choices, told, _beside(state_dict, checkpoint))


def _beside(state_dict: StateDict, checkpoint: Checkpoint) -> dict[str, int]:
    """Each record once, with the first role that uses it; the largest role first."""
    seen = {
        (id(record.source), record.offset, record.name)
        for entry in state_dict.values()
        for record in entry.records
    }
    found: dict[str, int] = {}
    for path, other in checkpoint.state_dicts.items():
        role = checkpoint.roles[path]
        for entry in other.values():
            for record in entry.records:
                place = id(record.source), record.offset, record.name
                if place not in seen:
                    seen.add(place)
                    found[role] = found.get(role, 0) + record.nbytes
    return dict(sorted(found.items(), key=lambda item: -item[1]))
