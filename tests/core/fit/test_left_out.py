"""What a model does not get is named by part, and counted where there is too much to name."""

import pytest

from core.checkpoint import StateDict, TensorEntry
from core.fit.left_out import left_out_words


def file_of(*keys: str) -> StateDict:
    return StateDict(TensorEntry(key, "float32", (6, 2), (2, 1), 0, None) for key in keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], ""),
        (["neck.weight"], "`neck.*` is left out"),
        (["a.weight", "a.bias", "b.weight"], "`a.*` and `b.*` are left out"),
        ([f"extra{n}.weight" for n in range(275)], "`extra{0…274}.*` are left out"),
        (
            [f"{letter * 9}.{part}" for letter in "pqrstuvw" for part in ("weight", letter)],
            "`ppppppppp.*`, `qqqqqqqqq.*`, `rrrrrrrrr.*`, `sssssssss.*`, `ttttttttt.*` and 3 more "
            "modules with 6 tensors are left out",
        ),
    ],
)
def test_every_module_is_named_or_counted(keys: list[str], words: str) -> None:
    assert left_out_words(keys, file_of("conv.weight", *keys)) == words
