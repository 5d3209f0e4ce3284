"""Writes a state_dict as a file that torch.load or safetensors reads, and verifies the file."""

from __future__ import annotations

from pathlib import Path

from core.checkpoint import Checkpoint, StateDict
from core.export.element_writer import Counter
from core.export.export_check import verify_export
from core.export.export_plan import plan_export
from core.export.exported import Export, Format, Keep
from core.export.pth_writer import PthPlan, write_pth
from core.export.safetensors_writer import write_safetensors
from core.progress import Report, ignore
from core.writing import onto_disk, whole_file


def export_state_dict(
    state_dict: StateDict,
    path: Path,
    format: Format,
    *,
    progress: Report = ignore,
    keep: Keep = "weights",
    checkpoint: Checkpoint | None = None,
) -> Export:
    """Write `state_dict` to `path`, which appears only after the file is complete and verified.

    Memory is bounded whatever the size, but a tensor that a fix computes is in memory as a whole.
    In a .pth, keys that are the same tensor in the source share one storage, quantized, sparse and
    nested tensors stay as they are, and `_metadata` keeps the versions. A .safetensors stores each
    key's bytes, and dense tensors only.

    `keep` says what of `checkpoint`, the file that the state_dict is from, is written too.
    `weights`: nothing. `metadata`: the plain data that is not the state of a training, as
    `{"state_dict": ..., **data}` or as safetensors' texts. `all`: the whole tree with `state_dict`
    in its place, .pth only. `torch.load(weights_only=True)` reads each of them.
    `progress(done, total, key)` counts bytes written and read back, and may raise to cancel.

    Raises StoreError if the format or the disk cannot take the file, or if its bytes differ from
    what was written; SourceError and CheckpointError if the source cannot be read; ValueError if
    `keep` needs a checkpoint and there is none.
    """
    plan, kept = plan_export(state_dict, format, keep, checkpoint)
    counter = Counter(2 * plan.payload, progress)
    with whole_file(path) as (file, partial):
        if isinstance(plan, PthPlan):
            expected = write_pth(plan, file, counter)
        else:
            expected = write_safetensors(plan, file, counter)
        onto_disk(file)
        nbytes = file.tell()
        verify_export(partial, expected, counter)
    return Export(keep, expected.path, nbytes, len(state_dict), kept.names, kept.left_out)
