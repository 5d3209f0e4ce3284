"""What users run into with checkpoints of others, from the file to weights that do the same.

Each test writes a real file, and ends in a strict load of plain torch whose outputs are those of
the model that was saved, or in the sentence that a user should read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import densenet121, googlenet, shufflenet_v2_x0_5

from core.checkpoint import StateDict, open_checkpoint
from core.export import export_state_dict
from core.fit import fit_of, fit_verdict, match, option_hint
from core.fit.proposals import Proposal, best_repair, propose
from core.fixes import (
    AdaptInput,
    AddBatchStatistics,
    Dequantize,
    DropMismatched,
    Fix,
    Fuse,
    Keep,
    MergeLora,
    Recipe,
    RenameTable,
    ResamplePositions,
    Reshape,
    Split,
    StripPrefix,
    Transpose,
    Untie,
    WeightNorm,
)
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.renamed_networks import turned
from tests.core.plain_torch import signature_of

Tensors = Mapping[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _one_seed() -> None:
    torch.manual_seed(0)


def saved(tmp_path: Path, contents: object) -> StateDict:
    path = tmp_path / "checkpoint.pth"
    torch.save(contents, path)
    return open_checkpoint(path).state_dict()


def small() -> nn.Module:
    """A residual network of 70 keys, with numbers of its own in its statistics."""
    model = timm.create_model("test_resnet").eval()
    for key, value in model.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)
    return model


def renamed(model: nn.Module, rename: Callable[[str], str]) -> dict[str, torch.Tensor]:
    return {rename(key): value for key, value in model.state_dict().items()}


def renamed_tensors(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in tensors.items()}


def fixed(file: StateDict, model: nn.Module, fixes: tuple[Fix, ...]) -> StateDict:
    return apply_recipe(Recipe.of(fixes), file, signature_of(model)).state_dict


def repaired(file: StateDict, model: nn.Module) -> StateDict:
    recipe = best_repair(file, signature_of(model)).recipe
    return apply_recipe(recipe, file, signature_of(model)).state_dict


def filled(model: nn.Module, file: StateDict) -> nn.Module:
    """The model after plain torch's strict load of the tensors."""
    model.load_state_dict({key: read_tensor(entry) for key, entry in file.items()}, strict=True)
    return model.eval()


def assert_same_outputs(model: nn.Module, expected: nn.Module, *shape: int) -> None:
    inputs = torch.randn(shape or (2, 3, 64, 64))
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(inputs), expected.eval()(inputs))


def proposal_of(file: StateDict, model: nn.Module, kind: type[Fix]) -> Proposal:
    """The proposal of one fix of that kind."""
    (found,) = (
        proposal
        for proposal in propose(file, signature_of(model))
        if {type(fix) for fix in proposal.fixes} == {kind}
    )
    return found


@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(lambda key: f"module.{key}", id="field_1_module_before_every_key"),
        pytest.param(
            lambda key: key.replace("layer2.", "layer2.module."), id="field_1_module_mid_path"
        ),
        pytest.param(lambda key: f"_orig_mod.{key}", id="field_2_orig_mod"),
        pytest.param(lambda key: f"_orig_mod.module.{key}", id="field_2_orig_mod_then_module"),
        pytest.param(lambda key: f"module._orig_mod.{key}", id="field_2_module_then_orig_mod"),
        pytest.param(
            lambda key: "model._orig_mod." + key.replace(".0.", ".0.module._orig_mod."),
            id="field_2_nested_in_several_orders_at_two_depths",
        ),
        pytest.param(
            lambda key: f"student.net.{key}".replace("bn", "_orig_mod.bn"),
            id="field_2_in_a_wrapper_of_ones_own",
        ),
    ],
)
def test_keys_that_a_wrapper_changed_load_after_one_repair(
    rename: Callable[[str], str], tmp_path: Path
) -> None:
    model = small()
    file = saved(tmp_path, renamed(model, rename))
    first, *_ = propose(file, signature_of(model))
    assert (first.after, first.total) == (len(file), len(file))
    assert_same_outputs(filled(small(), repaired(file, model)), model)


def test_field_1_real_data_parallel_says_what_it_is(tmp_path: Path) -> None:
    model = small()
    file = saved(tmp_path, {"state_dict": nn.DataParallel(model).state_dict(), "epoch": 3})
    first, *_ = propose(file, signature_of(model))
    assert first.fixes == (StripPrefix("module."),)
    assert first.why == f"All {len(file)} keys begin with `module.`, as DataParallel writes them."


def test_field_2_a_really_compiled_and_wrapped_model_loads(tmp_path: Path) -> None:
    model = small()
    wrapped = nn.DataParallel(torch.compile(nn.DataParallel(model)))
    file = saved(tmp_path, wrapped.state_dict())
    assert all(key.startswith("module._orig_mod.module.") for key in file)
    assert_same_outputs(filled(small(), repaired(file, model)), model)


def test_field_18_both_sets_of_weights_are_offered_and_each_loads(tmp_path: Path) -> None:
    raw, average = small(), small()
    file = saved(
        tmp_path,
        {
            "state_dict": {
                **renamed(raw, lambda key: f"model.{key}"),
                **renamed(average, lambda key: f"model_ema.module.{key}"),
                "model_ema.n_averaged": torch.tensor(7),
            }
        },
    )
    first, second, *_ = propose(file, signature_of(raw))
    assert first.fixes == (Keep("model.*"), StripPrefix("model."))
    assert second.fixes == (Keep("model_ema.module.*"), StripPrefix("model_ema.module."))
    assert "average over training (EMA)" in second.why
    assert_same_outputs(filled(small(), fixed(file, raw, first.fixes)), raw)
    assert_same_outputs(filled(small(), fixed(file, raw, second.fixes)), average)


def test_field_18_an_average_beside_weights_without_a_prefix_is_offered(tmp_path: Path) -> None:
    raw, average = small(), small()
    both = {**raw.state_dict(), **renamed(average, lambda key: f"ema.{key}")}
    file = saved(tmp_path, both)
    assert_same_outputs(filled(small(), repaired(file, raw)), raw)
    (other,) = (
        proposal
        for proposal in propose(file, signature_of(raw))
        if proposal.fixes == (Keep("ema.*"), StripPrefix("ema."))
    )
    assert_same_outputs(filled(small(), fixed(file, raw, other.fixes)), average)


def test_field_18_an_average_inside_the_module_that_it_averages_is_kept_apart(
    tmp_path: Path,
) -> None:
    raw, average = small(), small()
    both = {
        **renamed(raw, lambda key: f"model.{key}"),
        **renamed(average, lambda key: f"model.ema.{key}"),
    }
    file = saved(tmp_path, both)
    first, second, *_ = propose(file, signature_of(raw))
    assert_same_outputs(filled(small(), fixed(file, raw, first.fixes)), raw)
    assert_same_outputs(filled(small(), fixed(file, raw, second.fixes)), average)


class LitEma(nn.Module):
    """Keeps an average as latent diffusion does: parameters alone, dots left out of their names."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, parameter in model.named_parameters():
            self.register_buffer(name.replace(".", ""), parameter.detach().clone())


class Training(nn.Module):
    def __init__(self, model: nn.Module, average: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.model_ema = LitEma(average)


def test_field_18_an_average_without_dots_in_its_names_loads(tmp_path: Path) -> None:
    raw, average = small(), small()
    file = saved(tmp_path, {"state_dict": Training(raw, average).state_dict()})
    first, *others = propose(file, signature_of(raw))
    assert_same_outputs(filled(small(), fixed(file, raw, first.fixes)), raw)
    assert "2 times" in first.why
    (proposal,) = (proposal for proposal in others if isinstance(proposal.fixes[-1], RenameTable))
    rest = fixed(file, raw, proposal.fixes)
    loaded = filled(small(), repaired(rest, raw))
    for name, parameter in average.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter)
    for name, buffer in raw.named_buffers():
        assert torch.equal(loaded.get_buffer(name), buffer)


def test_field_21_another_number_of_classes_is_told_with_its_option(tmp_path: Path) -> None:
    model = small()
    file = saved(tmp_path, timm.create_model("test_resnet", num_classes=10).state_dict())
    (proposal,) = propose(file, signature_of(model))
    assert proposal.fixes == (DropMismatched(),)
    assert "10 classes, the model's 1\u202f000: set num_classes=10" in proposal.why
    rest = fixed(file, model, proposal.fixes)
    missing, unexpected = model.load_state_dict(
        {key: read_tensor(entry) for key, entry in rest.items()}, strict=False
    )
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])


def test_field_22_a_file_for_grey_images_loads_into_a_network_for_colours(tmp_path: Path) -> None:
    grey = timm.create_model("test_resnet", in_chans=1)
    file = saved(tmp_path, grey.state_dict())
    proposal = proposal_of(file, small(), AdaptInput)
    assert "1 channel, the model's 3 channels" in proposal.why
    assert "in_chans=1" in proposal.why
    loaded = filled(small(), fixed(file, small(), proposal.fixes))
    picture = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        expected = grey.eval()(picture)
        found = loaded(picture.repeat(1, 3, 1, 1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_field_22_a_file_for_colours_loads_into_a_network_for_grey_images(tmp_path: Path) -> None:
    file = saved(tmp_path, renamed(small(), lambda key: f"module.{key}"))
    grey = timm.create_model("test_resnet", in_chans=1)
    loaded = filled(grey, repaired(file, grey))
    weight = read_tensor(file["module.conv1.0.weight"])
    assert torch.allclose(loaded.get_parameter("conv1.0.weight"), weight.sum(1, keepdim=True))


def test_field_23_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    trained = timm.create_model("test_vit", img_size=160)
    file = saved(tmp_path, trained.state_dict())
    wanted = timm.create_model("test_vit", img_size=224)
    proposal = proposal_of(file, wanted, ResamplePositions)
    assert "another image size" in proposal.why
    resampled = fixed(file, wanted, proposal.fixes)
    loaded = filled(timm.create_model("test_vit", img_size=224), resampled)
    by_timm = timm.models.vision_transformer.checkpoint_filter_fn(trained.state_dict(), wanted)
    wanted.load_state_dict(by_timm)
    assert_same_outputs(loaded, wanted, 1, 3, 224, 224)


def test_field_24_densenets_old_names_are_mended(tmp_path: Path) -> None:
    model = densenet121(num_classes=3)
    old = renamed(
        model,
        lambda key: (
            key.replace(".norm1.", ".norm.1.")
            .replace(".norm2.", ".norm.2.")
            .replace(".conv1.", ".conv.1.")
            .replace(".conv2.", ".conv.2.")
        ),
    )
    file = saved(tmp_path, {"state_dict": {f"module.{key}": old[key] for key in old}})
    first, *_ = propose(file, signature_of(model))
    assert "torchvision before 0.3 wrote `norm.1` in DenseNet" in first.why
    loaded = densenet121(num_classes=3)
    assert_same_outputs(filled(loaded, repaired(file, model)), model, 1, 3, 64, 64)


def test_field_25_auxiliary_heads_too_many_name_their_option_and_can_go(tmp_path: Path) -> None:
    trained = googlenet(aux_logits=True, init_weights=False, num_classes=3)
    file = saved(tmp_path, trained.state_dict())
    plain = googlenet(aux_logits=False, init_weights=False, num_classes=3)
    (proposal,) = propose(file, signature_of(plain))
    assert "Set aux_logits=1 to load the file's auxiliary heads too" in proposal.why
    assert_same_outputs(filled(plain, fixed(file, plain, proposal.fixes)), trained, 1, 3, 64, 64)


def test_field_25_auxiliary_heads_that_lack_name_their_option(tmp_path: Path) -> None:
    file = saved(
        tmp_path, googlenet(aux_logits=False, init_weights=False, num_classes=3).state_dict()
    )
    wanted = signature_of(googlenet(aux_logits=True, init_weights=False, num_classes=3))
    said = option_hint(match(file, wanted), wanted)
    assert "Set aux_logits=0 since the file has no auxiliary heads" in said


OLD_NORM, NEW_NORM = nn.utils.weight_norm, nn.utils.parametrizations.weight_norm


def sounds(norm: Callable[[nn.Module], nn.Module] | None) -> nn.Module:
    layers = [nn.Conv1d(3, 8, 3), nn.Conv1d(8, 8, 3), nn.Linear(60, 5)]
    return nn.Sequential(*(norm(layer) if norm else layer for layer in layers))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    ("written", "wanted", "to"),
    [
        pytest.param(OLD_NORM, NEW_NORM, "parametrized", id="old_to_new"),
        pytest.param(NEW_NORM, OLD_NORM, "hooked", id="new_to_old"),
        pytest.param(OLD_NORM, None, "folded", id="old_to_none"),
        pytest.param(NEW_NORM, None, "folded", id="new_to_none"),
    ],
)
def test_field_26_weight_norm_under_other_names_loads(
    written: Callable[[nn.Module], nn.Module],
    wanted: Callable[[nn.Module], nn.Module] | None,
    to: str,
    tmp_path: Path,
) -> None:
    trained, model = sounds(written), sounds(wanted)
    file = saved(tmp_path, trained.state_dict())
    first, *_ = propose(file, signature_of(model))
    assert first.fixes == (WeightNorm(to),)
    assert "weight norm" in first.why
    assert_same_outputs(filled(model, repaired(file, model)), trained, 2, 3, 64)


def test_field_27_absent_batch_counters_need_no_fix(tmp_path: Path) -> None:
    model = small()
    weights = {k: v for k, v in model.state_dict().items() if "num_batches_tracked" not in k}
    file = saved(tmp_path, weights)
    assert propose(file, signature_of(model)) == ()
    assert best_repair(file, signature_of(model)).recipe == Recipe()
    assert "batch counters are absent, which is harmless" in fit_verdict(
        fit_of(file, file, signature_of(model))
    )


def test_field_27_absent_statistics_are_offered_and_never_taken_unasked(tmp_path: Path) -> None:
    model = small()
    weights = {k: v for k, v in model.state_dict().items() if ".running_" not in k}
    file = saved(tmp_path, {key: v for key, v in weights.items() if "num_batches" not in key})
    assert best_repair(file, signature_of(model)).recipe == Recipe()
    proposal = proposal_of(file, model, AddBatchStatistics)
    assert "were never measured" in proposal.why
    loaded = filled(small(), fixed(file, model, proposal.fixes))
    fresh = small()
    fresh.load_state_dict(weights, strict=False)
    for module in fresh.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    assert_same_outputs(loaded, fresh)


def stack(*, dropout: bool) -> nn.Sequential:
    """Layers of unequal shapes, with or without layers between them that have no tensors."""
    layers: list[nn.Module] = []
    for width, into in ((3, 8), (8, 16), (16, 16), (16, 24)):
        layers += [nn.Conv2d(width, into, 3, padding=1), nn.BatchNorm2d(into), nn.ReLU()]
        layers += [nn.Dropout2d()] if dropout else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5))


def test_field_28_shifted_numbers_in_a_sequential_are_aligned(tmp_path: Path) -> None:
    trained, model = stack(dropout=True), stack(dropout=False)
    file = saved(tmp_path, trained.state_dict())
    first, *_ = propose(file, signature_of(model))
    assert first.after == first.total == len(file)
    assert "under other names" in first.why
    assert_same_outputs(filled(model, repaired(file, model)), trained, 1, 3, 8, 8)


def test_field_28_keys_under_quite_other_names_are_aligned(tmp_path: Path) -> None:
    trained = shufflenet_v2_x0_5(num_classes=7)
    words = {"branch1": "left", "branch2": "right", "conv1": "stem", "conv5": "last", "fc": "head"}

    def other(key: str) -> str:
        parts = [words.get(part, part) for part in key.split(".")]
        return ".".join(parts).replace("stage", "group")

    file = saved(tmp_path, renamed(trained, other))
    model = shufflenet_v2_x0_5(num_classes=7)
    assert_same_outputs(filled(model, repaired(file, trained)), trained, 1, 3, 64, 64)


class Search(nn.Module):
    """Two towers of one shape, which nothing but their names tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.document = nn.Linear(6, 6), nn.Linear(6, 6)
        self.score = nn.Linear(12, 1)


def test_field_28_what_could_as_well_be_another_layer_is_said(tmp_path: Path) -> None:
    words = {"query": "tower_b", "document": "tower_a", "score": "out"}
    other = renamed(Search(), lambda key: words[key.split(".")[0]] + "." + key.split(".")[1])
    file = saved(tmp_path, dict(sorted(other.items())))
    first, *_ = propose(file, signature_of(Search()))
    assert first.after == first.total == 6
    assert "another pair would be as likely" in first.why
    assert all(f"`tower_{name}.weight`" in first.why for name in "ab")
    assert "`out.weight`" not in first.why


class Attention(nn.Module):
    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        if fused:
            self.qkv = nn.Linear(12, 36)
        else:
            self.q, self.k, self.v = (nn.Linear(12, 12) for _ in range(3))
        self.proj = nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1) if hasattr(self, "qkv") else map_all(self, x)
        return self.proj((q @ k.transpose(-1, -2)).softmax(-1) @ v)


def map_all(layer: Attention, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return layer.q(x), layer.k(x), layer.v(x)


@pytest.mark.parametrize("fused", [True, False], ids=["split", "fuse"])
def test_queries_keys_and_values_in_one_or_in_three_load(fused: bool, tmp_path: Path) -> None:
    trained = nn.Sequential(*(Attention(fused=fused) for _ in range(3)))
    model = nn.Sequential(*(Attention(fused=not fused) for _ in range(3)))
    file = saved(tmp_path, renamed(trained, lambda key: f"module.{key}"))
    recipe = best_repair(file, signature_of(model)).recipe
    assert any(isinstance(step.fix, Split if fused else Fuse) for step in recipe.steps)
    assert_same_outputs(filled(model, repaired(file, model)), trained, 2, 5, 12)


def test_adapters_of_peft_are_merged_and_its_prefix_goes(tmp_path: Path) -> None:
    model = nn.ModuleDict({"fc": nn.Linear(6, 9), "out": nn.Linear(9, 4)})
    down, up = torch.randn(2, 6), torch.randn(9, 2)
    before = "base_model.model."
    file = saved(
        tmp_path,
        {
            f"{before}fc.base_layer.weight": model["fc"].weight.detach(),
            f"{before}fc.base_layer.bias": model["fc"].bias.detach(),
            f"{before}fc.lora_A.default.weight": down,
            f"{before}fc.lora_B.default.weight": up,
            f"{before}out.weight": model["out"].weight.detach(),
            f"{before}out.bias": model["out"].bias.detach(),
        },
    )
    first, *_ = propose(file, signature_of(model))
    assert MergeLora() in first.fixes
    assert "2 keys belong to LoRA adapters" in first.why
    merged = fixed(file, model, first.fixes)
    torch.testing.assert_close(
        read_tensor(merged["fc.weight"]), model["fc"].weight.detach() + up @ down
    )
    filled(model, merged)


@pytest.mark.filterwarnings("ignore:.*quantiz.*:UserWarning", "ignore:.*quantiz.*:FutureWarning")
def test_field_29_quantized_weights_are_computed_back_where_a_float_model_wants_them(
    tmp_path: Path,
) -> None:
    model = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4))
    weights = dict(model.state_dict())
    weights["0.weight"] = torch.quantize_per_tensor(weights["0.weight"], 0.02, 3, torch.qint8)
    file = saved(tmp_path, renamed_tensors(weights, "module."))
    recipe = best_repair(file, signature_of(model)).recipe
    assert {step.fix for step in recipe.steps} == {StripPrefix("module."), Dequantize()}
    loaded = filled(nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4)), repaired(file, model))
    assert torch.equal(loaded[0].weight, weights["0.weight"].dequantize())


def test_matrices_with_rows_and_columns_exchanged_load_square_ones_too(tmp_path: Path) -> None:
    model = nn.ModuleDict(
        {str(i): nn.ModuleDict({"fc": nn.Linear(6, 9), "proj": nn.Linear(9, 6)}) for i in range(2)}
    )
    square = nn.ModuleDict({"proj": nn.Linear(6, 6)})
    model["2"] = square
    file = saved(tmp_path, turned(model.state_dict()))
    proposal = proposal_of(file, model, Transpose)
    assert "`2.proj.weight` is square" in proposal.why
    for key, entry in fixed(file, model, proposal.fixes).items():
        assert torch.equal(read_tensor(entry), model.state_dict()[key])


def test_a_convolution_of_one_pixel_loads_as_a_linear_layer(tmp_path: Path) -> None:
    convolutions = nn.ModuleList([nn.Conv2d(6, 9, 1), nn.Conv2d(9, 4, 1)])
    model = nn.ModuleList([nn.Linear(6, 9), nn.Linear(9, 4)])
    file = saved(tmp_path, convolutions.state_dict())
    proposal = proposal_of(file, model, Reshape)
    assert "dimensions of 1 alone" in proposal.why
    filled(model, fixed(file, model, proposal.fixes))
    for linear, convolution in zip(model, convolutions, strict=True):
        inputs = torch.randn(2, linear.in_features)
        torch.testing.assert_close(linear(inputs), convolution(inputs[..., None, None])[..., 0, 0])


def test_field_33_tied_weights_go_to_safetensors_one_by_one(tmp_path: Path) -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(7, 4), "head": nn.Linear(4, 7, bias=False)})
    model["head"].weight = model["embed"].weight
    file = saved(tmp_path, model.state_dict())
    assert propose(file, signature_of(model)) == ()
    untied = fixed(file, model, (Untie(),))
    export_state_dict(untied, tmp_path / "untied.safetensors", "safetensors")
    tensors = load_file(tmp_path / "untied.safetensors")
    assert tensors.keys() == {"embed.weight", "head.weight"}
    for value in tensors.values():
        assert torch.equal(value, model["embed"].weight)
