"""Predict, page by page run: what is on the screen is what plain PyTorch computes."""

import json
import threading
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from torchvision.models import shufflenet_v2_x0_5
from torchvision.transforms import v2

from core.architectures import Architecture, build, parse_architecture
from core.fit.index import find_index
from core.fixes import Drop, Recipe, Step, StripPrefix
from core.inputs import default_preprocessing
from core.load import ModelRequest, load_requested
from core.predict import predict
from core.progress import Cancelled
from core.server import SAMPLES, Bench, SlotState, bench_to_query, sample_images
from pages.components.resources import jobs, model_pool, open_file
from tests.waiting import PATIENCE

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


def predicted(at):
    """The page once its job is done, however long that takes."""
    at.session_state["prediction-job"][1].result()
    at.run()
    assert not at.exception


def texts(at):
    elements = (*at.markdown, *at.caption, *at.error, *at.warning)
    return " ".join(element.value for element in elements).replace("\\", "")


def charts(at):
    """Each chart as {label: percent}, the way a reader pairs the words with the values."""
    found = []
    for chart in at.get("plotly_chart"):
        notes = json.loads(chart.proto.spec)["layout"]["annotations"]
        words = [note["text"].replace("<b>", "").replace("</b>", "") for note in notes]
        found.append(dict(zip(words[::2], words[1::2], strict=True)))
    return found


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


def percents(probabilities, labels):
    return {label: f"{100 * probabilities[label]:.2f}\u202f%" for label in labels}


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


def test_a_loaded_model_without_pictures_is_offered_the_samples():
    load(FINAL)
    at = predict_page(FINAL)
    assert not at.get("plotly_chart")
    at.button(key="pictures-page-sample").click().run()
    assert len(charts(at)) == len(sample_images())


def test_the_charts_show_what_plain_torch_computes():
    load(FINAL)
    at = predict_page(FINAL)
    at.button(key="pictures-page-sample").click().run()
    for path, chart in zip(sample_images(), charts(at), strict=True):
        expected = plain_torch("final", path)
        top = sorted(expected, key=expected.get, reverse=True)[:5]
        assert list(chart) == top
        assert chart == percents(expected, top)


def test_two_models_are_shown_side_by_side_on_one_scale_with_the_same_classes():
    load(EARLY)
    load(FINAL)
    at = predict_page(EARLY, FINAL)
    at.button(key="pictures-page-sample").click().run()
    found = charts(at)
    for number, path in enumerate(sample_images()):
        early, final = found[2 * number : 2 * number + 2]
        assert list(early) == list(final)
        assert early == percents(plain_torch("early", path), early)
        assert final == percents(plain_torch("final", path), final)
    scales = {
        tuple(json.loads(chart.proto.spec)["layout"]["xaxis"]["range"])
        for chart in at.get("plotly_chart")
    }
    assert len(scales) == 1
    assert at.title[0].value == "A and B agree on 4 of 8 images"


def test_uploaded_pictures_are_read_and_a_broken_one_is_refused_by_name():
    load(FINAL)
    at = predict_page(FINAL)
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
    assert "broken.png is" in texts(at)
    (chart,) = charts(at)
    assert chart == percents(plain_torch("final", path), chart)


def test_another_k_shows_more_classes_without_running_the_model_again():
    load(FINAL)
    at = predict_page(FINAL)
    at.button(key="pictures-page-sample").click().run()
    predicted(at)
    job = at.session_state["prediction-job"]
    at.slider(key="k").set_value(8).run()
    assert all(len(chart) == 8 for chart in charts(at))
    assert at.session_state["prediction-job"] is job


def test_what_the_model_is_fed_is_shown_with_its_source_and_can_be_changed():
    load(FINAL)
    at = predict_page(FINAL)
    at.button(key="pictures-page-sample").click().run()
    assert "A** · Input: 64 × 64 px, the checkpoint's own preprocessing" in texts(at)
    before = charts(at)
    mean = next(field for field in at.text_input if field.label.startswith("Mean"))
    mean.set_value("0.1, 0.1, 0.1").run()
    assert charts(at) != before
    assert "Changed by you" in texts(at)
    next(button for button in at.button if button.label == "Undo my changes").click().run()
    assert charts(at) == before


@pytest.mark.parametrize("text", ["0.5", "a, b, c", "0.5, 0.5, nan"])
def test_a_mean_that_cannot_be_read_is_refused_and_changes_nothing(text):
    load(FINAL)
    at = predict_page(FINAL)
    at.button(key="pictures-page-sample").click().run()
    before = charts(at)
    next(field for field in at.text_input if field.label.startswith("Mean")).set_value(text).run()
    assert "Mean needs 3 numbers" in texts(at)
    assert charts(at) == before


def test_the_classes_can_be_named_by_a_list_of_ones_own():
    load(FINAL)
    at = predict_page(FINAL)
    at.button(key="pictures-page-sample").click().run()
    assert "the checkpoint's own classes" in texts(at)
    names = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
    own = next(each for each in at.get("file_uploader") if "own" in each.proto.label)
    own.set_value(("namen.txt", "\n".join(names).encode(), "text/plain"))
    at.run()
    assert all(set(chart) <= set(names) for chart in charts(at))
    assert "namen.txt" in texts(at)


def test_a_list_of_another_length_is_refused_with_both_numbers():
    load(FINAL)
    at = predict_page(FINAL)
    at.button(key="pictures-page-sample").click().run()
    own = next(each for each in at.get("file_uploader") if "own" in each.proto.label)
    own.set_value(("two.txt", b"yes\nno", "text/plain"))
    at.run()
    assert "two.txt has 2 names, the model has 10 outputs" in texts(at)
    assert "seven" in charts(at)[4]


def test_predictions_of_a_head_that_was_not_loaded_are_called_untrained():
    load(HEADLESS)
    at = predict_page(HEADLESS)
    at.button(key="pictures-page-sample").click().run()
    assert "its outputs mean nothing" in at.warning[0].value
    assert "ms · untrained" in texts(at)


@pytest.mark.parametrize(
    ("library", "name", "classes", "said"),
    [
        ("torchvision", "lraspp_mobilenet_v3_large", 3, "returns a class for every pixel"),
        ("torchvision", "ssdlite320_mobilenet_v3_large", 3, "returns boxes with their classes"),
        ("torchvision", "raft_small", None, "takes two images"),
        ("timm", "test_vit", 0, "returns features: it has no head"),
    ],
)
def test_a_network_that_is_no_classifier_is_told_with_what_it_gives(
    tmp_path, library, name, classes, said
):
    options = {} if classes is None else {"num_classes": classes}
    architecture = Architecture(library, name, tuple(options.items()))
    torch.save(build(architecture).state_dict(), tmp_path / "root" / "other.pth")
    other = SlotState("root:0/other.pth", architecture=architecture.key)
    load(other)
    at = predict_page(other)
    assert said in at.info[0].value.replace("\\", "")
    assert "for image classifiers" in at.info[0].value
    assert at.title[0].value == "No image classifier is loaded"
    assert not at.get("file_uploader")

    load(FINAL)
    at = predict_page(FINAL, other)
    at.button(key="pictures-page-sample").click().run()
    assert not at.exception
    assert said in at.info[0].value.replace("\\", "")
    assert len(charts(at)) == len(sample_images())


def test_a_file_runs_beside_another_architecture_that_takes_its_tensors(tmp_path):
    if find_index(tmp_path) is None:
        pytest.skip("Loupe comes with the index of other versions of torchvision and timm")
    own = Architecture("torchvision", "resnet18", (("num_classes", 4),))
    torch.manual_seed(0)
    torch.save(build(own).state_dict(), tmp_path / "root" / "own.pth")
    state = SlotState("root:0/own.pth", architecture=own.key)
    load(state)
    at = predict_page(state)
    at.button(key="pictures-page-sample").click().run()
    predicted(at)
    alone = charts(at)
    (picker,) = [each for each in at.selectbox if each.key == "lookalike-A"]
    (blurred,) = [option for option in picker.options if "resnetblur18" in option]
    assert "downsampling through blur pooling" in blurred
    picker.select(blurred).run()
    predicted(at)
    both = charts(at)
    assert both[0::2] == alone
    assert all(one != other for one, other in zip(both[0::2], both[1::2], strict=True))
    assert at.title[0].value.startswith("A and A as resnetblur18 agree on ")
    other = Architecture("timm", "resnetblur18", own.options)
    checkpoint = open_file(state.file)
    request = ModelRequest(checkpoint.identity, "", Recipe(), other)
    assert [each.architecture for each in model_pool().resident()].count(other) == 1
    image = Image.open(sample_images()[0]).convert("RGB")
    with model_pool().get(request, lambda: load_requested(request, checkpoint.state_dict())) as it:
        fed = default_preprocessing(other, checkpoint.metadata)
        (told,) = predict(it, [("one", image)], fed, 4)
    assert [*both[1].values()] == [f"{100 * each:.2f}\u202f%" for each in told.probabilities]


def test_a_long_run_shows_its_progress_can_be_cancelled_and_run_again():
    load(FINAL)
    at = predict_page(FINAL)
    busy = threading.Event()
    others = [jobs().start(lambda _: busy.wait(), f"person {n}") for n in range(8)]
    at.button(key="pictures-page-sample").click().run()
    assert not at.get("plotly_chart")
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
    assert len(charts(at)) == len(sample_images())


def test_the_table_has_every_picture_and_the_csv_is_named_after_its_content():
    load(EARLY)
    load(FINAL)
    at = predict_page(EARLY, FINAL)
    at.button(key="pictures-page-sample").click().run()
    table = at.dataframe[0].value
    assert list(table["Image"]) == [path.name for path in sample_images()]
    assert list(table["B: class"])[:3] == ["one", "three", "four"]
    first = at.get("download_button")[0].proto.url
    at.slider(key="k").set_value(3).run()
    assert at.get("download_button")[0].proto.url != first


def test_the_pictures_stay_when_the_page_is_left_and_can_be_cleared():
    load(FINAL)
    at = predict_page(FINAL)
    at.button(key="pictures-page-sample").click().run()
    at.switch_page("pages/open.py").run()
    at.switch_page("pages/predict.py").run()
    assert len(charts(at)) == len(sample_images())
    at.button(key="pictures-bar-clear").click().run()
    assert not charts(at)
