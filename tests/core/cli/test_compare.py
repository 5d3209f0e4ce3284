"""`loupe compare`, run as a user runs it: a process, its output, its exit status."""

import csv
import io
import json
import math
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from huggingface_hub import save_torch_state_dict
from torchvision.models import resnet18

from core.compare import ALLCLOSE, READ_BY_ITSELF
from tests.core.cli.process import loupe
from tests.core.compare.damaged_files import overwritten

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A resnet18, and the same with its layer4 moved and a head of 10 classes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("compare")
    before = resnet18().state_dict()
    after = resnet18(num_classes=10).state_dict()
    for key in after:
        if not key.startswith("fc"):
            moved = key.startswith("layer4") and key.endswith("weight")
            after[key] = before[key] * 1.5 if moved else before[key]
    torch.save(before, folder / "before.pth")
    torch.save(after, folder / "after.pth")
    return folder / "before.pth", folder / "after.pth"


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def test_the_sentence_then_the_tensors_that_differ(pair: tuple[Path, Path]) -> None:
    told = loupe("compare", *pair)
    assert told.returncode == 1, told.stderr
    assert "from 1,000 to 10 classes" in told.stdout.splitlines()[0]
    lines = [line for line in told.stdout.splitlines() if re.match("changed|reshaped", line)]
    a, b = (torch.load(path) for path in pair)
    differing = [
        key for key in a if a[key].shape != b[key].shape or not torch.equal(a[key], b[key])
    ]
    keys = [line.split()[1] for line in lines]
    assert sorted(keys) == sorted(differing)
    weights = [key for key in differing if a[key].shape == b[key].shape and "num_" not in key]
    steps = {key: float((b[key].double() - a[key].double()).norm()) for key in weights}
    by_share = sorted((key for key in steps if "running" not in key), key=lambda key: -steps[key])
    assert keys[: len(by_share)] == by_share
    assert "1000 × 512 → 10 × 512" in told.stdout
    assert "(--all also lists what is the same)" in told.stdout
    every = loupe("compare", *pair, "--all").stdout.splitlines()
    assert sum(line.startswith("same ") for line in every) == len(a) - len(differing)


def test_the_table_writes_numbers_as_the_sentence_does(tmp_path: Path) -> None:
    a = {"near": torch.full((4000,), 1000.0), "turned": torch.ones(4), "far": torch.ones(4)}
    b = {**a, "turned": -0.5 * a["turned"], "far": 4512.3 * a["far"]}
    b["near"] = a["near"] + torch.eye(1, 4000)[0]
    torch.save(a, tmp_path / "a.pth")
    torch.save(b, tmp_path / "b.pth")
    lines = loupe("compare", tmp_path / "a.pth", tmp_path / "b.pth").stdout.splitlines()
    cells = {
        line.split()[1]: line.split(" bytes ")[1].split("  ")
        for line in lines
        if line.startswith("changed")
    }
    told = {key: [cell.strip() for cell in row if cell.strip()] for key, row in cells.items()}
    assert told == {
        "near": ["< 0.01 %", "1", "1.58e-5", "over 0.9999", "under 0.1 %", "0 %"],
        "turned": ["< 0.01 %", "1.5", "1.5", "−1", "100 %", "100 %"],
        "far": ["> 99.9 %", "4.51e3", "4.51e3", "1", "100 %", "0 %"],
    }


def test_a_prefix_that_ends_in_a_dot_is_quoted(tmp_path: Path) -> None:
    for prefix in ("module.", "net."):
        torch.save({f"{prefix}{key}": torch.ones(2) for key in "ab"}, tmp_path / f"{prefix}pth")
    told = loupe("compare", tmp_path / "module.pth", tmp_path / "net.pth").stdout
    assert "under keys that begin with `module.` in A and `net.` in B." in told
    assert "note: The keys of A pair without their prefix `module.`: the names differ." in told
    assert re.search(r"\(torch\.save, since 1\.6\) +[\d,]+ +the file itself +2 ", told)


def test_what_is_small_is_measured_without_being_asked_for(pair: tuple[Path, Path]) -> None:
    by_itself = loupe("compare", *pair).stdout
    assert by_itself == loupe("compare", *pair, "--numbers").stdout
    assert "relative L2" in by_itself
    assert "relative L2" not in loupe("compare", *pair, "--no-numbers").stdout


def imported(*arguments: object) -> set[str]:
    """Which of the libraries that take long to import `loupe compare` imports."""
    program = (
        "import sys; from core.cli import main; main(['compare', *sys.argv[1:]]);"
        "print({'torch', 'numba', 'plotly'} & {*sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r"'(\w+)'", done.stderr))


def test_without_numbers_torch_is_not_imported(pair: tuple[Path, Path]) -> None:
    assert imported(*pair, "--no-numbers") == set()


@pytest.mark.parametrize("options", [(), ("--numbers",), ("--verify",), ("--stat",)])
def test_small_files_are_measured_without_torch_and_numba(
    overwritten_pair: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert imported(*overwritten_pair, *options) == set()
    dtypes = ["float16", "bfloat16", "float8_e4m3fn", "complex64", "int64", "bool"]
    a, b = (
        {name: values.to(getattr(torch, name)) for name in dtypes}
        for values in (torch.zeros(9, 4), torch.ones(9, 4))
    )
    sides = saved(tmp_path / "a.pth", a), saved(tmp_path / "b.pth", b)
    assert imported(*sides, *options) == set()
    assert loupe("compare", *sides, "--numbers").stdout.count("changed") >= len(dtypes)


@pytest.fixture(scope="module")
def overwritten_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small file, and a copy with four bytes of layer3.weight overwritten in place."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("overwritten")
    a = saved(folder / "a.pth", {f"layer{i}.weight": torch.randn(16, 16) for i in range(6)})
    return a, overwritten(a, folder / "b.pth", "data/3")


DAMAGED = "Damaged: the stored checksum of layer3.weight in B does not hold. B differs from A in 1 "


@pytest.mark.parametrize(
    "options", [(), ("--numbers",), ("--no-numbers",), ("--verify",), ("--rtol", "0")]
)
def test_overwritten_bytes_are_told_by_tensor(
    overwritten_pair: tuple[Path, Path], options: tuple[str, ...]
) -> None:
    told = loupe("compare", *overwritten_pair, *options)
    assert told.returncode == 1
    assert told.stdout.startswith(DAMAGED)
    assert "damaged in B: the stored checksum does not hold" in told.stdout
    assert "dentical" not in told.stdout


def test_damage_comes_first_where_the_other_side_is_nothing(
    overwritten_pair: tuple[Path, Path],
) -> None:
    damaged = overwritten_pair[1]
    told = loupe("compare", damaged, os.devnull).stdout
    assert told.startswith(
        "Damaged: the stored checksum of layer3.weight in A does not hold. B is /dev/null,"
    )
    versions = (os.devnull, ".", ".", damaged, "0" * 40, "100644")
    of_git = loupe("git-diff", "m.pth", *versions).stdout.splitlines()
    assert of_git[1].startswith(
        "Damaged: the stored checksum of layer3.weight in B does not hold. A is /dev/null,"
    )


def test_every_form_of_output_tells_the_damaged_tensor(
    overwritten_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    document = json.loads(loupe("compare", *overwritten_pair, "--json").stdout)
    assert document["sentence"].startswith(DAMAGED)
    assert {row["key"]: row["damaged"] for row in document["rows"] if row["damaged"]} == {
        "layer3.weight": ["B"]
    }
    (line,) = csv.DictReader(io.StringIO(loupe("compare", *overwritten_pair, "--csv").stdout))
    note = "damaged in B: the stored checksum does not hold"
    assert (line["key"], line["evidence"], line["note"]) == ("layer3.weight", "bytes", note)
    assert f"layer3.weight: {note}" in loupe("compare", *overwritten_pair, "--stat").stdout
    report = tmp_path / "report.html"
    loupe("compare", *overwritten_pair, "--html", report)
    assert DAMAGED.strip() in report.read_text()
    assert note in report.read_text()


def test_verify_reads_what_is_no_tensor_too(
    overwritten_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    a, _ = overwritten_pair
    b = overwritten(a, tmp_path / "b.pth", ".data/serialization_id", at=0)
    assert loupe("compare", a, b).returncode == 0
    told = loupe("compare", a, b, "--verify")
    assert told.returncode == 1
    assert told.stdout.startswith(
        "Damaged besides the compared tensors: a/.data/serialization_id in B does not have the "
        "checksum that was saved. All 6 tensors have the same bytes."
    )
    assert "verify A: 12 records, 6,745 bytes, all read.\n12 checksums checked: none is wrong." in (
        told.stdout
    )
    assert ".data/serialization_id, which contains no tensor. Its bytes have" in told.stdout
    document = json.loads(loupe("compare", a, b, "--verify", "--json").stdout)
    assert document["verification"]["A"]["damaged"] == []
    assert len(document["verification"]["B"]["damaged"]) == 1
    assert document["same"] is False


def test_large_files_are_the_same_by_checksum_until_they_are_read(tmp_path: Path) -> None:
    large = {"w": torch.zeros(READ_BY_ITSELF // 4), "v": torch.ones(READ_BY_ITSELF // 4)}
    a = saved(tmp_path / "a.pth", large)
    b = overwritten(a, tmp_path / "b.pth", "data/1")
    for command in ("compare", "git-diff"):
        git = ("m.pth", a, "0" * 40, "100644", b, "1" * 40, "100644")
        told = loupe(command, *(git if command == "git-diff" else (a, b)))
        assert told.returncode == 0
        assert "Same by checksum: all 2 tensors have the same stored checksums; no byte" in (
            told.stdout
        )
        assert "2 same (2 by checksum)" in told.stdout
        assert "`loupe compare --verify` reads and compares them." in told.stdout
        assert "dentical" not in told.stdout
    read = loupe("compare", a, b, "--verify", "--no-numbers")
    assert read.returncode == 1
    assert read.stdout.startswith("Damaged: the stored checksum of v in B does not hold.")


def test_help_says_the_tolerances_that_are_taken() -> None:
    helped = " ".join(loupe("compare", "--help").stdout.split())
    for default in (ALLCLOSE.rtol, ALLCLOSE.atol):
        assert f"(default: {default:g} if only the other is given)" in helped


def test_json_is_one_document_with_the_numbers_of_plain_torch(pair: tuple[Path, Path]) -> None:
    told = loupe("compare", *pair, "--numbers", "--json")
    assert told.returncode == 1
    document = json.loads(told.stdout)
    a, b = (torch.load(path) for path in pair)
    assert document["same"] is False
    assert document["counts"]["reshaped"] == 2
    assert sum(document["counts"].values()) == len(document["rows"]) == len(a)
    assert document["a"]["parameters"] == sum(tensor.numel() for tensor in a.values())
    rows = {row["key"]: row for row in document["rows"]}
    assert rows["fc.weight"]["numbers"] is None
    row = rows["layer4.1.conv2.weight"]
    assert (row["state"], row["evidence"]) == ("changed", "bytes")
    assert row["pair"]["by"] == "name"
    x, y = (one["layer4.1.conv2.weight"].double() for one in (a, b))
    assert math.isclose(row["numbers"]["max_abs"], float((y - x).abs().max()), rel_tol=1e-9)
    assert math.isclose(row["numbers"]["relative_l2"], float((y - x).norm() / x.norm()))
    share = float((x != y).double().mean())
    assert math.isclose(row["numbers"]["changed_share"], share)
    assert [row["key"] for row in document["rows"]] == list(a)
    assert rows["fc.weight"]["change_share"] is None
    shares = [row["change_share"] for row in rows.values() if row["change_share"] is not None]
    assert math.isclose(sum(shares), 1)


def test_json_has_no_infinity(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pth", {"w": torch.zeros(3)})
    b = saved(tmp_path / "b.pth", {"w": torch.tensor([1.0, math.inf, math.nan])})
    told = loupe("compare", a, b, "--numbers", "--json").stdout
    document = json.loads(told, parse_constant=pytest.fail)
    numbers = document["rows"][0]["numbers"]
    assert numbers["relative_l2"] is None
    assert (numbers["inf_b"], numbers["nan_b"]) == (1, 1)


def test_csv_has_a_line_a_row(pair: tuple[Path, Path]) -> None:
    told = loupe("compare", *pair, "--csv", "--numbers")
    lines = list(csv.DictReader(io.StringIO(told.stdout)))
    assert {line["state"] for line in lines} == {"changed", "reshaped"}
    assert float(lines[0]["changed_share"]) > 0.9
    assert math.isclose(sum(float(line["change_share"] or 0) for line in lines), 1)
    every = loupe("compare", *pair, "--csv", "--all").stdout
    assert len(list(csv.DictReader(io.StringIO(every)))) == len(torch.load(pair[0]))


def test_stat_is_a_line_a_block_and_a_summary(pair: tuple[Path, Path]) -> None:
    told = loupe("compare", *pair, "--stat", "--no-numbers")
    assert told.returncode == 1
    *blocks, summary = told.stdout.splitlines()
    assert [line.split()[0] for line in blocks] == ["layer4.0", "layer4.1", "fc"]
    assert blocks[1].endswith("4 of 12 ~~~~")
    assert blocks[2].endswith("2 of 2 xx")
    assert summary.startswith(" 3 of ")
    assert "10 changed(~), 2 reshaped(x)" in summary
    measured = loupe("compare", *pair, "--stat").stdout
    assert "~~~~  relative L2 0.5" in measured


@pytest.mark.parametrize(
    ("change", "options", "status"),
    [
        (lambda tensors: tensors, [], 0),
        (lambda tensors: {"renamed": tensors["w"], "b": tensors["b"]}, [], 1),
        (lambda tensors: {f"module.{key}": one for key, one in tensors.items()}, [], 1),
        (
            lambda tensors: {f"module.{key}": one for key, one in tensors.items()},
            ["--ignore-names"],
            0,
        ),
        (lambda tensors: {key: one.half() for key, one in tensors.items()}, [], 1),
        (lambda tensors: {key: one.half() for key, one in tensors.items()}, ["--rtol", "1e-3"], 0),
        (lambda tensors: {key: one + 1e-4 for key, one in tensors.items()}, ["--atol", "1e-3"], 0),
        (lambda tensors: {key: one + 1e-2 for key, one in tensors.items()}, ["--atol", "1e-3"], 1),
        (lambda tensors: {**tensors, "more": torch.ones(1)}, ["--atol", "1"], 1),
        (lambda tensors: {"w": tensors["w"]}, ["--atol", "1"], 1),
    ],
)  # fmt: skip
def test_the_exit_status_says_whether_they_are_the_same(
    tmp_path: Path, change: object, options: list[str], status: int
) -> None:
    torch.manual_seed(0)
    tensors = {"w": torch.rand(5, 4) + 1, "b": torch.rand(7) + 1}
    a = saved(tmp_path / "a.pth", tensors)
    b = saved(tmp_path / "b.pth", change(tensors))  # type: ignore[operator]
    told = loupe("compare", a, b, *options)
    assert (told.returncode, told.stderr) == (status, "")
    assert json.loads(loupe("compare", a, b, *options, "--json").stdout)["same"] is (status == 0)


def test_metadata_is_told_and_makes_no_difference(tmp_path: Path) -> None:
    a, b = tmp_path / "a.pth", tmp_path / "b.pth"
    for path, epoch, rate in ((a, 1, 0.1), (b, 4, 0.01)):
        options = {"lr": rate, **{f"option{index}": epoch for index in range(30)}}
        torch.save({"epoch": epoch, "options": options, "state_dict": {"w": torch.ones(3)}}, path)
    told = loupe("compare", a, b)
    assert told.returncode == 0
    assert re.search(r"^epoch +1 → 4", told.stdout, re.MULTILINE)
    assert re.search(r"^options\.lr +0\.1 → 0\.01", told.stdout, re.MULTILINE)
    assert "12 more changes (--all lists them)" in told.stdout
    assert "options.option29" in loupe("compare", a, b, "--all").stdout
    metadata = json.loads(loupe("compare", a, b, "--json").stdout)["metadata"]
    assert len(metadata) == 32
    assert metadata[0] == {"path": ["epoch"], "kind": "changed", "before": 1, "after": 4}
    loupe("compare", a, b, "--html", tmp_path / "report.html")
    assert "options.option29" in (tmp_path / "report.html").read_text()


def test_every_format_and_folder_is_compared(tmp_path: Path) -> None:
    tensors = {f"w{index}": torch.full((8,), float(index)) for index in range(6)}
    changed = {**tensors, "w3": torch.zeros(8)}
    folder = tmp_path / "shards"
    folder.mkdir()
    save_torch_state_dict(tensors, folder, max_shard_size=70)
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    b = saved(tmp_path / "b.pth", changed)
    same = saved(tmp_path / "same.pth", tensors)
    for a in (
        folder,
        folder / "model.safetensors.index.json",
        tmp_path / "a.safetensors",
        tmp_path / "old.pth",
    ):
        assert loupe("compare", a, same).returncode == 0
        rows = json.loads(loupe("compare", a, b, "--json").stdout)["rows"]
        assert [row["key"] for row in rows if row["state"] != "same"] == ["w3"]


def test_other_state_dicts_are_chosen_by_their_path_and_named_where_left_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.pth"
    torch.save({"model": {"w": torch.ones(2)}, "model_ema": {"w": torch.zeros(2)}}, path)
    against = loupe("compare", path, path, "--state-dict", "model", "--state-dict-b", "model_ema")
    assert against.returncode == 1
    assert "The other state_dict model_ema: the one tensor is the same." in against.stdout
    assert loupe("compare", path, path).returncode == 0


def test_a_pair_by_hand_stands_in_one_row(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pth", {"x=1.w": torch.ones(3), "b": torch.ones(1)})
    b = saved(tmp_path / "b.pth", {"entirely.other": torch.full((3,), 2.0), "b": torch.ones(1)})
    told = loupe("compare", a, b, "--pair", "x=1.w=entirely.other", "--json")
    rows = json.loads(told.stdout)["rows"]
    assert [(row["state"], row["pair"]["by"]) for row in rows] == [
        ("changed", "hand"),
        ("same", "name"),
    ]
    wrong = loupe("compare", a, b, "--pair", "b=nothing")
    assert wrong.returncode == 2
    assert "there is no tensor nothing in B" in wrong.stderr


def test_beside_the_null_device_all_tensors_are_in_one_only(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pth", {"w": torch.ones(3), "b": torch.ones(1)})
    told = loupe("compare", a, os.devnull)
    assert told.returncode == 1, told.stderr
    assert told.stdout.startswith("B is /dev/null, which contains nothing: 2 tensors only in A.")
    assert "A is /dev/null, which contains nothing" in loupe("compare", os.devnull, a).stdout
    assert loupe("compare", os.devnull, os.devnull).returncode == 0


def test_trouble_is_one_sentence_and_exit_status_2(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pth", {"w": torch.ones(3)})
    pointer = tmp_path / "pointer.pth"
    pointer.write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{'0' * 64}\nsize 12345\n"
    )  # fmt: skip
    page = tmp_path / "page.pth"
    page.write_text("<!DOCTYPE html><html></html>")
    cut = tmp_path / "cut.pth"
    cut.write_bytes(a.read_bytes()[:-60])
    for b in (pointer, page, cut, tmp_path / "missing.pth", tmp_path):
        told = loupe("compare", a, b)
        assert told.returncode == 2, b
        assert told.stderr.startswith("loupe: ")
        assert told.stderr.count("\n") == 1
        assert told.stdout == ""
    wrong = loupe("compare", a, a, "--state-dict", "ema")
    assert wrong.returncode == 2
    assert loupe("compare", a, a, "--rtol", "-1").returncode == 2


def test_html_writes_a_report_that_names_no_other_place(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    told = loupe("compare", *pair, "--html", report)
    assert told.returncode == 1, told.stderr
    text = report.read_text()
    assert "layer4.1.conv2.weight" in text
    assert "Relative L2" in text
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]* (src|href)=", text)
    assert list(tmp_path.iterdir()) == [report]


def test_html_into_a_folder_or_a_place_that_is_not_there_is_trouble(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    for place in (tmp_path, tmp_path / "missing" / "report.html", Path("/proc/report.html")):
        told = loupe("compare", *pair, "--html", place)
        assert told.returncode == 2
        assert str(place) in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_who_watches_sees_how_far_it_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        safetensors.torch.save_file({"w": torch.ones(1 << 20)}, tmp_path / f"{name}.safetensors")
    loupe_path = Path(sys.executable).with_name("loupe")
    leader, follower = pty.openpty()
    done = subprocess.run(
        [loupe_path, "compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors"],
        stdout=subprocess.PIPE, stderr=follower, check=False,
    )  # fmt: skip
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 0
    assert "4,194,304 of 4,194,304 bytes, 100 %" in shown
    assert shown.endswith("\r\x1b[K")
    assert b"\x1b" not in done.stdout


def test_names_from_the_files_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pth", {"\x1b[31mred.weight": torch.ones(3)})
    b = saved(tmp_path / "b.pth", {"\x1b[31mred.weight": torch.zeros(3)})
    for options in ([], ["--stat"], ["--numbers"]):
        told = loupe("compare", a, b, *options).stdout
        assert "\x1b" not in told
        assert "\\x1b[31mred" in told
