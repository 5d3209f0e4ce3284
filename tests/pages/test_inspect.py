"""The Inspect page, as a person reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from pages.components.theme import parameters, size

REPOSITORY = Path(__file__).parents[2]


class Payload:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.fixture
def inspect(tmp_path, monkeypatch) -> Callable[[object], AppTest]:
    """Save an object as torch does, and open the page on it."""
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path))
    st.cache_resource.clear()

    def opened(value: object = None) -> AppTest:
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=30)
        if value is not None:
            torch.save(value, tmp_path / "file.pth")
            app.query_params["a"] = "root:0/file.pth"
        app.run()
        return app.switch_page("pages/inspect.py").run()

    yield opened
    st.cache_resource.clear()


def keys(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["key"])


def test_without_a_file_the_page_teaches_and_offers_the_sample(inspect):
    app = inspect()
    assert not app.exception
    assert "Nothing to inspect yet" in [found.value for found in app.subheader]
    app.button[0].click().run()
    assert not app.exception
    assert app.metric[0].label == "Tensors"
    assert len(app.dataframe[0].value) == int(app.metric[0].value)


def test_totals_come_first(inspect):
    app = inspect({"a.weight": torch.zeros(2000, 3), "a.bias": torch.zeros(5, dtype=torch.half)})
    assert {found.label: found.value for found in app.metric} == {
        "Tensors": "2",
        "Parameters": parameters(6005),
        "Size": size(24_010),
        "Dtypes": "float16, float32",
    }


def test_the_table_is_filtered_by_text_pattern_and_dtype(inspect):
    weights = {f"layer{index}.{name}": torch.zeros(2) for index in (1, 2) for name in "ab"}
    app = inspect({**weights, "steps": torch.tensor(3)})
    assert keys(app) == [*weights, "steps"]
    app.text_input(key="inspect-search").set_value("layer2").run()
    assert keys(app) == ["layer2.a", "layer2.b"]
    app.text_input(key="inspect-search").set_value(r"/\.a$/").run()
    assert keys(app) == ["layer1.a", "layer2.a"]
    app.text_input(key="inspect-search").set_value("/(/").run()
    assert "not a regular expression" in app.warning[0].value
    app.text_input(key="inspect-search").set_value("").run()
    assert keys(app) == [*weights, "steps"]


def test_a_dangerous_file_is_told_by_one_line_on_top(inspect):
    app = inspect({"w": torch.ones(2), "x": Payload()})
    assert "would have run posix.system" in app.error[0].value
    assert app.error[0].value.endswith("Loupe did not run it.")


def test_a_plain_file_can_run_nothing(inspect):
    app = inspect({"w": torch.ones(2)})
    assert not app.error
    assert any("Nothing in this file can run" in found.value for found in app.markdown)
