"""What is kept of a file's texts is kept for whatever text a file holds."""

import ast
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.compare import Choices
from core.server import Bench, SlotState, bench_to_query
from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[2]
HALF = "half \ud83d of a name"

WHERE = {"pages/components/cached.py", "pages/components/open/upload.py"}
"""Where Streamlit's own caches may be given arguments: in the wrapper, and for tokens and sessions,
which the server names."""


@pytest.fixture
def app(tmp_path, monkeypatch) -> AppTest:
    """A bench of two files whose state_dicts, keys and decided pairs have halves of characters."""
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path))
    weights = OrderedDict((f"{HALF}.{n}.weight", torch.eye(8) + n) for n in range(3))
    torch.save({HALF: weights, "epoch": HALF}, tmp_path / "a.pth")
    weights[f"{HALF}.last"] = weights.pop(f"{HALF}.2.weight") * 2
    torch.save({HALF: weights}, tmp_path / "b.pth")
    accepted = (f"{HALF}.2.weight", f"{HALF}.last")
    bench = Bench(
        SlotState("root:0/a.pth", architecture="torchvision:resnet18"),
        SlotState("root:0/b.pth"),
        Choices((accepted,), strip=(HALF, "")),
    )
    app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=PATIENCE)
    for name, text in bench_to_query(bench).items():
        app.query_params[name] = text
    return app


def test_halves_of_characters_in_names_and_decisions_break_no_page(app: AppTest) -> None:
    app.run()
    assert not app.exception
    for page in ("inspect", "compare", "fit", "predict", "open"):
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, page
        assert not [error.value for error in app.error if "broke" in error.value], page


def test_halves_of_characters_in_a_key_break_no_tensor_s_card(tmp_path) -> None:
    def card(path: str) -> None:
        from pathlib import Path

        from core.checkpoint import open_checkpoint
        from pages.components.inspect.tensor_card import tensor_card

        (entry,) = open_checkpoint(Path(path)).state_dict().values()
        tensor_card(entry, "a file")

    torch.save({HALF: torch.eye(8)}, tmp_path / "a.pth")
    app = AppTest.from_function(
        card, args=(str(tmp_path / "a.pth"),), default_timeout=PATIENCE
    ).run()
    assert not app.exception
    assert app.get("plotly_chart")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((REPOSITORY / "pages").rglob("*.py"))
        if str(path.relative_to(REPOSITORY)) not in WHERE
    ],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_what_has_arguments_is_kept_by_the_wrapper(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and ast.unparse(node.args):
            assert not [one for one in node.decorator_list if "st.cache_" in ast.unparse(one)]
