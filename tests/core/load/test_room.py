"""A model that is too large for a device is a sentence with the numbers, before memory is taken."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from math import prod
from pathlib import Path

import pytest

from core.architectures import Architecture, catalogue, signature
from core.checkpoint import open_checkpoint
from core.errors import LoadError
from core.load.loading import load_model
from core.load.room import Need, NoRoom, control_group_bytes, free_bytes, no_room
from core.wording import size

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def memory(field: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise LookupError(field)


def file_of_holes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A sound safetensors file of float32 tensors, whose zeros take no room on the disk."""
    header, end = {}, 0
    for key, shape in shapes.items():
        start, end = end, end + 4 * prod(shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


@pytest.fixture
def larger_than_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    rows = 3 * memory("MemTotal") // (4 << 20)
    (tmp_path / "huge_models.py").write_text(
        "from torch import nn\n\n\n"
        f"def huge():\n    return nn.Linear(1 << 20, {rows}, bias=False)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return catalogue(("huge_models:huge",))[0]


def test_a_file_that_claims_more_than_the_machine_has_is_refused_before_memory_is_taken(
    tmp_path: Path, larger_than_the_machine: Architecture
) -> None:
    rows, columns = signature(larger_than_the_machine)["weight"].shape
    path = file_of_holes(tmp_path / "huge.safetensors", {"weight": (rows, columns)})
    state_dict = open_checkpoint(path).state_dict()
    with pytest.raises(NoRoom) as caught:
        load_model(state_dict, larger_than_the_machine)
    error = caught.value
    assert error.needed == 4 * rows * columns > memory("MemTotal")
    assert error.free is not None
    assert error.free <= memory("MemTotal")
    assert f"needs {size(error.needed)} of memory on cpu" in error.problem
    assert f"{size(error.free)} are free" in error.problem
    assert error.remedy == "Close what else uses its memory."


def in_a_small_process(
    spare: int,
    body: str,
    architecture: str = 'parse_architecture("torchvision:vgg11")',
    modules: Path = Path(),
) -> str:
    """Run `body` where only `spare` more bytes of address space can be had; what it prints."""
    script = f"""
    import resource
    from pathlib import Path
    from core.architectures import catalogue, parse_architecture, signature
    from core.checkpoint import open_checkpoint
    from core.errors import LoadError
    from core.load import load_model
    from core.load.room import Need, free_bytes, running_out
    import torch

    architecture = {architecture}
    signature(architecture)
    torch.set_num_threads(1)
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + {spare}
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        {body}
    except LoadError as error:
        print(type(error).__name__, error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{modules}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_with_a_limit_says_what_is_needed_and_what_is_free(
    tmp_path: Path,
) -> None:
    shapes = signature(Architecture("torchvision", "vgg11"))
    path = file_of_holes(
        tmp_path / "vgg11.safetensors", {key: spec.shape for key, spec in shapes.items()}
    )
    said = in_a_small_process(
        400_000_000,
        f"load_model(open_checkpoint(Path({str(path)!r})).state_dict(), architecture)",
    )
    assert said.startswith("NoRoom The model needs 531\u202fMB of memory on cpu, where ")
    assert said.rstrip().endswith("B are free. Close what else uses its memory.")


def test_memory_that_runs_out_while_building_is_no_room_once_the_half_built_model_is_gone(
    tmp_path: Path,
) -> None:
    """Its buffers, which no file holds, take more than there is; its weights alone would not."""
    (tmp_path / "growing_models.py").write_text(
        "import torch\n"
        "from torch import nn\n\n\n"
        "class Growing(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.weight = nn.Parameter(torch.empty(40_000_000))\n"
        "        self.itself = [self]\n"
        "        for name in 'abcde':\n"
        "            table = torch.zeros(20_000_000, device=self.weight.device)\n"
        "            self.register_buffer(name, table, persistent=False)\n"
    )
    path = file_of_holes(tmp_path / "growing.safetensors", {"weight": (40_000_000,)})
    said = in_a_small_process(
        500_000_000,
        f"load_model(open_checkpoint(Path({str(path)!r})).state_dict(), architecture)",
        'catalogue(("growing_models:Growing",))[0]',
        tmp_path,
    )
    assert said.startswith("NoRoom The model needs 160\u202fMB of memory on cpu, where ")
    assert "less is left" in said
    assert "enforce fail" not in said


def test_an_allocation_that_fails_all_the_same_is_the_same_sentence() -> None:
    said = in_a_small_process(
        300_000_000,
        'with running_out(Need("cpu", 1 << 40, 1 << 39)): torch.empty(1 << 40)',
    )
    assert said.startswith("NoRoom The model needs 1.10\u202fTB of memory on cpu, where ")


def test_what_is_free_on_the_cpu_is_no_more_than_the_kernel_gives() -> None:
    free = free_bytes("cpu")
    assert free is not None
    assert 0 < free <= memory("MemTotal")


CONTROL_GROUP_FILES = {
    "version 2": {
        "memory.max": "1000000\n",
        "memory.current": "700000\n",
        "memory.stat": "anon 100\nactive_file 200000\ninactive_file 300000\n",
    },
    "version 1": {
        "memory/memory.limit_in_bytes": "1000000\n",
        "memory/memory.usage_in_bytes": "700000\n",
        "memory/memory.stat": "active_file 1\ntotal_active_file 200000\n"
        "total_inactive_file 300000\n",
    },
}


@pytest.mark.parametrize("version", CONTROL_GROUP_FILES)
def test_in_a_container_the_file_cache_counts_as_free(tmp_path: Path, version: str) -> None:
    """Of files that were read once, and of those that were read often."""
    for name, text in CONTROL_GROUP_FILES[version].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert control_group_bytes(tmp_path) == 800_000


def test_a_container_without_a_limit_has_what_the_machine_has(tmp_path: Path) -> None:
    assert control_group_bytes(tmp_path) == -1
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700000\n")
    assert control_group_bytes(tmp_path) == -1


def test_half_precision_that_has_room_is_a_way_out() -> None:
    error = no_room(Need("cpu", 1 << 50, 10**7))
    assert error.remedy == "Load it as bfloat16, which takes 10.0\u202fMB."


def test_another_device_with_room_is_a_way_out() -> None:
    error = no_room(Need("xpu", 1000, 1000, ("cpu", "xpu")))
    assert error.remedy.startswith("Choose cpu, where ")
    assert error.remedy.endswith("B are free.")


def test_the_models_beside_it_are_named_with_their_bytes() -> None:
    error = NoRoom(
        "cuda:0", 9 * 10**9, 4 * 10**9, ("load it as bfloat16, which takes 4.50\u202fGB",)
    )
    assert error.with_models_in_use(0, 0) is error
    assert str(error.with_models_in_use(1, 2 * 10**9)) == (
        "The model needs 9.00\u202fGB of memory on cuda:0, where 4.00\u202fGB are free. Load it "
        "as bfloat16, which takes 4.50\u202fGB, or close the other loaded model on cuda:0, with "
        "2.00\u202fGB."
    )
    assert "the 3 other loaded models on cuda:0" in error.with_models_in_use(3, 10**9).remedy
    assert isinstance(error, LoadError)
