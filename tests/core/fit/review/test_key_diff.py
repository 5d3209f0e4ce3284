"""The keys of a file and of a model side by side: each once, by state and module."""

import torch
from torchvision.models import resnet18

from core.architectures import Architecture, signature
from core.fit import match
from core.fit.review import key_diff, states_of
from core.fixes import Recipe, StripPrefix
from core.recipe import try_recipe

RESNET = Architecture("torchvision", "resnet18")


def test_what_fails_is_first_and_every_key_is_in_one_row(saved) -> None:
    body = resnet18(num_classes=10).state_dict()
    del body["conv1.weight"]
    body["extra.weight"] = torch.zeros(2)
    state_dict, wanted = saved(body), signature(RESNET)
    groups = key_diff(match(state_dict, wanted), state_dict, wanted)
    assert list(dict.fromkeys(group.state for group in groups)) == [
        "mismatched",
        "missing",
        "unexpected",
        "matched",
    ]
    rows = {row.key: row for group in groups for row in group.rows}
    assert set(rows) == set(state_dict) | set(wanted)
    assert rows["fc.weight"].shape == "10 × 512 → 1000 × 512"
    assert rows["conv1.weight"].in_model == "not in the file"
    assert rows["extra.weight"].in_model == "not in the model"
    assert states_of(groups) == {"mismatched": 2, "missing": 1, "unexpected": 1, "matched": 119}


def test_a_repaired_key_is_told_with_its_name_in_the_file_and_its_new_one(saved) -> None:
    wrapped, wanted = saved(torch.nn.DataParallel(resnet18()).state_dict()), signature(RESNET)
    repaired = try_recipe(Recipe.of([StripPrefix("module.")]), wrapped, wanted).state_dict
    groups = key_diff(match(repaired, wanted), repaired, wanted)
    assert states_of(groups) == {"renamed": 122}
    assert [group.path for group in groups if len(group.rows) > 1] == [
        *("bn1", "layer1", "layer2", "layer3", "layer4", "fc"),
    ]
    last = groups[-1]
    assert last.elements == 512 * 1000 + 1000
    assert (last.rows[0].key, last.rows[0].into) == ("module.fc.weight", "fc.weight")


def test_what_is_harmless_is_last(saved) -> None:
    body = {key: value for key, value in resnet18().state_dict().items() if "num_b" not in key}
    state_dict, wanted = saved(body), signature(RESNET)
    groups = key_diff(match(state_dict, wanted), state_dict, wanted)
    assert groups[-1].state == "benign"
    assert states_of(groups) == {"matched": 102, "benign": 20}
