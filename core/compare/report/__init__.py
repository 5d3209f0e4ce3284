"""A comparison as one HTML file, and the figures that the report and the pages share.

A Comparison with its numbers goes in; HTML that needs no network, or plotly figures, come out.
"""

from core.compare.report.depth_chart import DepthChart, depth_chart
from core.compare.report.figures import depth_figure, part_figure, scatter_figure
from core.compare.report.html_report import report_html
from core.compare.report.run_figures import row_figure, run_figure, small_lines

__all__ = [
    "DepthChart",
    "depth_chart",
    "depth_figure",
    "part_figure",
    "report_html",
    "row_figure",
    "run_figure",
    "scatter_figure",
    "small_lines",
]
