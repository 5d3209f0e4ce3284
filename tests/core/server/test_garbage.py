"""Garbage goes in the idle, whatever people do."""

import gc
import time
import tomllib
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.server.garbage import IdleCollector, keep_what_is_loaded
from tests.waiting import PATIENCE, wait_until


class Knot:
    """Refers to itself: only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def old_knot() -> "weakref.ref[Knot]":
    """One that collections of young objects no longer look at."""
    knot = Knot()
    gc.collect()
    return weakref.ref(knot)


@pytest.fixture
def by_hand() -> Iterator[None]:
    """Python collects only what is asked for."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def collector(request: pytest.FixtureRequest, by_hand: None) -> Iterator[IdleCollector]:
    quiet, longest = request.param
    collector = IdleCollector(quiet, longest)
    collector.start()
    yield collector
    collector.stop()


@pytest.mark.parametrize("collector", [(0.01, 3600.0)], indirect=True)
@pytest.mark.usefixtures("collector")
def test_what_work_left_goes_once_there_is_no_more() -> None:
    gone = old_knot()
    gc.collect(0)  # as Python does where objects are made
    wait_until(lambda: gone() is None)


@pytest.mark.parametrize("collector", [(0.01, 0.0)], indirect=True)
@pytest.mark.usefixtures("collector")
def test_it_goes_though_work_never_ends() -> None:
    gone = old_knot()
    deadline = time.monotonic() + PATIENCE
    while gone() is not None and time.monotonic() < deadline:
        gc.collect(0)
    assert gone() is None


@pytest.mark.parametrize("collector", [(0.001, 3600.0)], indirect=True)
@pytest.mark.usefixtures("collector")
def test_nothing_is_looked_at_while_there_is_no_work() -> None:
    full: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2:
            full.append(phase)

    def quiet() -> bool:
        full.clear()
        time.sleep(0.05)  # fifty chances
        return not full

    gc.disable()  # no work from here on: what was done before may be looked at once more
    gc.callbacks.append(note)
    try:
        wait_until(quiet)
    finally:
        gc.callbacks.remove(note)
        gc.enable()


def test_what_is_loaded_is_not_looked_at_again() -> None:
    knot = Knot()
    keep_what_is_loaded()
    try:
        assert gc.get_freeze_count() > 0
        assert not any(each is knot for each in gc.get_objects())
    finally:
        gc.unfreeze()


def test_streamlit_leaves_collecting_to_us() -> None:
    config = tomllib.loads((Path(__file__).parents[3] / ".streamlit/config.toml").read_text())
    assert config["runner"]["postScriptGC"] is False
