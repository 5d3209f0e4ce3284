"""An evaluation is what plain torch and scikit-learn find, in bounded memory."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from core.errors import ImageError, LabelsError, LoadError
from core.evaluate.evaluating import THREADS, class_count, evaluate
from core.evaluate.evaluation import Evaluation
from core.evaluate.image_sets import LabelledImage, labelled_images
from core.evaluate.meant_classes import MeantClasses, map_classes
from core.evaluate.paired_answers import paired_answers
from core.inputs import prepare
from core.load import LoadedModel
from core.progress import Cancelled, Progress
from tests.core.evaluate.small_classifiers import (
    DIGITS,
    LABELS,
    PREPROCESSING,
    digit_folders,
    small_classifier,
)

MEANT = map_classes(DIGITS, LABELS)


def found(folder: Path, loaded: LoadedModel, **options) -> tuple[Evaluation, list[str]]:
    with labelled_images(folder) as images:
        names = [each.name for each in images.images]
        return evaluate(loaded, images.images, MEANT, PREPROCESSING, **options), names


def plain(folder: Path, names: list[str], loaded: LoadedModel) -> tuple[torch.Tensor, np.ndarray]:
    """The softmax of the model's outputs, by Pillow and torch alone, and the true classes."""
    inputs = [prepare(Image.open(folder / name).convert("RGB"), PREPROCESSING) for name in names]
    with torch.inference_mode():
        rows = loaded.model(torch.stack(inputs)).double().softmax(1)
    return rows, np.array([DIGITS.index(name.split("/")[0]) for name in names])


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_figures_equal_plain_torch_and_scikit_learn(tmp_path: Path, batch: int) -> None:
    loaded = small_classifier()
    got, names = found(digit_folders(tmp_path, copies=2), loaded, batch=batch)
    rows, truths = plain(tmp_path, names, loaded)
    answers = rows.argmax(1).numpy()
    assert got.answers.tolist() == answers.tolist()
    assert got.truths.tolist() == truths.tolist()
    assert got.top1.number == (answers == truths).sum()
    in_top5 = [truth in row for truth, row in zip(truths, rows.topk(5).indices, strict=True)]
    assert got.top5.number == sum(in_top5)
    matrix = confusion_matrix(truths, answers, labels=range(10))
    assert np.array_equal(got.confusion_matrix(range(10)), matrix)
    assert got.calibration.nll == pytest.approx(log_loss(truths, rows, labels=range(10)), rel=1e-5)
    with warnings.catch_warnings(action="ignore"):
        expected = precision_recall_fscore_support(
            truths, answers, labels=range(10), zero_division=np.nan
        )
    seen = {each.index: each for each in got.class_scores}
    assert [*seen] == sorted({*truths, *answers})
    for index, (precision, recall, f1, support) in enumerate(zip(*expected, strict=True)):
        if index in seen:
            score = seen[index]
            assert score.support == support
            for ours, theirs in ((score.precision, precision), (score.recall, recall)):
                assert ours == (None if np.isnan(theirs) else pytest.approx(theirs))
            assert score.f1 == pytest.approx(f1)


def test_the_calibration_error_is_guos_with_15_bins(tmp_path: Path) -> None:
    loaded = small_classifier()
    got, names = found(digit_folders(tmp_path), loaded)
    rows, truths = plain(tmp_path, names, loaded)
    sure, answers = rows.max(1)
    error = 0.0
    for m in range(15):
        within = ((sure > m / 15) & (sure <= (m + 1) / 15)).numpy()
        if within.any():
            accuracy = (answers.numpy() == truths)[within].mean()
            error += within.mean() * abs(accuracy - sure.numpy()[within].mean())
    assert got.calibration.ece == pytest.approx(error, abs=1e-6)
    assert sum(each.images for each in got.calibration.bins) == len(names)


def test_the_worst_mistakes_are_the_surest_wrong_answers(tmp_path: Path) -> None:
    loaded = small_classifier()
    got, names = found(digit_folders(tmp_path), loaded)
    rows, truths = plain(tmp_path, names, loaded)
    sure, answers = rows.max(1)
    wrong = np.flatnonzero(answers.numpy() != truths)
    expected = sorted(wrong, key=lambda place: -sure[place])
    assert [each.name for each in got.mistakes] == [names[place] for place in expected]
    assert [each.probability for each in got.mistakes] == pytest.approx(sure[expected].tolist())
    assert got.mistakes[0].of_truth == pytest.approx(float(rows[expected[0], truths[expected[0]]]))


def test_probabilities_get_no_second_softmax(tmp_path: Path) -> None:
    digit_folders(tmp_path)
    logits, _ = found(tmp_path, small_classifier())
    ready, _ = found(tmp_path, small_classifier("Softmaxed"))
    assert (logits.kind, ready.kind) == ("classes", "probabilities")
    assert ready.answers.tolist() == logits.answers.tolist()
    assert ready.calibration.ece == pytest.approx(logits.calibration.ece, abs=1e-6)
    assert ready.calibration.nll == pytest.approx(logits.calibration.nll, rel=1e-4)


def test_a_batch_that_seems_to_be_probabilities_is_settled_by_the_others(tmp_path: Path) -> None:
    """As for one image by `predict`: all batches are classes if one is."""
    got, names = found(digit_folders(tmp_path), small_classifier("LateLogits"), batch=4)
    assert got.kind == "classes"
    assert sum(each.images for each in got.calibration.bins) == len(names)


@pytest.mark.parametrize("name", ["ThreeAtMost", "ThreeAtMostOnCpu"])
def test_the_batch_is_halved_when_memory_runs_out(tmp_path: Path, name: str) -> None:
    digit_folders(tmp_path, copies=4)
    whole, _ = found(tmp_path, small_classifier())
    halved, _ = found(tmp_path, small_classifier(name), batch=16)
    assert halved.batch == 2
    assert halved.answers.tolist() == whole.answers.tolist()
    assert halved.calibration.nll == pytest.approx(whole.calibration.nll, rel=1e-5)


def test_memory_that_does_not_suffice_for_one_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="not enough memory on cpu for 1 image at once"):
        found(digit_folders(tmp_path), small_classifier("NoRoomAtAll"))


def test_an_image_that_cannot_be_decoded_is_counted_and_named(tmp_path: Path) -> None:
    digit_folders(tmp_path)
    for number in range(25):
        (tmp_path / "four" / f"broken {number:02}.png").write_bytes(b"no image")
    got, names = found(tmp_path, small_classifier(), batch=4)
    assert (got.unread, got.images) == (25, len(names) - 25)
    assert [each.name for each in got.unanswered][:2] == [
        "four/broken 00.png",
        "four/broken 01.png",
    ]
    assert len(got.unanswered) == 20
    assert "broken 00.png" in got.unanswered[0].trouble
    assert not got.answered[names.index("four/broken 07.png")]
    alone = tmp_path / "alone"
    (alone / "four").mkdir(parents=True)
    (alone / "four" / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="Of 1 image, none can be read"):
        found(alone, small_classifier())


def test_images_without_a_class_are_left_out_and_never_read(tmp_path: Path) -> None:
    digit_folders(tmp_path)
    (tmp_path / "eleven").mkdir()
    (tmp_path / "eleven" / "a.png").write_bytes(b"no image")
    got, names = found(tmp_path, small_classifier())
    assert (got.unmapped, got.unread, got.images) == (1, 0, len(names) - 1)
    with pytest.raises(LabelsError, match="None of the labels is a class of the model: four"):
        evaluate(
            small_classifier(),
            [LabelledImage("a", "four", lambda: b"")],
            MeantClasses({}, ("four",)),
            PREPROCESSING,
        )


def test_an_output_that_is_not_finite_is_left_out_and_counted(tmp_path: Path) -> None:
    got, names = found(digit_folders(tmp_path), small_classifier("NanWhereDark"))
    assert 0 < got.not_finite < len(names)
    assert got.images == len(names) - got.not_finite
    assert "not a number" in got.unanswered[0].trouble


@pytest.mark.parametrize(
    ("name", "kind"), [("Sigmoids", "labels"), ("Embedding", "embedding"), ("OneScore", "score")]
)
def test_what_is_no_classifier_is_refused_with_its_kind(
    tmp_path: Path, name: str, kind: str
) -> None:
    with pytest.raises(LoadError, match=f"it is read as {kind}"):
        found(digit_folders(tmp_path), small_classifier(name))


def test_classes_are_counted_before_an_image_is_read() -> None:
    assert class_count(small_classifier(), PREPROCESSING) == 10
    assert class_count(small_classifier("Sigmoids"), PREPROCESSING, kinds={"": "classes"}) == 10
    with pytest.raises(LoadError, match="it is read as embedding"):
        class_count(small_classifier("Embedding"), PREPROCESSING)
    with pytest.raises(LoadError, match="no head called 'aux'"):
        class_count(small_classifier(), PREPROCESSING, head="aux")


def test_two_thousand_images_are_never_in_memory_together(tmp_path: Path) -> None:
    """Of those that were read, at most three batches and one for each thread are not counted."""
    digit_folders(tmp_path)
    with labelled_images(tmp_path) as images:
        files = images.images
        reads: list[str] = []

        def counted(each: LabelledImage) -> LabelledImage:
            def read() -> bytes:
                reads.append(each.name)
                return each.read()

            return replace(each, read=read)

        many = [counted(each) for each in files] * (2_000 // len(files))
        waiting: list[int] = []
        got = evaluate(
            small_classifier(),
            many,
            MEANT,
            PREPROCESSING,
            lambda done, total, name: waiting.append(len(reads) - done),
            batch=8,
        )
    assert got.images == len(many) == len(reads) == 2_000
    assert max(waiting) <= 3 * 8 + THREADS
    assert len(got.mistakes) == 50


def test_an_evaluation_can_be_cancelled(tmp_path: Path) -> None:
    progress = Progress()
    calls: list[tuple[int, int]] = []

    def report(done: int, total: int, what: str) -> None:
        calls.append((done, total))
        if done:
            progress.cancel()
        progress(done, total, what)

    with pytest.raises(Cancelled):
        found(digit_folders(tmp_path, copies=8), small_classifier(), progress=report, batch=4)
    assert calls == [(0, 64), (4, 64)]


def test_two_models_are_compared_on_the_images_that_both_answered(tmp_path: Path) -> None:
    digit_folders(tmp_path, copies=2)
    a, names = found(tmp_path, small_classifier())
    b, _ = found(tmp_path, small_classifier(seed=3))
    paired = paired_answers(a, b, names)
    differs = a.right != b.right
    assert paired.images == len(names)
    assert paired.first_only + paired.second_only == differs.sum() > 0
    assert [each.name for each in paired.changes] == [names[at] for at in np.flatnonzero(differs)]
    assert paired_answers(a, a, names).p_value == 1
