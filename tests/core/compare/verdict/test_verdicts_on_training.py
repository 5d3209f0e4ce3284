"""What the sentence says of checkpoints that really were trained, averaged, cast, pruned."""

import copy
import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval, prune

from core.checkpoint import open_checkpoint
from core.compare.comparison import State
from core.compare.measurability import comparable
from core.compare.numbers.measure import differences
from core.compare.rows import compare
from core.compare.verdict.besides_tensors import Beside
from core.compare.verdict.change_kinds import ComparisonVerdict, Kind
from core.compare.verdict.judgement import verdict
from core.inspect import RecordChecks
from tests.core import training_runs as runs

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("network", runs.NETWORKS)


@pytest.fixture
def told(tmp_path):
    """Save two state_dicts, open and compare and measure them, and give the verdict on B."""

    def tell(a, b, **paths) -> ComparisonVerdict:
        entries = []
        for side, weights in (("a", a), ("b", b)):
            torch.save(weights, tmp_path / f"{side}.pth")
            entries.append(open_checkpoint(tmp_path / f"{side}.pth").state_dict())
        rows = compare(*entries, checks=RecordChecks()).rows
        moved = [
            row
            for row in rows
            if row.state in (State.CHANGED, State.RECAST) and comparable(row.a, row.b)
        ]
        found = differences([(row.a, row.b) for row in moved])
        return verdict(rows, {moved[index].key: numbers for index, numbers in found}, **paths)

    return tell


def shares(sentence: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+)\u202f%", sentence)]


def relative(a: nn.Module, b: nn.Module) -> float:
    """Relative L2 over all parameters, in percent, by plain torch."""
    x, y = (nn.utils.parameters_to_vector(m.parameters()).detach().double() for m in (a, b))
    return float(100 * (y - x).norm() / x.norm())


def weighted(model: nn.Module) -> list[nn.Module]:
    return [each for each in model.modules() if isinstance(each, nn.Conv2d | nn.Linear)]


@BOTH
def test_the_networks_of_these_tests_have_learned(network):
    assert runs.accuracy(runs.trained(network)) > 0.9


@BOTH
def test_a_head_trained_alone_is_the_head_and_nothing_else(told, network):
    a, b = runs.trained(network), runs.trained_head(network)
    name = list(dict(a.named_children()))[-1]
    found = told(a.state_dict(), b.state_dict())
    assert found.kind is Kind.HEAD
    assert found.sentence.startswith(
        f"B differs from A in its head, as by further training: {name}.weight and {name}.bias "
        "changed, by "
    )
    assert found.sentence.endswith(f"; the other {len(a.state_dict()) - 2} tensors are the same.")
    head_a, head_b = (getattr(m, name) for m in (a, b))
    assert shares(found.sentence)[0] == pytest.approx(relative(head_a, head_b), abs=0.5)


@BOTH
def test_a_head_that_began_anew_is_another_head(told, network):
    found = told(runs.trained(network).state_dict(), runs.new_head(network, 10).state_dict())
    assert found.kind is Kind.HEAD
    assert found.sentence.startswith("B is A with a different head: ")


def test_a_head_for_other_classes_is_told_in_classes(told):
    found = told(runs.trained("conv").state_dict(), runs.new_head("conv", 5).state_dict())
    assert found.kind is Kind.HEAD
    assert found.sentence == (
        "B is A with a different head, from 10 to 5 classes: fc.weight and fc.bias have another "
        "shape; the other 18 tensors are the same."
    )


@BOTH
def test_full_fine_tuning_is_told_with_its_distance(told, network):
    a, b = runs.trained(network), runs.trained_further(network)
    found = told(a.state_dict(), b.state_dict())
    assert found.kind is Kind.TRAINED
    # Only BatchNorm's counters say which of the two is the later one.
    what = "B is A trained further" if network == "conv" else TRAINED_EITHER_WAY
    assert f"{what}: every tensor changed, by " in found.sentence
    assert shares(found.sentence) == pytest.approx([relative(a, b)], abs=0.06)
    assert found.overall.relative_l2 * 100 == pytest.approx(relative(a, b), rel=1e-5)
    assert ("BatchNorm counted 40 more batches" in found.sentence) == (network == "conv")


def test_the_way_back_counts_fewer_batches(told):
    found = told(runs.trained_further("conv").state_dict(), runs.trained("conv").state_dict())
    assert found.kind is Kind.TRAINED
    assert found.sentence.startswith("A is B trained further: every tensor changed, by ")
    assert found.sentence.endswith("; BatchNorm counted 40 fewer batches.")


TRAINED_EITHER_WAY = "B differs from A as by further training"


@pytest.mark.parametrize(
    ("order", "what"),
    [(1, "B is A trained further"), (-1, "A is B trained further"), (0, TRAINED_EITHER_WAY)],
)
def test_the_epochs_of_the_files_say_which_is_the_later(told, order, what):
    a, b = runs.trained("transformer"), runs.trained_further("transformer")
    found = told(a.state_dict(), b.state_dict(), beside=Beside(order=order))
    assert found.kind is Kind.TRAINED
    assert found.sentence.startswith(f"{what}: every tensor changed, by ")


def test_counters_that_disagree_with_the_epochs_say_nothing(told):
    a, b = runs.trained("conv"), runs.trained_further("conv")
    found = told(a.state_dict(), b.state_dict(), beside=Beside(order=-1))
    assert found.sentence.startswith(f"{TRAINED_EITHER_WAY}: ")


@pytest.mark.parametrize(("order", "what"), [(1, "B is A"), (-1, "A is B")])
def test_a_head_and_layers_are_those_of_the_later(told, order, what):
    beside = Beside(order=order)
    body = runs.trained("transformer")
    head = told(body.state_dict(), runs.trained_head("transformer").state_dict(), beside=beside)
    assert head.sentence.startswith(f"{what} with its head trained further: ")
    further, upper = runs.trained("conv").state_dict(), runs.trained_upper_layers().state_dict()
    pair = (further, upper) if order > 0 else (upper, further)
    assert told(*pair, beside=beside).sentence.startswith(f"{what} fine-tuned: 8 of 20 tensors ")


def test_a_little_more_training_without_batchnorm_is_only_called_close(told):
    """No number tells it from an average of steps."""
    further = runs.trained_further("transformer", 3, 1e-4)
    found = told(runs.trained("transformer").state_dict(), further.state_dict())
    assert found.kind is Kind.CLOSE
    assert found.sentence.startswith("B is close to A throughout: every tensor changed, by 0.1")
    assert "EMA" not in found.sentence


def test_fine_tuned_layers_are_named(told):
    found = told(runs.trained("conv").state_dict(), runs.trained_upper_layers().state_dict())
    assert found.kind is Kind.FINE_TUNED
    assert found.sentence.startswith(
        "B differs from A as by fine-tuning: 8 of 20 tensors changed, all in layer2 and fc, by "
    )


def test_layers_trained_under_a_new_head_are_told_with_its_classes(told):
    upper = runs.trained_upper_layers().state_dict()
    upper |= {"fc.weight": torch.randn(3, 128), "fc.bias": torch.zeros(3)}
    found = told(runs.trained("conv").state_dict(), upper)
    assert found.kind in (Kind.FINE_TUNED, Kind.CHANGED)
    assert "8 of 20 tensors" in found.sentence
    assert "all in layer2 and fc" in found.sentence
    assert "the head went from 10 to 3 classes" in found.sentence


def test_forward_passes_in_train_mode_change_only_the_statistics(told):
    found = told(runs.trained("conv").state_dict(), runs.recounted(5).state_dict())
    assert found.kind is Kind.BATCH_NORM
    assert found.sentence == (
        "Only the BatchNorm statistics changed (9 of 20 tensors), as after forward passes in train "
        "mode; BatchNorm counted 5 more batches."
    )


@BOTH
def test_an_averaged_model_is_known_by_its_own_counter(told, network):
    model, average = runs.averaged(network)
    found = told(model.state_dict(), average.state_dict())
    assert found.kind is Kind.AVERAGED
    assert found.sentence.startswith(
        "B is an average over steps (it contains n_averaged), close to A: "
    )
    assert "only in B" not in found.sentence
    back = told(average.state_dict(), model.state_dict())
    assert back.sentence.startswith(
        "A is an average over steps (it contains n_averaged), close to B: "
    )


def test_an_average_in_plain_keys_is_only_called_close(told):
    model, average = runs.averaged("transformer")
    found = told(model.state_dict(), average.module.state_dict())
    assert found.kind is Kind.CLOSE
    assert "average" not in found.sentence


def test_weights_that_moved_while_batchnorm_counted_nothing_may_be_an_average(told):
    model, average = runs.averaged("conv")
    found = told(model.state_dict(), average.module.state_dict())
    assert found.kind is Kind.CLOSE
    assert "BatchNorm counted no batches in between, as in an average over steps" in found.sentence


def test_the_path_of_a_state_dict_tells_an_average(told):
    model, average = runs.averaged("transformer")
    weights = average.module.state_dict()
    found = told(model.state_dict(), weights, path_a="model", path_b="model_ema")
    assert found.sentence.startswith(
        "B is an average over steps (its path is model_ema), close to A:"
    )


@BOTH
def test_another_seed_is_unrelated_though_its_norms_begin_alike(told, network):
    found = told(runs.trained(network).state_dict(), runs.trained(network, 1).state_dict())
    assert found.kind is Kind.UNRELATED
    assert re.fullmatch(
        r"Same shapes, unrelated weights: the cosine of the weights is −?0\.0\d "
        r"\(B's norm is (0\.9\d|1\.0\d) times A's\)\.",
        found.sentence,
    )


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_cast_model_is_the_same_in_another_dtype(told, network, dtype):
    a, b = runs.trained(network), runs.trained(network).to(getattr(torch, dtype))
    for x, y in ((a, b), (b, a)):
        found = told(x.state_dict(), y.state_dict())
        assert found.kind is Kind.RECAST
        assert "The same weights in another dtype: " in found.sentence
        assert "equal after a cast" in found.sentence
        assert ("rounded by" in found.sentence) == (dtype != "float64")


def test_a_cast_of_other_weights_is_not_called_the_same(told):
    b = runs.trained_further("conv").bfloat16()
    found = told(runs.trained("conv").state_dict(), b.state_dict())
    assert found.kind is Kind.TRAINED
    assert "; 17 tensors recast from float32 to bfloat16" in found.sentence


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_round_trip_through_half_precision_is_told_from_training(told, network, dtype):
    a, b = runs.trained(network), runs.trained(network).to(getattr(torch, dtype)).float()
    found = told(a.state_dict(), b.state_dict())
    assert found.kind is Kind.ROUNDED
    assert f"rounded to {dtype} and back" in found.sentence


@BOTH
def test_pruned_weights_are_counted(told, network):
    b = runs.trained(network)
    for module in weighted(b):
        prune.l1_unstructured(module, "weight", 0.3)
        prune.remove(module, "weight")
    found = told(runs.trained(network).state_dict(), b.state_dict())
    assert found.kind is Kind.PRUNED
    assert f"30\u202f% of the elements of {len(weighted(b))} tensors" in found.sentence
    assert "were set to zero" in found.sentence


def test_pruned_channels_are_counted(told):
    b = runs.trained("conv")
    prune.ln_structured(b.layer1.conv, "weight", 0.5, 2, 0)
    prune.remove(b.layer1.conv, "weight")
    assert told(runs.trained("conv").state_dict(), b.state_dict()).sentence == (
        "B is A pruned: 50\u202f% of the elements of layer1.conv.weight were set to zero; "
        "the other 19 tensors are the same."
    )


@BOTH
def test_pruning_masks_are_named_as_such(told, network):
    b = runs.trained(network)
    for module in weighted(b):
        prune.random_unstructured(module, "weight", 0.5)
    found = told(runs.trained(network).state_dict(), b.state_dict())
    assert found.kind is Kind.PRUNED
    assert "pruning masks" in found.sentence
    assert f"{len(weighted(b))} weights" in found.sentence


def test_zeros_in_what_was_trained_are_told(told):
    b = runs.trained_further("transformer")
    for module in weighted(b):
        prune.l1_unstructured(module, "weight", 0.6)
        prune.remove(module, "weight")
    found = told(runs.trained("transformer").state_dict(), b.state_dict())
    assert "more of the changed elements are zero" in found.sentence


@pytest.fixture(scope="module")
def fused() -> nn.Module:
    """The convolutional network with its BatchNorm folded in, as it is quantized."""
    model = runs.trained("conv").eval()
    for block in (model.stem, model.layer1, model.layer2):
        block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    return model


@pytest.fixture(scope="module")
def quantized(fused) -> nn.Module:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    engine = torch.backends.quantized.engine
    images, _ = runs.digits()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.quantized.engine = "onednn"
        mapping = get_default_qconfig_mapping("onednn")
        prepared = prepare_fx(copy.deepcopy(fused), mapping, (images[:8],))
        prepared(images[:200])
        model = convert_fx(prepared)
        torch.backends.quantized.engine = engine
    return model


def test_static_quantization_is_told_with_its_distance(told, fused, quantized):
    found = told(fused.state_dict(), quantized.state_dict())
    assert found.kind is Kind.QUANTIZED
    assert found.sentence.startswith("B is A quantized to qint8: ")
    assert 0.1 <= shares(found.sentence)[0] < 2


def test_quantization_that_folds_batchnorm_is_not_called_a_rounding(told, quantized):
    found = told(runs.trained("conv").state_dict(), quantized.state_dict())
    assert found.kind is Kind.QUANTIZED
    assert "from weights other than A's (as when BatchNorm is folded" in found.sentence


@BOTH
def test_dynamic_quantization_is_named(told, network):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        b = torch.ao.quantization.quantize_dynamic(runs.trained(network), {nn.Linear})
        found = told(runs.trained(network).state_dict(), b.state_dict())
    assert found.kind is Kind.QUANTIZED
    assert "quantized to qint8" in found.sentence


@BOTH
def test_fake_quantization_is_told_from_training(told, network):
    a = runs.trained(network).state_dict()
    b = {
        key: torch.fake_quantize_per_channel_affine(
            value, value.flatten(1).abs().amax(1) / 127, torch.zeros(len(value)), 0, -127, 127
        )
        if value.is_floating_point() and value.dim() > 1
        else value
        for key, value in a.items()
    }
    found = told(a, b)
    assert found.kind is Kind.FAKE_QUANTIZED
    assert "rounded to a coarse grid" in found.sentence


def test_a_run_that_diverged_begins_with_its_nan(told):
    a, b = runs.trained("transformer").state_dict(), runs.diverged().state_dict()
    nans = {key: int(value.isnan().sum()) for key, value in b.items() if value.isnan().any()}
    found = told(a, b)
    assert found.kind is Kind.NOT_FINITE
    total = f"{sum(nans.values()):,}".replace(",", "\u202f")
    assert found.sentence.startswith(
        f"B contains {total} NaN that A does not, in {len(nans)} tensors, first in "
        f"{next(iter(nans))}."
    )
    assert "\u202f%" not in found.sentence
    assert told(b, b).kind is Kind.IDENTICAL


@pytest.mark.parametrize("factor", [2.0, 0.1, -3.0])
def test_scaled_weights_are_told_with_their_factor(told, factor):
    a = runs.trained("transformer").state_dict()
    found = told(a, {key: value * factor for key, value in a.items()})
    assert found.kind is Kind.SCALED
    times = f"{factor:g}".replace("-", "−")
    assert found.sentence == f"B is A scaled: all 31 tensors are A's times {times}."


@pytest.mark.parametrize(("value", "name"), [("nan", "2 NaN"), ("inf", "2 infinities")])
def test_what_only_one_of_them_has_finite_is_no_scaling(told, value, name):
    a = runs.trained("transformer").state_dict()
    b = {key: tensor.clone() for key, tensor in a.items()}
    a["norm.weight"][:2] = float(value)
    rest = "in 1 of 31 tensors; the other 30 tensors are the same."
    only_there = f"B differs from A only in elements that are NaN or infinite in A or in B, {rest}"
    assert told(a, b).sentence == only_there
    assert told(b, a).sentence == f"B contains {name} that A does not, in norm.weight. {only_there}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_as_large_as_a_rounding_is_none_until_the_elements_show_it(told, dtype):
    torch.manual_seed(0)
    weight = (torch.rand(64, 64) + 0.5).to(dtype)
    noise = (2 * torch.rand_like(weight) - 1) * 2**-8
    for other in (weight + 2**-10, weight * (1 + noise), weight + noise / 2):
        assert told({"weight": weight}, {"weight": other}).kind is not Kind.ROUNDED
    rounded = {"weight": weight.bfloat16().to(dtype)}
    assert told({"weight": weight}, rounded).kind is Kind.ROUNDED


def test_a_rounding_is_shown_by_elements_from_all_over_a_tensor(told):
    torch.manual_seed(0)
    weight = torch.rand(500, 200) + 0.5
    noise = (2 * torch.rand_like(weight) - 1) * 2**-8
    begun = weight * (1 + noise)
    begun[:200] = weight[:200].bfloat16().float()
    assert told({"weight": weight}, {"weight": begun}).kind is not Kind.ROUNDED
    padded = torch.cat((torch.zeros(200, 200), weight[200:]))
    assert told({"weight": padded}, {"weight": padded * (1 + noise)}).kind is not Kind.ROUNDED


@pytest.mark.filterwarnings("error:Casting complex values")
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex32])
def test_of_complex_numbers_both_parts_are_rounded(told, dtype):
    torch.manual_seed(0)
    parts = 4 * torch.randn(64, 64, 2)
    weight = torch.view_as_complex(parts).to(dtype)
    rounded = torch.view_as_complex(parts.bfloat16().float()).to(dtype)
    nudged = (torch.view_as_complex(parts) + 2e-3j).to(dtype)
    found = told({"weight": weight}, {"weight": rounded})
    assert (found.kind is Kind.ROUNDED) == (dtype == torch.complex64)
    assert told({"weight": weight}, {"weight": nudged}).kind is not Kind.ROUNDED


def test_turned_signs_are_told(told):
    a = runs.trained("transformer").state_dict()
    found = told(a, {key: -value for key, value in a.items()})
    assert found.sentence == "B is A with every sign flipped in all 31 tensors."


def test_the_last_bits_are_no_news(told):
    a = runs.trained("transformer").state_dict()
    b = {key: value * (1 + 2**-23) for key, value in a.items()}
    found = told(a, b)
    assert found.kind is Kind.NUMERICALLY_SAME
    largest = max(float((b[key] - a[key]).abs().max()) for key in a)
    assert f"the largest difference is {largest:.2g}".replace("e-0", "e-") in found.sentence


@BOTH
def test_adapters_beside_the_same_weights_are_named(told, network):
    a = runs.trained(network).state_dict()
    adapters = {}
    for key, value in a.items():
        if value.dim() == 2:
            name = key.removesuffix("weight")
            adapters[f"{name}lora_A.default.weight"] = torch.randn(4, value.shape[1])
            adapters[f"{name}lora_B.default.weight"] = torch.zeros(value.shape[0], 4)
    found = told(a, {**a, **adapters})
    assert found.kind is Kind.ADAPTED
    assert found.sentence.startswith(
        f"B is A with LoRA adapters: {len(adapters)} tensors only in B"
    )
    further = told(a, {**runs.trained_further(network).state_dict(), **adapters})
    assert (further.kind, further.also) == (Kind.TRAINED, (Kind.ADAPTED,))


@BOTH
def test_a_wrapper_changes_nothing(told, network):
    model = runs.trained(network)
    found = told(model.state_dict(), nn.DataParallel(model).state_dict())
    assert found.kind is Kind.IDENTICAL
    assert found.sentence.endswith("the same bytes, under keys that begin with `module.` in B.")


def test_the_optimizer_is_not_called_weights(told):
    model = runs.trained("transformer")
    states = [runs.train(model, steps).state_dict()["state"] for steps in (10, 20)]
    a, b = (
        {f"{index}.{key}": value for index, kept in state.items() for key, value in kept.items()}
        for state in states
    )
    found = told(a, b)
    assert found.kind is Kind.OPTIMIZER
    assert found.sentence.endswith("every tensor changed, and step went from 10 to 20.")


@BOTH
def test_the_numbers_on_the_whole_are_those_of_all_weights_as_one_vector(told, network):
    a, b = runs.trained(network), runs.trained_further(network)
    found = told(a.state_dict(), b.state_dict()).overall
    x, y = (nn.utils.parameters_to_vector(m.parameters()).detach().double() for m in (a, b))
    assert found.whole
    assert (found.count, found.changed) == (x.numel(), int((x != y).sum()))
    assert found.cosine == pytest.approx(float(torch.cosine_similarity(x, y, dim=0)), rel=1e-9)
    assert found.norm_ratio == pytest.approx(float(y.norm() / x.norm()), rel=1e-9)
    assert found.max_abs == float((y - x).abs().max())


@BOTH
def test_full_fine_tuning_has_a_short_title_and_its_numbers_as_evidence(told, network):
    a, b = runs.trained(network), runs.trained_further(network)
    found = told(a.state_dict(), b.state_dict())
    title, evidence = found.headline.title, found.headline.evidence
    what = "B is A trained further" if network == "conv" else TRAINED_EITHER_WAY
    assert title.startswith(f"{what}: weights moved ")
    assert title.endswith(", no key added or removed")
    assert shares(title) == pytest.approx([relative(a, b)], abs=0.06)
    assert evidence[0].startswith("cosine ")
    assert "every tensor changed" in evidence
    assert ("BatchNorm counted 40 more batches" in evidence) == (network == "conv")


def test_a_title_says_no_key_was_added_only_where_none_was(told):
    a, b = runs.trained("conv"), runs.trained_further("conv")
    more = told(a.state_dict(), b.state_dict() | {"further.weight": torch.ones(3)})
    assert more.headline.title == more.sentence
    renamed = {key.replace("fc", "head"): value for key, value in b.state_dict().items()}
    assert "no key added" not in told(a.state_dict(), renamed).headline.title


def test_a_head_trained_further_says_in_its_title_what_is_the_same(told):
    a = runs.trained("conv").state_dict()
    b = {key: value * 1.1 + 0.01 if "fc" in key else value for key, value in a.items()}
    found = told(a, b)
    assert found.kind is Kind.HEAD
    assert "relative L2" not in found.headline.title
    assert found.headline.title.endswith("; the other 18 tensors are the same")
    assert found.headline.evidence[0].startswith("cosine ")
