"""The panel Why: its maps are those that `explain` gives, for the class and method asked for."""

import re
from base64 import b64decode
from html import unescape
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from core.architectures import parse_architecture
from core.explain import explain, heat_image, seen_part
from core.inputs import default_preprocessing, prepare
from core.load import ModelRequest, load_requested
from core.server import sample_images
from pages.components.resources import model_pool, open_file
from tests.pages.test_predict import (
    ARCHITECTURE,
    EARLY,
    FINAL,
    STRIP,
    chosen,
    fresh_server,
    load,
    predicted_page,
    texts,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

__all__ = ["fresh_server"]  # a fixture that every test here uses


def open_why(at, models=1):
    """Open the panel, as a click in the browser does, and wait for the maps of so many models."""
    at.session_state["why"] = True
    wait_until(lambda: len(maps(at.run())) == models)
    assert not at.exception


def maps(at):
    """What the open panel shows: by the model's name its image, its class, and its scale."""
    shown = {}
    for body in (each.proto.body for each in at.get("html") if 'class="why"' in each.proto.body):
        slot, label = re.search("<figcaption><b>(.*?)</b> <strong>(.*?)</strong>", body).groups()
        data = re.search('src="data:image/webp;base64,(.*?)"', body)[1]
        scale = re.search("<span>([^<]*) and more</span>", body)[1]
        image = Image.open(BytesIO(b64decode(data))).convert("RGB")
        shown[unescape(slot)] = image, unescape(label), scale
    return shown


def pick(at, key, value):
    next(each for each in at.selectbox if str(each.key).startswith(key)).select(value).run()
    assert not at.exception


def final_model():
    """The sample's model from the server's pool, and its preprocessing."""
    checkpoint = open_file("sample:final")
    state_dict = checkpoint.state_dict()
    architecture = parse_architecture(ARCHITECTURE)
    request = ModelRequest(checkpoint.identity, state_dict.path, STRIP, architecture)
    with model_pool().get(request, lambda: load_requested(request, state_dict)) as loaded:
        return loaded, default_preprocessing(architecture, checkpoint)


def expected_map(name, target, method, layer=""):
    loaded, preprocessing = final_model()
    with Image.open(next(path for path in sample_images() if path.name == name)) as file:
        image = file.convert("RGB")
    heat = explain(loaded, prepare(image, preprocessing), target, method, layer)
    return heat_image(image, heat, 0.6, part=seen_part(image.size, preprocessing))


def differ(one, other):
    return np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).mean()


def test_nothing_is_computed_before_the_panel_is_opened():
    load(FINAL)
    at = predicted_page(FINAL)
    assert not maps(at)
    assert not [each for each in at.selectbox if str(each.key).startswith("why")]


def test_the_map_is_that_of_explain_for_the_class_and_the_method():
    load(FINAL)
    at = predicted_page(FINAL)
    open_why(at)
    name, lists = chosen(at)
    image, label, _ = maps(at)["A"]
    assert label == next(iter(lists["A"]))
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    # WebP changes pixels by a few of 255 levels.
    assert differ(image, expected_map(name, names.index(label), "gradcam")) < 4
    pick(at, "why-method", "occlusion")
    wait_until(lambda: "have the mean colour" in texts(at.run()))
    image, label, _ = maps(at)["A"]
    assert differ(image, expected_map(name, names.index(label), "occlusion")) < 4
    assert not [each for each in at.selectbox if str(each.key).startswith("why-layer")]


def test_another_layer_can_be_chosen():
    load(FINAL)
    at = predicted_page(FINAL)
    open_why(at)
    assert "conv5, on a grid of 2 × 2 places" in texts(at).replace("`", "")
    pick(at, "why-layer", "stage3")
    wait_until(lambda: "stage3, on a grid of 4 × 4 places" in texts(at.run()).replace("`", ""))


def test_a_and_b_are_explained_for_one_class_on_one_scale():
    load(EARLY)
    load(FINAL)
    at = predicted_page(EARLY, FINAL)
    open_why(at, models=2)
    shown = maps(at)
    assert shown["A"][1:] == shown["B"][1:]
    assert "Both maps are on one scale." in texts(at)


def test_a_method_that_the_model_does_not_allow_is_said_with_what_does():
    load(FINAL)
    at = predicted_page(FINAL)
    open_why(at)
    pick(at, "why-method", "rollout")
    wait_until(lambda: [each for each in at.run().error if "no attention" in each.value])
    assert "Choose Grad-CAM, integrated gradients or occlusion." in texts(at)
    assert not maps(at)
