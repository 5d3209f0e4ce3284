"""A comparison as text for programs: CSV, JSON, a summary like `git diff --stat`, git's
textconv.
"""

from core.compare.texts.csv_rows import comparison_csv, run_csv
from core.compare.texts.json_rows import comparison_json
from core.compare.texts.stat import same_words, stat_lines
from core.compare.texts.textconv import text_lines

__all__ = ["comparison_csv", "comparison_json", "run_csv", "same_words", "stat_lines", "text_lines"]
