"""A comparison as a spreadsheet reads it."""

import csv
import io

import torch

from core.checkpoint import open_checkpoint
from core.compare.numbers.measure import difference
from core.compare.rows import compare
from core.compare.texts.csv_rows import comparison_csv


def test_each_tensor_is_a_line_with_its_numbers(tmp_path):
    torch.save({"w": torch.ones(2, 3), "=cmd()": torch.ones(1)}, tmp_path / "a.pth")
    torch.save({"w": torch.full((2, 3), 3.0), "new": torch.ones(4).half()}, tmp_path / "b.pth")
    a, b = (open_checkpoint(tmp_path / name).state_dict() for name in ("a.pth", "b.pth"))
    found = compare(a, b)
    text = comparison_csv(found.rows, {"w": difference(a["w"], b["w"])})
    lines = {line["key"]: line for line in csv.DictReader(io.StringIO(text))}
    assert list(lines) == ["w", "new", "'=cmd()"]
    assert lines["w"]["state"] == "changed"
    assert lines["w"]["evidence"] == "checksum"
    assert (lines["w"]["shape_a"], lines["w"]["dtype_b"]) == ("2x3", "float32")
    assert float(lines["w"]["max_abs"]) == 2
    assert float(lines["w"]["relative_l2"]) == 2
    assert float(lines["w"]["changed_share"]) == 1
    assert int(lines["w"]["outside_tolerance"]) == 6
    assert (lines["w"]["pair"], float(lines["w"]["confidence"])) == ("name", 1)
    assert lines["new"]["max_abs"] == lines["new"]["pair"] == ""
    assert (lines["new"]["shape_a"], lines["new"]["dtype_b"]) == ("", "float16")
