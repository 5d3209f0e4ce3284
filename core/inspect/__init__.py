"""Facts about one checkpoint: what its bytes are used for, its modules, its safety, its checksums.

A Checkpoint goes in; small values and sentences come out. `verify` reads every byte and checks each
checksum that the format stores.
"""

from core.inspect.file_numbers import FileNumber, dtype_bytes, file_numbers
from core.inspect.module_map import Tile, module_map
from core.inspect.modules import ModuleNode, lies_below, module_tree
from core.inspect.record_checks import RecordChecks
from core.inspect.safety import danger_sentence, safety_summary
from core.inspect.stated_training import (
    StatedNumber,
    optimizer_words,
    stated_metrics,
    stated_step,
)
from core.inspect.storage import (
    Section,
    read_files,
    sections,
    storage_note,
    storages_note,
    stored_bytes,
)
from core.inspect.verification import Verification, verification_summary, verify

__all__ = [
    "FileNumber",
    "ModuleNode",
    "RecordChecks",
    "Section",
    "StatedNumber",
    "Tile",
    "Verification",
    "danger_sentence",
    "dtype_bytes",
    "file_numbers",
    "lies_below",
    "module_map",
    "module_tree",
    "optimizer_words",
    "read_files",
    "safety_summary",
    "sections",
    "stated_metrics",
    "stated_step",
    "storage_note",
    "storages_note",
    "stored_bytes",
    "verification_summary",
    "verify",
]
