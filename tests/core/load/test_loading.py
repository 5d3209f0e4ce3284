"""A loaded model is the one that plain PyTorch would have loaded."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18, swin_t

from core.architectures import (
    Architecture,
    build,
    build_uninitialised,
    catalogue,
    parse_architecture,
)
from core.checkpoint import StateDict, open_checkpoint
from core.errors import LoadError
from core.load.loading import LoadedModel, devices, load_model
from core.load.smoke import smoke_run
from core.progress import Cancelled, Progress

RESNET = Architecture("torchvision", "resnet18")


def saved(path: Path, state_dict: dict[str, torch.Tensor]) -> StateDict:
    torch.save(state_dict, path)
    return open_checkpoint(path).state_dict()


def outputs(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(images)


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    torch.manual_seed(3)
    model = resnet18()
    with torch.no_grad():
        model(torch.randn(2, 3, 64, 64))
    return model.eval()


@pytest.fixture(scope="module")
def whole(plain: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> StateDict:
    return saved(tmp_path_factory.mktemp("load") / "resnet18.pth", plain.state_dict())


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("torchvision:resnet18?num_classes=7", 64),
        ("torchvision:swin_t?num_classes=7", 64),
        ("timm:test_vit?num_classes=7", 160),
        ("timm:test_vit4?num_classes=7", 160),
        ("timm:eva02_tiny_patch14_224?num_classes=7", 224),
        ("timm:vit_relpos_small_patch16_224?num_classes=7", 224),
    ],
)
def test_outputs_equal_those_of_plain_torch(tmp_path: Path, key: str, size: int) -> None:
    architecture = parse_architecture(key)
    model = build(architecture)
    loaded = load_model(saved(tmp_path / "model.pth", model.state_dict()), architecture)

    images = torch.randn(2, 3, size, size)
    assert torch.equal(outputs(loaded.model, images), outputs(model, images))
    assert not loaded.model.training
    assert loaded.initialised == ()
    assert loaded.notes == ()
    assert loaded.match.fits


@pytest.mark.parametrize(
    "key",
    ["torchvision:swin_v2_t", "timm:eva02_tiny_patch14_224", "timm:swin_tiny_patch4_window7_224"],
)
def test_buffers_that_no_file_holds_are_what_the_constructor_makes(key: str) -> None:
    architecture = parse_architecture(key)
    wanted = dict(build(architecture).named_buffers())
    found = dict(build_uninitialised(architecture).named_buffers())
    assert wanted.keys() == found.keys()
    assert wanted
    for name, buffer in wanted.items():
        assert torch.equal(found[name], buffer), name


def test_parameters_that_share_memory_go_on_sharing_it(
    tmp_path: Path, own_tied: Architecture
) -> None:
    model = build(own_tied)
    loaded = load_model(saved(tmp_path / "tied.pth", model.state_dict()), own_tied).model
    assert loaded.first.weight is loaded.second.weight
    assert torch.equal(loaded.first.weight, model.first.weight)


@pytest.fixture
def own_tied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    (tmp_path / "tied_models.py").write_text(
        "from torch import nn\n\n\n"
        "class Tied(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)\n"
        "        self.second.weight = self.first.weight\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return catalogue(("tied_models:Tied",))[0]


def test_field_3_and_4_what_does_not_fit_is_refused_with_its_counts(
    tmp_path: Path, plain: nn.Module
) -> None:
    tensors = {**plain.state_dict(), "fc.weight": torch.zeros(10, 512), "extra": torch.zeros(1)}
    del tensors["conv1.weight"]
    with pytest.raises(LoadError) as caught:
        load_model(saved(tmp_path / "other.pth", tensors), RESNET)
    assert (
        "torchvision resnet18: 1 missing_keys, 1 unexpected_keys, 1 mismatched shapes."
        in caught.value.problem
    )


def test_field_4_a_file_of_which_nothing_matches_is_refused(
    tmp_path: Path, plain: nn.Module
) -> None:
    wrapped = saved(tmp_path / "wrapped.pth", nn.DataParallel(plain).state_dict())
    with pytest.raises(LoadError, match="122 missing_keys, 122 unexpected_keys"):
        load_model(wrapped, RESNET)


def test_a_partial_load_lists_what_stays_as_initialised(tmp_path: Path, plain: nn.Module) -> None:
    tensors = {**plain.state_dict(), "fc.weight": torch.zeros(10, 512), "extra": torch.zeros(1)}
    del tensors["conv1.weight"]
    loaded = load_model(saved(tmp_path / "other.pth", tensors), RESNET, strict=False)

    assert loaded.initialised == ("conv1.weight", "fc.weight")
    found = loaded.model.state_dict()
    for key in found.keys() - {"conv1.weight", "fc.weight"}:
        assert torch.equal(found[key], tensors[key]), key
    # torchvision's ResNet: kaiming_normal_ with fan_out; torch's Linear: uniform to 1/sqrt(inputs).
    assert found["conv1.weight"].std().item() == pytest.approx((2 / (64 * 7 * 7)) ** 0.5, rel=0.05)
    assert found["conv1.weight"].mean().item() == pytest.approx(0, abs=0.002)
    assert found["fc.weight"].abs().max().item() == pytest.approx(512**-0.5, rel=0.001)
    assert found["fc.weight"].std().item() == pytest.approx((3 * 512) ** -0.5, rel=0.01)


def test_field_27_absent_batch_counters_do_not_stand_in_the_way(
    tmp_path: Path, plain: nn.Module
) -> None:
    tensors = {
        key: tensor
        for key, tensor in plain.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    loaded = load_model(saved(tmp_path / "old.pth", tensors), RESNET)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(outputs(loaded.model, images), outputs(plain, images))
    assert len(loaded.initialised) == 20
    assert all(key.endswith("num_batches_tracked") for key in loaded.initialised)
    assert all(not loaded.model.state_dict()[key] for key in loaded.initialised)


def test_field_31_half_precision_on_the_cpu_is_converted_and_said(
    tmp_path: Path, plain: nn.Module
) -> None:
    tensors = {
        key: tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in plain.state_dict().items()
    }
    loaded = load_model(saved(tmp_path / "half.pth", tensors), RESNET)

    assert loaded.dtype == "float32"
    assert loaded.notes == ("The file's float16 tensors were converted to float32.",)
    assert torch.equal(loaded.model.state_dict()["fc.weight"], tensors["fc.weight"].float())
    wanted = resnet18().eval()
    wanted.load_state_dict(tensors)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(outputs(loaded.model, images), outputs(wanted, images))


def test_another_dtype_is_converted_to_and_said(whole: StateDict, plain: nn.Module) -> None:
    loaded = load_model(whole, RESNET, dtype="bfloat16")
    assert loaded.dtype == "bfloat16"
    for key, tensor in loaded.model.state_dict().items():
        found = plain.state_dict()[key]
        wanted = found.bfloat16() if found.is_floating_point() else found
        assert tensor.dtype == wanted.dtype
        assert torch.equal(tensor, wanted), key
    assert loaded.notes == (
        "The file's float32 tensors were converted to bfloat16.",
        "bfloat16 is slow on most CPUs; float32 is the usual choice there.",
    )
    assert smoke_run(loaded).output_words == "1 × 1000"


def test_the_bytes_are_those_of_parameters_and_buffers(whole: StateDict) -> None:
    assert load_model(whole, RESNET).nbytes == whole.nbytes


def test_progress_counts_the_bytes_up_to_all_of_them(whole: StateDict) -> None:
    told: list[tuple[int, int, str]] = []
    load_model(whole, RESNET, progress=lambda *what: told.append(what))
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {key for _, _, key in told} == set(whole)
    assert told[-1][:2] == (whole.nbytes, whole.nbytes)


def test_a_cancelled_load_stops(whole: StateDict) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        load_model(whole, RESNET, progress=progress)
    assert 0 < progress.done < progress.total


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError("full"), KeyError()])
def test_what_the_callers_progress_raises_comes_out_as_it_is(
    whole: StateDict, error: Exception
) -> None:
    def stop(*_told: object) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        load_model(whole, RESNET, progress=stop)
    assert caught.value is error


def test_an_unknown_device_is_refused_in_a_sentence(whole: StateDict) -> None:
    assert devices()[0] == "cpu"
    with pytest.raises(LoadError) as caught:
        load_model(whole, RESNET, device="cuda:99")
    assert caught.value.problem == "This machine has no device cuda:99."
    assert caught.value.remedy.startswith("Choose one of cpu")


def test_quantized_weights_are_refused_in_a_sentence(tmp_path: Path, plain: nn.Module) -> None:
    tensors = dict(plain.state_dict())
    tensors["fc.weight"] = torch.quantize_per_tensor(tensors["fc.weight"], 0.1, 0, torch.qint8)
    state_dict = saved(tmp_path / "quantized.pth", tensors)
    with pytest.raises(LoadError, match=r"fc\.weight is quantized .*cannot take its integers"):
        load_model(state_dict, RESNET)
    partial = load_model(state_dict, RESNET, strict=False)
    assert partial.initialised == ("fc.weight",)


def test_a_checkpoint_with_nothing_but_quantized_weights_is_refused_even_partially(
    tmp_path: Path, plain: nn.Module
) -> None:
    tensors = {"fc.weight": torch.quantize_per_tensor(plain.fc.weight, 0.1, 0, torch.qint8)}
    with pytest.raises(LoadError, match="cannot take its integers"):
        load_model(saved(tmp_path / "quantized.pth", tensors), RESNET, strict=False)


@pytest.mark.parametrize(
    "key",
    [
        "torchvision:resnet18",
        "torchvision:swin_t",
        "timm:test_vit",
        "timm:test_convnext",
        "timm:regnetx_002",
    ],
)
def test_nothing_is_drawn_at_random_for_parameters_that_a_file_fills(key: str) -> None:
    architecture = parse_architecture(key)
    before = torch.get_rng_state()
    build_uninitialised(architecture)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("torchvision:resnet18?num_classes=7", "1 × 3 × 224 × 224"),
        ("timm:test_resnet?in_chans=1&num_classes=7", "1 × 1 × 160 × 160"),
    ],
)
def test_a_smoke_run_tells_shapes_time_and_memory(tmp_path: Path, key: str, shape: str) -> None:
    architecture = parse_architecture(key)
    tensors = build(architecture).state_dict()
    loaded = load_model(saved(tmp_path / "model.pth", tensors), architecture)
    run = smoke_run(loaded)
    assert run.input_words == f"a random image of {shape}"
    assert run.output_words == "1 × 7"
    assert run.seconds > 0
    assert run.peak_bytes > loaded.nbytes
    assert not any(module._forward_hooks for module in loaded.model.modules())


def test_a_smoke_run_that_fails_says_why(whole: StateDict) -> None:
    loaded = load_model(whole, RESNET)
    loaded.model.fc = nn.Linear(3, 1000)
    with pytest.raises(LoadError, match="does not run on a random image of 1 × 3 × 224 × 224"):
        smoke_run(loaded)


def test_timm_models_of_the_same_name_are_not_torchvisions(tmp_path: Path) -> None:
    model = timm.create_model("resnet18", num_classes=4).eval()
    architecture = Architecture("timm", "resnet18", (("num_classes", 4),))
    loaded: LoadedModel = load_model(saved(tmp_path / "timm.pth", model.state_dict()), architecture)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(outputs(loaded.model, images), outputs(model, images))


def test_buffers_that_the_network_computes_may_be_absent(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = swin_t(num_classes=3).eval()
    weights = model.state_dict()
    computed = {key for key in weights if key.endswith("relative_position_index")}
    kept = {key: value for key, value in weights.items() if key not in computed}
    torch.save(kept, tmp_path / "a.pth")
    architecture = Architecture("torchvision", "swin_t", (("num_classes", 3),))
    loaded = load_model(open_checkpoint(tmp_path / "a.pth").state_dict(), architecture)
    assert set(loaded.match.benign) == computed
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.model(image), model(image))
