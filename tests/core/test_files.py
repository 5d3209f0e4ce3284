"""References to files lead where they say, and nowhere else."""

from pathlib import Path

import pytest

from core.checkpoint import open_checkpoint
from core.errors import SourceError
from core.files import locate
from core.settings import Settings
from core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data", quota=1000, largest_file=1000)


def test_an_upload_is_found_by_its_content_under_its_name(tmp_path: Path, store: Store) -> None:
    upload = store.begin(3)
    upload.write(b"abc")
    kept = upload.finish()
    found = locate(f"sha256:{kept.sha256}/my.pth", Settings(tmp_path), store)
    assert (found.path, found.name) == (kept.path, "my.pth")
    assert found.identity == f"sha256:{kept.sha256}"


def test_a_file_of_a_root_and_of_the_command_line_is_found(tmp_path: Path, store: Store) -> None:
    (tmp_path / "m.pth").write_bytes(b"x")
    settings = Settings(tmp_path, roots=(tmp_path,), bench=(tmp_path / "m.pth",))
    assert locate("root:0/m.pth", settings, store).path == tmp_path / "m.pth"
    assert locate("bench:0", settings, store).name == "m.pth"


def test_the_samples_open(tmp_path: Path, store: Store) -> None:
    for name in ("early", "final"):
        found = locate(f"sample:{name}", Settings(tmp_path), store)
        assert open_checkpoint(found.path).metadata["arch"] == "shufflenet_v2_x0_5"


@pytest.mark.parametrize(
    "reference",
    ["", "/etc/passwd", "file:/etc/passwd", "sha256:" + "a" * 64 + "/m.pth", "sha256:../x",
     "root:0/../outside", "root:1/m.pth", "root:-1/m.pth", "root:²/m.pth", "bench:0",
     "sample:other"],
)  # fmt: skip
def test_any_other_reference_is_a_sentence(tmp_path: Path, store: Store, reference: str) -> None:
    with pytest.raises(SourceError):
        locate(reference, Settings(tmp_path, roots=(tmp_path / "data",)), store)
