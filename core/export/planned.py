"""What would be written, before a byte of it is."""

from __future__ import annotations

from core.checkpoint import Checkpoint, StateDict
from core.errors import StoreError
from core.export.kept import Kept, metadata_texts, weights_alone, whole_tree, with_metadata
from core.export.pth_file import PthPlan, plan_pth
from core.export.safetensors_file import SafetensorsPlan, plan_safetensors
from core.export.words import Format, Keep


def planned(
    state_dict: StateDict, format: Format, keep: Keep, checkpoint: Checkpoint | None
) -> tuple[PthPlan | SafetensorsPlan, Kept]:
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
