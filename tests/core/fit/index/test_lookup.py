"""A lookup counts the pairs of key and shape that a file and a profile have in common."""

from collections import Counter

import numpy as np
import pytest

from core.architectures import Architecture, TensorSpec
from core.fit.index import lookup as lookup_module
from core.fit.index.index import Index, IndexedModel, Variation, make_index
from core.fit.index.lookup import ANY, Lookup


@pytest.fixture(scope="module")
def index() -> Index:
    """Models of random layers, some of which a number of classes changes or an option removes."""
    draw = np.random.default_rng(0)
    models = []
    for number in range(20):
        keys = [f"layer{key}.weight" for key in sorted(draw.choice(12, 8, replace=False))]
        signature = {
            key: TensorSpec((int(draw.integers(1, 4)), 2), "float32", "parameter") for key in keys
        }
        signature["bn.num_batches_tracked"] = TensorSpec((), "int64", "buffer")
        added = {"aux.weight": TensorSpec((5, 5), "float32", "parameter")}
        variations = (
            Variation("num_classes", 10, 37, {keys[-1]: (37, 2)}, (keys[0],), {}),
            Variation("aux_logits", 0, 1, {}, (), added if number % 2 else {}),
        )
        models.append(IndexedModel(Architecture("timm", f"model{number}"), signature, variations))
    return make_index({}, models)


@pytest.mark.parametrize("at_once", [1, 100, 1 << 20])
def test_agreements_are_counted_one_by_one(
    index: Index, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_module, "COUNTS_AT_ONCE", at_once)
    lookup = Lookup(index)
    draw = np.random.default_rng(1)
    names = [*(f"layer{key}.weight" for key in range(12)), "aux.weight"]
    file = [
        (names[draw.integers(len(names))], (int(draw.integers(1, 4)), 2), int(place))
        for place in draw.integers(0, 9, 60)
    ]
    wanted: Counter[tuple[str, int]] = Counter()
    more: Counter[tuple[str, int]] = Counter()
    for model in index.models:
        (reshaped,), (gone,) = model.variations[0].shapes, model.variations[0].gone
        for key, shape, place in file:
            cell = model.architecture.name, place
            if key in model.variations[1].added:
                more[cell] += 1
            elif key in model.signature and (
                key == reshaped or model.signature[key].shape == shape
            ):
                (more if key == gone else wanted)[cell] += 1
    pairs, places = [], []
    for key, shape, place in file:
        for number in (lookup.shape_ids.get(shape), ANY):
            if number is not None:
                pairs.append(lookup.pair(lookup.key_ids[key], number))
                places.append(place)
    found = lookup.agreements(pairs, places)
    names = [lookup.profile(row).architectures[0].name for row in found.rows.tolist()]
    cells = list(zip(names, found.places.tolist(), strict=True))
    assert dict(zip(cells, found.always.tolist(), strict=True)) == dict(wanted)
    assert found.optional.tolist() == [more[cell] for cell in cells]
    assert {int(size) for size in lookup.sizes} == {7}


def test_nothing_in_common_is_no_agreement(index: Index) -> None:
    lookup = Lookup(index)
    assert not len(lookup.agreements([], []).rows)
    counter = lookup.pair(lookup.key_ids["bn.num_batches_tracked"], lookup.shape_ids[()])
    assert not len(lookup.agreements([counter], [0]).rows)
