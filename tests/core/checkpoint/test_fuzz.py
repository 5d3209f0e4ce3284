"""A slice of `python -m tests.fuzz`: whatever is changed in a file, it opens or is refused."""

from pathlib import Path

import pytest

from tests.fuzz.run import run
from tests.fuzz.seeds import SEEDS

pytestmark = pytest.mark.slow

FILES = 630


def test_a_mutated_file_opens_or_is_refused_in_a_sentence(tmp_path: Path) -> None:
    summary = run(FILES, seed=0, folder=tmp_path)
    assert not [(finding.seed, finding.number, finding.what) for finding in summary.findings]
    seen = summary.opened + summary.refused
    assert set(seen) == set(SEEDS)
    assert seen.total() == FILES
    assert summary.opened.total() > FILES // 10
    assert summary.refused.total() > FILES // 3
