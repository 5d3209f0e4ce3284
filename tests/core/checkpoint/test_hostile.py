"""Whatever a file says, nothing in it runs, and opening it costs two seconds and 256 MB at most.

The files are those of hostile_files.py, opened by watched_open.py in a process of its own.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from core.checkpoint import Checkpoint, Verdict, open_checkpoint
from core.errors import CheckpointError, LoupeError
from core.wording import THIN
from tests.bounds import ENDLESS
from tests.core.checkpoint.files_by_hand import (
    CANARY,
    CANARY_MODULE,
    legacy_file,
    tensor_with,
    with_tensor,
    zip_file,
)
from tests.core.checkpoint.hostile_containers import Hostile
from tests.core.checkpoint.hostile_files import hostile_files
from tests.core.checkpoint.watched_open import SCRATCH

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

GROWTH = 256 << 20
LONGEST_SENTENCE = 700

WEIGHTS = {f"layer{i}.weight": torch.full((4, i + 1), float(i)) for i in range(4)}
HOSTILE = hostile_files()

Report = Mapping[str, object]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Report]:
    """What became of each file, and what opening it did."""
    folder = tmp_path_factory.mktemp("hostile")
    result = subprocess.run(
        [sys.executable, "-m", "tests.core.checkpoint.watched_open"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert {path.name for path in folder.iterdir()} == {"file", SCRATCH, f"{CANARY_MODULE}.py"}
    assert not list((folder / SCRATCH).iterdir())
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    return {report["name"]: report for report in reports}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_opens_inertly_or_is_refused_in_a_sentence(
    reports: Mapping[str, Report], name: str
) -> None:
    hostile, report = HOSTILE[name], reports[name]
    assert "crash" not in report
    assert report["events"] == []
    assert report["modules"] == []
    assert report["files"] == []
    assert float(str(report["seconds"])) <= ENDLESS
    assert not report["too many calls"]
    assert int(str(report["grown"])) <= GROWTH
    if hostile.opens is not None:
        assert report["opened"] is hostile.opens
    if report["opened"]:
        _names_what_is_dangerous(report, hostile)
    else:
        _speaks_plainly(str(report["problem"]), str(report["remedy"]))


def _names_what_is_dangerous(report: Report, hostile: Hostile) -> None:
    verdicts, where = report["globals"], report["where"]
    assert isinstance(verdicts, dict)
    assert isinstance(where, dict)
    for name in hostile.dangerous:
        assert verdicts[name] == Verdict.DANGEROUS
        assert where[name]


def _speaks_plainly(problem: str, remedy: str) -> None:
    for sentence in (problem, remedy):
        assert sentence.endswith(".")
        assert sentence.replace(THIN, " ").isprintable()
        assert "\n" not in sentence
        assert len(sentence) < LONGEST_SENTENCE
        assert not re.search(r"Error|Traceback|object at 0x|<class|codec|NoneType", sentence)


def test_the_watch_sees_what_it_is_there_for(tmp_path: Path) -> None:
    """A reader that does execute is caught by each of the means."""
    code = f"""
from tests.core.checkpoint import watched_open
opened = 0
def careless(path, scratch=None):
    import os, subprocess
    global opened
    opened += 1
    if opened > 1:  # the first is for warming up
        os.system("true")
        subprocess.run(["touch", "{CANARY}"])
        import {CANARY_MODULE}
        bytearray(300 << 20)
    raise watched_open.LoupeError("Read carelessly.", "Do not.")
watched_open.open_checkpoint = careless
watched_open.main("call: REDUCE (zip)")
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(result.stdout)
    seen = {event for event, _ in report["events"]}
    assert seen >= {"os.system", "subprocess.Popen", "import", "exec", "open"}
    assert CANARY_MODULE in report["modules"]
    assert CANARY in report["files"]
    assert report["grown"] > 200 << 20


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("call: REDUCE (zip)", "data.pkl: x"),
        ("call: REDUCE (legacy)", "pickle 4 of 5: x"),
        ("call: object in a set (zip)", f"data.pkl: x.<os.system('touch {CANARY}')>"),
        ("call: the result is dropped (zip)", "data.pkl"),
        ("call: load from bytes (zip)", "data.pkl, inside its bytes"),
        ("call: numpy scalar of objects (legacy)", "pickle 4 of 5, inside its bytes"),
        ("hidden: behind data.pkl", "the pickle in data.pkl, after its end"),
        ("hidden: behind the stream", "the stream, after its end"),
        ("hidden: extra.pkl, compressed", "extra.pkl"),
        ("hidden: serialization_id", ".data/serialization_id"),
        ("hidden: pickle 3 of the stream", "pickle 3 of 5"),
        ("packed: old tar, call in the storages", "storages"),
        ("packed: gzip of a checkpoint", "data.pkl: x"),
        ("folder: index of a call", "b.bin, data.pkl: x"),
        ("folder: distributed, a call", ".metadata: planner_data"),
    ],
)
def test_it_is_told_where_a_dangerous_name_stands(
    reports: Mapping[str, Report], name: str, place: str
) -> None:
    where = reports[name]["where"]
    assert isinstance(where, dict)
    assert where["os.system"] == place


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hidden: behind data.pkl", "follow the end of the pickle in data.pkl"),
        ("hidden: behind the stream", "follow the end of the stream"),
        ("hidden: extra.pkl", "another pickle, extra.pkl, which torch.load does not read"),
        ("hidden: in another folder", "another pickle, n/data.pkl"),
        ("call: load from bytes (zip)", "A byte string in data.pkl is itself a pickle"),
    ],
)
def test_a_note_tells_of_pickles_that_torch_leaves_alone(
    reports: Mapping[str, Report], name: str, words: str
) -> None:
    notes = reports[name]["notes"]
    assert isinstance(notes, list)
    assert any(words in note for note in notes)


def outcome(path: Path) -> Checkpoint | LoupeError:
    try:
        return open_checkpoint(path)
    except LoupeError as error:
        return error


containers = pytest.mark.parametrize("pack", [zip_file, legacy_file], ids=["zip", "legacy"])
Pack = Callable[[bytes], bytes]


@containers
@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ("17", "1", 0),
        ("4", "1", 13),
        ("2 2", "1000000 1", 0),
        ("2", "4611686018427387903", 0),
        ("1099511627776 1024", "0 0", 0),
        ("4", "1", 4611686018427387903),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: Path, pack: Pack, shape: str, stride: str, offset: int
) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(pack(with_tensor(tensor_with(shape, stride, offset))))
    with pytest.raises(CheckpointError, match="tensor x"):
        open_checkpoint(path)


@containers
@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [("-4", "1", 0), ("4", "-1", 3), ("4", "1", -1), ("4 4", "1", 0), ("9" * 30, "1", 0)],
)
def test_impossible_shapes_are_no_tensors(
    tmp_path: Path, pack: Pack, shape: str, stride: str, offset: int
) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(pack(with_tensor(tensor_with(shape, stride, offset))))
    assert list(open_checkpoint(path).state_dict()) == ["w"]


def test_a_hundred_thousand_tensors_are_no_attack(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({f"block.{i}.weight": torch.zeros(1) for i in range(100_000)}, path)
    assert len(open_checkpoint(path).state_dict()) == 100_000


def test_half_a_million_parameters_of_an_optimizer_are_no_attack(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    groups = [{"lr": 0.1, "betas": (0.9, 0.99), "params": list(range(500_000))}]
    groups += [{"lr": 0.1, "betas": (0.9, 0.99), "params": [i]} for i in range(50_000)]
    torch.save({"model": WEIGHTS, "optimizer": {"state": {}, "param_groups": groups}}, path)
    assert list(open_checkpoint(path).state_dict()) == list(WEIGHTS)
