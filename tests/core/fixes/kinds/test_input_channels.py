"""An input convolution for other channels: what timm's adapt_input_conv gives, and beyond."""

from pathlib import Path

import pytest
import torch
from timm.models import adapt_input_conv

from core.architectures import parse_architecture, signature
from core.errors import FixError
from core.fixes import AdaptInput, Dequantize, WholeField
from core.tensors import read_tensor
from tests.core.fixes.files import applied, assert_tensors, saved, signature_of


def test_field_22_a_network_for_other_channels_takes_the_weights(tmp_path: Path) -> None:
    given = signature(parse_architecture("timm:resnet10t"))
    tensors = {key: torch.randn(spec.shape) for key, spec in given.items() if spec.shape}
    after = applied(
        saved(tmp_path, tensors),
        AdaptInput(),
        wanted=signature(parse_architecture("timm:resnet10t?in_chans=1")),
    )
    weight = adapt_input_conv(1, tensors["conv1.0.weight"])
    assert_tensors(after.state_dict, {**tensors, "conv1.0.weight": weight})
    assert after.effects[0].changed == 1
    assert after.effects[0].sentence == "`conv1.0.weight` adapted from 3 to 1 channel."


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8])
def test_three_channels_become_others_as_in_timm(
    channels: int, dtype: torch.dtype, tmp_path: Path
) -> None:
    weight = torch.randn(8, 3, 7, 5).to(dtype)
    given = saved(tmp_path, {"stem.weight": weight})
    wanted = adapt_input_conv(channels, weight)
    for fix in (AdaptInput(), AdaptInput("stem*", channels)):
        after = applied(given, fix, wanted=signature_of({"stem.weight": wanted}))
        found = read_tensor(after.state_dict["stem.weight"])
        assert found.dtype == dtype
        if dtype == torch.float64:  # timm goes by way of float32
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(found, wanted)


@pytest.mark.parametrize("blocks", [4, 16])
def test_a_stem_that_takes_blocks_of_pixels_sums_each_block_as_in_timm(
    blocks: int, tmp_path: Path
) -> None:
    weight = torch.randn(8, 3 * blocks, 3, 3)
    given = saved(tmp_path, {"stem.weight": weight})
    wanted = adapt_input_conv(1, weight)
    for fix in (AdaptInput(), AdaptInput(in_chans=1)):
        after = applied(given, fix, wanted=signature_of({"stem.weight": wanted}))
        assert_tensors(after.state_dict, {"stem.weight": wanted})


@pytest.mark.parametrize(("held", "wanted"), [(1, 3), (1, 4), (4, 3), (2, 5), (4, 1), (13, 3)])
def test_other_channels_are_repeated_cut_or_summed_and_scaled(
    held: int, wanted: int, tmp_path: Path
) -> None:
    weight = torch.randn(8, held, 3, 3)
    expected = adapt_input_conv(wanted, weight, base_chans=held)
    after = applied(
        saved(tmp_path, {"a.weight": weight}),
        AdaptInput(),
        wanted=signature_of({"a.weight": expected}),
    )
    assert_tensors(after.state_dict, {"a.weight": expected})


def test_a_grey_image_repeated_gives_the_same_answer(tmp_path: Path) -> None:
    weight, grey = torch.randn(8, 1, 3, 3), torch.randn(1, 1, 9, 9)
    found = applied(saved(tmp_path, {"a.weight": weight}), AdaptInput(in_chans=3)).state_dict
    three = torch.nn.functional.conv2d(grey.repeat(1, 3, 1, 1), read_tensor(found["a.weight"]))
    torch.testing.assert_close(three, torch.nn.functional.conv2d(grey, weight))


def test_sound_and_video_are_adapted_as_well(tmp_path: Path) -> None:
    tensors = {"sound.weight": torch.randn(4, 2, 9), "video.weight": torch.randn(4, 2, 3, 3, 3)}
    after = applied(saved(tmp_path, tensors), AdaptInput("*weight", 1)).state_dict
    assert_tensors(after, {key: value.sum(1, keepdim=True) for key, value in tensors.items()})


def test_no_convolution_further_in_is_touched(tmp_path: Path) -> None:
    tensors = {
        "stem.weight": torch.randn(8, 3, 3, 3),
        "stem.index": torch.ones(8, 3, 3, dtype=torch.long),
        "deep.weight": torch.randn(8, 6, 3, 3),
        "pos.weight": torch.randn(1, 3, 8),
        "linear.weight": torch.randn(8, 3),
        "deeper.weight": torch.randn(8, 3, 3, 3),
    }
    wanted = {
        **tensors,
        "stem.weight": torch.empty(8, 1, 3, 3),
        "stem.index": torch.ones(8, 1, 3, dtype=torch.long),
        "deep.weight": torch.empty(8, 2, 3, 3),
        "linear.weight": torch.empty(8, 1),
    }
    after = applied(saved(tmp_path, tensors), AdaptInput(), wanted=signature_of(wanted))
    stem = tensors["stem.weight"].sum(1, keepdim=True)
    assert_tensors(after.state_dict, {**tensors, "stem.weight": stem})


def test_where_all_fits_nothing_is_done_and_twice_is_once(tmp_path: Path) -> None:
    weight = torch.randn(8, 3, 3, 3)
    wanted = signature_of({"a.weight": weight[:, :2]})
    after = applied(
        saved(tmp_path, {"a.weight": weight}), AdaptInput(), AdaptInput(), wanted=wanted
    )
    assert_tensors(after.state_dict, {"a.weight": adapt_input_conv(2, weight)})
    assert after.effects[1].sentence == "No input convolution to adapt."


INPUTS = {
    "mobile": {"blocks.0.conv_dw.weight": (8, 1, 3, 3), "conv_stem.weight": (8, 3, 3, 3)},
    "grey": {"blocks.0.conv_dw.weight": (8, 1, 3, 3), "conv_stem.weight": (8, 1, 3, 3)},
    "bands": {"blocks.0.conv_dw.weight": (8, 1, 3, 3), "conv_stem.weight": (8, 13, 3, 3)},
    "groups": {"block.0.conv2.weight": (8, 4, 3, 3), "conv1.weight": (8, 4, 3, 3)},
    "u-net": {"conv.weight": (2, 64, 1, 1), "down.0.double.0.weight": (64, 1, 3, 3)},
    "digits": {"conv1.weight": (8, 1, 3, 3), "conv2.weight": (16, 8, 3, 3)},
}


@pytest.mark.parametrize("shapes", INPUTS.values(), ids=INPUTS)
def test_without_an_architecture_the_weight_that_takes_the_image_is_found_and_named(
    shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    """The keys are sorted, as in a .safetensors: a network's first layer need not come first."""
    tensors = {key: torch.randn(shape) for key, shape in shapes.items()}
    first = next(key for key in shapes if key.startswith(("conv_stem", "conv1", "down")))
    after = applied(saved(tmp_path, tensors), AdaptInput(in_chans=2))
    wanted = adapt_input_conv(2, tensors[first], base_chans=shapes[first][1])
    assert_tensors(after.state_dict, {**tensors, first: wanted})
    assert after.effects[0].sentence.startswith(f"`{first}` adapted from ")


def test_integers_that_take_the_image_stay_and_no_other_weight_is_taken_for_them(
    tmp_path: Path,
) -> None:
    tensors = {
        "conv1.weight": torch.ones(8, 3, 3, 3, dtype=torch.int8),
        "conv2.weight": torch.randn(8, 8, 3, 3),
    }
    after = applied(saved(tmp_path, tensors), AdaptInput(in_chans=1))
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == (
        "No input convolution to adapt. 1 tensor unchanged: they are not plain floats."
    )


@pytest.mark.parametrize("shape", [(0, 3, 3, 3), (8, 0, 3, 3), (8, 3, 0, 3)])
def test_tensors_without_elements_do_no_harm(shape: tuple[int, ...], tmp_path: Path) -> None:
    after = applied(saved(tmp_path, {"a.weight": torch.empty(shape)}), AdaptInput(in_chans=1))
    wanted = torch.empty(shape[0], min(shape[1], 1), *shape[2:])
    assert_tensors(after.state_dict, {"a.weight": wanted})


def test_what_cannot_be_adapted_is_a_sentence(tmp_path: Path) -> None:
    weight = torch.randn(8, 3, 3, 3)
    given = saved(tmp_path, {"a.weight": weight})
    with pytest.raises(FixError, match="needs the shapes of an architecture"):
        applied(given, AdaptInput())
    for channels in (-1, 10**9):
        with pytest.raises(FixError, match="No image has"):
            applied(given, AdaptInput(in_chans=channels))
    (most,) = (field.most for field in AdaptInput.form.fields if isinstance(field, WholeField))
    assert applied(given, AdaptInput(in_chans=most)).state_dict["a.weight"].shape[1] == most
    large = saved(tmp_path, {"a.weight": torch.empty(1).half().expand(1 << 12, 2, 32, 32)})
    with pytest.raises(FixError, match="would take"):
        applied(large, AdaptInput(in_chans=1 << 16))


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
def test_a_quantized_convolution_is_dequantized_first(tmp_path: Path) -> None:
    weight = torch.quantize_per_tensor(torch.randn(8, 3, 3, 3), 0.1, 3, torch.qint8)
    given = saved(tmp_path, {"a.weight": weight})
    with pytest.raises(FixError, match="Dequantize"):
        applied(given, AdaptInput(in_chans=1))
    after = applied(given, Dequantize(), AdaptInput(in_chans=1)).state_dict
    assert_tensors(after, {"a.weight": weight.dequantize().sum(1, keepdim=True)})
