"""Patterns mean what Python's re means by them, and none of them can hold the server."""

import contextlib
import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.checkpoint.entries import StateDict, TensorEntry
from core.errors import FilterError, FixError
from core.fixes import Drop, Fix, Keep, Recipe, Rename, Step, apply_recipe
from core.key_filter import filter_entries
from core.patterns import OutOfTimeError, Patience, Pattern, PatternError

KEYS = [f"layer{i}.block{i}.downsample.conv.weight_orig" for i in range(200)]
SLOW = r"^(\w|\.|\w\w)+[!?]"
"""What has more ways to fail on a key than anybody can wait for."""


def state_dict() -> StateDict:
    return StateDict([TensorEntry(key, "float32", (2,), (1,), 0, None) for key in KEYS])


@pytest.mark.parametrize("fix", [Rename(SLOW, "x"), Keep(SLOW, "regex"), Drop(SLOW, "regex")])
def test_a_fix_whose_pattern_never_ends_is_refused_in_time(fix: Fix) -> None:
    recipe = Recipe((Step(fix),) * 20)
    start = time.thread_time()
    with pytest.raises(FixError, match="takes too long"):
        apply_recipe(recipe, state_dict())
    assert time.thread_time() - start < 4


def test_a_filter_whose_pattern_never_ends_is_refused_in_time() -> None:
    start = time.thread_time()
    with pytest.raises(FilterError, match="takes too long"):
        filter_entries(state_dict(), f"/{SLOW}/")
    assert time.thread_time() - start < 4


@pytest.mark.parametrize(
    "pattern", [r"([\w.]+)+!", r"(a|a)*b", r"(\w+\s?)*$", "a?" * 30 + "a" * 30]
)
def test_what_python_takes_for_ever_over_is_answered_or_refused(pattern: str) -> None:
    with contextlib.suppress(OutOfTimeError):
        assert isinstance(Pattern(pattern, Patience(1)).found_in("layer1.conv" * 20), bool)


def test_other_threads_run_while_a_pattern_does() -> None:
    done = threading.Event()

    def match() -> None:
        with contextlib.suppress(OutOfTimeError):
            Pattern(SLOW, Patience(1.0)).found_in(KEYS[0])
        done.set()

    thread = threading.Thread(target=match)
    thread.start()
    turns = 0
    while not done.wait(0.005):
        turns += 1
    thread.join()
    assert turns > 20


def test_a_key_cannot_be_made_to_grow_without_end() -> None:
    recipe = Recipe((Step(Rename("(.+)", r"\1\1")),) * 40)
    with pytest.raises(FixError, match="characters"):
        apply_recipe(recipe, state_dict())


@pytest.mark.parametrize(
    "pattern",
    [r"a{e<=1}", r"[[:alpha:]]", r"[:alpha:]", r"a{2}", r"a{,2}", r"a{1,}", r"{", r"a{x}", r"\{2}",
     r"[]a]", r"[^]a]", r"(?i)A", r"(?P<n>a)(?P=n)", r"(?<=a)b", r"^a|b$", r"\bab\b", r"\Aab\Z"],
)  # fmt: skip
@pytest.mark.parametrize("text", ["aab", "a{e<=1}", "a]", "b", "ab", ":]", "A{x}", "a{2}", "{"])
@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_a_pattern_finds_what_re_finds(pattern: str, text: str) -> None:
    assert Pattern(pattern).found_in(text) is (re.search(pattern, text) is not None)
    assert Pattern(pattern).replacing(r"<\g<0>>")(text) == re.sub(pattern, r"<\g<0>>", text)


@given(
    some.text("ab.[]{}:\\()|*+?^$0123456789,<>=-", max_size=14), some.text("ab.{}[]:1", max_size=8)
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_whatever_is_typed_means_what_it_means_to_re(pattern: str, text: str) -> None:
    try:
        meant = re.compile(pattern)
    except (re.error, OverflowError):
        with pytest.raises(PatternError):
            Pattern(pattern)
        return
    assert Pattern(pattern).found_in(text) is (meant.search(text) is not None)


@pytest.mark.parametrize(
    "replacement", [r"\1\g<1>", r"\g<name>", r"\n", r"\q", r"\2", r"\x41", "\\"]
)
def test_a_replacement_says_what_re_says(replacement: str) -> None:
    pattern = "(?P<name>a)"
    try:
        expected = re.sub(pattern, replacement, "bab")
    except (re.error, IndexError):
        with pytest.raises(PatternError):
            Pattern(pattern).replacing(replacement)
        return
    assert Pattern(pattern).replacing(replacement)("bab") == expected
