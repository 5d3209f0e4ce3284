"""The house: its rooms, their faces, and the names in them. The floors are import-linter's."""

import ast
import importlib
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE, COMPONENTS = ROOT / "core", ROOT / "pages" / "components"

ROOMS = sorted(
    str(path.parent.relative_to(ROOT)).replace("/", ".") for path in CORE.rglob("*/__init__.py")
)
"""The packages of core."""

WITHOUT_NAMES = {"core.fixes.kinds"}
"""Rooms into which only their own package goes: core.fixes hands on what others need."""

NEED_TORCH = {
    "core.compare.one_pair",
    "core.evaluate",
    "core.explain",
    "core.export",
    "core.inputs",
    "core.inputs.library",
    "core.inputs.statements",
    "core.load",
    "core.predict",
    "core.predict.answers",
    "core.predict.drawing",
    "core.predict.labels",
    "core.predict.proof",
    "core.predict.seen",
    "core.tensors",
}
"""Rooms whose faces import torch; those that `loupe inspect` and `loupe compare` need do not."""

LOOSE = 6
"""Files of core that belong to no package."""

MOST_FILES = 14
"""Python files of a folder: a fifteenth asks for a room of its own."""

DOORS = {"compare", "evaluate", "explain", "fit", "identify", "inspect", "open", "predict"}
"""Commands of core/cli and pages, called like the packages that they lead to."""

LIGHT_ROOMS = [room for room in ROOMS if room not in NEED_TORCH]

IMPORTED_WITHOUT_TORCH = """
import importlib, json, sys

class Heavy:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "streamlit"):
            raise RuntimeError(f"imports {name}")  # an ImportError might be caught as foreseen

sys.meta_path.insert(0, Heavy())
failures = {}
for room in sys.argv[1:]:
    try:
        importlib.import_module(room)
    except Exception as error:
        failures[room] = str(error)
print(json.dumps(failures))
"""
"""Imports each room in one process and prints what failed. A module whose import fails does not
stay in sys.modules, so that each room that needs it fails too."""

ROLES = {"add_parser", "main"}
"""Functions that each command, or each page and process, has under the same name."""


def test_core_is_packages_and_a_few_loose_files() -> None:
    loose = [path.name for path in CORE.glob("*.py") if path.name != "__init__.py"]
    assert len(loose) <= LOOSE, loose


@pytest.mark.parametrize("top", [CORE, COMPONENTS], ids=["core", "components"])
def test_no_folder_is_crowded(top: Path) -> None:
    crowded = {
        str(folder.relative_to(ROOT)): number
        for folder in {path.parent for path in top.rglob("*.py")}
        if (number := len(list(folder.glob("*.py")))) > MOST_FILES
    }
    assert not crowded


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_hands_on_what_it_names_and_nothing_else(room: str) -> None:
    """Its docstring tells what the room is for; each name of `__all__` comes from its own files."""
    tree = ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text())
    assert len(ast.get_docstring(tree) or "") > 60
    imported = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    if room in WITHOUT_NAMES:
        assert not imported
        return
    assert imported
    assert all((module or "").startswith(f"{room}.") for module in imported.values())
    face = importlib.import_module(room)
    assert sorted(face.__all__) == sorted(imported)
    for name, module in imported.items():
        assert getattr(face, name) is getattr(sys.modules[str(module)], name)


def test_others_come_in_through_the_faces() -> None:
    """A package's own files, and the tests of that package, import each other by file."""
    around = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in _sources("app.py", "core", "pages", "benchmarks", "tests")
        for module in _imports(path)
        if _is_file_of_core(module) and not _at_home(path, module)
    ]
    assert not around


@pytest.fixture(scope="module")
def failures_without_torch() -> dict[str, str]:
    """Why light rooms cannot be imported where neither torch nor streamlit can be, by room."""
    command = [sys.executable, "-c", IMPORTED_WITHOUT_TORCH, *LIGHT_ROOMS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    failures: dict[str, str] = json.loads(done.stdout)
    return failures


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_a_light_face_imports_no_torch(room: str, failures_without_torch: dict[str, str]) -> None:
    assert failures_without_torch.get(room) is None


def test_a_heavy_face_shows_that_it_imports_torch() -> None:
    """The check of the light ones would find it."""
    command = [sys.executable, "-c", IMPORTED_WITHOUT_TORCH, "core.tensors", "core.keys"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"core.tensors": "imports torch"}


def test_one_name_means_one_thing() -> None:
    """A module, a package, a public class or a public function. A package may have a module of
    its own name, for what it is called after."""
    places = defaultdict(set)
    for path in _sources("core", "pages"):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        places[name].add(path.parent if path.parent.name == name else path)
    assert not {
        name: found for name, found in places.items() if len(found) > 1 and name not in DOORS
    }
    objects = defaultdict(set)
    for path in _sources("core", "pages"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                objects[node.name].add(str(path.relative_to(ROOT)))
    assert not {
        name: found for name, found in objects.items() if len(found) > 1 and name not in ROLES
    }


def test_tests_mirror_core() -> None:
    """A folder of tests stands where the package stands that it tests."""
    folders = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests/core").rglob("test_*.py")
    }
    assert not [str(folder) for folder in folders if not (ROOT / folder).is_dir()]


def _sources(*tops: str) -> Iterator[Path]:
    for top in tops:
        path = ROOT / top
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Modules that names are imported from, but private names, which no face hands on."""
    for node in _statements(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if not all(alias.name.startswith("_") for alias in node.names):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node, without the many more expressions."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for child in getattr(node, field, ()):
            yield child
            yield from _statements(child)


@cache
def _is_file_of_core(module: str) -> bool:
    """A module that lies in a package of core; loose files have no face."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    return module.count(".") > 1 and module.startswith("core.") and path.is_file()


def _at_home(path: Path, module: str) -> bool:
    package = "/".join(module.split(".")[:2])
    place = str(path.relative_to(ROOT)).removeprefix("tests/")
    return place.startswith(f"{package}/")
