"""The repaired state_dict as a file: planned, written, read again."""

from core.export.export import export_state_dict
from core.export.sizes import ExportSize, ExportSizes, export_sizes
from core.export.verified import verify_export
from core.export.words import KEEPS, Export, Format, Keep, LeftOut

__all__ = [
    "KEEPS",
    "Export",
    "ExportSize",
    "ExportSizes",
    "Format",
    "Keep",
    "LeftOut",
    "export_sizes",
    "export_state_dict",
    "verify_export",
]
