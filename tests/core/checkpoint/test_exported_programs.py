"""The archives of torch.export open with the program's weights and constants."""

import io
import json
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from core.tensors import read_tensor

pytestmark = pytest.mark.filterwarnings("ignore")


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.factor = torch.full((3,), 2.0)
        self.shift = nn.Parameter(torch.randn(3).bfloat16())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x)) * self.factor + self.scratch.sum() + self.shift


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    return torch.export.export(Scaled().eval(), (torch.randn(2, 4),))


@pytest.fixture
def path(program: torch.export.ExportedProgram, tmp_path: Path) -> Path:
    torch.export.save(program, tmp_path / "model.pt2")
    return tmp_path / "model.pt2"


def test_its_weights_are_the_programs_state_dict(
    program: torch.export.ExportedProgram, path: Path
) -> None:
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "exported"
    assert checkpoint.best == "state_dict"
    found = checkpoint.state_dict()
    assert set(found) == set(program.state_dict)
    for key, tensor in program.state_dict.items():
        assert found[key].dtype == str(tensor.dtype).removeprefix("torch.")
        assert torch.equal(read_tensor(found[key]), tensor), key
        assert found[key].requires_grad == tensor.requires_grad


def test_its_constants_stand_beside_them(program: torch.export.ExportedProgram, path: Path) -> None:
    found = open_checkpoint(path).state_dict("constants")
    assert set(found) == set(program.constants)
    for key, tensor in program.constants.items():
        assert torch.equal(read_tensor(found[key]), tensor), key


def test_the_layout_before_torch_2_8_is_read(tmp_path: Path) -> None:
    """Made as its writer made it: torch.save's bytes in a plain zip."""
    weights = nn.Linear(4, 3).state_dict()
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        for name, value in (("state_dict", weights), ("constants", {"c": torch.ones(2)})):
            data = io.BytesIO()
            torch.save(value, data)
            archive.writestr(f"serialized_{name}.pt", data.getvalue())
        archive.writestr("version", "8.2")
    checkpoint = open_checkpoint(tmp_path / "old.pt2")
    for key, tensor in weights.items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)
    assert list(checkpoint.state_dict("constants")) == ["c"]


def rewritten(path: Path, change: Callable[[dict[str, dict[str, object]]], None]) -> Path:
    """The archive with another list of its weights."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.endswith("weights_config.json"):
                document = json.loads(data)
                change(document["config"])
                data = json.dumps(document).encode()
            new.writestr(member.filename, data)
    return target


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sizes", [{"as_int": 1 << 40}]), ("sizes", [{"as_int": -3}]), ("sizes", "three"),
        ("sizes", [{"as_expr": {"expr_str": "s0"}}]), ("dtype", 77), ("dtype", "float"),
        ("storage_offset", {"as_int": 99}), ("strides", [{"as_int": 1}] * 90),
    ],
)  # fmt: skip
def test_a_lying_description_is_refused(path: Path, name: str, value: object) -> None:
    def change(config: dict[str, dict[str, object]]) -> None:
        config["linear.bias"]["tensor_meta"][name] = value  # type: ignore[index]

    with pytest.raises(CheckpointError) as raised:
        open_checkpoint(rewritten(path, change))
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("member", ["../../../etc/passwd", "weight_99", ""])
def test_a_member_that_is_not_there_is_said(path: Path, member: str) -> None:
    def change(config: dict[str, dict[str, object]]) -> None:
        config["linear.bias"]["path_name"] = member

    with pytest.raises(CheckpointError, match="does not contain"):
        open_checkpoint(rewritten(path, change))


def test_a_description_that_is_all_brackets_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        document = '{"config": [' + "[]," * 5_000_000 + "[]]}"
        archive.writestr("m/data/weights/model_weights_config.json", document)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        CheckpointError, match=r"has more than 500.000 lists; the file may be sound"
    ):
        open_checkpoint(tmp_path / "m.pt2")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_compiled_package_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/data/aotinductor/model/c1.wrapper.so", b"\x7fELF")
    with pytest.raises(CheckpointError, match="AOTInductor package"):
        open_checkpoint(tmp_path / "m.pt2")


def test_the_programs_of_one_package_are_state_dicts_by_their_names(tmp_path: Path) -> None:
    from torch.export.pt2_archive._package import package_pt2

    models = {"model": nn.Linear(2, 3), "draft": nn.Linear(2, 1)}
    example = (torch.ones(1, 2),)
    programs = {name: torch.export.export(model, example) for name, model in models.items()}
    package_pt2(tmp_path / "two.pt2", exported_programs=programs)
    checkpoint = open_checkpoint(tmp_path / "two.pt2")
    for path, name in (("state_dict", "model"), ("state_dict of draft", "draft")):
        found = checkpoint.state_dict(path)
        for key, tensor in models[name].state_dict().items():
            assert torch.equal(read_tensor(found[key]), tensor), (name, key)


def test_a_description_of_no_weights_is_said(path: Path) -> None:
    for document, words in (
        ({"config": []}, "names no weights"),
        ([], "names no weights"),
        ({"config": {"w": 1}}, "it states no member for w"),
        ({"config": {"w": {"path_name": 1}}}, "it states no member for w"),
    ):
        with zipfile.ZipFile(path.with_name("odd.pt2"), "w") as archive:
            archive.writestr("m/archive_format", "pt2")
            archive.writestr("m/data/weights/model_weights_config.json", json.dumps(document))
        with pytest.raises(CheckpointError, match=words):
            open_checkpoint(path.with_name("odd.pt2"))
