"""Loupe as git's textconv, difftool and external diff, with the real git in a real repository."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.core.cli.process import loupe
from tests.core.compare.damaged_files import overwritten
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

COMMANDS = Path(sys.executable).parent
PAGE = (Path(__file__).parents[3] / "docs" / "comparing.md").read_text()


class Repository:
    """A folder under git, whose owner set Loupe up as docs/comparing.md says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self("init", "-q")
        for name, value in (
            ("user.name", "A"), ("user.email", "a@example.org"), ("core.pager", "cat"),
        ):  # fmt: skip
            self("config", name, value)
        (attributes,) = re.findall(r"^echo '(.*)' >> .gitattributes$", PAGE, re.MULTILINE)
        (folder / ".gitattributes").write_text(f"{attributes}\n")

    def __call__(self, *arguments: str) -> str:
        """Run git; its output, also what it or its programs say on stderr."""
        path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        own |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": path}
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, text=True, check=False, timeout=PATIENCE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=own,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def set_up(self, name: str) -> None:
        """Run the page's own `git config` for this name."""
        (line,) = re.findall(rf"^git (config {re.escape(name)} .*)$", PAGE, re.MULTILINE)
        self(*shlex.split(line))

    def commit(self, **files: object) -> None:
        """Save each as NAME.pth, or delete it where it is None, and commit."""
        for name, value in files.items():
            path = self.folder / f"{name}.pth"
            if value is None:
                path.unlink()
            elif isinstance(value, bytes):
                path.write_bytes(value)
            else:
                torch.save(value, path)
        self("add", "-A")
        self("commit", "-q", "-m", "Train on")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two commits of one run: the second changed `fc.weight` and the epoch."""
    repository = Repository(tmp_path)
    torch.manual_seed(0)
    weights = {"conv.weight": torch.randn(4, 3, 3, 3), "fc.weight": torch.randn(10, 4)}
    repository.commit(model={"epoch": 1, "state_dict": weights})
    weights = {**weights, "fc.weight": weights["fc.weight"] + 1}
    repository.commit(model={"epoch": 2, "state_dict": weights})
    return repository


def changed_lines(diff: str) -> list[str]:
    return [
        line
        for line in diff.splitlines()
        if line[:1] in ("+", "-") and not line.startswith(("+++", "---"))
    ]


def test_git_diff_shows_the_lines_of_what_changed_alone(repository: Repository) -> None:
    repository.set_up("diff.loupe.textconv")
    repository.set_up("diff.loupe.xfuncname")
    diff = repository("diff", "HEAD~", "HEAD")
    told = changed_lines(diff)
    assert [line.split("  ")[0] for line in told] == [
        "-epoch = 1", "+epoch = 2", "-fc.weight", "+fc.weight",
    ]  # fmt: skip
    assert "  float32  10 × 4  crc32:" in told[2]
    assert "Binary files" not in diff
    assert "epoch = 2" in repository("log", "-p", "-1")
    repository.set_up("diff.loupe.cachetextconv")
    assert repository("diff", "HEAD~", "HEAD") == repository("diff", "HEAD~", "HEAD") == diff


def test_git_goes_on_where_a_version_is_no_checkpoint(repository: Repository) -> None:
    repository.set_up("diff.loupe.textconv")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    repository.commit(model=pointer.encode())
    told = changed_lines(repository("diff", "HEAD~", "HEAD"))
    assert any(line.startswith("+not read: ") and "LFS" in line for line in told)
    assert repository("log", "-p").count("\ncommit ") == 2


def test_git_difftool_tells_the_sentence(repository: Repository) -> None:
    repository.set_up("difftool.loupe.cmd")
    told = repository("difftool", "-y", "-t", "loupe", "HEAD~", "HEAD")
    assert told.startswith("B is A with its head trained further: fc.weight changed")
    assert "changed  fc.weight  10 × 4" in told
    direct = repository("difftool", "-y", "-x", "loupe compare", "HEAD~", "HEAD")
    assert direct.startswith("B is A with its head trained further: fc.weight changed")


def test_git_difftool_tells_of_files_that_were_added_or_deleted(repository: Repository) -> None:
    repository.set_up("difftool.loupe.cmd")
    repository.commit(model=None, other={"w": torch.ones(3)})
    told = repository("difftool", "-y", "-t", "loupe", "--no-renames", "HEAD~", "HEAD")
    assert "B is /dev/null, which contains nothing: 2 tensors only in A." in told
    assert "A is /dev/null, which contains nothing: 1 tensor only in B." in told


def test_loupe_is_an_external_diff(repository: Repository) -> None:
    repository.set_up("diff.loupe.command")
    told = repository("diff", "HEAD~", "HEAD")
    assert told.startswith("loupe compare a/model.pth b/model.pth\nB differs from A in 1 of 2")
    assert "changed  fc.weight" in told
    assert "fc.weight" in repository("log", "-p", "-1", "--ext-diff")


def test_an_external_diff_goes_on_over_added_renamed_and_unreadable_files(
    repository: Repository,
) -> None:
    repository.set_up("diff.loupe.command")
    weights = torch.randn(30_000)
    repository.commit(other={"w": weights}, broken=b"no checkpoint")
    told = repository("diff", "HEAD~", "HEAD")
    assert "A is /dev/null, which contains nothing: 1 tensor only in B." in told
    assert "not compared: " in told
    repository("mv", "other.pth", "renamed.pth")
    repository.commit(renamed={"w": weights, "more": torch.ones(1)})
    told = repository("diff", "-M", "HEAD~", "HEAD")
    assert "loupe compare a/other.pth b/renamed.pth" in told
    assert "1 tensor only in B: more." in told


def test_one_tensor_has_one_checksum_in_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = torch.randn(6, 4)
    tensors = {"w": torch.randn(300, 1000), "half": torch.randn(5).half(), "n": torch.tensor(3)}
    viewed = {**tensors, "turned": whole.t(), "part": whole[2:4]}
    plain = {key: tensor.contiguous() for key, tensor in viewed.items()}
    torch.save(viewed, tmp_path / "a.pth")
    torch.save(plain, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(plain, tmp_path / "a.safetensors")
    told = [
        loupe("text", tmp_path / name).stdout.partition("[tensors]\n")[2].splitlines()
        for name in ("a.pth", "old.pth", "a.safetensors")
    ]
    assert sorted(told[0]) == sorted(told[1]) == sorted(told[2])
    assert len(told[0]) == len(viewed)
    assert " = " not in loupe("text", tmp_path / "a.pth").stdout


def test_the_text_changes_with_bytes_that_were_overwritten(tmp_path: Path) -> None:
    """The directory of the zip, and so the stored checksum, stays as it was."""
    torch.save({"w": torch.randn(40), "v": torch.randn(40)}, tmp_path / "a.pth")
    overwritten(tmp_path / "a.pth", tmp_path / "b.pth", "data/1")
    a, b = (loupe("text", tmp_path / name).stdout.splitlines() for name in ("a.pth", "b.pth"))
    assert [x for x in a if x not in b] == a[-1:]
    assert b[:-1] == a[:-1]
    stored = a[-1].rpartition(" ")[2]
    assert b[-1].endswith(f" damaged, {stored} is stored")


def test_the_text_says_nothing_of_where_or_when(tmp_path: Path) -> None:
    tensors = {"epoch": 3, "options": {"lr": 0.1, "sizes": [1, 2]}, "w": torch.ones(2)}
    (tmp_path / "folder").mkdir()
    torch.save(tensors, tmp_path / "a.pth")
    torch.save(tensors, tmp_path / "folder" / "b.pth")
    told = [loupe("text", tmp_path / name).stdout for name in ("a.pth", "folder/b.pth")]
    assert told[0] == told[1]
    assert "options.sizes = [1, 2]" in told[0].splitlines()
    assert "options.lr = 0.1" in told[0].splitlines()


def test_the_text_of_what_is_not_there_is_trouble_and_of_nothing_is_nothing(
    tmp_path: Path,
) -> None:
    assert loupe("text", tmp_path / "missing.pth").returncode == 2
    assert loupe("text", os.devnull).stdout == ""


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
def test_the_text_of_quantized_and_sparse_tensors_changes_with_their_contents(
    tmp_path: Path,
) -> None:
    values = torch.arange(6.0)

    def text(scale: float, at: int) -> dict[str, str]:
        quantized = torch.quantize_per_tensor(values, scale, 0, torch.qint8)
        indices = torch.tensor([[0, at]])
        sparse = torch.sparse_coo_tensor(indices, torch.ones(2), (9,), check_invariants=True)
        torch.save({"q": quantized, "s": sparse}, tmp_path / "a.pth")
        told = loupe("text", tmp_path / "a.pth").stdout.splitlines()
        return {line.split("  ")[0]: line for line in told}

    first = text(0.5, 3)
    assert "quantized crc32:" in first["q"]
    assert "sparse_coo crc32:" in first["s"]
    assert text(0.5, 3) == first
    assert text(0.25, 3)["q"] != first["q"]
    assert text(0.5, 4)["s"] != first["s"]
