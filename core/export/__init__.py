"""Exports a repaired state_dict as a file: plans it, writes it, and reads it back.

`export_state_dict` takes a StateDict, a path and a format; the file appears complete or not at all.
It returns an Export that says what the file contains and what was left out. `export_sizes` gives
the size beforehand, and `verify_export` compares the file with what was to be written. Needs torch.
"""

from core.export.dropped_parts import dropped_parts
from core.export.export_check import verify_export
from core.export.export_plan import ExportSizes, export_sizes
from core.export.exported import KEEPS, Export, Format, Keep, LeftOut, by_part
from core.export.exporter import export_state_dict

__all__ = [
    "KEEPS",
    "Export",
    "ExportSizes",
    "Format",
    "Keep",
    "LeftOut",
    "by_part",
    "dropped_parts",
    "export_sizes",
    "export_state_dict",
    "verify_export",
]
