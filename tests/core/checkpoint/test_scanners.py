"""What the scanners picklescan and fickling call dangerous, Loupe never calls plain."""

import argparse
import ast
import datetime
import io
import types
import uuid
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from fickling.analysis import UnsafeImportsML
from fickling.exception import ResourceExhaustionError
from fickling.fickle import SAFE_BUILTINS, UNSAFE_IMPORTS, Pickled
from picklescan.scanner import (
    SafetyLevel,
    _build_scan_result_from_raw_globals,
    _unsafe_globals,
    scan_bytes,
)

from core.checkpoint import Checkpoint, open_checkpoint
from core.checkpoint.pickles.constructors import CONSTRUCTORS, MENTIONED
from core.checkpoint.pickles.global_verdicts import Verdict
from core.checkpoint.pickles.known_globals import (
    DANGEROUS_MODULES,
    DANGEROUS_NAMES,
    HARMLESS_NAMES,
    METHODS,
    MIXED_MODULES,
    PLAIN_NAMES,
)
from core.checkpoint.pickles.unpickler import Mentions
from core.errors import LoupeError
from tests.core.checkpoint.hostile_files import hostile_files

TAKEN_FOR_HARMLESS = {
    "functools.partial": "whole models keep their layers' classes in it; it calls nothing by "
    "itself, and what it would call is judged by its own name",
    "test.anything": "a user's own test.py, more often than Python's tests",
}
"""What picklescan calls dangerous and Loupe keeps inert, with the reason."""


def verdict(name: str) -> Verdict:
    mentions = Mentions()
    mentions.add(name)
    return mentions.judged()[0].verdict


def picklescan_calls_dangerous(name: str) -> bool:
    parts = name.split(".")
    splits = {(".".join(parts[:end]), ".".join(parts[end:])) for end in range(1, len(parts))}
    scan = _build_scan_result_from_raw_globals(splits, "name")
    return any(use.safety is SafetyLevel.Dangerous for use in scan.globals)


def fickling_calls_dangerous(name: str) -> bool:
    """Its analyses UnsafeImports and UnsafeImportsML; others call all but a few names unsafe."""
    module, _, attribute = name.rpartition(".")
    if module in ("builtins", "__builtin__"):
        return attribute not in SAFE_BUILTINS
    packages = {".".join(module.split(".")[:end]) for end in range(1, len(module.split(".")) + 1)}
    return (
        not UNSAFE_IMPORTS.isdisjoint(name.split("."))
        or not packages.isdisjoint(UnsafeImportsML.UNSAFE_MODULES)
        or attribute in UnsafeImportsML.UNSAFE_IMPORTS.get(module, ())
    )


def names_of_picklescan() -> Iterator[str]:
    for module, names in _unsafe_globals.items():
        if names == "*":
            yield f"{module}.anything"
        else:
            yield from (f"{module}.{name}" for name in ([names] if type(names) is str else names))


def names_of_fickling() -> Iterator[str]:
    for module in UNSAFE_IMPORTS | UnsafeImportsML.UNSAFE_MODULES.keys():
        yield f"{module}.anything"
        yield f"a_module.{module}.anything"
    for module, names in UnsafeImportsML.UNSAFE_IMPORTS.items():
        yield from (f"{module}.{name}" for name in names)


@pytest.mark.parametrize("name", sorted(names_of_picklescan()))
def test_what_picklescan_lists_as_dangerous_is_dangerous(name: str) -> None:
    assert picklescan_calls_dangerous(name)
    harmless = name in TAKEN_FOR_HARMLESS
    assert verdict(name) is (Verdict.INERT if harmless else Verdict.DANGEROUS)


def test_what_fickling_lists_as_dangerous_is_never_plain() -> None:
    assert [name for name in names_of_fickling() if verdict(name) is Verdict.PLAIN] == []


@pytest.mark.parametrize("name", sorted({*CONSTRUCTORS, *MENTIONED, *PLAIN_NAMES}))
def test_what_is_plain_no_scanner_calls_dangerous(name: str) -> None:
    assert verdict(name) is Verdict.PLAIN
    assert not picklescan_calls_dangerous(name)
    assert not fickling_calls_dangerous(name)


VERBS = frozenset(
    [
        "asks",
        "calls",
        "changes",
        "compiles",
        "copies",
        "downloads",
        "ends",
        "fetches",
        "handles",
        "imports",
        "installs",
        "interferes",
        "is",
        "lists",
        "loads",
        "makes",
        "maps",
        "opens",
        "prepares",
        "reaches",
        "reads",
        "removes",
        "replaces",
        "runs",
        "sends",
        "starts",
        "unpickles",
        "waits",
        "writes",
    ]
)
NOUNS = frozenset(["a", "an", "any", "how", "one", "the", "where"])
"""How a noun begins, with "It is" before it."""


def test_each_reason_makes_a_sentence_with_the_word_before_it() -> None:
    tables = (DANGEROUS_MODULES, MIXED_MODULES, DANGEROUS_NAMES, METHODS)
    for reason in chain.from_iterable(table.values() for table in tables):
        assert reason.split()[0] in VERBS
        assert not reason.endswith(".")
    for reason in (*PLAIN_NAMES.values(), *HARMLESS_NAMES.values()):
        first = reason.split()[0]
        assert first in NOUNS or reason in {"bytes", "text"}
        assert not reason.endswith(".")


def picklescan_finds(data: bytes) -> set[str]:
    """What it calls dangerous in a file; none where it cannot read the file."""
    try:
        scan = scan_bytes(io.BytesIO(data), "file", ".pth")
    except Exception:  # whatever it raises, it has found nothing
        return set()
    dangerous = [use for use in scan.globals if use.safety is SafetyLevel.Dangerous]
    return {f"{use.module}.{use.name}" for use in dangerous if "unknown" not in use.module}


def fickling_finds(data: bytes) -> set[str]:
    """What it calls an unsafe import in a zip's data.pkl; none where it cannot read that."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        member = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        pickled = Pickled.load(archive.read(member))
        imports = [node for node in pickled.properties.imports if isinstance(node, ast.ImportFrom)]
    except (zipfile.BadZipFile, StopIteration, ValueError, LookupError, ResourceExhaustionError):
        return set()
    names = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    return {name for name in names if fickling_calls_dangerous(name)}


SMALL = 20_000
HOSTILE = {
    name: hostile
    for name, hostile in hostile_files().items()
    if name.startswith(("call: ", "name: ", "hidden: "))
    # Both cut a module from its attribute at the first blank, which may stand in either.
    and "with spaces" not in name
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_scanner_finds_in_a_hostile_file_is_told_and_not_plain(
    tmp_path: Path, name: str
) -> None:
    data = HOSTILE[name].make()
    assert isinstance(data, bytes)
    if len(data) > SMALL:
        pytest.skip("the scanners take long for it")
    (tmp_path / "file.pth").write_bytes(data)
    try:
        checkpoint = open_checkpoint(tmp_path / "file.pth")
    except LoupeError:
        return
    assert_not_plain(checkpoint, picklescan_finds(data) | fickling_finds(data))


def assert_not_plain(checkpoint: Checkpoint, names: set[str]) -> None:
    verdicts = {use.name: use.verdict for use in checkpoint.globals}
    assert names <= verdicts.keys()
    assert [name for name in names if verdicts[name] is Verdict.PLAIN] == []


def state_dict() -> object:
    return torchvision.models.resnet18().state_dict()


def whole_resnet() -> object:
    return torchvision.models.resnet18()


def whole_transformers() -> object:
    return {
        "torchvision": torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 8),
        "timm": timm.create_model("test_vit"),
    }


def training_state() -> object:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), dtype=torch.float16),
        "config": types.SimpleNamespace(out=Path("runs"), id=uuid.uuid4()),
        "when": datetime.datetime(2026, 1, 2),
        "rng": np.random.default_rng(0).bit_generator.state,
    }


def numpy_values() -> object:
    return {"w": torch.zeros(1), "best": np.float64(0.5), "loss": np.arange(3.0), "n": np.int64(3)}


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize(
    "make", [state_dict, whole_resnet, whole_transformers, training_state, numpy_values]
)
@pytest.mark.filterwarnings("ignore")
def test_an_ordinary_checkpoint_has_nothing_dangerous(
    tmp_path: Path, make: Callable[[], object], format: str
) -> None:
    path = tmp_path / "file.pth"
    torch.save(make(), path, _use_new_zipfile_serialization=format == "zip")
    checkpoint = open_checkpoint(path)
    dangerous = [use.name for use in checkpoint.globals if use.verdict is Verdict.DANGEROUS]
    assert dangerous == []
    assert_not_plain(checkpoint, picklescan_finds(path.read_bytes()))
    assert all(use.where for use in checkpoint.globals)
