"""Garbage goes in the idle, whatever people do."""

import gc
import tomllib
import weakref
from pathlib import Path

from core.server.garbage import IdleCollector, keep_what_is_loaded

ENOUGH = 60.0


class Knot:
    def __init__(self) -> None:
        self.itself = self


def test_a_cycle_goes_once_scripts_rest() -> None:
    collector = IdleCollector(quiet=0.01)
    gc.disable()
    try:
        gone = weakref.ref(Knot())
        collector.ran()
        assert collector.wait_for_collection(1, ENOUGH)
        assert gone() is None
    finally:
        gc.enable()


def test_a_cycle_goes_though_scripts_never_rest() -> None:
    collector = IdleCollector(quiet=3600.0, longest=0.05)
    collector.ran()
    assert collector.wait_for_collection(1, ENOUGH)
    collector.ran()
    assert collector.wait_for_collection(2, ENOUGH)


def test_nothing_is_collected_while_nothing_runs() -> None:
    collector = IdleCollector(quiet=0.0)
    collector.ran()
    assert collector.wait_for_collection(1, ENOUGH)
    assert not collector.wait_for_collection(2, timeout=0.1)


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
