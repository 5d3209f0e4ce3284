"""What two checkpoints say differently beside their weights, told as a person would."""

import argparse
import json
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from safetensors.torch import save_file
from torch import nn

from core.checkpoint import Checkpoint, open_checkpoint
from core.compare.metadata.file_fact import file_facts
from core.compare.metadata.further_tensors import MAX_READ, other_tensors
from core.compare.metadata.metadata_diff import (
    ChangeKind,
    MetadataChange,
    Node,
    change_words,
    metadata_changes,
    metadata_tree,
    step_words,
    value_words,
)
from core.compare.metadata.metadata_summary import metadata_sentence, training_words
from core.wording import count
from tests.bounds import at_most
from tests.core.checkpoint.test_training_libraries import Classifier, batches
from tests.core.training_runs import ConvNet, train

ADDED, REMOVED, CHANGED = ChangeKind.ADDED, ChangeKind.REMOVED, ChangeKind.CHANGED


@pytest.fixture
def two(tmp_path: Path):
    """Save two objects as torch does, and open them."""

    def save(a: object, b: object) -> tuple[Checkpoint, Checkpoint]:
        torch.save(a, tmp_path / "a.pth")
        torch.save(b, tmp_path / "b.pth")
        return open_checkpoint(tmp_path / "a.pth"), open_checkpoint(tmp_path / "b.pth")

    return save


def changes(a: Checkpoint, b: Checkpoint) -> tuple[MetadataChange, ...]:
    return metadata_changes(a.metadata, b.metadata)


def sentence(a: Checkpoint, b: Checkpoint) -> str:
    return metadata_sentence(a, b, changes(a, b))


def words(a: dict[str, object], b: dict[str, object]) -> dict[str, str]:
    return {
        ".".join(change.path): change_words(change)
        for change in metadata_changes(json.loads(json.dumps(a)), json.loads(json.dumps(b)))
    }


@pytest.fixture(scope="module")
def sgd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    """A network with its SGD and StepLR after epochs 2 and 12."""
    folder = tmp_path_factory.mktemp("sgd")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5, gamma=0.1)
    for epoch in range(1, 13):
        optimizer.zero_grad()
        model(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()
        scheduler.step()
        state = {
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "best_acc1": 70.0 + epoch / 4,
            "args": argparse.Namespace(batch_size=32, arch="mlp", seed=epoch > 5),
        }
        torch.save(state, folder / f"epoch_{epoch}.pth")
    return open_checkpoint(folder / "epoch_2.pth"), open_checkpoint(folder / "epoch_12.pth")


def test_a_later_epoch_is_told_with_its_learning_rate_and_its_result(sgd):
    assert sentence(*sgd) == (
        "B is 10 epochs later (epoch 2 → 12); lr went from 0.1 to 0.001; "
        "best_acc1 went from 70.5 to 73; seed false → true."
    )
    later, earlier = sgd[::-1]
    assert sentence(later, earlier).startswith("B is 10 epochs earlier (epoch 12 → 2); ")


def test_a_schedulers_and_an_optimizers_values_are_changes_at_their_places(sgd):
    found = {".".join(change.path): change for change in changes(*sgd)}
    assert list(found) == [
        "epoch",
        "optimizer.param_groups.0.lr",
        "scheduler.last_epoch",
        "scheduler._step_count",
        "scheduler._last_lr.0",
        "best_acc1",
        "args.seed",
    ]
    assert found["epoch"] == MetadataChange(("epoch",), CHANGED, 2, 12)
    assert change_words(found["epoch"]) == "2 → 12, +10"
    assert found["scheduler.last_epoch"].after == 12
    assert change_words(found["args.seed"]) == "false → true"
    assert found["optimizer.param_groups.0.lr"].before == 0.1


def test_the_tree_sums_up_what_is_the_same_beside_what_differs(sgd):
    tree = metadata_tree(sgd[0].metadata, sgd[1].metadata)
    assert tree.changes == len(changes(*sgd)) == 7
    assert [child.name for child in tree.children] == [
        "epoch",
        "optimizer",
        "scheduler",
        "best_acc1",
        "args",
    ]
    assert tree.unchanged == 0
    group = tree.children[1].children[0].children[0]
    assert (group.name, group.changes, group.change) == ("0", 1, None)
    assert group.unchanged == len(sgd[0].metadata["optimizer"]["param_groups"][0]) - 1
    args = tree.children[-1]
    assert args.unchanged == 3, "class, batch_size and arch"
    assert [child.name for child in args.children] == ["seed"]


def test_equal_metadata_is_a_tree_without_changes(sgd):
    assert metadata_tree(sgd[0].metadata, sgd[0].metadata) == Node("", None)
    assert sentence(sgd[0], sgd[0]) == "Everything besides the tensors is the same (epoch 2)."


def adamw(steps: int, path: Path) -> Checkpoint:
    torch.manual_seed(0)
    model = ConvNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001)
    for _ in range(steps):
        model(torch.randn(4, 1, 8, 8)).square().mean().backward()
        optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": steps}
    torch.save(state, path)
    return open_checkpoint(path)


def test_an_optimizers_steps_are_told_for_all_its_parameters(tmp_path):
    a, b = adamw(3, tmp_path / "a.pth"), adamw(8, tmp_path / "b.pth")
    (found,) = other_tensors(a, b)
    parameters = len(list(ConvNet().parameters()))
    assert (found.path, found.role) == ("optimizer.state", "optimizer")
    assert (found.changed, found.same, found.unread) == (3 * parameters, 0, 0)
    assert found.scalars == (f"step 3 → 8 in all {parameters} parameters",)
    assert found.sentence == f"{3 * parameters} of {3 * parameters} tensors changed"
    assert sentence(a, b) == "B is 5 steps later (step 3 → 8)."


def test_steps_that_differ_between_parameters_are_a_range(tmp_path, two):
    def state(*steps: float) -> dict[str, object]:
        return {
            "model": {"w": torch.ones(3)},
            "optimizer": {"state": {i: {"step": torch.tensor(s)} for i, s in enumerate(steps)}},
        }

    (found,) = other_tensors(*two(state(1.0, 2.0, 5.0), state(1.0, 7.0, 1200.5)))
    assert found.scalars == ("step 2 to 5 → 7 to 1200.5 in 2 of 3 parameters",)
    assert (found.same, found.changed) == (1, 2)


def test_few_scalars_are_read_however_many_there_are(two, monkeypatch):
    from core import tensors

    def state(offset: float, number: int) -> dict[str, object]:
        steps = {i: {"step": torch.tensor(offset + i)} for i in range(number)}
        return {"model": {"w": torch.ones(3)}, "optimizer": {"state": steps}}

    asked = []
    real = tensors.read_tensor
    monkeypatch.setattr(tensors, "read_tensor", lambda entry: asked.append(entry) or real(entry))
    (found,) = other_tensors(*two(state(0.0, 1000), state(5000.0, 1000)))
    assert found.scalars == (
        "step 0 to 999 → 5\u202f000 to 5\u202f999 in all 1\u202f000 parameters",
    )
    assert len(asked) == 2000
    asked.clear()
    (found,) = other_tensors(*two(state(0.0, 1500), state(5000.0, 1500)))
    assert len(asked) == 2000
    read = "in the 1\u202f000 of 1\u202f500 parameters that were read"
    assert found.scalars == (f"step 0 to 999 → 5\u202f000 to 5\u202f999 {read}",)


def test_an_average_beside_the_weights_is_counted_and_the_chosen_one_is_not(two):
    def state(weight: float) -> dict[str, object]:
        return {
            "state_dict": {"w": torch.full((3,), weight), "b": torch.ones(3)},
            "state_dict_ema": {"w": torch.full((3,), weight), "b": torch.ones(3)},
        }

    a, b = two(state(1.0), state(2.0))
    (found,) = other_tensors(a, b)
    assert (found.path, found.role, found.changed, found.same) == ("state_dict_ema", "ema", 1, 1)
    assert found.sentence == "1 of 2 tensors changed"
    assert [each.path for each in other_tensors(a, b, ("state_dict_ema",) * 2)] == ["state_dict"]


def test_an_optimizer_that_was_left_out_is_said(tmp_path, two):
    model = ConvNet()
    optimizer = train(model, 1)
    whole = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    a, b = two(whole, {"model": model.state_dict(), "epoch": 3})
    assert sentence(a, b) == "Both are at epoch 3; only A contains its optimizer's state."
    (found,) = other_tensors(a, b)
    assert found.sentence == f"{len(a.state_dict('optimizer.state'))} tensors only in A"


def test_tensors_without_checksums_are_read_only_up_to_a_bound(tmp_path):
    def save(name: str, value: float) -> Checkpoint:
        held = {"m": torch.full((100,), value), "big": torch.full((MAX_READ // 4,), value)}
        state = {"model": {"w": torch.ones(3)}, "ema": held}
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=False)
        return open_checkpoint(tmp_path / name)

    (found,) = other_tensors(save("a.pth", 1.0), save("b.pth", 2.0))
    assert (found.changed, found.unread) == (1, 1)
    assert found.sentence == "1 of 2 tensors changed, 1 not compared"


@pytest.fixture(scope="module")
def lightning(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    folder = tmp_path_factory.mktemp("lightning")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epochs, lr, widths in ((1, 0.01, (6, 2)), (3, 0.1, (6, 2))):
            trainer = Trainer(
                max_epochs=epochs, accelerator="cpu", default_root_dir=folder, logger=False,
                enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            )  # fmt: skip
            trainer.fit(Classifier(lr, widths), batches())
            trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return open_checkpoint(folder / "1.ckpt"), open_checkpoint(folder / "3.ckpt")


def test_lightnings_checkpoints_are_told_by_epoch_steps_and_hyper_parameters(lightning):
    a, b = lightning
    later = b.metadata["epoch"] - a.metadata["epoch"]
    assert later == 2
    assert sentence(a, b) == (
        f"B is 2 epochs later (epoch {a.metadata['epoch']} → {b.metadata['epoch']}, "
        "global_step 2 → 6); lr went from 0.01 to 0.1; lr 0.01 → 0.1, × 10."
    )
    found = {change.path: change for change in changes(a, b)}
    assert found["hyper_parameters", "lr"] == MetadataChange(
        ("hyper_parameters", "lr"), CHANGED, 0.01, 0.1
    )
    assert found["optimizer_states", "0", "param_groups", "0", "lr"].after == 0.1
    (state,) = other_tensors(a, b)
    assert state.scalars == ("step 2 → 6 in all 4 parameters",)


class OldNet(nn.Linear):
    pass


def test_whole_models_tell_their_classes(two):
    a, b = two(nn.Linear(2, 2), OldNet(2, 2))
    assert [change_words(change) for change in changes(a, b)] == [
        f"torch.nn.modules.linear.Linear → {OldNet.__module__}.OldNet"
    ]
    assert sentence(a, b) == "1 value differs besides the tensors: class."


def test_files_without_metadata_say_so(tmp_path):
    for name in ("a", "b"):
        save_file({"w": torch.ones(2)}, tmp_path / f"{name}.safetensors")
    a, b = (open_checkpoint(tmp_path / f"{name}.safetensors") for name in "ab")
    assert changes(a, b) == ()
    assert sentence(a, b) == "Neither file contains anything besides its tensors."
    assert other_tensors(a, b) == ()


def test_an_inserted_class_name_is_one_change():
    names = [f"class {index}" for index in range(1000)]
    more = [*names[:400], "new", *names[400:]]
    (found,) = metadata_changes({"classes": names}, {"classes": more})
    assert found == MetadataChange(("classes", "400"), ADDED, None, "new")
    (found,) = metadata_changes({"classes": more}, {"classes": names})
    assert found == MetadataChange(("classes", "400"), REMOVED, "new", None)
    (found,) = metadata_changes({"classes": names}, {"classes": ["other", *names[1:]]})
    assert found == MetadataChange(("classes", "0"), CHANGED, "class 0", "other")


def test_names_in_two_places_are_two_changes_and_not_all_between():
    a, b = list("abcdefgh"), list("bcdXefgYh")
    assert [(change.kind, change.path[-1]) for change in metadata_changes({"n": a}, {"n": b})] == [
        (REMOVED, "0"),
        (ADDED, "3"),
        (ADDED, "7"),
    ]


def test_a_longer_history_is_what_came_after():
    a, b = [0.5, 0.4, 0.4], [0.5, 0.4, 0.4, 0.3, 0.3]
    assert words({"loss": a}, {"loss": b}) == {"loss.3": "added: 0.3", "loss.4": "added: 0.3"}


def test_parameter_groups_go_together_by_their_number():
    a = {"param_groups": [{"lr": 0.1, "wd": 0}, {"lr": 0.01, "wd": 0}]}
    b = {"param_groups": [{"lr": 0.1, "wd": 0}, {"lr": 0.001, "wd": 0}, {"lr": 1.0, "wd": 0}]}
    assert words(a, b) == {
        "param_groups.1.lr": "0.01 → 0.001, ÷ 10",
        "param_groups.2": "added: 2 entries",
    }


def test_betas_change_at_their_number():
    assert words({"betas": [0.9, 0.999]}, {"betas": [0.9, 0.95]}) == {
        "betas.1": "0.999 → 0.95, −0.049"
    }


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0.1, 0.01, "÷ 10"),
        (0.001, 0.0025, "× 2.5"),
        (71.5, 73.0, "+1.5"),
        (-1.0, 1.0, "+2"),
        (-0.1, -0.01, "÷ 10"),
        (1e-300, 1e300, "+1e300"),
        (0.0, 0.5, "+0.5"),
        (0.0, -0.0, ""),
        (2, 12, "+10"),
        (12, 2, "−10"),
        (1, 2**63, "+9\u202f223\u202f372\u202f036\u202f854\u202f775\u202f807"),
        (3, "3", "an integer, now a string"),
        (3, 3.0, "an integer, now a float"),
        (1, True, "an integer, now a boolean"),
        (0.5, "nan", ""),
        ("sgd", "adam", ""),
        (None, 3, ""),
        ([1], {"a": 1}, "a list, now a mapping"),
    ],
)
def test_numbers_tell_how_they_came_to_each_other(before, after, told):
    assert step_words(before, after) == told
    assert metadata_changes({"x": before}, {"x": after})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("resnet50", "resnet50"),
        ("3", '"3"'),
        ("", '""'),
        ("true", '"true"'),
        ("nan", "nan"),
        (" a", '" a"'),
        ("a\x1b[31m\u202eb", '"a\\u001b[31m\\u202eb"'),
        (True, "true"),
        (None, "null"),
        (-0.0, "-0.0"),
        ([0.9, 0.999], "[0.9, 0.999]"),
        (list(range(100)), "100 items"),
        ({"a": 1}, "1 entry"),
        ({}, "an empty mapping"),
        ("x" * 500, "x" * 79 + "…"),
    ],
)
def test_values_stand_in_a_line(value, told):
    assert value_words(value) == told


def test_a_nan_in_both_is_no_change_and_a_new_one_is(two):
    weights = {"w": torch.ones(2)}
    a, b = two(
        {"model": weights, "loss": float("nan"), "gap": 0.5, "zero": 0.0},
        {"model": weights, "loss": float("nan"), "gap": float("nan"), "zero": -0.0},
    )
    assert {".".join(c.path): change_words(c) for c in changes(a, b)} == {
        "gap": "0.5 → nan",
        "zero": "0.0 → -0.0",
    }


def test_what_one_file_alone_says_is_one_change_in_its_place():
    a = {"epoch": 1, "old": {"x": 1, "y": 2}, "end": 0}
    b = {"first": 1, "epoch": 1, "new": [1, 2, 3], "end": 0}
    found = metadata_changes(a, b)
    assert [(change.path, change.kind) for change in found] == [
        (("first",), ADDED),
        (("new",), ADDED),
        (("old",), REMOVED),
    ]
    assert change_words(found[2]) == "removed: 2 entries"


def test_the_order_of_keys_is_no_difference(two):
    weights = {"w": torch.ones(2)}
    a = OrderedDict(model=weights, epoch=1, lr=0.1)
    b = OrderedDict(lr=0.1, epoch=1, model=weights)
    assert changes(*two(a, b)) == ()


def test_hostile_keys_stay_text(two):
    key = "\x1b]0;owned\x07\u202e" + "x" * 1000
    weights = {"w": torch.ones(2)}
    a, b = two({"model": weights, key: 1}, {"model": weights, key: 2})
    (found,) = changes(a, b)
    assert found.path == (key[:400],)
    told = sentence(a, b)
    assert told.isprintable()
    assert len(told) < 150


def test_the_same_epoch_does_not_hide_that_something_else_differs(two):
    weights = {"w": torch.ones(2)}
    a, b = two({"model": weights, "epoch": 3, "x": 1}, {"model": weights, "epoch": 3, "x": 2})
    assert sentence(a, b) == "Both are at epoch 3; 1 value differs besides the tensors: x."


def test_two_learning_rates_that_read_alike_are_written_out(two):
    weights = {"w": torch.ones(2)}
    a, b = two({"model": weights, "lr": 0.1}, {"model": weights, "lr": 0.1 + 1e-12})
    assert sentence(a, b) == f"lr went from 0.1 to {0.1 + 1e-12!r}."


def test_the_rates_of_several_groups_are_listed(two):
    def state(*rates: float) -> dict[str, object]:
        parameters = [nn.Parameter(torch.ones(1)) for _ in rates]
        groups = [{"params": [p], "lr": r} for p, r in zip(parameters, rates, strict=True)]
        optimizer = torch.optim.SGD(groups, lr=1.0)
        return {"model": {"w": torch.ones(2)}, "optimizer": optimizer.state_dict()}

    a, b = two(state(0.1, 0.01, 0.01), state(0.05, 0.005, 0.005))
    assert sentence(a, b) == "lr went from 0.1 and 0.01 to 0.05 and 0.005."


def test_the_files_own_facts_stand_side_by_side(tmp_path):
    torch.save({"model": {"w": torch.ones(2)}, "torch_version": "1.13.1"}, tmp_path / "a.pth")
    save_file({"w": torch.ones(2)}, tmp_path / "b.safetensors")
    a, b = open_checkpoint(tmp_path / "a.pth"), open_checkpoint(tmp_path / "b.safetensors")
    facts = {fact.name: fact for fact in file_facts(a, b)}
    assert list(facts) == ["Format", "PyTorch", "Size", "state_dicts", "Python names"]
    assert (facts["PyTorch"].a, facts["PyTorch"].b) == ("1.13.1", "unknown")
    assert facts["state_dicts"].a == "1: model"
    assert facts["state_dicts"].b == "1: the file itself"
    assert facts["Python names"].a == "plain data: 3"
    assert facts["Python names"].b == "none"
    assert facts["Size"].b == f"{count((tmp_path / 'b.safetensors').stat().st_size)}\u202fB"
    assert not facts["Format"].same
    assert file_facts(a, a)[0].same


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["wide", "deep", "names", "repeats", "lists"])
def test_the_largest_metadata_is_no_work_in_squares(shape):
    def tree(seed: int) -> dict[str, object]:
        if shape == "wide":
            return {f"key {index}": index + (seed * (index % 2)) for index in range(200_000)}
        if shape == "deep":
            value: object = {str(index): seed for index in range(6_000)}
            for level in range(31):
                value = {"below": value, **{f"{level}.{i}": i for i in range(6_000)}}
            return value
        if shape == "names":
            return {str(n): [f"{(i * (7 + seed)) % 4999}" for i in range(5_000)] for n in range(40)}
        if shape == "repeats":
            return {str(n): list("ab" * 2_500) + ["c"] * seed for n in range(40)}
        return {"x": [[[i + seed for i in range(64)] for _ in range(64)] for _ in range(48)]}

    a, b = tree(0), tree(1)
    with at_most(calls=30_000_000):
        found = metadata_tree(a, b)
    assert found.changes


def test_metadata_deeper_than_any_is_compared_without_an_end():
    def nested(value: int) -> dict[str, object]:
        tree: dict[str, object] = {"x": value}
        for _ in range(300):
            tree = {"x": tree}
        return tree

    (found,) = metadata_changes(nested(1), nested(2))
    assert found.kind is CHANGED
    assert metadata_changes(nested(1), nested(1)) == ()


def test_how_far_a_training_is_is_told_where_both_files_state_it(two):
    weights = {"w": torch.ones(2)}

    def told(a: dict[str, float], b: dict[str, float]) -> str:
        return training_words(*two(*({"model": weights, **stated} for stated in (a, b))))

    early, late = {"epoch": 2, "accuracy": 85.83}, {"epoch": 40, "accuracy": 99.72}
    assert told(early, late) == "epoch 2 → 40, accuracy 85.83 → 99.72"
    assert told({"epoch": 2}, {"accuracy": 99.72}) == ""
    assert told(early, early) == ""
    assert told({"loss": 0.12345671}, {"loss": 0.12345672}) == "loss 0.12345671 → 0.12345672"
