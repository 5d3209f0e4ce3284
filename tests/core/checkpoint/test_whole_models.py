"""A pickled model gives the tensors of its state_dict, in order, without its class or its code."""

import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torchvision.models import mobilenet_v3_small

from core.checkpoint import Verdict, open_checkpoint
from core.checkpoint.entries import Quantized
from core.tensors import read_tensor
from tests.core.checkpoint.same_tensors import Save, assert_same_tensors, both_formats, save_zip


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"):
        yield


class Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 2, bias=False)
        self.register_buffer("scratch", torch.ones(3), persistent=False)
        self.register_buffer("kept", torch.arange(3.0))


@both_formats
def test_a_whole_model_opens_without_its_class(tmp_path: Path, save: Save, format: str) -> None:
    """Failure mode 9."""
    module = types.ModuleType("somebodys_models")
    sys.modules["somebodys_models"] = module
    try:
        hidden = type("Hidden", (Wrapper,), {"__module__": "somebodys_models"})
        module.Hidden = hidden  # type: ignore[attr-defined]
        model = hidden()
        save({"model": model, "epoch": 3}, tmp_path / "whole.pth")
    finally:
        del sys.modules["somebodys_models"]
    checkpoint = open_checkpoint(tmp_path / "whole.pth")
    assert_same_tensors(checkpoint, dict(model.state_dict(keep_vars=True)), "model")
    assert checkpoint.metadata == {"model": {"class": "somebodys_models.Hidden"}, "epoch": 3}
    assert "somebodys_models" not in sys.modules
    verdicts = {use.name: use.verdict for use in checkpoint.globals}
    assert verdicts["somebodys_models.Hidden"] is Verdict.INERT


class Parts(nn.Module):
    """Everything that holds parameters in ways of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ParameterList([nn.Parameter(torch.randn(2)), nn.Parameter(torch.randn(3))])
        self.dict = nn.ParameterDict({"a": nn.Parameter(torch.randn(2)), "b": torch.randn(1)})
        self.layers = nn.ModuleList([nn.Linear(2, 2), None, nn.Linear(2, 3)])  # type: ignore[list-item]
        self.named = nn.ModuleDict({"x": nn.Linear(1, 2)})
        self.shared = self.layers[0]
        self.tied = nn.Linear(2, 2)
        self.tied.weight = self.shared.weight
        self.absent = None
        self.register_parameter("none", None)
        self.register_buffer("hole", None)
        self.frozen = nn.Parameter(torch.randn(2), requires_grad=False)
        self.plain = torch.randn(4)
        self.recurrent = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.attention = nn.MultiheadAttention(4, 2)


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    old_norm = nn.utils.weight_norm(nn.Linear(2, 3))
    return {
        "parts": Parts(),
        "parallel": nn.DataParallel(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))),
        "weight norm": nn.Sequential(old_norm, nn.ReLU()),
        "spectral norm": nn.utils.spectral_norm(nn.Conv2d(2, 3, 1)),
        "transformer": nn.TransformerEncoderLayer(4, 2, 8),
        "one layer": nn.Embedding(5, 3, padding_idx=0),
        "mobilenet": mobilenet_v3_small(num_classes=3),
        "doubled": nn.Linear(3, 4).double(),
        "meta": nn.Linear(3, 4, device="meta"),
        "averaged": torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2)),
    }


@both_formats
@pytest.mark.parametrize("name", networks())
def test_a_whole_model_has_its_state_dict_in_order(
    tmp_path: Path, save: Save, format: str, name: str
) -> None:
    model = networks()[name]
    save(model, tmp_path / "whole.pth")
    checkpoint = open_checkpoint(tmp_path / "whole.pth")
    loaded = torch.load(tmp_path / "whole.pth", weights_only=False)
    if name == "meta":
        found = checkpoint.state_dict().items()
        assert [(key, entry.shape) for key, entry in found] == [
            (key, tuple(value.shape)) for key, value in model.state_dict().items()
        ]
        return
    assert_same_tensors(checkpoint, dict(loaded.state_dict(keep_vars=True)))


@both_formats
@pytest.mark.parametrize("name", networks())
def test_the_classes_of_a_whole_models_tree_are_kept(
    tmp_path: Path, save: Save, format: str, name: str
) -> None:
    model = networks()[name]
    save({"net": model}, tmp_path / "whole.pth")
    classes = open_checkpoint(tmp_path / "whole.pth").state_dict("net").classes
    assert classes == {
        path: f"{type(module).__module__}.{type(module).__qualname__}"
        for path, module in model.named_modules(remove_duplicate=False)
        if module is not None
    }


def test_a_bare_state_dict_has_no_classes(tmp_path: Path) -> None:
    save_zip(nn.Linear(2, 2).state_dict(), tmp_path / "bare.pth")
    assert open_checkpoint(tmp_path / "bare.pth").state_dict().classes == {}


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm", "orthogonal"])
def test_a_parametrized_layers_state_dict_is_read(tmp_path: Path, norm: str) -> None:
    """torch.save refuses the layer as a whole, whose class is made on the spot."""
    layer = getattr(nn.utils.parametrizations, norm)(nn.Linear(3, 3))
    assert parametrize.is_parametrized(layer)
    save_zip(layer.state_dict(), tmp_path / "layer.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "layer.pth"), layer.state_dict())


def build(_state: dict[str, Any], **_options: Any) -> nn.Module:
    return nn.Linear(2, 2)


class Called(nn.Linear):
    """Pickled as a call that builds it from its state_dict."""

    def __reduce__(self) -> Any:
        return build, (self.state_dict(),)


class CalledLater(nn.Linear):
    """Pickled as an empty call, and its state_dict beside it."""

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return build, ({},), {"weights": self.state_dict(), "kind": "linear"}


class OnlyWeights(nn.Linear):
    """Pickled as its class and its state_dict."""

    def __getstate__(self) -> Any:
        return {"arch": "linear", "weights": OrderedDict(self.state_dict())}

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("it was called")


class InATuple(nn.Linear):
    """Pickled with a tuple for its state."""

    def __getstate__(self) -> Any:
        return (self.state_dict(), "linear", 3)


@both_formats
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Called, "args.0"),
        (CalledLater, "weights"),
        (OnlyWeights, "weights"),
        (InATuple, "state.0"),
    ],
)
def test_a_model_that_pickles_itself_in_another_way_gives_its_weights(
    tmp_path: Path, save: Save, format: str, kind: Callable[..., nn.Module], path: str
) -> None:
    model = kind(2, 3)
    save(model, tmp_path / "trick.pth")
    checkpoint = open_checkpoint(tmp_path / "trick.pth")
    assert checkpoint.best == path
    assert_same_tensors(checkpoint, model.state_dict())


@both_formats
def test_such_a_part_of_a_model_gives_its_weights_in_its_place(
    tmp_path: Path, save: Save, format: str
) -> None:
    model = nn.Sequential(nn.Linear(1, 1), OnlyWeights(2, 3), nn.Linear(3, 1))
    save(model, tmp_path / "part.pth")
    found = open_checkpoint(tmp_path / "part.pth").state_dict()
    assert list(found) == [
        *("0.weight", "0.bias", "1.weights.weight", "1.weights.bias", "2.weight", "2.bias")
    ]
    assert torch.equal(read_tensor(found["1.weights.bias"]), model[1].bias)
    assert found.classes["1"] == f"{__name__}.OnlyWeights"


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)
        self.dequant = torch.ao.quantization.DeQuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(self.quant(x)).mean((2, 3))
        return self.dequant(self.fc(x))  # type: ignore[no-any-return]


def quantized_model() -> nn.Module:
    torch.manual_seed(0)
    if "fbgemm" in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = "fbgemm"
    model = Small().eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")  # type: ignore[assignment]
    prepared = torch.ao.quantization.prepare(model)
    prepared(torch.randn(2, 3, 8, 8))
    converted: nn.Module = torch.ao.quantization.convert(prepared)
    return converted


def flat(state_dict: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Its tensors, those of a packed linear layer one by one."""
    found: dict[str, torch.Tensor] = {}
    for key, value in state_dict.items():
        if isinstance(value, tuple):
            found.update({f"{key}.{index}": item for index, item in enumerate(value)})
        elif isinstance(value, torch.Tensor):
            found[key] = value
    return found


@pytest.mark.skipif(
    not hasattr(torch.ao.quantization, "convert"), reason="this torch quantizes no modules"
)
@both_formats
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "state_dict"])
def test_a_quantized_model_gives_its_integers_and_scales(
    tmp_path: Path, save: Save, format: str, whole: bool
) -> None:
    """Failure mode 29."""
    model = quantized_model()
    expected = flat(model.state_dict())
    save(model if whole else model.state_dict(), tmp_path / "quantized.pth")
    checkpoint = open_checkpoint(tmp_path / "quantized.pth")
    found = checkpoint.state_dict("")
    if whole:
        # Its layers keep their outputs' scales as plain numbers.
        expected = {
            key: value
            for key, value in expected.items()
            if key.startswith("quant.") or not key.endswith(("scale", "zero_point"))
        }
        assert found.classes["fc"].endswith("quantized.modules.linear.Linear")
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        raw = tensor.int_repr() if tensor.is_quantized else tensor
        assert torch.equal(read_tensor(found[key]), raw), key
        assert isinstance(found[key].form, Quantized) == tensor.is_quantized
    assert any("2 tensors are quantized (2 per_channel_affine)" in one for one in checkpoint.notes)


def test_a_lazy_model_that_has_seen_nothing_has_empty_parameters(tmp_path: Path) -> None:
    save_zip(nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1)), tmp_path / "lazy.pth")
    found = open_checkpoint(tmp_path / "lazy.pth").state_dict()
    assert list(found) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert found["0.weight"].shape == (0,)
