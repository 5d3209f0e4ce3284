"""Files that take long to read on the Compare page: what is begun is no longer offered."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

TENSORS, NBYTES = 16, 1 << 30
"""They take seconds to read, and as holes of a file next to nothing on the disk."""

FIRST, LAST = 0, TENSORS * NBYTES - 4


def write_sparse(path: Path, value: float, *offsets: int) -> None:
    """A safetensors file of zeros, but for `value` at these offsets into its tensors."""
    header = {
        f"layer{index}.weight": {
            "dtype": "F32",
            "shape": [NBYTES // 4 // 1024, 1024],
            "data_offsets": [index * NBYTES, (index + 1) * NBYTES],
        }
        for index in range(TENSORS)
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for offset in offsets:
            file.seek(8 + len(text) + offset)
            file.write(struct.pack("<f", value))
        file.truncate(8 + len(text) + TENSORS * NBYTES)


@pytest.fixture
def compare(tmp_path, monkeypatch) -> Iterator[Callable[..., AppTest]]:
    """Open the page on two files that differ at these offsets; what runs at the end is stopped."""
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path))
    apps = []

    def opened(*offsets: int) -> AppTest:
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=PATIENCE)
        apps.append(app)
        for slot, value in (("a", 0.0), ("b", 1.0)):
            write_sparse(tmp_path / f"{slot}.safetensors", value, *offsets)
            app.query_params[slot] = f"root:0/{slot}.safetensors"
        return app.run().switch_page("pages/compare.py").run()

    yield opened
    for app in apps:
        stop(app)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def press(app: AppTest, text: str) -> None:
    next(button for button in app.button if text in button.label).click().run()
    assert not app.exception


def stop(app: AppTest) -> None:
    if "Cancel" in labels(app):
        press(app, "Cancel")
    wait_until(lambda: "Cancel" not in labels(app.run()))


def assert_begun(app: AppTest, text: str) -> None:
    """The bar stands where the button stood."""
    press(app, text)
    assert "Cancel" in labels(app)
    assert not [label for label in labels(app) if text in label]
    assert [info.value for info in app.info] == []


def test_a_comparison_that_is_begun_again_is_no_longer_called_stopped(compare) -> None:
    app = compare(LAST)
    stop(app)
    assert [info.value for info in app.info] == ["The comparison was cancelled."]
    assert_begun(app, "Compare again")


def test_measuring_that_is_begun_is_not_offered(compare) -> None:
    assert_begun(compare(*range(FIRST, LAST, NBYTES)), "Measure the 16 that differ")


def test_the_values_of_a_pair_that_are_being_read_are_not_offered(compare) -> None:
    app = compare(*range(FIRST, LAST, NBYTES))
    assert_begun(app, "Read the values")


def test_measuring_of_a_run_that_is_begun_is_not_offered(compare) -> None:
    app = compare(LAST)
    stop(app)
    app.segmented_control(key="compare-mode").set_value("Run").run()
    app.multiselect[0].set_value(app.multiselect[0].options[:2]).run()
    assert_begun(app, "Measure the run")
