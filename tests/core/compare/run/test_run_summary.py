"""What is told of a run is true, whatever happened in it: numpy on whole tensors says so too."""

import math
import random
import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.numbers.run_measure import measure_run

KEYS = [f"layer{block}.{name}" for block in range(3) for name in ("conv.weight", "bn.bias")]


def a_life(chance):
    """From two to eight state_dicts in which weights move, freeze, break, come, go, are reshaped
    and recast."""
    held = {key: np.array([chance.gauss(0, 1) for _ in range(6)], np.float32) for key in KEYS}
    states = []
    for _ in range(chance.randint(2, 8)):
        calm = chance.random() < 0.3
        for key in KEYS:
            event = "still" if calm else chance.choice(["move"] * 5 + ["still", "break", "recast"])
            event = chance.choice([event] * 12 + ["reshape", "mend"])
            value = held[key].copy()
            if event == "move":
                value = (value * (1 + chance.gauss(0, 0.1))).astype(value.dtype)
            elif event == "break" and chance.random() < 0.2:
                value[chance.randrange(len(value))] = chance.choice([math.nan, math.inf, -math.inf])
            elif event == "recast":
                value = value.astype(chance.choice([np.float16, np.float64, np.float32]))
            elif event == "reshape" and chance.random() < 0.3:
                value = value[: chance.randint(1, len(value))]
            elif event == "mend":
                value = np.nan_to_num(value, posinf=1, neginf=-1)
            held[key] = value
        states.append({key: held[key] for key in KEYS if chance.random() < 0.97})
    return states


def follow(folder, states):
    names = [f"epoch_{at}.pth" for at in range(len(states))]
    for name, state in zip(names, states, strict=True):
        torch.save({key: torch.from_numpy(value) for key, value in state.items()}, folder / name)
    return measure_run([open_checkpoint(folder / name).state_dict() for name in names], names)


def norm(value):
    return math.sqrt(math.fsum(value.astype(np.float64) ** 2))


def expected_norm(value):
    return None if value is None or not np.isfinite(value).all() else norm(value)


def expected_change(a, b):
    if a is None or b is None or a.shape != b.shape:
        return None
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    a, b = a.astype(np.float64), b.astype(np.float64)
    return norm(b - a) / norm(a) if norm(a) else math.inf


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one is other is None or one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_every_number_of_a_run_is_numpys(tmp_path, seed):
    states = a_life(random.Random(seed))
    run = follow(tmp_path, states)
    assert {row.key for row in run.rows} == set().union(*states)
    for row in run.rows:
        values = [state.get(row.key) for state in states]
        assert_close(row.norms, [expected_norm(value) for value in values])
        assert_close(row.changes, [expected_change(a, b) for a, b in pairwise(values)])
        for count, wrong in ((row.nans, np.isnan), (row.infs, np.isinf)):
            assert count == tuple(None if v is None else int(wrong(v).sum()) for v in values)


@pytest.mark.parametrize("seed", range(40))
def test_the_first_nan_and_where_nothing_changes_are_told_as_they_are(tmp_path, seed):
    states = a_life(random.Random(seed))
    run = follow(tmp_path, states)
    masks = {row.key for row in run.rows if row.lasting}
    odd = [
        [k for k, v in state.items() if not np.isfinite(v).all() and k not in masks]
        for state in states
    ]
    first = next((at for at, keys in enumerate(odd) if keys), None)
    if first is None:
        assert "NaN" not in run.sentence
        assert "Infinit" not in run.sentence
    else:
        hit, there = odd[first], len(states[first])
        nan = any(np.isnan(states[first][key]).any() for key in hit)
        assert run.sentence.startswith("NaN" if nan else "Infinities")
        assert ("already in the first checkpoint" in run.sentence) == (first == 0)
        assert f"epoch_{first}.pth, in " in run.sentence
        assert hit[0] in run.sentence
        many = "all" if len(hit) == there > 1 else str(len(hit))
        assert re.search(rf"\b{many}\b.* {there} tensors", run.sentence)
    free = re.search(r"epoch_(\d)\.pth is free of them again", run.sentence)
    if first is not None:
        clean = [at for at in range(first, len(states)) if not odd[at]]
        assert [int(at) for at in (free.groups() if free else ())] == clean[:1]
    still = re.search(r"Nothing changed from epoch_(\d)\.pth on", run.sentence)
    if still:
        kept = states[int(still[1]) :]
        assert all(a.keys() == b.keys() for a, b in pairwise(kept))
        assert all(expected_change(a[k], b[k]) == 0 for a, b in pairwise(kept) for k in a)
        assert not all(
            expected_change(value, kept[0].get(key)) == 0
            for key, value in states[int(still[1]) - 1].items()
        )


@pytest.mark.parametrize("seed", range(40))
def test_a_sentence_has_no_half_words(tmp_path, seed):
    told = follow(tmp_path, a_life(random.Random(seed))).sentence
    assert re.fullmatch(r"[A-Z].*\.", told)
    assert not re.search(r"None|\bnan\b|  |\.\.|; ;|\binf\b", told)
