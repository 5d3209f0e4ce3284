"""The Load part of Fit: its switches, their effect, and how fast the bytes came."""

from core.server import SlotState, bench_from_query
from pages.components.resources import model_pool
from tests.pages.test_fit import (  # noqa: F401  # fresh_server holds for this module too
    SHUFFLENET,
    STRIP,
    diff,
    fit_page,
    fresh_server,
    link,
    load,
    press_next,
    words,
)


def test_a_switch_is_kept_in_the_link_and_its_effect_is_told():
    at = fit_page(SlotState("sample:final", None, SHUFFLENET, STRIP))
    at.toggle(key="fit-A-channels_last").set_value(True).run()
    assert not at.exception
    assert bench_from_query(link(at)).a.channels_last
    load(at, press_next)
    assert "B/s" in diff(at)
    told = [each.value.replace("\\", "") for each in at.markdown]
    effect = next(each for each in told if each.startswith("channels_last: "))
    assert " → " in effect
    assert [request.channels_last for request in model_pool().resident()] == [True]


def test_a_model_with_another_switch_is_another_model():
    load(fit_page(SlotState("sample:final", None, SHUFFLENET, STRIP)), press_next)
    switched = SlotState("sample:final", None, SHUFFLENET, STRIP, channels_last=True)
    load(fit_page(switched), press_next)
    assert model_pool().loads == 2
