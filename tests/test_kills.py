"""A few of the kills of benchmarks/kills.py."""

from pathlib import Path

import pytest

from benchmarks.kills import measured

pytestmark = pytest.mark.slow


def test_a_killed_server_loses_nothing_acknowledged_and_leaves_nothing_half_made(
    tmp_path: Path,
) -> None:
    counts = measured(4, tmp_path)
    assert counts.pop("kills") == 4
    assert counts.pop("half-made files at the kill") > 0
    assert counts.pop("uploads cut off") > 0
    assert counts.pop("files acknowledged", 0) + counts.pop("sets acknowledged", 0) > 0
    assert set(counts.values()) == {0}, counts
