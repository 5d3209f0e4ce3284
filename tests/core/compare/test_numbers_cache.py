"""What was measured once is known for the same contents, and for no others."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.numbers.measure import difference
from core.compare.numbers_cache import NumbersCache, contents_key
from core.compare.pairing.entry_views import transposed
from core.compare.tensor_numbers import ALLCLOSE, Tolerance
from tests.core.compare.views import cast
from tests.core.odd_tensors import ODD


@pytest.fixture
def entries(tmp_path):
    torch.save({"a": torch.randn(3, 4), "b": torch.randn(3, 4), **ODD}, tmp_path / "x.pth")
    return open_checkpoint(tmp_path / "x.pth").state_dict()


def test_numbers_are_known_again_by_contents_and_tolerance(entries):
    a, b = entries["a"], entries["b"]
    cache = NumbersCache()
    numbers = difference(a, b)
    cache.put((a, b), ALLCLOSE, numbers)
    renamed = replace(a, key="another", requires_grad=True)
    assert cache.known([(b, a), (a, b), (renamed, b)]) == {1: numbers, 2: numbers}
    assert cache.known([(a, b)], Tolerance(rtol=0.1)) == {}


def test_a_file_opened_again_is_known_until_it_changes(entries, tmp_path):
    path = tmp_path / "x.pth"
    again = open_checkpoint(path).state_dict()
    assert contents_key(entries["a"]) == contents_key(again["a"])
    torch.save({"a": torch.randn(3, 4)}, path)
    changed = open_checkpoint(path).state_dict()
    assert contents_key(entries["a"]) != contents_key(changed["a"])


def test_every_way_to_read_the_same_bytes_is_a_key_of_its_own(entries):
    a = entries["a"]
    views = [a, transposed(a), cast(a, "float16"), replace(a, storage_offset=1, shape=(2, 4))]
    assert len({contents_key(view) for view in [*entries.values(), *views]}) == len(entries) + 3


def test_a_full_cache_forgets_what_was_asked_for_longest_ago(entries):
    a, b = entries["a"], entries["b"]
    numbers = difference(a, b)
    cache = NumbersCache(most=2)
    cache.put((a, a), ALLCLOSE, numbers)
    cache.put((a, b), ALLCLOSE, numbers)
    cache.known([(a, a)])
    cache.put((b, b), ALLCLOSE, numbers)
    assert set(cache.known([(a, a), (a, b), (b, b)])) == {0, 2}
    assert len(cache) == 2


def test_many_threads_share_one_cache(entries):
    a, b = entries["a"], entries["b"]
    numbers = difference(a, b)
    cache = NumbersCache(most=5)
    pairs = [(replace(a, storage_offset=index), b) for index in range(9)]

    def use(index):
        cache.put(pairs[index % 9], ALLCLOSE, numbers)
        return all(found == numbers for found in cache.known(pairs).values())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(400)))
    assert len(cache) == 5
