"""The repaired state_dict as a file: planned, written, read again.

A StateDict as a recipe left it, a format and a path go in; the file appears whole or not at all,
and an Export tells what it holds and what was left out. `export_sizes` tells the size beforehand,
and `verify_export` reads the file again and compares it with what was meant. Needs torch.
"""

from core.export.export_check import verify_export
from core.export.export_plan import ExportSizes, export_sizes
from core.export.exported import KEEPS, Export, Format, Keep, LeftOut
from core.export.exporter import export_state_dict

__all__ = [
    "KEEPS",
    "Export",
    "ExportSizes",
    "Format",
    "Keep",
    "LeftOut",
    "export_sizes",
    "export_state_dict",
    "verify_export",
]
