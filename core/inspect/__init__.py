"""Facts about one checkpoint: what its bytes are used for, its modules, its safety, its checksums.

A Checkpoint goes in; small values and sentences come out. `verify` reads every byte and checks each
checksum that the format stores.
"""

from core.inspect.module_map import Tile, module_map
from core.inspect.modules import ModuleNode, lies_below, module_tree
from core.inspect.record_checks import RecordChecks
from core.inspect.safety import danger_sentence, safety_summary
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
    "ModuleNode",
    "RecordChecks",
    "Section",
    "Tile",
    "Verification",
    "danger_sentence",
    "lies_below",
    "module_map",
    "module_tree",
    "read_files",
    "safety_summary",
    "sections",
    "storage_note",
    "storages_note",
    "stored_bytes",
    "verification_summary",
    "verify",
]
