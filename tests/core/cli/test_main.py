"""The `loupe` command, run as a user runs it: a process, its output, its exit status."""

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
from PIL import Image
from torchvision.models import resnet18
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from core.server import SAMPLES, sample_images
from tests.prepared import run_command

pytestmark = pytest.mark.slow

LOUPE = Path(sys.executable).with_name("loupe")


def loupe(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_command(LOUPE, [*map(str, arguments)], {**os.environ, **environ})


def test_help_names_every_command_and_each_has_its_own() -> None:
    helped = loupe("--help")
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: loupe [FILE ...] [--port PORT] [--address ADDRESS]\n")
    commands = re.findall(r"^    ([a-z-]+)  ", helped.stdout, re.MULTILINE)
    assert commands == [
        *("inspect", "identify", "fit", "fix", "predict", "compare", "text", "git-diff")
    ]
    for command in commands:
        own = loupe(command, "--help")
        assert own.returncode == 0
        assert own.stdout.startswith(f"usage: loupe {command} ")


def test_what_a_command_does_not_know_is_said_with_its_own_usage() -> None:
    ended = loupe("inspect", "model.pth", "--nonsense")
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: loupe inspect ")
    assert "loupe inspect: error: unrecognized arguments: --nonsense" in ended.stderr


def test_a_file_of_the_app_may_be_named_like_a_command() -> None:
    ended = loupe("--port", 8502, "inspect")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "loupe: There is no file inspect. Check the path.\n"


@pytest.fixture(scope="module")
def training_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 10-class resnet18, saved from DataParallel in a training checkpoint."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("cli") / "run.pth"
    model = torch.nn.DataParallel(resnet18(num_classes=10))
    torch.save({"epoch": 7, "state_dict": model.state_dict(), "note": "ü"}, path)
    return path


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


@pytest.mark.parametrize(
    "module", ["argparse", "core.cli.commands", "core.checkpoint", "core.cli.git"]
)
def test_ctrl_c_while_python_imports_the_commands_is_a_line(module: str) -> None:
    script = (
        "import os, signal, sys\n"
        "class CtrlC:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == sys.argv[1]:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, CtrlC())\n"
        "from core.cli import main\n"
        "sys.exit(main(['--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, module], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "loupe: stopped.\n")


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


def test_fit_exits_1_with_the_repair_and_0_once_it_is_taken(training_file: Path) -> None:
    before = loupe("fit", training_file, "--arch", "resnet18", "--num-classes", 10)
    assert before.returncode == 1
    assert "repair: strip `module.`: 0 → 122 of 122 keys\n" in before.stdout
    assert "        All 122 keys begin with `module.`" in before.stdout
    after = loupe(
        *("fit", training_file, "--arch", "resnet18", "--num-classes", 10),
        *("--strip-prefix", "module.", "--json"),
    )
    assert after.returncode == 0
    told = json.loads(after.stdout)
    assert told["fits"] is True
    assert told["matched"] == len(resnet18().state_dict())
    assert told["missing_keys"] == told["unexpected_keys"] == told["mismatched"] == []


def test_fit_gives_each_repair_its_reason_and_the_option_once(training_file: Path) -> None:
    given = ("--arch", "resnet18", "--strip-prefix", "module.")
    assert loupe("fit", training_file, *given).stdout.splitlines() == [
        "Does not fit torchvision resnet18: 120 of 122 keys match, 2 differ in shape.",
        "",
        "mismatched (2)",
        "  fc.weight: 10 × 512 in the file, 1000 × 512 in the model",
        "  fc.bias: 10 in the file, 1000 in the model",
        "",
        "repair: drop what has another shape: 2 keys dropped, 120 of 122 keys match",
        "        `fc.weight` and `fc.bias` have another shape in the model.",
        "option: The file's head has 10 classes, the model's 1,000: set num_classes=10 to load the "
        "whole head. The tensors do not say which row is which class, so no rows are selected.",
    ]


def test_predict_gives_the_probabilities_of_plain_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = resnet18(num_classes=3).eval()
    torch.save({"state_dict": model.state_dict(), "classes": ["ant", "bee", "cat"]}, tmp_path / "m")
    Image.radial_gradient("L").convert("RGB").save(tmp_path / "picture.png")
    done = loupe(
        *("predict", tmp_path / "m", "--arch", "torchvision:resnet18", "--num-classes", 3),
        *(tmp_path / "picture.png", "-k", 3, "--json"),
    )
    assert done.returncode == 0, done.stderr
    from torchvision.models import ResNet18_Weights

    inputs = ResNet18_Weights.DEFAULT.transforms()(Image.open(tmp_path / "picture.png"))
    with torch.inference_mode():
        expected = model(inputs[None]).softmax(1)[0]
    [image] = json.loads(done.stdout)["images"]
    assert image["name"] == "picture.png"
    assert [one["label"] for one in image["top"]] == [
        ["ant", "bee", "cat"][index] for index in expected.argsort(descending=True)
    ]
    for one in image["top"]:
        assert one["probability"] == pytest.approx(expected[one["index"]].item(), rel=1e-5)


def test_predict_on_the_sample_reads_the_digits(tmp_path: Path) -> None:
    final = SAMPLES["final"]
    arch = json.loads(loupe("inspect", final.path, "--json").stdout)["metadata"]["arch"]
    done = loupe(
        *("predict", final.path, "--arch", f"torchvision:{arch}", "--num-classes", 10),
        *("--strip-prefix", "module.", *sample_images(), "--json"),
    )
    assert done.returncode == 0, done.stderr
    images = json.loads(done.stdout)["images"]
    assert len(images) == len(sample_images())
    right = sum(f"digit_{image['top'][0]['index']}_" in image["name"] for image in images)
    assert right >= len(images) - 1


def test_predict_takes_a_list_of_names_for_a_model_whose_output_is_not_a_number(
    tmp_path: Path,
) -> None:
    weights = resnet18(num_classes=3).state_dict()
    weights["fc.weight"][1, 1] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")
    done = loupe(
        *("predict", tmp_path / "nan.pth", "--arch", "resnet18", "--num-classes", 3),
        *("--labels", tmp_path / "names.txt", sample_images()[0]),
    )
    assert done.returncode == 0, done.stderr
    assert "not a number (NaN)" in done.stdout


def test_predict_refuses_a_checkpoint_that_does_not_fit(training_file: Path) -> None:
    picture = sample_images()[0]
    done = loupe("predict", training_file, "--arch", "resnet18", picture)
    assert done.returncode == 1
    assert "run.pth does not fit torchvision resnet18: 0 of 122 keys" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_says_what_a_network_gives_that_is_no_classifier(tmp_path: Path) -> None:
    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "pixels.pth")
    done = loupe(
        *("predict", tmp_path / "pixels.pth", "--arch", "lraspp_mobilenet_v3_large"),
        *("--num-classes", 3, sample_images()[0]),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "returns a class for every pixel (segmentation)" in done.stderr
    assert "classifiers" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "/nowhere/at/all.pth"],
        ["inspect", Path(__file__)],
        ["fit", Path(__file__), "--arch", "resnet18"],
        ["/nowhere/at/all.pth"],
    ],
)
def test_trouble_is_one_sentence_on_stderr_and_exit_status_2(arguments: list[object]) -> None:
    done = loupe(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("loupe: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_architecture_is_named_with_the_nearest(training_file: Path) -> None:
    done = loupe("fit", training_file, "--arch", "resnet81")
    assert done.returncode == 2
    assert "resnet18" in done.stderr


def test_the_owners_own_architecture_is_known_once_the_configuration_names_it(
    training_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cli_own_models.py").write_text(
        "from torchvision.models import resnet18\n\n\n"
        "def small():\n    return resnet18(num_classes=10)\n"
    )
    asked = [
        "fit",
        training_file,
        "--arch",
        "own:cli_own_models.small",
        "--strip-prefix",
        "module.",
    ]
    named = loupe(*asked, PYTHONPATH=str(tmp_path), LOUPE_MODELS="cli_own_models:small")
    assert named.returncode == 0, named.stderr
    unnamed = loupe(*asked, PYTHONPATH=str(tmp_path), LOUPE_MODELS="")
    assert unnamed.returncode == 2
    assert "No architecture is called" in unnamed.stderr


def test_names_from_a_file_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"\x1b]0;title\x07\n": torch.zeros(1), "\ud800": torch.zeros(1)}, path)
    shown = loupe("inspect", path)
    assert "\\x1b]0;title\\x07\\n" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\\ud800" in shown.stdout
    told = json.loads(loupe("inspect", path, "--json").stdout)
    assert [tensor["key"] for tensor in told["tensors"]] == ["\x1b]0;title\x07\n", "\ud800"]


def test_hostile_texts_reach_no_terminal_raw_nor_in_full(
    tmp_path: Path,
) -> None:
    state = {
        "L" * 100_000: torch.ones(2),
        "\x1b[31mred\x1b[0m\x07": torch.ones(2),
        "two\nlines": torch.ones(2),
        "\u202egnp.exe": torch.ones(2),
    }
    a, b = tmp_path / "a.pth", tmp_path / "b.pth"
    torch.save({"state_dict": state, "note": "\x1b]0;title\x07" + "N" * 100_000}, a)
    torch.save({"state_dict": {key: each + 1 for key, each in state.items()}}, b)
    for arguments in (
        ["inspect", str(a)],
        ["compare", str(a), str(b)],
        ["compare", str(a), str(b), "--stat"],
        ["fit", str(a), "--arch", "torchvision:resnet18"],
        ["identify", str(a)],
    ):
        ended = loupe(*arguments)
        said = ended.stdout + ended.stderr
        assert len(said) < 20_000, arguments
        assert not set(said) & {"\x1b", "\x07", "\u202e"}, arguments
