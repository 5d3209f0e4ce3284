"""What a model returns is read as what it is, with the reason, and nothing of it is an error."""

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from core.errors import LoadError
from core.predict.answers import ToldOutputs, answers_of, read_output, settled

IMAGES = torch.zeros(2, 3, 64, 96)
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 3.0, -2.0]])
NOTHING = ToldOutputs()


def main(output, told=NOTHING, images=IMAGES, **kinds):
    return read_output(output, images, told, kinds).main


def rows(head, k=10):
    """The values of each image in their order, however they are sorted."""
    found = []
    for answer in answers_of(head, k):
        row = answer.value
        shares = dict(zip(row.indices, row.probabilities, strict=True))
        found.append([shares[index] for index in sorted(shares)])
    return found


def test_logits_are_classes_by_a_softmax():
    head = main(LOGITS)
    assert head.kind == "classes"
    assert "a softmax is applied" in head.evidence
    assert torch.tensor(rows(head)).allclose(LOGITS.softmax(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("classes", [2, 10, 1000, 21_843])
def test_probabilities_get_no_second_softmax(dtype, classes):
    torch.manual_seed(0)
    probabilities = (3 * torch.randn(2, classes)).to(dtype).softmax(1)
    head = main(probabilities)
    assert head.kind == "probabilities"
    assert "sum to 1" in head.evidence
    assert torch.equal(torch.tensor(rows(head, classes)), probabilities.float())


def test_rows_whose_sums_only_come_near_to_1_are_no_probabilities():
    values = torch.tensor([[0.45, 0.55, 0.15], [0.2, 0.7, 0.25]], dtype=torch.bfloat16)
    assert main(values.repeat(1, 300) / 300).kind == "labels"


def test_numbers_between_0_and_1_that_do_not_sum_to_1_are_labels_without_a_second_sigmoid():
    values = torch.tensor([[0.9, 0.8, 0.1], [0.2, 0.7, 0.6]])
    head = main(values)
    assert head.kind == "labels"
    assert "no second sigmoid" in head.evidence
    assert torch.tensor(rows(head)).equal(values)


@pytest.mark.parametrize("values", [torch.zeros(2, 3), torch.full((2, 3), 0.25)])
def test_a_head_that_gives_one_number_for_everything_is_not_taken_for_labels(values):
    assert main(values).kind == "classes"


def test_labels_that_the_file_states_are_each_a_sigmoid():
    told = ToldOutputs(multi_label="The file states problem_type: multi_label_classification.")
    head = main(LOGITS, told)
    assert (head.kind, head.evidence) == ("labels", told.multi_label)
    assert torch.tensor(rows(head)).allclose(LOGITS.sigmoid())
    assert "no second sigmoid" in main(LOGITS.sigmoid(), told).evidence
    assert torch.tensor(rows(main(LOGITS.sigmoid(), told))).equal(LOGITS.sigmoid())


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 1, 1, 1)])
def test_one_number_for_each_image_is_a_score_with_the_number_beside_it(shape):
    head = main(torch.tensor([-3.0, 5.0]).reshape(shape))
    assert head.kind == "score"
    answers = [each.value for each in answers_of(head, 5)]
    assert [each.raw for each in answers] == [-3.0, 5.0]
    assert [each.probabilities[0] for each in answers] == pytest.approx([0.047426, 0.993307], 1e-4)


def test_a_score_that_is_between_0_and_1_already_is_taken_as_it_is():
    images = torch.zeros(4, 3, 8, 8)
    head = main(torch.tensor([[0.1], [0.9], [0.5], [0.3]]), images=images)
    assert "no sigmoid is applied" in head.evidence
    assert [each.value.raw for each in answers_of(head, 5)] == [None] * 4
    assert answers_of(head, 5)[1].value.probabilities == pytest.approx((0.9,))


def test_rows_are_embeddings_where_the_library_or_the_output_s_name_says_so():
    told = ToldOutputs(embedding="It has no head.")
    assert (main(LOGITS, told).kind, main(LOGITS, told).evidence) == (
        "embedding",
        "It has no head.",
    )
    head = main({"image_embeds": LOGITS})
    assert (head.kind, head.evidence) == ("embedding", "The output is called image_embeds.")
    assert torch.equal(answers_of(head, 1)[1].value.values, LOGITS[1])


Outputs = namedtuple("Outputs", ["logits", "aux_logits"])


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ({"out": LOGITS, "aux": -LOGITS}, ["out", "aux"]),
        ({"aux": -LOGITS, "logits": LOGITS}, ["logits", "aux"]),
        ((LOGITS, -LOGITS), ["0", "1"]),
        (Outputs(LOGITS, -LOGITS), ["logits", "aux_logits"]),
        (SimpleNamespace(aux=-LOGITS, logits=LOGITS), ["logits", "aux"]),
        ({"colour": LOGITS, "shape": {"fine": LOGITS[:, :2]}}, ["colour", "shape.fine"]),
        ([LOGITS], ["0"]),
    ],
)
def test_every_head_has_a_name_and_the_main_one_is_first(output, names):
    reading = read_output(output, IMAGES, NOTHING)
    assert [head.name for head in reading.heads] == names
    assert torch.equal(reading.main.values, LOGITS)


def test_what_is_no_answer_by_itself_is_kept_beside_the_heads():
    hidden = (torch.ones(2, 5, 8), torch.zeros(2, 5, 8))
    reading = read_output({"hidden_states": hidden, "logits": LOGITS}, IMAGES, NOTHING)
    assert [(head.name, head.kind) for head in reading.heads] == [
        ("logits", "classes"),
        ("other tensors", "tree"),
    ]
    (answer,) = answers_of(reading.heads[1], 1)
    found = [(each.name, each.shape, each.mean) for each in answer.value]
    assert found == [("hidden_states.0", (2, 5, 8), 1.0), ("hidden_states.1", (2, 5, 8), 0.0)]


@pytest.mark.parametrize(("size", "where"), [((64, 96), "as large"), ((32, 48), "half the edges")])
def test_scores_for_each_pixel_are_a_class_for_each_pixel(size, where):
    scores = torch.zeros(2, 4, *size)
    scores[:, 1], scores[:, 3, :10] = 1.0, 2.0
    head = main({"out": scores})
    assert head.kind == "pixels"
    assert where in head.evidence
    answer = answers_of(head, 1)[0].value
    assert torch.equal(answer.classes.long(), scores[0].argmax(0))
    assert [*answer.shares] == ([1, 3] if size[0] > 20 else [1])
    assert sum(answer.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(2, 1, 64, 96), (2, 64, 96), (2, 1, 16, 24)])
def test_one_value_for_each_pixel_is_a_map(shape):
    values = torch.arange(float(torch.tensor(shape).prod())).reshape(shape)
    head = main(values)
    assert head.kind == "map"
    answer = answers_of(head, 1)[1].value
    assert torch.equal(answer.values, values[1].reshape(shape[-2:]))
    assert (answer.smallest, answer.largest) == (values[1].min(), values[1].max())


def test_whole_numbers_for_each_pixel_are_its_classes():
    head = main(torch.tensor([[[0, 1], [2, 2]]]).repeat(2, 32, 48))
    assert head.kind == "pixels"
    assert answers_of(head, 1)[0].value.shares == {2: 0.5, 0: 0.25, 1: 0.25}


def boxes(**more):
    return {
        "boxes": torch.tensor([[1.0, 2, 11, 22], [0, 0, 5, 5]]),
        "labels": torch.tensor([3, 1]),
        "scores": torch.tensor([0.4, 0.8]),
        **more,
    }


def test_torchvision_s_boxes_are_objects_the_highest_score_first():
    head = main([boxes(), boxes()])
    assert head.kind == "boxes"
    found = answers_of(head, 1)[0].value
    assert found.labels.tolist() == [1, 3]
    assert found.boxes.tolist() == [[0, 0, 5, 5], [1, 2, 11, 22]]
    assert found.above(0.5) == 1


def test_of_a_mask_only_what_is_in_its_box_is_kept():
    masks = torch.zeros(2, 1, 64, 96)
    masks[0, 0, 3:20, 2:10] = 0.9
    head = main([boxes(masks=masks, keypoints=torch.ones(2, 17, 3))] * 2)
    assert "boxes, masks and keypoints" in head.evidence
    found = answers_of(head, 1)[0].value
    mask = found.masks[1]
    whole = torch.zeros(64, 96, dtype=torch.bool)
    height, width = mask.pixels.shape
    whole[mask.top : mask.top + height, mask.left : mask.left + width] = mask.pixels
    assert torch.equal(whole, masks[0, 0] >= 0.5)
    assert mask.pixels.numel() < 300
    assert found.keypoints.shape == (2, 17, 3)


@pytest.mark.parametrize(
    "output",
    [
        None,
        "text",
        [],
        {},
        torch.tensor(1.0),
        torch.zeros(4, 3),
        torch.zeros(2, 7, 5),
        torch.zeros(2, 512, 2, 3),
        torch.zeros(2, 0),
        torch.zeros(2, 3, dtype=torch.complex64),
        torch.arange(2),
        torch.ones(2, 3, dtype=torch.bool),
        {"pred_boxes": torch.zeros(2, 9, 4), "text": ["a", None]},
        [{"boxes": torch.zeros(1, 4)}],
        object(),
        iter(()),
    ],
)
def test_no_output_is_an_error(output):
    reading = read_output(output, IMAGES, NOTHING)
    assert [head.kind for head in reading.heads] == ["tree"]
    answers_of(reading.main, 5)


def test_a_tree_has_the_shape_and_range_of_every_tensor():
    output = {"a": torch.tensor([[[1.0, float("nan"), 3.0]]]), "b": [torch.ones(1, 2, 2)], "c": "x"}
    (answer,) = answers_of(main(output), 1)
    first, second, third = answer.value
    assert (first.name, first.shape, first.dtype) == ("a", (1, 1, 3), "float32")
    assert (first.smallest, first.mean, first.largest, first.not_finite) == (1.0, 2.0, 3.0, 1)
    assert (second.name, second.mean) == ("b.0", 1.0)
    assert (third.name, third.shape, third.dtype) == ("c", (), "str")


def test_a_person_may_choose_another_kind_of_any_head():
    assert main(LOGITS, **{"": "labels"}).kind == "labels"
    assert main(LOGITS, **{"": "embedding"}).evidence == "Chosen by hand."
    assert main(LOGITS, **{"": "tree"}).kind == "tree"
    reading = read_output((LOGITS, LOGITS), IMAGES, NOTHING, {"1": "labels"})
    assert [head.kind for head in reading.heads] == ["classes", "labels"]
    assert main({"text": ["a"], "scores": LOGITS}, **{"": "labels"}).kind == "labels"
    assert main(torch.zeros(2, 1, 64, 96), **{"": "pixels"}).outputs == 2
    assert main([boxes(), boxes()], **{"": "tree"}).kind == "tree"


@pytest.mark.parametrize(
    ("output", "kind", "said"),
    [
        (LOGITS, "boxes", "It can be read as classes, probabilities, labels, embedding and tree."),
        (LOGITS, "probabilities", "its rows do not sum to 1"),
        (LOGITS, "score", "a tensor of shape 2 × 3"),
        (torch.zeros(2, 1), "classes", "It can be read as score and tree."),
        (torch.zeros(2, 3, 64, 96), "map", "It can be read as pixels and tree."),
        (torch.zeros(2, 7, 5), "classes", "a tensor of shape 2 × 7 × 5"),
        ("text", "labels", "it is a str"),
    ],
)
def test_a_kind_that_the_tensors_do_not_allow_is_refused_with_those_that_they_do(
    output, kind, said
):
    with pytest.raises(LoadError) as caught:
        main(output, **{"": kind})
    assert said in str(caught.value)


def test_a_head_that_is_not_there_is_named_beside_those_that_are():
    with pytest.raises(LoadError, match=r"no head called mask.*Its heads are: 0 and 1"):
        read_output((LOGITS, LOGITS), IMAGES, NOTHING, {"mask": "labels"})


def test_an_output_that_is_not_a_number_has_trouble_and_leaves_the_others_as_they_are():
    values = torch.tensor([[0.25, 0.75, 0.0], [float("nan"), 0.0, 0.0]])
    head = main(values)
    assert head.kind == "probabilities"
    good, bad = answers_of(head, 3)
    assert good.value.indices[0] == 1
    assert bad.value is None
    assert "not a number" in bad.trouble


def test_what_two_batches_seem_to_be_is_settled_by_what_is_right_for_both():
    sure = main(LOGITS.softmax(1))
    labels = main(torch.tensor([[0.9, 0.8, 0.1]] * 2))
    logits, empty = main(LOGITS), main(torch.full((2, 3), float("nan")))
    assert settled([sure, empty]).kind == "probabilities"
    assert settled([empty, labels, sure]).kind == "labels"
    assert settled([sure, logits, labels, empty]) is logits


def test_a_pixel_without_a_number_has_no_class():
    values = torch.zeros(2, 5, 64, 96)
    values[1, :, 3, 3] = torch.nan
    right, broken = answers_of(main(values), 5)
    assert right.value.shares == {0: 1.0}
    assert broken.value is None
    assert "not a number" in broken.trouble


@pytest.mark.parametrize("value", [-1, 2**31, 10**12])
def test_whole_numbers_that_can_be_no_classes_are_a_tree(value):
    values = torch.zeros(2, 64, 96, dtype=torch.int64)
    values[0, 0, 0] = value
    head = main(values)
    assert head.kind == "tree"
    (answer,) = answers_of(head, 5)
    assert value in (answer.value[0].smallest, answer.value[0].largest)


def test_sparse_and_quantized_tensors_are_read_and_nested_ones_described():
    assert rows(main(LOGITS.to_sparse())) == rows(main(LOGITS))
    quantized = torch.quantize_per_tensor(LOGITS, 0.1, 0, torch.qint8)
    assert main(quantized).kind == "classes"
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    head = main(nested)
    assert head.kind == "tree"
    (answer,) = answers_of(head, 5)
    assert answer.value[0].dtype == "float32"
    assert "tensor" in head.evidence


def test_a_grid_of_numbers_is_called_classes_only_where_the_library_says_so():
    values = torch.rand(2, 3, 64, 96)
    assert "it may be an image, or features" in main(values).evidence
    assert main(values, ToldOutputs(pixels=True)).evidence.endswith("the largest is its class.")


def test_one_whole_number_for_each_image_is_no_row_of_floating_point_numbers():
    head = main(torch.tensor([1, 2]))
    assert head.kind == "tree"
    assert "No part of it is a row of floating-point numbers" in head.evidence


def test_objects_without_a_place_or_a_score_are_no_answer():
    boxes = torch.tensor([[1.0, 2.0, torch.nan, 9.0]])
    found = {"boxes": boxes, "labels": torch.ones(1, dtype=torch.long), "scores": torch.ones(1)}
    masks = {"masks": torch.ones(1, 1, 64, 96)}
    (answer,) = answers_of(main([found | masks], images=IMAGES[:1]), 5)
    assert answer.value is None
    assert "not a number" in answer.trouble
