"""LoRA adapters merged: W + alpha / r · B A, by the names of PEFT, loralib and kohya."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from core.errors import FixError
from core.fit.proposals import best_repair, propose
from core.fixes import Drop, MergeLora
from core.tensors import read_tensor
from tests.core.fixes.files import applied, assert_tensors, saved, signature_of

RANK = 2


def adapter(rows: int, *columns: int, kernel: tuple[int, ...] = ()) -> list[torch.Tensor]:
    ones = [1 for _ in kernel]
    return [torch.randn(RANK, *columns, *kernel), torch.randn(rows, RANK, *ones)]


W, (A, B) = torch.randn(5, 4), adapter(5, 4)
PEFT = {
    "base_model.model.norm.weight": torch.randn(4),
    "base_model.model.fc.base_layer.weight": W,
    "base_model.model.fc.base_layer.bias": torch.randn(5),
    "base_model.model.fc.lora_A.default.weight": A,
    "base_model.model.fc.lora_B.default.weight": B,
}
MERGED = {
    "norm.weight": PEFT["base_model.model.norm.weight"],
    "fc.weight": W + B @ A,
    "fc.bias": PEFT["base_model.model.fc.base_layer.bias"],
}


@pytest.mark.parametrize("alpha", [0.0, 1.0, 16.0])
def test_pefts_adapters_are_merged_and_its_wrappers_gone(alpha: float, tmp_path: Path) -> None:
    after = applied(saved(tmp_path, PEFT), MergeLora(alpha), MergeLora(alpha))
    scale = (alpha or RANK) / RANK
    assert_tensors(after.state_dict, {**MERGED, "fc.weight": W + scale * B @ A})
    merged, again = (effect.sentence for effect in after.effects)
    assert merged == "1 adapter merged into the weights." + (
        ""
        if alpha
        else " 1 adapter has no alpha in the file: a scale of 1 is assumed; set alpha if it was "
        "trained with another."
    )
    assert again == "No LoRA adapter to merge."
    assert after.state_dict["fc.weight"].origin == "base_model.model.fc.base_layer.weight"


def test_the_merged_layer_answers_as_the_adapted_one(tmp_path: Path) -> None:
    weight = read_tensor(applied(saved(tmp_path, PEFT), MergeLora(8)).state_dict["fc.weight"])
    x = torch.randn(3, 4)
    wanted = functional.linear(x, W) + 8 / RANK * functional.linear(functional.linear(x, A), B)
    torch.testing.assert_close(functional.linear(x, weight), wanted)


@pytest.mark.parametrize(
    ("shape", "a", "b"),
    [
        ((6, 4, 1, 1), (RANK, 4, 1, 1), (6, RANK, 1, 1)),
        ((6, 4, 3, 3), (RANK, 4, 3, 3), (6, RANK, 1, 1)),
        ((6, 4, 3), (RANK, 4, 3), (6, RANK, 1)),
    ],
)
def test_convolutions_are_merged(
    shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...], tmp_path: Path
) -> None:
    tensors = {"c.weight": torch.randn(shape), "c.lora_A.x.weight": torch.randn(a)}
    tensors["c.lora_B.x.weight"] = torch.randn(b)
    found = applied(saved(tmp_path, tensors), MergeLora(4)).state_dict
    assert list(found) == ["c.weight"]
    conv = functional.conv2d if len(shape) == 4 else functional.conv1d
    x = torch.randn(2, 4, *(7 for _ in shape[2:]))
    base, down, up = tensors.values()
    wanted = conv(x, base) + 4 / RANK * conv(conv(x, down), up)
    torch.testing.assert_close(
        conv(x, read_tensor(found["c.weight"])), wanted, rtol=1e-4, atol=1e-4
    )


def test_embeddings_are_merged(tmp_path: Path) -> None:
    for numbers in (7, 5):
        embedding = nn.Embedding(numbers, 5)
        a, b = adapter(5, numbers)
        tensors = {
            "e.base_layer.weight": embedding.weight.detach(),
            "e.lora_embedding_A.default": a,
            "e.lora_embedding_B.default": b,
        }
        found = applied(saved(tmp_path, tensors), MergeLora()).state_dict
        assert_tensors(found, {"e.weight": embedding.weight.detach() + (b @ a).T})


def test_loralibs_adapters_lie_on_the_layer_itself(tmp_path: Path) -> None:
    tensors = {"q.weight": W, "q.bias": torch.randn(5), "q.lora_A": A, "q.lora_B": B}
    found = applied(saved(tmp_path, tensors), MergeLora(1)).state_dict
    assert_tensors(found, {"q.weight": W + B @ A / RANK, "q.bias": tensors["q.bias"]})


@pytest.mark.parametrize("alpha", [0.0, 5.0])
@pytest.mark.parametrize("own", [3.0, 0.0])
@pytest.mark.parametrize("module", ["fc", "lora_unet_fc"])
def test_kohyas_alpha_is_a_tensor_of_the_file(
    module: str, own: float, alpha: float, tmp_path: Path
) -> None:
    tensors = {
        "fc.weight": W,
        f"{module}.lora_down.weight": A,
        f"{module}.lora_up.weight": B,
        f"{module}.alpha": torch.tensor(own),
    }
    after = applied(saved(tmp_path, tensors), MergeLora(alpha))
    assert_tensors(after.state_dict, {"fc.weight": W + (alpha or own) / RANK * B @ A})
    assert after.effects[0].sentence == "1 adapter merged into the weights."


def test_an_alpha_stands_beside_pefts_names_too(tmp_path: Path) -> None:
    tensors = {"q.weight": W, "q.lora_A.weight": A, "q.lora_B.weight": B, "q.alpha": torch.ones(1)}
    after = applied(saved(tmp_path, tensors), MergeLora())
    assert_tensors(after.state_dict, {"q.weight": W + B @ A / RANK})


def test_weights_stored_by_columns_are_merged_across_and_square_ones_with_them(
    tmp_path: Path,
) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for name, columns in (("c_attn", 12), ("c_proj", 4)):
        tensors[f"{name}.weight"] = torch.randn(4, columns)
        a, b = adapter(columns, 4)
        tensors |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
    found = applied(saved(tmp_path, tensors), MergeLora()).state_dict
    wanted = {
        f"{name}.weight": tensors[f"{name}.weight"]
        + (tensors[f"{name}.lora_B.weight"] @ tensors[f"{name}.lora_A.weight"]).T
        for name in ("c_attn", "c_proj")
    }
    assert_tensors(found, wanted)


def square(name: str) -> dict[str, torch.Tensor]:
    a, b = adapter(4, 4)
    weight = {f"{name}.weight": torch.randn(4, 4)}
    return weight | {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}


@pytest.mark.parametrize("turned", [True, False])
def test_a_square_weight_is_merged_as_the_files_biases_show_the_others_to_be(
    turned: bool, tmp_path: Path
) -> None:
    tensors = square("c_proj")
    for name in ("c_attn", "c_fc"):
        tensors |= {f"{name}.weight": torch.randn(4, 12), f"{name}.bias": torch.randn(12)}
        if not turned:
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"].T
    tensors |= {"score.weight": torch.randn(7, 4), "score.bias": torch.randn(7)}
    after = applied(saved(tmp_path, tensors), MergeLora(RANK))
    change = tensors["c_proj.lora_B.weight"] @ tensors["c_proj.lora_A.weight"]
    wanted = tensors["c_proj.weight"] + (change.T if turned else change)
    torch.testing.assert_close(read_tensor(after.state_dict["c_proj.weight"]), wanted)
    assert after.effects[0].sentence == "1 adapter merged into the weights."


def test_of_square_weights_alone_it_is_said_what_was_assumed(tmp_path: Path) -> None:
    after = applied(saved(tmp_path, square("q") | square("v")), MergeLora(4))
    assert after.effects[0].sentence == (
        "2 adapters merged into the weights. `q.weight` and 1 more are square, so it is only "
        "assumed that their rows are their outputs."
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_merged_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {"q.weight": W.to(dtype), "q.lora_A": A.to(dtype), "q.lora_B": B.to(dtype)}
    found = applied(saved(tmp_path, tensors), MergeLora()).state_dict
    wide = {key: value.float() for key, value in tensors.items()}
    wanted = wide["q.weight"] + wide["q.lora_B"] @ wide["q.lora_A"]
    assert_tensors(found, {"q.weight": wanted.to(dtype)})


def test_layers_trained_beside_the_adapters_take_the_place_of_the_original(tmp_path: Path) -> None:
    head = torch.randn(3, 4)
    tensors = {
        **PEFT,
        "base_model.model.base_layer.0.weight": torch.randn(2),
        "base_model.model.head.original_module.weight": torch.randn(3, 4),
        "base_model.model.head.modules_to_save.default.weight": head,
    }
    found = applied(saved(tmp_path, tensors), MergeLora()).state_dict
    own = tensors["base_model.model.base_layer.0.weight"]
    assert_tensors(found, {**MERGED, "base_layer.0.weight": own, "head.weight": head})


def without(tensors: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if part not in key}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (without(PEFT, "base_layer"), "adapters alone"),
        ({"lora_te_x.lora_down.weight": A, "lora_te_x.lora_up.weight": B}, "adapters alone"),
        ({**PEFT, "base_model.model.fc.lora_A.other.weight": A}, "several adapters"),
        (without(PEFT, "lora_B"), "only A or only B of an adapter"),
        ({**PEFT, "base_model.model.fc.lora_B.default.weight": B[:4]}, "do not fit that of"),
        ({**PEFT, "base_model.model.fc.lora_B.default.bias": torch.ones(5)}, "cannot be merged"),
        (
            {**PEFT, "base_model.model.fc.lora_magnitude_vector.default.weight": torch.ones(5)},
            "cannot be merged",
        ),
        ({"q.weight": W.to(torch.uint8), "q.lora_A": A, "q.lora_B": B}, "not all floating-point"),
        ({"q.weight": W.to_sparse(), "q.lora_A": A, "q.lora_B": B}, "sparse"),
        ({"q.weight": W, "q.lora_A": A[:0], "q.lora_B": B[:, :0]}, "do not fit that of"),
        (
            {
                "q.weight": W,
                "q.lora_down.weight": A,
                "q.lora_up.weight": B,
                "q.alpha": torch.ones(5),
            },
            "`q.alpha` is not a single number",
        ),
    ],
)
def test_what_cannot_be_merged_is_a_sentence(
    tensors: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FixError, match=message):
        applied(saved(tmp_path, tensors), MergeLora())


def test_one_of_several_adapters_is_merged_once_the_other_is_dropped(tmp_path: Path) -> None:
    tensors = {**PEFT, "base_model.model.fc.lora_A.other.weight": A * 2}
    after = applied(saved(tmp_path, tensors), Drop("*.other.*"), MergeLora())
    assert_tensors(after.state_dict, MERGED)


def test_the_best_repair_merges_only_by_a_scale_that_the_file_states(tmp_path: Path) -> None:
    wanted = signature_of(MERGED)
    file = saved(tmp_path, PEFT)
    proposed = propose(file, wanted)[0]
    assert MergeLora() in proposed.fixes
    assert "1 adapter has no alpha in the file: a scale of 1 is assumed; set alpha" in proposed.why
    assert MergeLora() not in [step.fix for step in best_repair(file, wanted).recipe.steps]

    scaled = saved(tmp_path, {**PEFT, "base_model.model.fc.alpha": torch.tensor(4.0)})
    assert "alpha" not in propose(scaled, wanted)[0].why
    steps = [step.fix for step in best_repair(scaled, wanted).recipe.steps]
    merged = applied(scaled, *steps, wanted=wanted).state_dict
    assert_tensors(merged, {**MERGED, "fc.weight": W + 4 / RANK * B @ A})
