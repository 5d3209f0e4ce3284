"""What fails while a server starts costs nothing else, and is tried again when it is needed."""

import importlib
import logging
import sys
from pathlib import Path

import pytest

from core.server.preload_steps import preload


def test_a_library_that_breaks_half_way_is_told_and_imported_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "moody_library"
    package.mkdir()
    (package / "layers.py").write_text("LAYERS = 3\n")
    (package / "__init__.py").write_text(
        "from pathlib import Path\n"
        "from moody_library import layers\n"
        "Path(__file__).with_name('room').stat()\n"
        "READY = True\n"
    )
    taken: list[str] = []
    with caplog.at_level(logging.ERROR, "loupe"):
        preload(["moody_library", "math"], lambda: 1 / 0, lambda: taken.append("last"))
    assert taken == ["last"]
    assert "FileNotFoundError" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "moody_library" not in sys.modules
    (package / "room").touch()
    assert importlib.import_module("moody_library").READY
