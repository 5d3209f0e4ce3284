"""The heads of a file that a model does not get."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from core.checkpoint import StateDict, open_checkpoint
from core.fit import LeftOutHead, left_out_heads, left_out_heads_words


def saved(path: Path, modules: Mapping[str, nn.Module]) -> StateDict:
    torch.save(nn.ModuleDict(dict(modules)).state_dict(), path)
    return open_checkpoint(path).state_dict()


def heads(path: Path, **modules: nn.Module) -> tuple[LeftOutHead, ...]:
    state_dict = saved(path, {"trunk": nn.Linear(4, 8), **modules})
    left_out = [key for key in state_dict if not key.startswith("trunk.")]
    return left_out_heads(state_dict, left_out, 8)


def mlp(*widths: int) -> nn.Module:
    layers = (nn.Linear(a, b) for a, b in pairwise(widths))
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))


def test_a_head_of_two_layers_ends_in_the_rows_of_the_last(tmp_path: Path) -> None:
    (head,) = heads(tmp_path / "a.pth", classifier=mlp(8, 6, 3))
    assert head == LeftOutHead("classifier", 3, projection=False)
    assert [*left_out_heads_words([head], "model.fc")] == [
        "`classifier.*` (3 outputs) is left out and can be the head that was trained: then "
        "`model.fc` predicts other classes."
    ]
    assert [*left_out_heads_words([head], None)] == [
        "`classifier.*` (3 outputs) is left out and can be the head: what is left of the network "
        "gives features, but no classes."
    ]


def test_many_heads_are_one_sentence(tmp_path: Path) -> None:
    many = heads(tmp_path / "a.pth", **{f"head_{task}": nn.Linear(8, task) for task in range(2, 7)})
    assert [*left_out_heads_words(many, "fc")] == [
        "`head_2.*` (2 outputs), `head_3.*` (3 outputs), `head_4.*` (4 outputs) and 2 more are "
        "left out and one of them can be the head that was trained: then `fc` predicts other "
        "classes."
    ]


def test_a_projection_has_no_classes(tmp_path: Path) -> None:
    (head,) = heads(tmp_path / "a.pth", projector=mlp(8, 16, 5))
    assert head.projection
    assert [*left_out_heads_words([head], None)] == [
        "`projector.*` (5 outputs) is left out: it reads like a projection, whose outputs are no "
        "classes."
    ]


def test_a_deep_head_of_a_network_that_a_copy_follows_is_a_projection(tmp_path: Path) -> None:
    (head,) = heads(tmp_path / "a.pth", head=mlp(8, 16, 5), momentum_head=mlp(8, 16, 5))
    assert head.projection
    (linear,) = heads(tmp_path / "b.pth", head=nn.Linear(8, 5), momentum_trunk=nn.Linear(4, 8))
    assert not linear.projection


def test_what_does_not_take_the_features_is_no_head(tmp_path: Path) -> None:
    assert not heads(tmp_path / "a.pth", head=nn.Linear(7, 3))
    assert not heads(tmp_path / "b.pth", head=nn.Conv2d(8, 3, 3))
    assert not heads(tmp_path / "c.pth", head=nn.LayerNorm(8))
    assert not heads(tmp_path / "d.pth", token_embedding=nn.Embedding(50, 8))
    two = nn.ModuleDict({"a": nn.Linear(8, 7), "b": nn.Linear(8, 2)})
    assert not heads(tmp_path / "e.pth", head=two)
