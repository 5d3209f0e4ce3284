"""How the sentence on a comparison reads: its numbers, its limits, what it leaves unsaid."""

import math

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.comparison import Pair, PairedBy, Pairing, State
from core.compare.numbers.measure import difference
from core.compare.overall_numbers import overall
from core.compare.pairing import entry_views as views
from core.compare.rows import compare
from core.compare.verdict.change_kinds import Kind
from core.compare.verdict.judgement import change_sentence, verdict
from core.inspect import RecordChecks
from core.wording import cosine, percent, small


@pytest.fixture
def saved(tmp_path):
    """Save tensors as torch does, and give the state_dict that is read back."""
    made = iter(range(100))

    def save(tensors):
        path = tmp_path / f"{next(made)}.pth"
        torch.save(tensors, path)
        return open_checkpoint(path).state_dict()

    return save


def measured(rows):
    moved = [row for row in rows if row.state in (State.CHANGED, State.RECAST)]
    return {row.key: difference(row.a, row.b) for row in moved}


def network(**changes) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    layers = {f"layer{i}.weight": torch.randn(40, 40) for i in range(4)}
    return {**layers, "fc.weight": torch.randn(10, 40), "fc.bias": torch.randn(10), **changes}


@pytest.mark.parametrize(
    ("share", "reads"),
    [
        (0.0, "0\u202f%"),
        (1e-9, "under 0.1\u202f%"),
        (0.00099, "under 0.1\u202f%"),
        (0.0323, "3.2\u202f%"),
        (0.0996, "10\u202f%"),
        (0.301, "30\u202f%"),
        (0.9949, "99.5\u202f%"),
        (0.99999, "over 99.9\u202f%"),
        (1.0, "100\u202f%"),
        (1.0004, "over 100\u202f%"),
        (1.41, "141\u202f%"),
    ],
)
def test_a_percentage_reads_0_or_100_only_where_it_is_exact(share, reads):
    assert percent(share) == reads


def test_small_numbers_and_cosines_are_short():
    assert [small(x) for x in (3.42e-7, 0.0123, 2.0)] == ["3.4e-7", "0.012", "2"]
    found = [cosine(x) for x in (0.99949, 0.99999, 0.42, 0.001, -0.001, -0.3)]
    assert found == ["0.9995", "over 0.9999", "0.42", "0.00", "0.00", "−0.30"]


def test_without_all_numbers_nothing_is_said_that_needs_them(saved):
    other = {key: value * 1.01 for key, value in network().items()}
    rows = compare(saved(network()), saved(other)).rows
    numbers = measured(rows)
    assert change_sentence(rows, numbers).startswith("B is A scaled: ")
    numbers.pop("layer2.weight")
    assert change_sentence(rows, numbers) == "Same names and shapes, every tensor changed."
    assert change_sentence(rows) == "Same names and shapes, every tensor changed."


def test_nan_goes_first_and_only_where_it_is_news(saved):
    a, b = network(), network()
    for weights in (a, b):
        weights["layer0.weight"][0, 0] = float("nan")
    b["layer0.weight"][1, :3] = float("nan")
    b["layer2.weight"][0, :2] = float("inf")
    rows = compare(saved(a), saved(b)).rows
    found = verdict(rows, measured(rows))
    assert found.kind is Kind.NOT_FINITE
    assert found.sentence.startswith(
        "B contains 3 NaN and 2 infinities that A does not, in 2 tensors, first in layer0.weight. "
    )
    back = compare(saved(b), saved(a)).rows
    assert verdict(back, measured(back)).kind is not Kind.NOT_FINITE


def test_nan_of_a_part_of_the_numbers_is_no_total(saved):
    b = {key: torch.full_like(value, float("nan")) for key, value in network().items()}
    rows = compare(saved(network()), saved(b)).rows
    numbers = measured(rows)
    numbers.pop("layer0.weight")
    assert change_sentence(rows, numbers).startswith("B contains at least 5\u202f210 NaN")


def test_there_are_never_more_than_three_sentences(saved):
    b = network(**{"new.weight": torch.ones(2)})
    b["layer0.weight"] = b["layer0.weight"] + 1
    b["layer1.weight"] = b["layer1.weight"] * float("nan")
    a = network(**{"old.weight": torch.ones(3)})
    rows = compare(saved(a), saved(b)).rows
    sentence = change_sentence(rows, measured(rows))
    assert sentence.count(". ") == 2
    assert sentence.endswith("1 tensor only in A: old.weight; 1 tensor only in B: new.weight.")


def test_other_bytes_of_the_same_values_are_said_so(saved):
    rows = compare(saved({"w": torch.zeros(3)}), saved({"w": -torch.zeros(3)})).rows
    found = verdict(rows, measured(rows))
    assert found.kind is Kind.NUMERICALLY_SAME
    assert found.sentence == (
        "Numerically the same: the one tensor has different bytes for the same values."
    )


def by_hand(a, b, *pairs: Pair):
    return compare(a, b, Pairing(pairs, (), (), ()), checks=RecordChecks())


def test_renamed_tensors_are_the_same_weights(saved):
    a = saved({"layer.weight": torch.ones(2, 3), "layer.bias": torch.ones(2)})
    b = saved({"block.weight": torch.ones(2, 3), "layer.bias": torch.ones(2)})
    found = by_hand(
        a,
        b,
        Pair("layer.weight", a["layer.weight"], b["block.weight"], PairedBy.CONTENT),
        Pair("layer.bias", a["layer.bias"], b["layer.bias"], PairedBy.NAME),
    )
    assert verdict(found.rows).kind is Kind.REARRANGED
    assert found.sentence == (
        "The same weights, renamed: 1 tensor under another key, such as layer.weight, now "
        "block.weight; the other tensor keeps its key."
    )


def test_joined_and_transposed_tensors_are_the_same_weights(saved):
    q, k, out = torch.randn(4, 4), torch.randn(4, 4), torch.randn(4, 4)
    a = saved({"q": q, "k": k, "out": out})
    b = saved({"qk": torch.cat([q, k]), "out": out.T.contiguous()})
    found = by_hand(
        a,
        b,
        Pair("q", a["q"], views.rows(b["qk"], 0, 4), PairedBy.CONTENT, view_b="[0:4]"),
        Pair("k", a["k"], views.rows(b["qk"], 4, 8), PairedBy.CONTENT, view_b="[4:8]"),
        Pair(
            *("out", a["out"], views.transposed(b["out"]), PairedBy.NAME),
            view_b="transposed",
            transposed=True,
        ),
    )
    assert found.sentence == (
        "The same weights, laid out differently: 1 tensor transposed; 2 tensors of A joined into 1 "
        "of B."
    )


def test_batchnorm_variances_do_not_drown_the_weights(saved):
    a = network(**{"bn.running_var": torch.full((8,), 1e6)})
    b = network(**{"bn.running_var": torch.full((8,), 2e6)})
    b["layer0.weight"] = a["layer0.weight"] * 1.5
    rows = compare(saved(a), saved(b)).rows
    whole = overall(rows, measured(rows))
    assert whole.relative_l2 == pytest.approx(0.5)
    assert not whole.whole
    assert overall(rows, {}) is None


def test_a_single_changed_tensor_is_told_with_its_distance(saved):
    b = network()
    b["layer1.weight"] = b["layer1.weight"] + torch.randn(40, 40) * 0.1
    rows = compare(saved(network()), saved(b)).rows
    sentence = change_sentence(rows, measured(rows))
    assert sentence.startswith("B differs from A in 1 of 6 tensors: layer1.weight; its weights ")
    assert "moved by 10\u202f% of their norm (relative L2; cosine 0.995" in sentence


def test_identical_is_not_said_of_tensors_without_data(saved):
    weights = saved({"w": torch.empty(3, device="meta"), "v": torch.ones(2)})
    assert compare(weights, weights).sentence == (
        "All 2 tensors have the same names, shapes and dtypes; some of them have no data."
    )


def test_an_infinity_that_changed_its_sign_is_infinite_in_both(saved):
    rows = compare(*(saved({"w": torch.tensor([1.0, end])}) for end in (math.inf, -math.inf))).rows
    assert verdict(rows, measured(rows)).sentence.startswith(
        "B differs from A only in elements that are NaN or infinite in A or in B, in "
    )
