"""What the pool promises to sessions that share it, whatever the order of their threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from torch import nn

from core.architectures import Architecture
from core.errors import LoadError
from core.fit import Match
from core.load.loading import LoadedModel
from core.load.pool import ModelPool
from core.load.room import NoRoom

PATIENCE = 20.0
"""Seconds after which a thread that should have gone on is stuck."""


def model(nbytes: int = 100) -> LoadedModel:
    return LoadedModel(
        model=nn.Identity(),
        architecture=Architecture("torchvision", "resnet18"),
        device="cpu",
        dtype="float32",
        match=Match((), (), (), (), (), 1.0, 1.0),
        initialised=(),
        seconds=0.0,
        nbytes=nbytes,
    )


def use(pool: ModelPool, *keys: str, nbytes: int = 100) -> None:
    for key in keys:
        with pool.get(key, lambda: model(nbytes)):
            pass


def never() -> LoadedModel:
    raise AssertionError("a model that is here was loaded again")


def test_the_second_to_ask_gets_the_same_model_without_loading() -> None:
    pool = ModelPool(1_000)
    with pool.get("a", model) as first, pool.get("a", never) as second:
        assert first is second
    with pool.get("a", never) as third:
        assert third is first
    assert pool.loads == 1


def test_many_that_ask_at_once_share_one_load() -> None:
    pool = ModelPool(1_000)
    asking = threading.Barrier(8)
    entered = threading.Event()

    def load() -> LoadedModel:
        assert not entered.is_set()
        entered.set()
        return model()

    def ask() -> LoadedModel:
        asking.wait(PATIENCE)
        with pool.get("a", load) as loaded:
            return loaded

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(ask) for _ in range(8)]
        assert len({id(future.result(PATIENCE)) for future in futures}) == 1
    assert pool.loads == 1


def test_different_models_load_at_the_same_time() -> None:
    pool = ModelPool(1_000)
    together = threading.Barrier(2)

    def load() -> LoadedModel:
        together.wait(PATIENCE)  # passes only while the other one is loading too
        return model()

    def ask(key: str) -> None:
        with pool.get(key, load):
            pass

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(ask, key) for key in "ab"]:
            future.result(PATIENCE)
    assert set(pool.resident()) == {"a", "b"}


def test_over_its_bytes_the_model_used_longest_ago_goes_first() -> None:
    pool = ModelPool(300)
    use(pool, "a", "b", "c", "a")
    use(pool, "d")
    assert pool.resident() == ("c", "a", "d")
    assert pool.nbytes() == 300


def test_a_large_model_makes_as_many_others_go_as_it_needs() -> None:
    pool = ModelPool(300)
    use(pool, "a", "b", "c")
    use(pool, "large", nbytes=200)
    assert pool.resident() == ("c", "large")


def test_there_are_never_more_models_than_allowed() -> None:
    pool = ModelPool(1_000, max_models=2)
    use(pool, "a", "b", "c")
    assert pool.resident() == ("b", "c")


def test_a_model_in_use_stays_and_goes_once_it_is_given_back() -> None:
    pool = ModelPool(150)
    with pool.get("a", model):
        with pool.get("b", model):
            assert pool.resident() == ("a", "b")
        assert pool.resident() == ("a",)
        assert pool.nbytes() == 100


def test_a_model_with_two_users_stays_until_the_last_one_is_done() -> None:
    pool = ModelPool(50)
    with pool.get("a", model):
        with pool.get("a", never):
            pass
        assert pool.resident() == ("a",)
    assert pool.resident() == ()


def test_a_model_larger_than_the_pool_serves_who_asked_and_is_not_kept() -> None:
    pool = ModelPool(50)
    with pool.get("a", model) as loaded:
        assert loaded.nbytes == 100
    assert (pool.resident(), pool.nbytes()) == ((), 0)


def test_a_failed_load_raises_and_is_tried_again_the_next_time() -> None:
    pool = ModelPool(1_000)
    with pytest.raises(LoadError, match="No"), pool.get("a", failing):
        pass
    assert (pool.resident(), pool.loads) == ((), 0)
    use(pool, "a")
    assert (pool.resident(), pool.loads) == (("a",), 1)


def failing() -> LoadedModel:
    raise LoadError("No.")


def test_who_waits_for_a_load_that_fails_loads_itself() -> None:
    pool = ModelPool(1_000)
    loading, go_on = threading.Event(), threading.Event()

    def fails_later() -> LoadedModel:
        loading.set()
        assert go_on.wait(PATIENCE)
        return failing()

    def ask(load: Callable[[], LoadedModel]) -> LoadedModel:
        with pool.get("a", load) as loaded:
            return loaded

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, fails_later)
        assert loading.wait(PATIENCE)
        second = threads.submit(ask, model)
        go_on.set()
        assert isinstance(first.exception(PATIENCE), LoadError)
        assert second.result(PATIENCE).nbytes == 100
    assert pool.loads == 1


def test_an_error_of_who_uses_a_model_gives_it_back_and_keeps_it() -> None:
    pool = ModelPool(100)
    with pytest.raises(ZeroDivisionError), pool.get("a", model):
        raise ZeroDivisionError
    with pool.get("a", never):
        pass
    use(pool, "b")
    assert pool.resident() == ("b",)


def test_idle_models_make_way_on_a_device_without_room_and_others_stay() -> None:
    pool = ModelPool(1_000)
    use(pool, "a", "b")
    with pool.get("elsewhere", lambda: replace(model(), device="cuda:0")):
        pass
    tried: list[tuple[object, ...]] = []

    def load() -> LoadedModel:
        tried.append(pool.resident())
        if len(tried) == 1:
            raise NoRoom("cpu", 300, 100)
        return model()

    with pool.get("c", load) as loaded:
        assert loaded.nbytes == 100
    assert tried == [("a", "b", "elsewhere"), ("elsewhere",)]
    assert pool.resident() == ("elsewhere", "c")


def test_without_room_the_models_in_use_are_named() -> None:
    pool = ModelPool(10**10)

    def load() -> LoadedModel:
        raise NoRoom("cpu", 3 * 10**9, 10**9)

    with pool.get("a", lambda: model(2 * 10**9)), pool.get("b", lambda: model(10**9)):
        with pytest.raises(NoRoom) as caught, pool.get("c", load):
            pass
        assert pool.resident() == ("a", "b")
    assert caught.value.remedy == "Close the 2 other loaded models on cpu, with 3.00\u202fGB."
    with pytest.raises(NoRoom) as caught, pool.get("c", load):
        pass
    assert pool.resident() == ()
    assert caught.value.remedy == "Close what else uses its memory."
