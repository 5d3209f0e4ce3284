"""`loupe inspect`, run as a user runs it: a process, its output, its exit status."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import safetensors.torch
import torch
from huggingface_hub import save_torch_state_dict

from tests.core.cli.process import LOUPE, loupe

pytestmark = pytest.mark.slow


def test_inspect_json_lists_the_best_state_dict_in_file_order(training_file: Path) -> None:
    told = json.loads(loupe("inspect", training_file, "--json").stdout)
    state_dict = torch.load(training_file)["state_dict"]
    assert told["format"] == "zip"
    assert told["tensors"] == [
        {
            "key": key,
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "nbytes": tensor.nbytes,
        }
        for key, tensor in state_dict.items()
    ]
    assert told["state_dicts"] == [{"path": "state_dict", "tensors": len(state_dict)}]
    assert told["joined"] == []
    named = {use["name"]: use for use in told["globals"]}
    assert named["collections.OrderedDict"]["verdict"] == "plain data"
    assert named["collections.OrderedDict"]["where"] == "data.pkl"
    assert all(use["reason"] and use["uses"] for use in told["globals"])
    assert told["metadata"] == {"epoch": 7, "note": "ü"}


def test_inspect_takes_another_state_dict_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "two.pth"
    raw, ema = {"w": torch.zeros(2)}, {"w": torch.ones(2), "b": torch.ones(1)}
    torch.save({"model": raw, "model_ema": ema}, path)
    told = json.loads(loupe("inspect", path, "--state-dict", "model_ema", "--json").stdout)
    assert [tensor["key"] for tensor in told["tensors"]] == ["w", "b"]
    wrong = loupe("inspect", path, "--state-dict", "nothing")
    assert wrong.returncode == 2
    assert "nothing" in wrong.stderr
    assert "model_ema" in wrong.stderr


def test_inspect_says_what_a_network_was_joined_from(tmp_path: Path) -> None:
    path = tmp_path / "parts.pth"
    torch.save({"backbone": {"w": torch.zeros(2)}, "head": {"w": torch.ones(1)}}, path)
    told = loupe("inspect", path).stdout
    assert "joined from  backbone, head\n" in told
    assert "also inside" not in told
    document = json.loads(loupe("inspect", path, "--json").stdout)
    assert document["joined"] == [{"path": "", "tensors": 2, "parts": ["backbone", "head"]}]
    head = json.loads(loupe("inspect", path, "--state-dict", "head", "--json").stdout)
    assert [tensor["key"] for tensor in head["tensors"]] == ["w"]


def test_inspect_reads_well_without_json(training_file: Path) -> None:
    told = loupe("inspect", training_file)
    assert told.returncode == 0
    assert "module.layer1.0.conv1.weight" in told.stdout
    assert re.search(
        r"module\.layer1\.0\.conv1\.weight +64 × 64 × 3 × 3 +float32 +147,456\n", told.stdout
    )


def test_inspect_takes_a_folder_and_the_index_of_shards(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = {f"w{number}": torch.full((8,), float(number)) for number in range(6)}
    save_torch_state_dict(tensors, folder, max_shard_size=70)
    shards = len(list(folder.glob("*-of-*")))
    index = folder / "model.safetensors.index.json"
    for given in (folder, index):
        told = json.loads(loupe("inspect", given, "--json", "--verify").stdout)
        assert told["format"] == "safetensors shards"
        assert [tensor["key"] for tensor in told["tensors"]] == list(tensors)
        assert told["files"] == shards + 1
        assert told["notes"] == []
        assert told["verification"]["records"] == len(tensors)
    assert f"in {shards + 1} files" in loupe("inspect", folder).stdout
    index.unlink()
    assert "note: There is no index with the shards" in loupe("inspect", folder).stdout


def test_inspect_asks_which_of_a_folders_checkpoints_is_meant(tmp_path: Path) -> None:
    for epoch in (1, 2):
        torch.save({"w": torch.ones(1)}, tmp_path / f"epoch{epoch}.pth")
    ended = loupe("inspect", tmp_path)
    assert ended.returncode == 2
    assert "epoch1.pth and epoch2.pth. Choose one of them." in ended.stderr


def test_inspect_imports_no_torch(training_file: Path) -> None:
    script = (
        "import sys; from core.cli import main; main(['inspect', sys.argv[1], '--json']);"
        "heavy = {'torch', 'numpy', 'streamlit', 'core.compare'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, training_file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_verify_reads_every_byte_and_exits_1_where_one_was_changed(
    training_file: Path, tmp_path: Path
) -> None:
    sound = loupe("inspect", training_file, "--verify")
    assert sound.returncode == 0
    assert "checksums checked: none is wrong." in sound.stdout
    assert sound.stderr == ""
    content = bytearray(training_file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(content)
    told = loupe("inspect", damaged, "--verify")
    assert told.returncode == 1
    (line,) = (line for line in told.stdout.splitlines() if "damaged:" in line)
    assert "which contains state_dict.module.layer4" in line
    assert "checksums checked: 1 is wrong." in told.stdout
    (found,) = json.loads(loupe("inspect", damaged, "--verify", "--json").stdout)["verification"][
        "damaged"
    ]
    assert found["record"] in line
    assert found["keys"][0].startswith("state_dict.module.layer4")
    assert loupe("inspect", damaged).returncode == 0


def test_verify_says_of_a_format_without_checksums_what_cannot_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file({"w": torch.ones(3)}, path)
    told = loupe("inspect", path, "--verify")
    assert told.returncode == 0
    assert "This format keeps no checksum" in told.stdout
    path.write_bytes(path.read_bytes()[:-4])
    told = loupe("inspect", path, "--verify")
    assert (told.returncode, told.stdout) == (2, "")
    assert "cut off" in told.stderr


@pytest.mark.parametrize("columns", [80, 24])
def test_verify_shows_how_far_it_is_to_who_watches_and_to_nobody_else(
    training_file: Path, columns: int
) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with os.fdopen(ours, "rb") as terminal:
        with os.fdopen(theirs, "wb") as stderr:
            done = subprocess.run(
                [LOUPE, "inspect", training_file, "--verify"],
                stdout=subprocess.PIPE,
                stderr=stderr,
                check=True,
            )
        watched = os.read(terminal.fileno(), 1 << 16).decode()
    lines = re.findall(r"\r([^\r\x1b]+)", watched)
    assert lines
    assert max(map(len, lines)) < columns
    if columns == 80:
        assert "100 %" in lines[-1]
        assert "MB/s" in lines[-1]
    assert b" of " not in done.stdout


def test_health_of_a_sound_file_is_a_verdict_and_a_line_for_each_check(tmp_path: Path) -> None:
    path = tmp_path / "sound.pth"
    torch.manual_seed(0)
    torch.save({"fc.weight": torch.randn(4, 300), "step": torch.tensor(3)}, path)
    told = loupe("inspect", path, "--health")
    assert told.returncode == 0
    assert "\nhealth: no anomalies.\n" in told.stdout
    assert re.search(r"\nNaN or Inf +0 of 1,200 values\n", told.stdout)
    assert re.search(r"\nDead output channels +0 of 4 output channels\n", told.stdout)
    assert re.search(r"\nrunning_var near 0 +no variance to check\n", told.stdout)
    assert told.stdout.endswith("no check is about: 1 tensor (step): a single integer\n")
    assert "health" not in loupe("inspect", path).stdout


def test_health_lists_what_it_found_and_what_it_did_not_check(tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    weight = torch.randn(4, 3)
    weight[1] = torch.nan
    tensors = {
        "w": weight,
        "packed": torch.zeros(4, 4, dtype=torch.uint8),
        "n.bias": torch.zeros(3),
    }
    torch.save(tensors, path)
    told = loupe("inspect", path, "--health")
    assert told.returncode == 1
    assert "\nhealth: 1 tensor holds NaN.\n" in told.stdout
    assert re.search(r"\nNaN or Inf +w +3 are NaN, of 12 values\n", told.stdout)
    assert re.search(r"\nAll-zero tensors +n\.bias +all 3 values are zero +as biases", told.stdout)
    reason = "integers (uint8), which may be packed weights"
    assert f"not checked: 1 tensor (packed): {reason}\n" in told.stdout
    document = json.loads(loupe("inspect", path, "--health", "--json").stdout)["health"]
    assert document["verdict"] == "1 tensor holds NaN"
    assert document["unchecked"] == [{"key": "packed", "reason": reason}]
    not_finite, zero, *_ = document["checks"]
    assert (not_finite["check"], not_finite["count"], not_finite["of"]) == ("not finite", 3, 15)
    assert [finding["key"] for finding in not_finite["anomalies"]] == ["w"]
    assert [finding["key"] for finding in zero["usual"]] == ["n.bias"]


def test_health_imports_no_torch_and_reads_the_chosen_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "two.pth"
    broken = torch.full((3,), torch.inf).bfloat16()
    torch.save({"model": {"w": torch.randn(3)}, "model_ema": {"w": broken}}, path)
    code = "import sys; from core.cli import main; sys.modules['torch'] = None\nsys.exit(main())"
    for state_dict, status in (("model", 0), ("model_ema", 1)):
        options = ["inspect", path, "--state-dict", state_dict, "--health"]
        ended = subprocess.run([sys.executable, "-c", code, *options], check=False)
        assert ended.returncode == status


def test_keys_that_differ_in_white_space_do_not_print_alike(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "w ": torch.ones(2), " w": torch.ones(2)}, tmp_path / "m.pt")
    lines = loupe("inspect", tmp_path / "m.pt").stdout.splitlines()
    keys = [line.split("  ")[0] for line in lines if line.rstrip().endswith("  8")]
    assert keys == ["w", '"w "', '" w"']
