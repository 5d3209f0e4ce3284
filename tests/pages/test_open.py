"""The Open page without a browser: what a link brings onto the bench, and what it says of it."""

import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from streamlit.testing.v1 import AppTest
from torchvision.models import resnet18

from core.plain_text import plain_sentence
from core.server import bench_from_query, paths_setting
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path))
    return AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=PATIENCE)


def words(app: AppTest) -> str:
    parts = (*app.markdown, *app.caption, *app.error, *app.title, *app.subheader)
    return "\n".join(str(part.value) for part in parts)


def test_an_empty_bench_teaches_and_offers_the_sample(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert "What you will see" in words(app)
    assert app.button(key="next").label.startswith("Open the sample pair")


def test_the_sample_pair_is_one_click_away(app: AppTest) -> None:
    app.run()
    app.button(key="next").click().run()
    assert not app.exception
    assert [metric.value for metric in app.metric[:2]] == ["338", "360.1\u202fk"]
    assert "sample:early" in app.query_params["a"]
    assert "sample:final" in app.query_params["b"]


def test_a_link_restores_both_slots_and_the_chosen_state_dict(app: AppTest, tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.ones(2)}, "ema": {"w": torch.ones(3)}}, tmp_path / "x.pth")
    app.query_params["a"] = "root:0/x.pth"
    app.query_params["a_state_dict"] = "ema"
    app.run()
    assert not app.exception
    assert app.selectbox[0].value == "ema"
    assert app.metric[1].value == "3"


def test_metadata_and_notes_are_shown(app: AppTest, tmp_path: Path) -> None:
    saved = {"state_dict": {"w": torch.ones(2), "e": torch.ones(0)}, "torch_version": "2.3.1"}
    torch.save(saved, tmp_path / "x.pth")
    app.query_params["a"] = "root:0/x.pth"
    app.run()
    assert "PyTorch 2.3.1" in words(app)
    assert "1 tensor has no elements" in words(app)
    assert '"torch_version"' in app.json[0].value


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("root:0/../../etc/passwd", "There is no"),
        ("root:0/notes.pth", "plain text"),
        ("file:/etc/passwd", "unknown kind"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_and_the_slot_stays(
    app: AppTest, tmp_path: Path, reference: str, said: str
) -> None:
    (tmp_path / "notes.pth").write_text("some notes")
    app.query_params["a"] = reference
    app.run()
    assert not app.exception
    assert any(said in error.value for error in app.error)
    assert "Early" in [button.label for button in app.button]


@pytest.mark.parametrize(
    ("files", "title"),
    [
        (
            {"a": "odd"},
            "No architecture that Loupe knows fits",
        ),
        ({"a": "damaged"}, "The file in A cannot be read"),
        ({"a": "odd", "b": "odd"}, "Two files are open"),
        ({"a": "odd", "b": "damaged"}, "The file in B cannot be read"),
        ({"a": "damaged", "b": "damaged"}, "The files in A and B cannot be read"),
    ],
)
def test_the_title_says_what_is_open_where_no_architecture_is_known(
    app: AppTest, tmp_path: Path, files: dict[str, str], title: str
) -> None:
    torch.save({"odd": torch.ones(2, 7)}, tmp_path / "odd.pth")
    (tmp_path / "damaged.pth").write_bytes(b"no checkpoint")
    for slot, name in files.items():
        app.query_params[slot] = f"root:0/{name}.pth"
    app.run()
    assert not app.exception
    assert app.title[0].value == plain_sentence(title)


def test_a_sure_file_tells_what_it_is_what_it_takes_and_six_numbers(app: AppTest) -> None:
    app.query_params["a"] = "sample:early"
    app.run()
    assert not app.exception
    assert app.title[0].value.startswith("torchvision shufflenet_v2_x0_5 with 10 classes, saved")
    assert plain_sentence("One repair makes it load: strip `module.`") in words(app)
    assert [(metric.value, metric.label) for metric in app.metric] == [
        ("338", "tensors"),
        ("360.1\u202fk", "parameters"),
        ("1.66\u202fMB", "file"),
        ("float32", "\\>\u202f99.9\u202f% of bytes"),
        ("epoch 2", "accuracy 85.83"),
        ("0", "calls that could run code"),
    ]
    for title in ("Proposed repair", "Why this is sure", "In the file", "Images for the first"):
        assert title in words(app)


@pytest.mark.parametrize(
    ("architecture", "title", "panel"),
    [
        ("torchvision:resnet18", "torchvision resnet18", "Fits as it is"),
        ("torchvision:resnet34", "122 of 218 keys fit torchvision resnet34;", "Fits in part"),
        ("torchvision:alexnet", "0 of 16 keys fit torchvision alexnet;", "Does not fit"),
    ],
)
def test_what_is_chosen_takes_the_place_of_the_candidates(
    app: AppTest, tmp_path: Path, architecture: str, title: str, panel: str
) -> None:
    torch.save(resnet18().state_dict(), tmp_path / "best.pth")
    app.query_params["a"] = "root:0/best.pth"
    app.query_params["a_arch"] = architecture
    app.run()
    assert not app.exception
    assert app.title[0].value.startswith(plain_sentence(title))
    assert panel in words(app)
    assert "Which one is it?" not in words(app)
    assert "Why this is sure" not in words(app)


@pytest.mark.parametrize("button", ["review-A", "inspect-A", "all-keys-fit-A"])
def test_the_tools_of_a_file_lead_to_its_page(app: AppTest, button: str) -> None:
    app.query_params["a"] = "sample:early"
    app.run()
    app.button(key=button).click().run()
    assert not app.exception
    assert not [title.value for title in app.title if title.value.startswith("torchvision")]


def test_the_file_is_closed_at_the_title(app: AppTest) -> None:
    app.query_params["a"] = "sample:early"
    app.run()
    app.button(key="close-page-A").click().run()
    assert app.title[0].value == "Open a checkpoint"


def test_two_files_of_one_architecture_share_the_title_and_others_have_their_own(
    app: AppTest, tmp_path: Path
) -> None:
    torch.save({"arch": "resnet18", "w": resnet18(num_classes=5).state_dict()}, tmp_path / "r.pth")
    app.query_params["a"] = "sample:early"
    app.query_params["b"] = "sample:final"
    app.run()
    assert app.title[0].value.startswith("A and B\\: torchvision shufflenet")
    app.query_params["b"] = "root:0/r.pth"
    app.session_state["loupe-bench"] = bench_from_query({"a": "sample:early", "b": "root:0/r.pth"})
    app.run()
    assert not app.exception
    assert app.title[0].value == "Two files are open"
    heads = [part.value for part in app.markdown]
    assert "**A** `digits_early.pth`" in heads
    assert "**B** `r.pth`" in heads
    assert "**torchvision resnet18 with 5 classes**" in heads


def test_a_file_that_several_architectures_take_lists_them_and_shows_its_keys(
    app: AppTest, tmp_path: Path
) -> None:
    torch.save(resnet18().state_dict(), tmp_path / "best.pth")
    app.query_params["a"] = "root:0/best.pth"
    app.run()
    assert not app.exception
    assert app.title[0].value == "By its tensors a torchvision resnet18"
    drawn = "".join(html.body for html in app.get("html"))
    assert "timm resnetblur18" in drawn
    assert "layer1.0.conv1.weight" in drawn
    assert "Images for the first prediction" not in words(app)


class Call:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def test_what_would_run_code_is_a_number_with_its_notice(app: AppTest, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "x": Call()}, tmp_path / "bad.pth")
    app.query_params["a"] = "root:0/bad.pth"
    app.run()
    assert not app.exception
    number = app.metric[-1]
    assert (number.value, number.label) == ("1", "name that would run code")
    assert "system" in app.error[0].value


def test_the_images_at_hand_are_those_that_the_first_prediction_takes(app: AppTest) -> None:
    app.query_params["a"] = "sample:early"
    app.run()
    assert "These 8 came with Loupe. Add your own." in words(app)
    app.button(key="pictures-open-sample").click().run()
    assert not app.exception
    assert "came with Loupe" not in words(app)
    assert "8 images" in [caption.value for caption in app.caption]


def sharded(folder: Path) -> None:
    tensors = {f"layer{index}.weight": torch.ones(64, 8) for index in range(6)}
    folder.mkdir()
    save_torch_state_dict(tensors, folder, max_shard_size=5_000)


def test_a_server_folder_of_shards_opens_as_one_checkpoint(app: AppTest, tmp_path: Path) -> None:
    sharded(tmp_path / "model")
    app.session_state["folder-A-0"] = "model"
    app.run()
    assert not app.exception
    app.button(key="whole-A").click().run()
    assert not app.exception
    assert app.metric[0].value == "6"
    assert app.query_params["a"] == "root:0/model"
    assert "safetensors shards" in words(app)
    (files,) = (each for each in app.expander if "Files with tensors" in each.label)
    assert "-00001-of-" in files.code[0].value


def test_a_set_is_opened_anew_once_one_of_its_files_changed(app: AppTest, tmp_path: Path) -> None:
    sharded(tmp_path / "model")
    app.query_params["a"] = "root:0/model"
    app.run()
    shard = next((tmp_path / "model").glob("*-00002-of-*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    app.run()
    assert any(shard.name in error.value for error in app.error)


def test_a_folder_without_a_checkpoint_offers_no_such_thing(app: AppTest, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    torch.save({"w": torch.ones(2)}, tmp_path / "runs" / "a.pth")
    app.session_state["folder-A-0"] = "runs"
    app.run()
    assert not app.exception
    assert "Open this folder as one checkpoint" not in [button.label for button in app.button]


def test_the_bytes_by_section_and_small_views_are_told(app: AppTest, tmp_path: Path) -> None:
    """FIELD 19 and 20."""
    model = {"weight": torch.zeros(1_000_000)[:100]}
    moments = {0: {"exp_avg": torch.zeros(100), "exp_avg_sq": torch.zeros(100)}}
    saved = {"state_dict": model, "optimizer": {"state": moments, "param_groups": []}}
    torch.save(saved, tmp_path / "a.pth")
    app.query_params["a"] = "root:0/a.pth"
    app.run()
    assert not app.exception
    bars = "".join(html.body for html in app.get("html"))
    assert "<span>model</span> 4.00" in bars
    assert "<span>optimizer</span> 800" in bars
    assert "4.00\u202fMB that the file keeps" in words(app)


def test_a_served_folder_full_of_odd_names_breaks_nothing_and_they_open(
    app: AppTest, tmp_path: Path
) -> None:
    for name in ("caf\udce9.pth", "two\nlines.pth", "\u202egpj.pth", "![x](http:y).pth"):
        torch.save({"w": torch.ones(2)}, tmp_path / name)
    (tmp_path / "fold\udcffer").mkdir()
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    (tmp_path / "late.pth").touch()
    os.utime(tmp_path / "late.pth", (2**40, 2**40))
    os.mkfifo(tmp_path / "pipe.pth")
    app.run()
    assert not app.exception
    listed = list(app.dataframe[0].value["name"])
    assert {"fold\\xffer/", "caf\\xe9.pth", "two\\nlines.pth", "late.pth"} <= set(listed)
    assert not {"loop.pth", "pipe.pth"} & set(listed)
    for linked in ("/caf%E9.pth", "/two%0Alines.pth", "/%E2%80%AEgpj.pth", "![x](http:y).pth"):
        app.session_state["loupe-bench"] = bench_from_query({"a": f"root:0/{linked}"})
        app.run()
        assert not app.exception
        assert not app.error
        assert app.metric[0].value == "1"
        assert f"root:0/{linked}" in app.query_params["a"]


def test_a_link_to_a_file_of_a_server_folder_quotes_nothing_of_it(
    app: AppTest, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PASSWORD=hunter2")
    (tmp_path / "notes.pth").write_text("PASSWORD=hunter2")
    app.query_params["a"] = "root:0/.env"
    app.query_params["b"] = "root:0/notes.pth"
    app.run()
    assert not app.exception
    assert len(app.error) == 2
    assert "hunter2" not in words(app)


def test_a_bench_of_odd_names_from_the_command_line_opens(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "caf\udce9:1\n.pth"
    torch.save({"w": torch.ones(2)}, odd)
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    monkeypatch.setenv("LOUPE_BENCH", paths_setting([odd, tmp_path / "loop.pth"]))
    app.run()
    assert not app.exception
    assert "caf\\xe9:1\\n.pth" in words(app)
    assert len(app.error) == 1
    assert "cannot be opened" in app.error[0].value
