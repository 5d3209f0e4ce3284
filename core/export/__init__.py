"""The repaired state_dict as a file: planned, written, read again."""

from core.export.export_check import verify_export
from core.export.export_plan import ExportSize, ExportSizes, export_sizes
from core.export.exported import KEEPS, Export, Format, Keep, LeftOut
from core.export.exporter import export_state_dict

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
