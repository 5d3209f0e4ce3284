"""Predictions become rows that a chart can compare and a spreadsheet can read."""

import csv
from collections.abc import Mapping
from io import StringIO

from core.predict import Labels, Prediction, bars, predictions_csv, shared_classes

PETS = ("cat", "dog", "hen")
SURE = Prediction("a.png", (0, 2, 1), (0.9, 0.08, 0.02), 0.01, classes=3)
UNSURE = Prediction("a.png", (1, 0, 2), (0.5, 0.3, 0.2), 0.02, classes=3)


def bars_of(
    predictions: dict[str, Prediction], names: dict[str, tuple[str, ...]], k: int
) -> Mapping[str, list[tuple[str, float, float | None]]]:
    labels = {name: Labels(each, "test") for name, each in names.items()}
    found = bars(predictions, labels, shared_classes(labels), k)
    return {
        name: [(bar.label, bar.probability, bar.other) for bar in row]
        for name, row in found.items()
    }


def test_one_models_bars_are_its_most_probable_classes():
    (row,) = bars_of({"A": SURE}, {"A": PETS}, k=2).values()
    assert row == [("cat", 0.9, None), ("hen", 0.08, None)]


def test_each_model_has_its_own_classes_with_what_the_other_gives_them():
    both = bars_of({"A": SURE, "B": UNSURE}, {"A": PETS, "B": PETS}, k=2)
    assert both["A"] == [("cat", 0.9, 0.3), ("hen", 0.08, 0.2)]
    assert both["B"] == [("dog", 0.5, 0.02), ("cat", 0.3, 0.9)]


def test_a_class_that_the_other_model_does_not_know_has_no_value_there():
    both = bars_of({"A": SURE, "B": UNSURE}, {"A": PETS, "B": ("ant", "bee", "cat")}, k=1)
    assert both["A"] == [("cat", 0.9, 0.2)]
    assert both["B"] == [("bee", 0.5, None)]


def test_classes_that_cannot_be_compared_have_no_value_there():
    both = bars_of({"A": SURE, "B": UNSURE}, {"A": PETS, "B": ("ant", "bee", "eel")}, k=1)
    assert both == {"A": [("cat", 0.9, None)], "B": [("bee", 0.5, None)]}


def test_two_classes_of_one_name_stay_two_bars():
    prediction = Prediction("a.png", (2, 0), (0.6, 0.3), 0.01, classes=3)
    names = ("crane", "heron", "crane")
    both = bars_of({"A": prediction, "B": UNSURE}, {"A": names, "B": names}, k=2)
    assert both["A"] == [("crane", 0.6, 0.2), ("crane", 0.3, 0.3)]


def test_a_picture_in_trouble_has_no_bars():
    broken = Prediction("a.png", (), (), 0.0, "The model's output is not a number.")
    both = bars_of({"A": broken, "B": UNSURE}, {"A": PETS, "B": PETS}, k=1)
    assert both == {"A": [], "B": [("dog", 0.5, None)]}


def test_the_csv_has_a_row_a_picture_slot_and_rank():
    broken = Prediction("b.png", (), (), 0.0, "Too thin.")
    data = predictions_csv(
        {"A": (SURE, broken), "B": (UNSURE,)},
        {"A": PETS, "B": ('a "quoted", name', "dog", "hen")},
        {"A": "early.pth", "B": "final.pth"},
        k=2,
    )
    rows = list(csv.DictReader(StringIO(data.decode())))
    assert [(r["image"], r["slot"], r["rank"], r["label"]) for r in rows] == [
        ("a.png", "A", "1", "cat"),
        ("a.png", "A", "2", "hen"),
        ("b.png", "A", "", ""),
        ("a.png", "B", "1", "dog"),
        ("a.png", "B", "2", 'a "quoted", name'),
    ]
    assert float(rows[0]["probability"]) == 0.9
    assert rows[0]["file"] == "early.pth"
    assert rows[2]["remark"] == "Too thin."


def test_predictions_of_an_untrained_model_are_marked_in_the_csv():
    untrained = Prediction("a.png", (0,), (1.0,), 0.01, untrained=True, classes=1)
    data = predictions_csv({"A": (untrained,)}, {"A": ("cat",)}, {"A": "x.pth"}, k=1)
    assert data.decode().splitlines()[1].endswith("untrained")
