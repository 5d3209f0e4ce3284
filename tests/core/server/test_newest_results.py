"""The newest results are kept, and the one that was asked for longest ago goes first."""

from core.server.newest_results import NewestResults


def test_the_result_that_was_asked_for_longest_ago_goes_first() -> None:
    kept: NewestResults[int] = NewestResults(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)


def test_a_newer_result_takes_the_place_of_the_old_one() -> None:
    kept: NewestResults[int] = NewestResults(2)
    kept.put("a", 1)
    kept.put("a", 2)
    kept.put("b", 3)
    assert (kept.get("a"), kept.get("b")) == (2, 3)
