"""The app's own file: the server it makes, and the ways past it that are closed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def test_a_pages_file_is_never_served_without_the_app(tmp_path: Path) -> None:
    """An attribute of Streamlit's own that app.py relies on is still there and still heeded."""
    script = (
        "from streamlit.runtime.pages_manager import PagesManager\n"
        "assert PagesManager.uses_pages_directory is None\n"
        "import app\n"
        "assert PagesManager.uses_pages_directory is False\n"
        "PagesManager(str(app.Path(app.__file__)))\n"
        "assert PagesManager.uses_pages_directory is False\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={"PATH": "", "LOUPE_DATA": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_core_needs_no_streamlit() -> None:
    script = (
        "import pathlib, sys, importlib\n"
        "for path in sorted(pathlib.Path('core').rglob('*.py')):\n"
        "    name = '.'.join(path.with_suffix('').parts).removesuffix('.__init__')\n"
        "    importlib.import_module(name)\n"
        "assert 'streamlit' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
