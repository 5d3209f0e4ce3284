"""Predict, page by page run: what is on the screen is what plain PyTorch computes."""

import json
import re
import threading
from base64 import b64decode
from dataclasses import replace
from html import unescape
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from torchvision.models import shufflenet_v2_x0_5
from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights
from torchvision.transforms import v2

from core.architectures import Architecture, build, catalogue, parse_architecture
from core.fit.index import find_index
from core.fixes import Drop, Recipe, Step, StripPrefix
from core.inputs import default_preprocessing
from core.load import ModelRequest, load_requested
from core.predict import predict, similarity
from core.predict.drawing import class_colour
from core.progress import Cancelled
from core.server import (
    SAMPLES,
    Bench,
    SlotState,
    bench_to_query,
    photographs,
    sample_images,
)
from core.wording import cosine, share_text
from pages.components.resources import jobs, model_pool, open_file
from tests.pages.shown_table import sent_tables, shown_table
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

APP = Path(__file__).parents[2] / "app.py"
ARCHITECTURE = "torchvision:shufflenet_v2_x0_5?num_classes=10"
STRIP = Recipe((Step(StripPrefix("module.")),))
EARLY = SlotState("sample:early", None, ARCHITECTURE, STRIP)
FINAL = SlotState("sample:final", None, ARCHITECTURE, STRIP)
HEADLESS = SlotState(
    "sample:final",
    None,
    ARCHITECTURE,
    Recipe((*STRIP.steps, Step(Drop("fc.*")))),
    strict=False,
)


@pytest.fixture(autouse=True)
def fresh_server(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path / "root"))
    (tmp_path / "root").mkdir()


def load(state):
    """Load the slot's model into the server's pool, as the Fit page does."""
    checkpoint = open_file(state.file)
    state_dict = checkpoint.state_dict()
    request = ModelRequest(
        checkpoint.identity,
        state_dict.path,
        state.recipe,
        parse_architecture(state.architecture),
        strict=state.strict,
    )
    with model_pool().get(request, lambda: load_requested(request, state_dict)):
        pass


def predict_page(*slots):
    """The Predict page of a session with these slots on its bench."""
    at = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    for name, value in bench_to_query(Bench(*slots)).items():
        at.query_params[name] = value
    at.run()
    at.switch_page("pages/predict.py").run()
    assert not at.exception
    return at


def predicted_page(*slots):
    """The page once its predictions are there."""
    at = predict_page(*slots)
    predicted(at)
    return at


def predicted(at):
    """The page once its job is done, however long that takes."""
    at.session_state["prediction-job"][1].result()
    at.run()
    assert not at.exception


def texts(at):
    elements = (*at.markdown, *at.caption, *at.error, *at.warning)
    return " ".join(element.value for element in elements).replace("\\", "")


def chosen(at):
    """What the card of the chosen image says: its name, and each model's {label: percent}."""
    body = next(each.proto.body for each in at.get("html") if 'class="chosen"' in each.proto.body)
    name = unescape(re.search("<code>(.*?)</code>", body)[1])
    lists = {}
    for section in re.findall("<section.*?</section>", body):
        model = unescape(re.search('aria-label="(.*?)"', section)[1])
        rows = re.findall("<li><span>(.*?)</span>.*?<span>([^<>]*)</span></li>", section)
        lists[model] = {unescape(label): unescape(share) for label, share in rows}
    return name, lists


def table(at):
    """The table of all images: what each column says, by the image's name."""
    sent = shown_table(at)
    columns = {title: texts for title, texts in sent.columns.items() if title != "Thumbnail"}
    return {
        name: {title: texts[row] for title, texts in columns.items()}
        for row, name in enumerate(sent.keys)
    }


def choose(at, name):
    """Choose an image, as the browser reports a click on its row."""
    document = shown_table(at).document
    number = document["ids"][document["names"].index(name)]
    head = json.loads(sent_tables(at)[0][0])
    state = at.session_state[f"{head['name']}-choice"]
    state.chosen, state.is_own = number, True
    at.run()
    assert not at.exception


def plain_torch(name, path):
    """The sample's probabilities of a picture, computed without any of Loupe."""
    checkpoint = torch.load(SAMPLES[name].path, weights_only=True)
    weights = {k.removeprefix("module."): v for k, v in checkpoint["state_dict"].items()}
    model = shufflenet_v2_x0_5(num_classes=10)
    model.load_state_dict(weights)
    fed = checkpoint["preprocessing"]
    transform = v2.Compose(
        [
            v2.Resize(fed["resize"]),
            v2.CenterCrop(fed["crop"]),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(fed["mean"], fed["std"]),
        ]
    )
    with torch.inference_mode():
        logits = model.eval()(transform(Image.open(path).convert("RGB")).unsqueeze(0))
    probabilities = logits.softmax(1)[0].tolist()
    return dict(zip(checkpoint["classes"], probabilities, strict=True))


def percents(probabilities, k=5):
    """The k most probable classes as a person reads them."""
    top = sorted(probabilities, key=probabilities.get, reverse=True)[:k]
    return {label: share_text(probabilities[label]) for label in top}


def test_with_nothing_open_the_page_teaches_and_offers_the_sample():
    at = predict_page()
    assert at.title[0].value == "No model is loaded yet"
    at.button(key="next").click().run()
    assert "open, but their models are not loaded" in texts(at)


def test_a_file_that_is_not_loaded_is_sent_to_fit():
    at = predict_page(SlotState("sample:final"))
    shown = texts(at).replace("**", "")
    assert "A · digits_final.pth is open, but its model is not loaded" in shown
    assert any(link.proto.page.endswith("fitting") for link in at.get("page_link"))


def test_a_model_of_digits_is_shown_the_digits_at_once():
    load(FINAL)
    at = predicted_page(FINAL)
    assert set(table(at)) == {path.name for path in sample_images()}
    assert "These images came with Loupe. Add your own." in texts(at)
    assert not [button for button in at.button if button.key == "pictures-clear"]


def test_another_classifier_of_colours_is_shown_photographs(tmp_path):
    own = Architecture("torchvision", "resnet18", (("num_classes", 4),))
    torch.save(build(own).state_dict(), tmp_path / "root" / "own.pth")
    state = SlotState("root:0/own.pth", architecture=own.key)
    load(state)
    at = predicted_page(state)
    assert list(table(at)) == [path.name for path in photographs()]
    assert "4 classes (numbers, since no names are known)" in texts(at)


def test_a_classifier_of_grey_images_is_shown_none_and_takes_those_that_are_added(tmp_path):
    own = Architecture("timm", "resnet18", (("in_chans", 1), ("num_classes", 4)))
    torch.save(build(own).state_dict(), tmp_path / "root" / "grey.pth")
    state = SlotState("root:0/grey.pth", architecture=own.key)
    load(state)
    at = predict_page(state)
    assert at.title[0].value == "No images yet"
    at.button(key="pictures-page-sample").click().run()
    predicted(at)
    assert list(table(at)) == [path.name for path in sample_images()]


def test_the_bars_show_what_plain_torch_computes():
    load(FINAL)
    at = predicted_page(FINAL)
    for path in (sample_images()[0], sample_images()[5]):
        choose(at, path.name)
        assert chosen(at) == (path.name, {"A": percents(plain_torch("final", path))})


def test_two_models_are_shown_side_by_side_and_the_images_that_differ_first():
    load(EARLY)
    load(FINAL)
    at = predicted_page(EARLY, FINAL)
    assert at.title[0].value == "A and B agree on 4 of 8 images"
    rows = table(at)
    states = [row[""] for row in rows.values()]
    assert states == ["differ"] * 4 + ["agree"] * 4
    for path in sample_images():
        for slot, name in (("A", "early"), ("B", "final")):
            ((label, share),) = percents(plain_torch(name, path), 1).items()
            assert (rows[path.name][slot], rows[path.name][f"{slot} %"]) == (label, share)
    name, lists = chosen(at)
    assert name == next(iter(rows))
    path = next(path for path in sample_images() if path.name == name)
    assert lists == {
        "A": percents(plain_torch("early", path)),
        "B": percents(plain_torch("final", path)),
    }


def test_models_whose_classes_have_other_names_are_not_said_to_differ(tmp_path):
    own = Architecture("torchvision", "resnet18", (("num_classes", 4),))
    torch.save(build(own).state_dict(), tmp_path / "root" / "own.pth")
    other = SlotState("root:0/own.pth", architecture=own.key)
    load(FINAL)
    load(other)
    at = predicted_page(FINAL, other)
    title = "A and B predicted 8 of 8 images; their classes cannot be compared"
    assert at.title[0].value == title
    assert "A has 10 classes and B has 4, and the names of B’s are not known." in texts(at)
    assert "" not in shown_table(at).columns
    assert list(table(at)) == [path.name for path in sample_images()]


def test_a_chosen_image_stays_chosen_when_others_are_added():
    load(FINAL)
    at = predicted_page(FINAL)
    at.button(key="pictures-bar-photographs").click().run()
    predicted(at)
    choose(at, "coffee.jpg")
    at.button(key="pictures-bar-sample").click().run()
    predicted(at)
    assert len(table(at)) == len(photographs()) + len(sample_images())
    assert chosen(at)[0] == "coffee.jpg"


def test_uploaded_pictures_are_read_and_a_broken_one_is_refused_by_name():
    load(FINAL)
    at = predicted_page(FINAL)
    path = sample_images()[0]
    buffer = BytesIO()
    Image.open(path).convert("RGBA").save(buffer, "WEBP", lossless=True)
    uploader = at.get("file_uploader")[0]
    uploader.set_value(
        [
            ("broken.png", path.read_bytes()[:200], "image/png"),
            ("mine.webp", buffer.getvalue(), "image/webp"),
        ]
    )
    at.run()
    predicted(at)
    assert "broken.png is" in texts(at)
    assert chosen(at) == ("mine.webp", {"A": percents(plain_torch("final", path))})
    assert list(table(at)) == ["mine.webp"]


def test_another_k_shows_more_classes_without_running_the_model_again():
    load(FINAL)
    at = predicted_page(FINAL)
    job = at.session_state["prediction-job"]
    at.selectbox(key="predict-k").select(8).run()
    assert len(chosen(at)[1]["A"]) == 8
    assert at.session_state["prediction-job"] is job


def test_what_the_model_is_fed_is_shown_with_its_source_and_can_be_changed():
    load(FINAL)
    at = predicted_page(FINAL)
    line = "64 px, bilinear, mean/std 0.5, classes `zero` … `nine`, all from the checkpoint."
    assert line in texts(at).replace("\u202f", " ")
    before = table(at)
    mean = next(field for field in at.text_input if field.label.startswith("Mean"))
    mean.set_value("0.1, 0.1, 0.1").run()
    predicted(at)
    assert table(at) != before
    assert "Changed by you" in texts(at)
    assert "mean 0.1, std 0.5 (changed by hand)" in texts(at)
    next(button for button in at.button if button.label == "Undo my changes").click().run()
    predicted(at)
    assert table(at) == before


def open_seen(at, models=1):
    """Open the panel of what the model sees, as a click in the browser does, and wait until it is
    filled for so many models."""
    at.session_state["seen"] = True
    wait_until(lambda: len(seen(at.run())) == models)
    assert not at.exception


def seen(at):
    """What the open panel shows: each model's image, and its rows {name: (label, share, mark)}."""
    bodies = [each.proto.body for each in at.get("html") if 'class="seen"' in each.proto.body]
    images, tables = bodies[::2], bodies[1::2]
    shown = {}
    for image, table_ in zip(images, tables, strict=True):
        slot = unescape(re.search("<figcaption><b>(.*?)</b>", image)[1])
        data = re.search('src="data:image/png;base64,(.*?)"', image)[1]
        rows = {}
        for row in re.findall("<li>(.*?)</li>", table_):
            name, *cells = re.findall("<span[^>]*>([^<>]*)</span>", row)
            rows[unescape(name)] = tuple(unescape(cell) for cell in cells)
        shown[slot] = Image.open(BytesIO(b64decode(data))), rows
    return shown


def test_what_the_model_sees_runs_once_and_only_when_it_is_opened():
    load(FINAL)
    at = predicted_page(FINAL)
    batches = []
    (request,) = model_pool().resident()
    with model_pool().get(request, lambda: pytest.fail("it is loaded")) as loaded:
        hook = loaded.model.register_forward_pre_hook(lambda _, given: batches.append(given))
    at.run()
    assert not seen(at)
    assert not batches
    open_seen(at)
    assert list(seen(at)) == ["A"]
    at.run()
    hook.remove()
    assert len(batches) == 1


def test_both_models_tensors_and_their_answers_under_the_usual_mistakes_are_shown():
    load(EARLY)
    load(FINAL)
    at = predicted_page(EARLY, FINAL)
    open_seen(at, models=2)
    shown = seen(at)
    assert list(shown) == ["A", "B"]
    name = chosen(at)[0]
    path = next(path for path in sample_images() if path.name == name)
    expected = v2.CenterCrop(64)(v2.Resize(64)(Image.open(path).convert("RGB")))
    for slot, sample in (("A", "early"), ("B", "final")):
        image, rows = shown[slot]
        assert image.tobytes() == expected.tobytes()
        ((label, share),) = percents(plain_torch(sample, path), 1).items()
        assert rows["This preprocessing"] == (label, share)
        assert len(rows) == 8
        assert rows["Leaving values at 0–255"][-1] == "~ differ"
        assert rows["Bicubic instead of bilinear"][0] == label
        assert rows["Bicubic instead of bilinear"][-1] == "= agree"
    assert "the other 4 do not." in texts(at)


def test_another_image_is_looked_at_when_it_is_chosen():
    load(FINAL)
    at = predicted_page(FINAL)
    open_seen(at)
    first = seen(at)["A"][0].tobytes()
    choose(at, sample_images()[-1].name)
    wait_until(lambda: seen(at.run()))
    assert seen(at)["A"][0].tobytes() != first


def test_an_image_that_the_model_cannot_be_fed_has_the_reason_and_another_try():
    load(FINAL)
    at = predicted_page(FINAL)
    buffer = BytesIO()
    Image.new("RGB", (60_000, 1)).save(buffer, "PNG")
    at.get("file_uploader")[0].set_value([("thin.png", buffer.getvalue(), "image/png")])
    at.run()
    predicted(at)
    assert chosen(at)[0] == "thin.png"
    at.session_state["seen"] = True
    wait_until(lambda: [each for each in at.run().error if "too long and thin" in each.value])
    assert [each for each in at.button if each.label == "Look again with A"]
    assert not seen(at)


def test_another_preprocessing_is_used_for_all_images_and_can_be_undone():
    load(FINAL)
    at = predicted_page(FINAL)
    before = table(at)
    default = default_preprocessing(parse_architecture(ARCHITECTURE), open_file("sample:final"))
    # As a choice in the menu does, which a test without a browser cannot make.
    at.session_state["fed-A-wanted"] = replace(default, mean=(0.0,) * 3, std=(1.0,) * 3)
    at.run()
    predicted(at)
    assert table(at) != before
    assert "mean 0, std 1 (changed by hand)" in texts(at)
    assert "Changed by you" in texts(at)
    next(button for button in at.button if button.label == "Undo my changes").click().run()
    predicted(at)
    assert table(at) == before


@pytest.mark.parametrize("text", ["0.5", "a, b, c", "0.5, 0.5, nan"])
def test_a_mean_that_cannot_be_read_is_refused_and_changes_nothing(text):
    load(FINAL)
    at = predicted_page(FINAL)
    before = table(at)
    next(field for field in at.text_input if field.label.startswith("Mean")).set_value(text).run()
    assert "Mean needs 3 numbers" in texts(at)
    assert table(at) == before


def test_the_classes_can_be_named_by_a_list_of_ones_own():
    load(FINAL)
    at = predicted_page(FINAL)
    assert "the checkpoint's own classes" in texts(at)
    names = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
    own = next(each for each in at.get("file_uploader") if "own" in each.proto.label)
    own.set_value(("namen.txt", "\n".join(names).encode(), "text/plain"))
    at.run()
    assert {row["A"] for row in table(at).values()} <= set(names)
    assert set(chosen(at)[1]["A"]) <= set(names)
    assert "namen.txt" in texts(at)


def test_a_list_of_another_length_is_refused_with_both_numbers():
    load(FINAL)
    at = predicted_page(FINAL)
    own = next(each for each in at.get("file_uploader") if "own" in each.proto.label)
    own.set_value(("two.txt", b"yes\nno", "text/plain"))
    at.run()
    assert "two.txt has 2 names, the model has 10 outputs" in texts(at)
    assert table(at)["digit_7_a.png"]["A"] == "seven"


def test_predictions_of_a_head_that_was_not_loaded_are_called_untrained():
    load(HEADLESS)
    at = predicted_page(HEADLESS)
    assert "its outputs mean nothing" in at.warning[0].value
    assert any("ms · untrained</small>" in each.proto.body for each in at.get("html"))


def test_a_model_that_takes_no_single_image_is_told_with_what_it_takes(tmp_path):
    architecture = Architecture("torchvision", "raft_small")
    torch.save(build(architecture).state_dict(), tmp_path / "root" / "other.pth")
    other = SlotState("root:0/other.pth", architecture=architecture.key)
    load(other)
    at = predict_page(other)
    assert "takes two images" in at.info[0].value.replace("\\", "")
    assert "for models that take one image" in at.info[0].value
    assert at.title[0].value == "No model for images is loaded"
    assert not at.get("file_uploader")

    load(FINAL)
    at = predicted_page(FINAL, other)
    assert not at.exception
    assert "takes two images" in at.info[0].value.replace("\\", "")
    assert len(table(at)) == len(sample_images())


@pytest.mark.parametrize(
    ("library", "name", "classes", "title", "said"),
    [
        ("torchvision", "lraspp_mobilenet_v3_large", 3, "A gives each pixel a class in", "%"),
        ("torchvision", "ssdlite320_mobilenet_v3_large", 3, "A looks for objects in", "object"),
        ("timm", "test_resnet", 0, "A gives an embedding of", "an embedding of 96 numbers"),
        ("torchvision", "resnet18", 1, "A gives a score to", "score"),
    ],
)
def test_every_kind_of_answer_is_told_with_its_title(tmp_path, library, name, classes, title, said):
    architecture = Architecture(library, name, (("num_classes", classes),))
    torch.save(build(architecture).state_dict(), tmp_path / "root" / "other.pth")
    other = SlotState("root:0/other.pth", architecture=architecture.key)
    load(other)
    at = predicted_page(other)
    assert at.title[0].value.replace("\\", "") == f"{title} 4 of 4 images"
    rows = table(at)
    assert list(rows) == [path.name for path in photographs()]
    assert all(said in row["A"] for row in rows.values())


def root_file(tmp_path, architecture, name="other.pth", **saved):
    """A slot with a model of random weights, loaded."""
    torch.manual_seed(1)
    weights = {"state_dict": build(architecture).state_dict(), **saved}
    torch.save(weights, tmp_path / "root" / name)
    state = SlotState(f"root:0/{name}", architecture=architecture.key)
    load(state)
    return state


def bodies(at):
    return " ".join(each.proto.body for each in at.get("html"))


RESNET_OF_3 = Architecture("torchvision", "resnet18", (("num_classes", 3),))


def test_the_kind_stands_below_the_title_with_its_evidence_and_can_be_changed(tmp_path):
    labels = {"config": {"problem_type": "multi_label_classification"}, "classes": ["a", "b", "c"]}
    at = predicted_page(root_file(tmp_path, RESNET_OF_3, **labels))
    said = "Read as `labels`. The file states problem_type: multi_label_classification."
    assert said in texts(at)
    assert at.title[0].value == "A labels 4 of 4 images"
    assert "<u></u>" in bodies(at)  # the line at 50 %
    shares = {**chosen(at)[1]["A"]}
    at.selectbox(key="kind-A-").select("classes").run()
    predicted(at)
    assert "Read as `classes`. Chosen by hand." in texts(at)
    assert at.title[0].value == "A predicted 4 of 4 images"
    assert chosen(at)[1]["A"].keys() == shares.keys()
    assert chosen(at)[1]["A"] != shares
    assert "<u></u>" not in bodies(at)


def test_a_kind_that_the_output_does_not_allow_is_refused_and_can_be_taken_back(tmp_path):
    at = predicted_page(root_file(tmp_path, RESNET_OF_3))
    at.selectbox(key="kind-A-").select("boxes").run()
    predicted(at)
    assert "It can be read as classes, probabilities, labels" in texts(at)
    at.selectbox(key="kind-A-").set_value(None).run()
    predicted(at)
    assert at.title[0].value == "A predicted 4 of 4 images"


def test_a_score_has_its_number_beside_it_and_no_what_if(tmp_path):
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 1),))
    at = predicted_page(root_file(tmp_path, architecture))
    assert "The model returned " in bodies(at)
    assert len(chosen(at)[1]["A"]) == 1
    assert "What the model sees" not in [each.label for each in at.expander]


def test_embeddings_are_shown_as_cosines_of_all_images_with_the_nearest_pairs(tmp_path):
    architecture = Architecture("timm", "test_resnet", (("num_classes", 0),))
    state = root_file(tmp_path, architecture)
    at = predicted_page(state)
    body = next(each.proto.body for each in at.get("html") if 'class="alike"' in each.proto.body)
    assert len(re.findall("<td style", body)) == 4 * 3
    assert body.count("<li>") == 5
    outcome = at.session_state["prediction-job"][1].result()["A"]
    nearest = similarity(outcome).pairs[0]
    names = [path.name for path in photographs()]
    pair = f"{names[nearest.first]} and {names[nearest.second]}"
    first = re.search("<li>.*?<code>(.*?)</code><b>(.*?)</b>", body)
    assert unescape(first[1]) == pair
    assert unescape(first[2]) == cosine(nearest.cosine)


def drawn_of(at):
    """The image in which a model's answer is drawn."""
    found = re.search(r'class="drawn" src="data:image/webp;base64,([^"]+)"', bodies(at))
    return Image.open(BytesIO(b64decode(unescape(found[1])))).convert("RGB")


def test_pixels_are_drawn_over_the_image_with_a_legend_and_an_opacity(tmp_path):
    architecture = Architecture("torchvision", "lraspp_mobilenet_v3_large")
    at = predicted_page(root_file(tmp_path, architecture))
    assert drawn_of(at).size == (520, 520)
    (prediction, *_) = at.session_state["prediction-job"][1].result()["A"]
    names = LRASPP_MobileNet_V3_Large_Weights.DEFAULT.meta["categories"]
    shares = list(prediction.answer.value.shares.items())[:5]
    assert chosen(at)[1]["A"] == {names[index]: share_text(share) for index, share in shares}
    at.slider(key="overlay-opacity").set_value(1.0).run()
    whole = prediction.answer.value.classes
    x, y = 260, 260
    expected = class_colour(int(whole[y, x]))
    assert drawn_of(at).getpixel((x, y)) == pytest.approx(expected, abs=12)


def test_objects_are_drawn_from_a_score_on(tmp_path):
    architecture = Architecture("torchvision", "ssdlite320_mobilenet_v3_large")
    at = predicted_page(root_file(tmp_path, architecture))
    assert "no object from 50\u202f% on" in bodies(at)
    plain_image = drawn_of(at)
    at.slider(key="overlay-threshold").set_value(0.0).run()
    assert re.search(r"300 objects: ", bodies(at))
    assert len(chosen(at)[1]["A"]) >= 1
    assert drawn_of(at).tobytes() != plain_image.tobytes()


def test_an_output_that_is_read_as_a_tree_is_a_table_of_its_tensors(tmp_path):
    at = predicted_page(root_file(tmp_path, RESNET_OF_3))
    at.selectbox(key="kind-A-").select("tree").run()
    predicted(at)
    assert at.title[0].value == "A returns tensors for 4 of 4 images"
    assert re.search("<td>the output</td><td>1 × 3</td><td>float32</td>", bodies(at))


HEADS = """
from torch import nn


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.colour, self.shape = nn.Linear(3, 4), nn.Linear(3, 2)

    def forward(self, inputs):
        means = inputs.mean((2, 3))
        return {"colour": self.colour(means), "shape": self.shape(means)}
"""


def test_of_several_heads_another_one_is_shown_and_read_otherwise(tmp_path, monkeypatch):
    (tmp_path / "page_heads.py").write_text(HEADS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LOUPE_MODELS", "page_heads")
    catalogue(("page_heads",))
    at = predicted_page(root_file(tmp_path, Architecture("own", "page_heads.TwoHeads")))
    assert "Read as `classes` (`colour` of 2 heads)." in texts(at)
    assert len(chosen(at)[1]["A"]) == 4
    at.selectbox(key="head-A").select("shape").run()
    assert "Read as `classes` (`shape` of 2 heads)." in texts(at)
    assert len(chosen(at)[1]["A"]) == 2
    at.selectbox(key="kind-A-shape").select("labels").run()
    predicted(at)
    assert "Read as `labels` (`shape` of 2 heads)." in texts(at)
    at.selectbox(key="head-A").select("").run()
    predicted(at)
    assert "Read as `classes` (`colour` of 2 heads)." in texts(at)


def test_a_file_runs_beside_another_architecture_that_takes_its_tensors(tmp_path):
    if find_index(tmp_path) is None:
        pytest.skip("Loupe comes with the index of other versions of torchvision and timm")
    own = Architecture("torchvision", "resnet18", (("num_classes", 4),))
    torch.manual_seed(0)
    torch.save(build(own).state_dict(), tmp_path / "root" / "own.pth")
    state = SlotState("root:0/own.pth", architecture=own.key)
    load(state)
    at = predicted_page(state)
    alone = table(at)
    (picker,) = [each for each in at.selectbox if each.key == "lookalike-A"]
    (blurred,) = [option for option in picker.options if "resnetblur18" in option]
    assert "downsampling through blur pooling" in blurred
    picker.select(blurred).run()
    predicted(at)
    both = table(at)
    for name, row in alone.items():
        assert {title: both[name][title] for title in row} == row
        assert both[name]["A %"] != both[name]["A as resnetblur18 %"]
    assert at.title[0].value.startswith("A and A as resnetblur18 agree on ")
    other = Architecture("timm", "resnetblur18", own.options)
    checkpoint = open_file(state.file)
    request = ModelRequest(checkpoint.identity, "", Recipe(), other)
    assert [each.architecture for each in model_pool().resident()].count(other) == 1
    image = Image.open(photographs()[0]).convert("RGB")
    with model_pool().get(request, lambda: load_requested(request, checkpoint.state_dict())) as it:
        fed = default_preprocessing(other, checkpoint)
        (told,) = predict(it, [("one", image)], fed, 4)
    choose(at, photographs()[0].name)
    shares = [share_text(each) for each in told.probabilities]
    assert [*chosen(at)[1]["A as resnetblur18"].values()] == shares


def test_a_preprocessing_that_is_a_guess_is_called_one_and_another_can_be_chosen(tmp_path):
    architecture = Architecture("torchvision", "wide_resnet50_2", (("num_classes", 3),))
    torch.save(build(architecture).state_dict(), tmp_path / "root" / "wide.pth")
    state = SlotState("root:0/wide.pth", architecture=architecture.key)
    load(state)
    at = predicted_page(state)
    assert "guessed: IMAGENET1K_V2, of torchvision's 2 recipes" in texts(at)
    (picker,) = [each for each in at.selectbox if each.label == "Preprocessing"]
    picker.select("IMAGENET1K_V1").run()
    predicted(at)
    assert "256, bilinear, ImageNet mean/std (torchvision's own recipe for" in texts(at)
    assert "Wide_ResNet50_2_Weights.IMAGENET1K_V1, chosen by hand)" in texts(at)


def test_a_long_run_shows_its_progress_can_be_cancelled_and_run_again():
    load(FINAL)
    busy = threading.Event()
    others = [jobs().start(lambda _: busy.wait(), f"person {n}") for n in range(8)]
    at = predict_page(FINAL)
    assert not sent_tables(at)
    bars = [bar.text.replace("\\", "") for bar in at.get("progress")]
    assert "Waiting: 4 jobs before yours" in bars
    next(button for button in at.button if button.label == "Cancel").click().run()
    busy.set()
    for job in others:
        job.result()
    with pytest.raises(Cancelled):
        at.session_state["prediction-job"][1].result()
    at.run()
    assert "The prediction was cancelled" in texts(at)
    at.button(key="prediction-again").click().run()
    predicted(at)
    assert len(table(at)) == len(sample_images())


def test_the_csv_is_named_after_its_content():
    load(EARLY)
    load(FINAL)
    at = predicted_page(EARLY, FINAL)
    first = at.get("download_button")[0].proto.url
    at.selectbox(key="predict-k").select(3).run()
    assert at.get("download_button")[0].proto.url != first


def test_the_pictures_stay_when_the_page_is_left_and_can_be_cleared():
    load(FINAL)
    at = predicted_page(FINAL)
    at.button(key="pictures-bar-photographs").click().run()
    predicted(at)
    at.switch_page("pages/open.py").run()
    at.switch_page("pages/predict.py").run()
    assert list(table(at)) == [path.name for path in photographs()]
    at.button(key="pictures-clear").click().run()
    predicted(at)
    assert "These images came with Loupe" in texts(at)
