"""A head's classes chosen anew."""

from pathlib import Path

import pytest
import torch

from core.errors import FixError
from core.fixes import CastDtype, SelectClasses
from tests.core.fixes.files import applied, assert_tensors, saved

HEAD = {
    "body.weight": torch.randn(4, 3),
    "fc.weight": torch.randn(5, 4),
    "fc.bias": torch.randn(5).half(),
    "fc.temperature": torch.tensor(2.0),
    "fc.counts": torch.arange(5),
}


@pytest.mark.parametrize(
    "rows", [(4, 0), (1, 2, 3), (-1, 4, -1, 4, 4, 0, 1, 2), (), (-1,), (0, 1, 2, 3, 4)]
)
def test_field_21_each_class_gets_its_row_or_zeros(rows: tuple[int, ...], tmp_path: Path) -> None:
    after = applied(saved(tmp_path, HEAD), SelectClasses("fc.*", rows)).state_dict
    wanted = dict(HEAD)
    for key in ("fc.weight", "fc.bias"):
        taken = [torch.zeros_like(HEAD[key][0]) if row < 0 else HEAD[key][row] for row in rows]
        wanted[key] = torch.stack(taken) if rows else HEAD[key][:0]
    assert_tensors(after, wanted)


def test_rows_that_follow_each_other_are_the_files_own_bytes(tmp_path: Path) -> None:
    after = applied(saved(tmp_path, HEAD), SelectClasses("fc.*", (1, 2, 3))).state_dict
    assert all(entry.form is None for entry in after.values())


def test_what_is_computed_and_cast_has_rows_as_well(tmp_path: Path) -> None:
    fixes = SelectClasses("fc.*", (4, 2, 0)), CastDtype("float16"), SelectClasses("fc.*", (2, -1))
    after = applied(saved(tmp_path, HEAD), *fixes).state_dict
    weight, bias = HEAD["fc.weight"].half(), HEAD["fc.bias"]
    wanted = {
        **{
            key: value.half() if value.is_floating_point() else value for key, value in HEAD.items()
        },
        "fc.weight": torch.stack([weight[0], torch.zeros(4).half()]),
        "fc.bias": torch.stack([bias[0], torch.zeros(()).half()]),
    }
    assert_tensors(after, wanted)


def test_the_effect_counts_rows_and_new_classes(tmp_path: Path) -> None:
    given_file = saved(tmp_path, HEAD)
    after = applied(given_file, SelectClasses("fc.*", (3, -1)), SelectClasses("head.*", (0,)))
    assert [effect.sentence for effect in after.effects] == [
        "1 of 5 rows taken in 2 tensors, 1 row of zeros added.",
        "No key of a head matches `head.*`.",
    ]


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        (SelectClasses("fc.*", (0, 5)), "Row 5 is wanted, and `fc.weight` has 5"),
        (SelectClasses("fc.*", (0, -2)), "numbers from 0"),
        (SelectClasses("*.weight", (0,)), "4 rows and `fc.weight` 5"),
        (SelectClasses("fc.*", (10**9,)), "Row 1\u202f000\u202f000\u202f000"),
        (SelectClasses("fc.*", (0,) * 1_000_001), "at most 1\u202f000\u202f000"),
        (SelectClasses("", (0,)), "pattern is empty"),
    ],
)
def test_rows_that_are_not_there_are_a_sentence(
    fix: SelectClasses, message: str, tmp_path: Path
) -> None:
    with pytest.raises(FixError, match=message):
        applied(saved(tmp_path, HEAD), fix)


def test_a_head_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    wide = saved(tmp_path, {"fc.weight": torch.ones(1).expand(2, 1 << 20)})
    with pytest.raises(FixError, match="would take 419\u202fGB"):
        applied(wide, SelectClasses("fc.*", (0,) * 100_000))
    with pytest.raises(FixError, match=r"6\.28\u202fGB more than before"):
        applied(wide, SelectClasses("fc.*", (0,) * 1_500))
