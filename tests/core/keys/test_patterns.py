"""Patterns mean what Python's re means by them, and none of them can hold the server."""

import contextlib
import re
import resource
import threading
import warnings
from collections.abc import Callable
from fnmatch import translate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.checkpoint import StateDict, TensorEntry
from core.errors import FilterError, FixError
from core.fixes import (
    MAX_KEY,
    AddPrefix,
    Drop,
    Keep,
    Recipe,
    Rename,
    Step,
    StripPrefix,
)
from core.keys.filter import filter_entries
from core.keys.patterns import (
    SECONDS,
    Patience,
    PatternError,
    ReplacementError,
    TooCostlyError,
    found_in,
    replaced,
)
from core.recipe import apply_recipe, try_recipe
from core.wording import count

KEYS = [f"layer{i}.block{i}.downsample.conv.weight_orig" for i in range(5000)]
COSTLY = {
    "a repeat in a repeat": r"([\w.]+)+!",
    "alternatives that overlap": r"(?:(?:\w|\.)|(?:\w\w|\.))+!",
    "many repeats in a row": r".*" * 40 + "!",
    "repeats counted by the million": r"(?:(?:\w|\.){0,60000}){0,60000}!",
    "a glob written with plain repeats": "(?s:" + ".*[a-z.]" * 20 + ".*!)",
}
"""What keeps `re` busy for longer than anybody waits."""

LARGE = {
    "a repeat of repeats": r"(?:(?:(?:a{1000}){1000}){1000}){1000}",
    "a long count": r"(?:ab){20000000}x|y",
    "a set of all signs": "[^x]" * 200,
    "groups in groups": "(" * 90 + "a*" + ")*" * 90,
}
"""What other engines take seconds or gigabytes to compile."""


BOUND = 5 * SECONDS
"""CPU time within which each ends: what a pattern may take, and what a busy machine adds to it."""


def state_dict(*keys: str) -> StateDict:
    entries = [TensorEntry(key, "float32", (2,), (1,), 0, None) for key in keys or KEYS]
    return StateDict(entries)


def cpu_seconds(act: Callable[[], object]) -> float:
    """CPU time of this process and of those that it started and waited for."""

    def spent() -> float:
        used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(one.ru_utime + one.ru_stime for one in used)

    before = spent()
    act()
    return spent() - before


@pytest.fixture
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little time that what is seen of the bound is not the machine's business."""
    monkeypatch.setattr(Patience.__init__, "__defaults__", (0.1,))


@pytest.mark.usefixtures("_little_patience")
@pytest.mark.parametrize("pattern", COSTLY.values(), ids=COSTLY)
def test_a_pattern_that_never_ends_is_refused_in_a_sentence(pattern: str) -> None:
    def act() -> None:
        with pytest.raises(FixError, match="takes too long") as caught:
            apply_recipe(Recipe((Step(Rename(pattern, "x")),)), state_dict(*KEYS, "a." * 2000))
        assert caught.value.remedy

    assert cpu_seconds(act) < BOUND


@pytest.mark.parametrize("pattern", LARGE.values(), ids=LARGE)
def test_a_pattern_of_any_size_is_answered_in_time(pattern: str) -> None:
    def act() -> None:
        filter_entries(state_dict(), f"/{pattern}/")

    assert cpu_seconds(act) < BOUND


@pytest.mark.parametrize("make", [Keep, Drop])
def test_a_glob_of_many_stars_is_answered_in_time(make: type[Keep | Drop]) -> None:
    fix = make("*e" * 200 + "*!")
    kept = 0 if make is Keep else len(KEYS)
    assert len(apply_recipe(Recipe((Step(fix),)), state_dict()).state_dict) == kept


@pytest.mark.usefixtures("_little_patience")
def test_a_filter_that_never_ends_is_refused_in_a_sentence() -> None:
    with pytest.raises(FilterError, match="takes too long"):
        filter_entries(state_dict(), f"/{COSTLY['a repeat in a repeat']}/")
    with pytest.raises(FilterError, match="1\u202f000 is the most"):
        filter_entries(state_dict(), "w " * 501)


@pytest.mark.usefixtures("_little_patience")
@pytest.mark.parametrize("apply", [apply_recipe, try_recipe])
def test_all_steps_of_a_recipe_share_one_time(apply: Callable[..., object]) -> None:
    # So many that a time for each would be far beyond the bound.
    recipe = Recipe((Step(Keep(COSTLY["a repeat in a repeat"], "regex")),) * 300)

    def act() -> None:
        with contextlib.suppress(FixError):
            apply(recipe, state_dict())

    assert cpu_seconds(act) < BOUND


def test_other_threads_run_while_a_pattern_does() -> None:
    def match() -> None:
        with pytest.raises(TooCostlyError):
            found_in(COSTLY["a repeat in a repeat"], KEYS, Patience(0.5))

    thread = threading.Thread(target=match)
    thread.start()
    turns = 0
    while thread.is_alive():
        thread.join(0.005)
        turns += 1
    assert turns > 10


def test_a_pattern_that_fills_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.keys.patterns.MAX_MEMORY", 128 << 20)  # which is filled sooner
    key = "a" * 4000
    with pytest.raises(FixError, match="too much memory"):
        apply_recipe(Recipe((Step(Rename("(?=(.*))", r"\1" * 400)),)), state_dict(key))


@pytest.mark.parametrize("replacement", [r"\1\1", r"\g<0>\g<0>"])
def test_a_key_cannot_be_made_to_grow_without_end(replacement: str) -> None:
    recipe = Recipe((Step(Rename("(.+)", replacement)),) * 40)
    with pytest.raises(FixError, match=f"{count(MAX_KEY)} is the most"):
        apply_recipe(recipe, state_dict(*KEYS[:5]))


def test_all_keys_together_cannot_be_made_to_grow_without_end() -> None:
    many = state_dict(*(str(number) for number in range(20_000)))
    with pytest.raises(FixError, match="All keys together would have"):
        apply_recipe(Recipe((Step(AddPrefix("x" * 1000)),) * 4), many)


@pytest.mark.usefixtures("_little_patience")
def test_stripping_what_never_ends_is_refused_in_a_sentence() -> None:
    nested = "a." * 100_000 + "b." * 100_000 + "c"
    with pytest.raises(FixError, match="takes too long"):
        apply_recipe(Recipe((Step(StripPrefix("a.b.", anywhere=True)),)), state_dict(nested))


def test_a_recipe_of_many_steps_has_time_enough() -> None:
    steps = [Step(Rename(rf"^layer{i}\.(.*)$", rf"stage{i}.\1")) for i in range(40)]
    after = apply_recipe(Recipe(tuple(steps)), state_dict(*KEYS[:50])).state_dict
    assert sum(key.startswith("stage") for key in after) == 40


TEXTS = ["aab", "a{e<=1}", "a]", "b", ":]", "A{x}", "a\u0300 \x1c\xb2", "a\n", "", "\ud800", "ẞſ"]


@pytest.mark.parametrize(
    "pattern",
    [r"a{e<=1}", r"[[:alpha:]]", r"a{,2}", r"a{,}", r"[]a]", r"[a&&b]", r"(?i)S", r"(?P<n>a)(?P=n)",
     r"(?<=a)b", r"^a|b$", r"\b\w", r"\s+", r"\d", r"\Z", r"(?>a+)b", r"(a)?(?(1)b|c)", r"x*"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Possible")
def test_a_pattern_finds_what_re_finds(pattern: str) -> None:
    expected = {text for text in TEXTS if re.search(pattern, text)}
    assert found_in(pattern, TEXTS, Patience()) == expected
    new = [re.sub(pattern, r"<\g<0>>", text) for text in TEXTS]
    assert replaced(pattern, r"<\g<0>>", TEXTS, Patience()) == new


@settings(max_examples=40)
@given(some.text("ab.[]{}:\\()|*+?^$0123456789,<>=-", max_size=14))
def test_whatever_is_typed_means_what_it_means_to_re(pattern: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        try:
            meant = re.compile(pattern)
        except (re.error, OverflowError):
            with pytest.raises(PatternError):
                found_in(pattern, TEXTS, Patience())
            return
    expected = {text for text in TEXTS if meant.search(text)}
    assert found_in(pattern, TEXTS, Patience()) == expected


@pytest.mark.parametrize(
    "replacement", [r"\1\g<1>", r"\g<name>", r"\n", r"\q", r"\2", r"\g<other>", r"\x41", "\\", "ü"]
)
def test_a_replacement_says_what_re_says(replacement: str) -> None:
    pattern = "(?P<name>a)"
    try:
        expected = re.sub(pattern, replacement, "bab")
    except (re.error, IndexError):
        with pytest.raises(ReplacementError):
            replaced(pattern, replacement, ["bab"], Patience())
        return
    assert replaced(pattern, replacement, ["bab"], Patience()) == [expected]


def test_a_translated_glob_is_a_pattern() -> None:
    assert found_in(rf"\A{translate('*.b?')}", ["a.bc", "a.b", "x.a.bd"], Patience()) == {
        "a.bc",
        "x.a.bd",
    }
