"""An export is read again before it takes its name: a disk that lies is caught."""

import secrets
from pathlib import Path

import pytest
import torch
from torchvision.models import squeezenet1_1

from core.checkpoint import open_checkpoint
from core.errors import StoreError
from core.export import export_state_dict, verify_export
from core.export.element_writer import Counter
from core.export.export_plan import plan_export
from core.export.exported import Expected, Format
from core.export.pth_writer import PthPlan, write_pth
from core.export.safetensors_writer import write_safetensors
from core.progress import Cancelled, Progress

FORMS: tuple[Format, ...] = ("pth", "safetensors")


def written(tmp_path: Path, form: Format) -> tuple[Path, Expected]:
    """A file as an export writes it, and what it must hold."""
    torch.manual_seed(0)
    torch.save(squeezenet1_1(num_classes=3).state_dict(), tmp_path / "in.pth")
    state_dict = open_checkpoint(tmp_path / "in.pth").state_dict()
    plan, _ = plan_export(state_dict, form, "weights", None)
    path = tmp_path / f"out.{form}"
    with path.open("wb") as file:
        nothing = Counter(0)
        if isinstance(plan, PthPlan):
            return path, write_pth(plan, file, nothing)
        return path, write_safetensors(plan, file, nothing)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_as_it_was_written_is_right(tmp_path: Path, form: Format) -> None:
    path, expected = written(tmp_path, form)
    verify_export(path, expected)
    read = torch.load(path) if form == "pth" else None
    assert read is None or list(read) == list(expected.tensors)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_one_changed_bit_is_caught_and_named(tmp_path: Path, form: Format, share: float) -> None:
    path, expected = written(tmp_path, form)
    data = bytearray(path.read_bytes())
    records = list(open_checkpoint(path).records())
    record = sorted(records, key=lambda one: one.offset)[int(share * len(records))]
    data[record.offset + record.nbytes // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError) as caught:
        verify_export(path, expected)
    assert record.name in str(caught.value)
    assert "CRC-32" in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_bytes_that_never_arrived_are_caught(tmp_path: Path, form: Format) -> None:
    path, expected = written(tmp_path, form)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match="cannot be read back"):
        verify_export(path, expected)


def test_two_tensors_in_each_others_place_are_caught(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(4), "b": torch.zeros(4)}, tmp_path / "in.pth")
    torch.save({"a": torch.zeros(4), "b": torch.ones(4)}, tmp_path / "other.pth")
    expected = []
    for name in ("in", "other"):
        state_dict = open_checkpoint(tmp_path / f"{name}.pth").state_dict()
        plan, _ = plan_export(state_dict, "safetensors", "weights", None)
        assert not isinstance(plan, PthPlan)
        with (tmp_path / f"{name}.safetensors").open("wb") as file:
            expected.append(write_safetensors(plan, file, Counter(0)))
    verify_export(tmp_path / "in.safetensors", expected[0])
    with pytest.raises(StoreError, match="the bytes of a have"):
        verify_export(tmp_path / "other.safetensors", expected[0])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"a": torch.ones(4)}, "keys differ"),
        ({"b": torch.ones(2), "a": torch.ones(4)}, "keys differ"),
        ({"a": torch.ones(2, 2), "b": torch.ones(2)}, "tensor a has another shape"),
        ({"a": torch.ones(4, dtype=torch.int32), "b": torch.ones(2)}, "tensor a has another shape"),
        ({"model": {"a": torch.ones(4), "b": torch.ones(2)}}, "not where it was written"),
    ],
)
def test_another_file_than_the_one_that_was_written_is_caught(
    tmp_path: Path, other: dict[str, torch.Tensor], words: str
) -> None:
    torch.save({"a": torch.ones(4), "b": torch.ones(2)}, tmp_path / "in.pth")
    state_dict = open_checkpoint(tmp_path / "in.pth").state_dict()
    plan, _ = plan_export(state_dict, "pth", "weights", None)
    assert isinstance(plan, PthPlan)
    with (tmp_path / "out.pth").open("wb") as file:
        expected = write_pth(plan, file, Counter(0))
    torch.save(other, tmp_path / "archive.pth")
    with pytest.raises(StoreError, match=words):
        verify_export(tmp_path / "archive.pth", expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_changes_on_the_disk_never_takes_its_name(
    tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody turns a bit of the file at the moment when it is about to be read again."""
    torch.save({"a": torch.ones(5_000_000), "b": torch.ones(2)}, tmp_path / "in.pth")
    state_dict = open_checkpoint(tmp_path / "in.pth").state_dict()
    monkeypatch.setattr(secrets, "token_hex", lambda _nbytes: "partial")
    partial = tmp_path / "folder" / ".out.partial"
    turned = []

    def turn(done: int, total: int, _what: str) -> None:
        if done > total // 2 and not turned:
            with partial.open("r+b") as file:
                file.seek(-500_000, 2)
                file.write(b"\x55")
            turned.append(done)

    with pytest.raises(StoreError, match=r"that was written is wrong"):
        export_state_dict(state_dict, tmp_path / "folder" / "out", form, progress=turn)
    assert turned
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_the_check_can_be_cancelled_and_leaves_nothing(tmp_path: Path, form: Format) -> None:
    torch.save({"a": torch.ones(5_000_000)}, tmp_path / "in.pth")
    state_dict = open_checkpoint(tmp_path / "in.pth").state_dict()
    progress = Progress()

    def report(done: int, total: int, what: str) -> None:
        if done > total // 2:
            progress.cancel()
        progress(done, total, what)

    with pytest.raises(Cancelled):
        export_state_dict(state_dict, tmp_path / "out", form, progress=report)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]
