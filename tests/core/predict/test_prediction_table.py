"""Predictions become rows that a chart can compare and a spreadsheet can read."""

import csv
from io import StringIO

from core.predict.prediction import Prediction
from core.predict.prediction_table import bars, predictions_csv

PETS = ("cat", "dog", "hen")
SURE = Prediction("a.png", (0, 2, 1), (0.9, 0.08, 0.02), 0.01, classes=3)
UNSURE = Prediction("a.png", (1, 0, 2), (0.5, 0.3, 0.2), 0.02, classes=3)


def test_one_models_bars_are_its_most_probable_classes():
    (row,) = bars({"A": SURE}, {"A": PETS}, k=2).values()
    assert [(bar.label, bar.probability) for bar in row] == [("cat", 0.9), ("hen", 0.08)]


def test_two_models_have_the_same_classes_in_the_same_order():
    both = bars({"A": SURE, "B": UNSURE}, {"A": PETS, "B": PETS}, k=1)
    assert [bar.label for bar in both["A"]] == [bar.label for bar in both["B"]] == ["cat", "dog"]
    assert [bar.probability for bar in both["A"]] == [0.9, 0.02]
    assert [bar.probability for bar in both["B"]] == [0.3, 0.5]


def test_a_class_that_the_other_model_does_not_know_has_no_bar_there():
    both = bars({"A": SURE, "B": UNSURE}, {"A": PETS, "B": ("ant", "bee", "cat")}, k=1)
    assert [(bar.label, bar.probability) for bar in both["B"]] == [("cat", 0.2), ("bee", 0.5)]
    assert both["A"][1].probability is None


def test_two_classes_of_one_name_stay_two_bars():
    prediction = Prediction("a.png", (2, 0), (0.6, 0.3), 0.01, classes=3)
    row = bars({"A": prediction}, {"A": ("crane", "heron", "crane")}, k=2)["A"]
    assert [(bar.label, bar.probability) for bar in row] == [("crane", 0.6), ("crane", 0.3)]


def test_a_picture_in_trouble_has_no_bars():
    broken = Prediction("a.png", (), (), 0.0, "The model's output is not a number.")
    both = bars({"A": broken, "B": UNSURE}, {"A": (), "B": PETS}, k=1)
    assert [bar.probability for bar in both["A"]] == [None]


def test_the_csv_has_a_row_a_picture_slot_and_rank():
    broken = Prediction("b.png", (), (), 0.0, "Too thin.")
    data = predictions_csv(
        {"A": (SURE, broken), "B": (UNSURE,)},
        {"A": PETS, "B": ('a "quoted", name', "dog", "hen")},
        {"A": "early.pth", "B": "final.pth"},
        k=2,
    )
    rows = list(csv.DictReader(StringIO(data.decode())))
    assert [(r["picture"], r["slot"], r["rank"], r["label"]) for r in rows] == [
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
