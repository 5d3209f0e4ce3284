"""What honest programs save is no alarm: nothing in it is called code that would have run."""

import collections
import dataclasses
import datetime
import enum
import functools
import http
import inspect
import io
import logging
import math
import operator
import os
import pathlib
import pickle
import random
import signal
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import omegaconf
import pytest
import sklearn.linear_model
import sklearn.preprocessing
import sympy
import timm
import torch
import torch.distributed as dist
import torchvision
import transformers
from requests.structures import CaseInsensitiveDict
from torch.distributed.algorithms.join import _JoinConfig
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard, distribute_tensor

from core.checkpoint import Verdict, open_checkpoint
from core.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore")


class Mode(enum.Enum):
    FAST = 1


class Access(enum.Flag):
    READ = 1


@dataclasses.dataclass
class Options:
    class Kind(enum.IntEnum):
        ONE = 1

    lr: float = 0.1
    kind: Kind = Kind.ONE
    mode: Mode = Mode.FAST


Point = collections.namedtuple("Point", "x y")


class Generation:
    """A class inside of another, which protocol 2 names by getattr."""

    class Step:
        number = 1

    def __init__(self) -> None:
        self.step = self.Step()


def trained(optimizer: type[torch.optim.Optimizer]) -> object:
    model = torch.nn.Linear(3, 2)
    stepped = optimizer(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    stepped.step()
    return {"model": model, "optimizer": stepped.state_dict(), "whole": [stepped]}


def schedule() -> object:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1)
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9).state_dict()


def hooked() -> torch.nn.Module:
    model = torch.nn.Linear(2, 2)
    model.register_forward_hook(torch.nn.functional.relu)
    return model


VALUES: dict[str, Callable[[], object]] = {
    "numpy RandomState": lambda: np.random.RandomState(0),
    "numpy Generator": lambda: np.random.default_rng(0),
    "random": lambda: [random.Random(0), random.getstate()],
    "torch.Generator": torch.Generator,
    "masked array": lambda: np.ma.array([1.0, 2.0], mask=[0, 1]),
    "Enum": lambda: [Mode.FAST, Access.READ, Options.Kind.ONE],
    "dataclass": Options,
    "namedtuple": lambda: Point(1, 2),
    "class inside a class": Generation,
    "HTTPStatus and signals": lambda: [http.HTTPStatus.OK, signal.SIGTERM],
    "types": lambda: [types.SimpleNamespace(a=1), list[int], type(None), type, int, dict],
    "slice, range, Ellipsis": lambda: [slice(1, 2), range(3), ...],
    "defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "functions": lambda: [torch.relu, torch.nn.functional.gelu, math.exp, operator.add, max, len],
    "partial": lambda: functools.partial(torch.nn.LayerNorm, eps=1e-6),
    "signature": lambda: inspect.signature(os.path.join),
    "dates, paths, logs": lambda: [
        datetime.datetime.now(datetime.UTC), pathlib.Path("a"), uuid.uuid4(), logging.getLogger(""),
    ],
    "requests": lambda: CaseInsensitiveDict(a=1),
    "sympy": lambda: sympy.Symbol("x") ** 2 + sympy.Integer(3) / 2,
    "omegaconf": lambda: omegaconf.OmegaConf.create({"a": {"b": [1, 2]}}),
    "scikit-learn": lambda: [
        sklearn.preprocessing.StandardScaler().fit(np.ones((3, 2))),
        sklearn.linear_model.LinearRegression().fit(np.ones((3, 2)), np.ones(3)),
    ],
    "transformers' options": lambda: transformers.TrainingArguments(output_dir="out"),
    "transformers' configuration": transformers.BertConfig,
    "Adam": lambda: trained(torch.optim.Adam),
    "SGD": lambda: trained(torch.optim.SGD),
    "Adagrad": lambda: trained(torch.optim.Adagrad),
    "schedule": schedule,
    "hooks": hooked,
    "averaged model": lambda: torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2)),
    "DataParallel": lambda: torch.nn.DataParallel(torch.nn.Linear(2, 2)),
    "data set": lambda: torch.utils.data.TensorDataset(torch.ones(2)),
    "transforms": lambda: torchvision.transforms.Compose(
        [torchvision.transforms.ToTensor(), torchvision.transforms.Resize(3)]
    ),
    "distribution": lambda: torch.distributions.Normal(0.0, 1.0),
    "torchvision model": torchvision.models.mobilenet_v2,
    "timm model": lambda: timm.create_model("test_vit"),
    "quantized model": lambda: torch.ao.quantization.quantize_dynamic(
        torch.nn.Sequential(torch.nn.Linear(4, 4)), {torch.nn.Linear}
    ),
    "DDP's options": lambda: _JoinConfig(True, True, False),
    "ReduceOp": lambda: dist.ReduceOp.SUM,
}  # fmt: skip


def assert_no_alarm(path: Path) -> None:
    alarms, refusal = [], ""
    try:
        uses = open_checkpoint(path).globals
        alarms = [use.name for use in uses if use.verdict is Verdict.DANGEROUS]
    except CheckpointError as error:
        refusal = error.problem
    assert alarms == []
    assert "Loupe ran none" not in refusal


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("kind", VALUES)
def test_a_value_beside_weights(tmp_path: Path, kind: str, zipped: bool) -> None:
    value = {"w": torch.ones(2), "x": VALUES[kind]()}
    torch.save(value, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    assert_no_alarm(tmp_path / "m.pth")


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_without_weights(tmp_path: Path, kind: str) -> None:
    torch.save(VALUES[kind](), tmp_path / "m.pth")
    assert_no_alarm(tmp_path / "m.pth")


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind != "torch.Generator"])
def test_a_plain_pickle(tmp_path: Path, kind: str, protocol: int) -> None:
    value = {"w": torch.ones(2), "x": VALUES[kind]()}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(value, protocol))
    assert_no_alarm(tmp_path / "m.pkl")


@pytest.mark.parametrize("compress", [0, 3])
def test_a_joblib_file_is_told_as_one(tmp_path: Path, compress: int) -> None:
    joblib.dump({"a": np.arange(10.0), "t": torch.ones(2)}, tmp_path / "m.pkl", compress=compress)
    with pytest.raises(CheckpointError, match="joblib") as raised:
        open_checkpoint(tmp_path / "m.pkl")
    assert "Loupe ran none" not in raised.value.problem


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rank", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_tensors_of_a_device_mesh(tmp_path: Path, one_process: None) -> None:
    mesh = DeviceMesh("cpu", torch.arange(1))
    tensor = distribute_tensor(torch.ones(4), mesh, [Shard(0)])
    torch.save({"w": tensor, "mesh": mesh}, tmp_path / "m.pth")
    assert_no_alarm(tmp_path / "m.pth")


def test_a_model_of_several_processes(tmp_path: Path, one_process: None) -> None:
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
    torch.save(model, tmp_path / "m.pth")
    assert_no_alarm(tmp_path / "m.pth")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("kind", ["Enum", "class inside a class", "dataclass", "types"])
def test_a_file_that_is_cut_off(tmp_path: Path, kind: str, share: float) -> None:
    file = io.BytesIO()
    torch.save({"w": torch.ones(2), "x": VALUES[kind]()}, file)
    (tmp_path / "m.pth").write_bytes(file.getvalue()[: int(len(file.getvalue()) * share)])
    assert_no_alarm(tmp_path / "m.pth")
