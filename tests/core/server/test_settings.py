"""The owner's configuration, from environment variables."""

from pathlib import Path

import pytest

from core.errors import SettingsError
from core.server.settings import paths_setting, read_settings


def test_sizes_and_lists_are_read(tmp_path: Path) -> None:
    found = read_settings(
        {
            "LOUPE_DATA": str(tmp_path),
            "LOUPE_ROOTS": f"{tmp_path}:/tmp",
            "LOUPE_QUOTA": "1.5 TB",
            "LOUPE_LARGEST_FILE": "512MiB",
            "LOUPE_MODEL_MEMORY": "1000",
            "LOUPE_MODELS": "mine:net, other",
            "LOUPE_HOSTS": "loupe.example.com, *.team.example",
        }
    )
    assert found.data == tmp_path
    assert found.roots == (tmp_path.resolve(), Path("/tmp").resolve())
    assert found.quota == 1_500_000_000_000
    assert found.largest_file == 512 << 20
    assert found.model_memory == 1000
    assert found.models == ("mine:net", "other")
    assert found.hosts == ("loupe.example.com", "*.team.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOUPE_QUOTA", "much"), ("LOUPE_QUOTA", "5 parsecs"), ("LOUPE_ROOTS", "/nowhere/at/all")],
)
def test_a_wrong_value_is_a_sentence_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value})


def test_any_path_can_stand_in_a_list(tmp_path: Path) -> None:
    """With a `:`, with bytes that are no UTF-8, a link that leads to itself, nobody's home."""
    (tmp_path / "loop").symlink_to("loop")
    names = ["run:1.pth", "caf\udce9.pth", "two\nlines.pth", "back\\slash", "loop", "~nobody-here"]
    paths = tuple(tmp_path.resolve() / name for name in names)
    assert read_settings({"LOUPE_BENCH": paths_setting(paths)}).bench == paths
    read_settings({"LOUPE_BENCH": "~nobody-here/model.pth"})


def test_a_root_that_leads_to_itself_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "loop\udcff").symlink_to("loop\udcff")
    with pytest.raises(SettingsError, match=r"loop.*not a folder") as raised:
        read_settings({"LOUPE_ROOTS": str(tmp_path / "loop\udcff")})
    str(raised.value).encode()
