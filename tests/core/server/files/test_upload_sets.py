"""Which files are taken as one checkpoint."""

import pytest

from core.server.files.upload_sets import set_refusal


@pytest.mark.parametrize("names", [["x" * 300 + ".pth"], ["a.pth", "é" * 201 + ".pth"]])
def test_a_name_that_is_too_long_is_refused_as_such_and_not_for_its_ending(
    names: list[str],
) -> None:
    refusal = set_refusal(names)
    assert refusal is not None
    assert "characters, and at most 200 are taken" in str(refusal)
    assert len(str(refusal)) < 200


def test_an_ending_that_no_checkpoint_has_is_told() -> None:
    assert "has an ending that no checkpoint has" in str(set_refusal(["a.txt", "b.pth"]))
