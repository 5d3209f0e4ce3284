"""Embeddings of images are compared by their cosines, as torch computes them."""

import pytest
import torch

from core.predict import Prediction, similarity
from core.predict.answers import EmbeddingRow, HeadAnswer


def embedded(values):
    value = None if values is None else EmbeddingRow(values)
    return Prediction("x", (), (), 0.0, heads=(HeadAnswer("", "embedding", "", 4, value),))


def test_the_cosines_are_torchs_and_the_nearest_pair_is_first():
    torch.manual_seed(0)
    rows = torch.randn(5, 64)
    rows[3] = 2 * rows[1] + 0.1 * rows[0]
    found = similarity([embedded(row) for row in rows])
    expected = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    assert torch.tensor(found.cosines).allclose(expected, atol=1e-6)
    assert (found.pairs[0].first, found.pairs[0].second) == (1, 3)
    assert len(found.pairs) == 10
    assert [pair.cosine for pair in found.pairs] == sorted(
        (pair.cosine for pair in found.pairs), reverse=True
    )


def test_an_image_without_an_embedding_or_with_one_of_length_0_has_no_cosine():
    ones = torch.ones(4)
    found = similarity([embedded(ones), embedded(None), embedded(torch.zeros(4)), embedded(-ones)])
    assert [row.count(None) for row in found.cosines] == [2, 4, 4, 2]
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.cosine) == (0, 3, pytest.approx(-1))
