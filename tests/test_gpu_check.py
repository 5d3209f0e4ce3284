"""The check of a GPU runs on a CPU too, as far as that can, and without Streamlit."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

WITHOUT_STREAMLIT = """
import runpy, sys
sys.modules["streamlit"] = None
sys.argv = ["gpu_check", "cpu"]
runpy.run_module("benchmarks.gpu_check", run_name="__main__")
"""


@pytest.mark.slow
def test_the_check_of_a_gpu_runs_without_streamlit() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_STREAMLIT],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "All of it is right."
    for part in ("load", "predict", "heat map", "evaluate"):
        assert f"\n{part} " in done.stdout
