"""What a server has one of is made once, and made again only where making it failed."""

import threading

import pytest

from core.server.once import Once


def test_it_is_made_once_however_many_ask_at_the_same_time() -> None:
    calls: list[int] = []
    ready = threading.Barrier(8)

    @Once
    def thing() -> object:
        calls.append(1)
        return object()

    def ask() -> None:
        ready.wait(10)
        things.append(thing())

    things: list[object] = []
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(set(map(id, things))) == 1


def test_what_could_not_be_made_is_tried_again() -> None:
    answers = iter([ValueError("no folder yet"), 7])

    @Once
    def thing() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    with pytest.raises(ValueError, match="no folder yet"):
        thing()
    assert thing() == 7
    assert thing() == 7


def test_one_may_ask_for_another_while_it_is_made() -> None:
    first = Once(lambda: 2)
    second = Once(lambda: first() + 1)
    assert second() == 3
