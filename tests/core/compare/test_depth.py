"""How far each block moved, against norms taken by plain torch on the whole tensors."""

import math

import pytest
import timm
import torch
from torchvision.models import resnet18, swin_t, vit_b_32

from core.checkpoint import open_checkpoint
from core.compare.comparison import State
from core.compare.depth import MAX_BLOCKS, blocks, depth_lines, part_map
from core.compare.measurability import measurable
from core.compare.numbers.measure import differences
from core.compare.rows import compare
from core.keys import ModuleKind

pytestmark = pytest.mark.slow


@pytest.fixture
def compared(tmp_path):
    """Save two state_dicts, compare and measure them."""

    def saved(a, b):
        torch.save(a, tmp_path / "a.pth")
        torch.save(b, tmp_path / "b.pth")
        found = compare(*(open_checkpoint(tmp_path / f"{name}.pth").state_dict() for name in "ab"))
        pairs = measurable(found)
        keys = list(pairs)
        return found, {keys[i]: one for i, one in differences(list(pairs.values()))}

    return saved


def moved(weights, *prefixes):
    torch.manual_seed(1)
    return {
        key: value + 0.01 * torch.randn_like(value)
        if key.startswith(prefixes) and value.is_floating_point()
        else value.clone()
        for key, value in weights.items()
    }


def relative(a, b, keys) -> float:
    far = math.sqrt(sum(float((b[key].double() - a[key].double()).norm()) ** 2 for key in keys))
    return far / math.sqrt(sum(float(a[key].double().norm()) ** 2 for key in keys))


def test_the_blocks_of_a_resnet_are_its_stages_and_each_has_its_own_change(compared):
    a = resnet18().state_dict()
    b = moved(a, "layer4.", "fc.")
    found = blocks(*compared(a, b))
    assert [block.name for block in found] == [
        *("conv1", "bn1"),
        *(f"layer{stage}.{index}" for stage in range(1, 5) for index in range(2)),
        "fc",
    ]
    assert [block.name for block in found if block.whole.differing] == [
        "layer4.0",
        "layer4.1",
        "fc",
    ]
    assert [block.whole.relative for block in found[:-3]] == [0.0] * 8
    block = found[-3]
    convs = [key for key in block.keys if "conv" in key or key.endswith("downsample.0.weight")]
    assert block.kinds[ModuleKind.CONV].relative == pytest.approx(relative(a, b, convs), rel=1e-6)
    weights = [key for key in block.keys if "running" not in key and "num_batches" not in key]
    assert block.whole.relative == pytest.approx(relative(a, b, weights), rel=1e-6)
    assert block.kinds[ModuleKind.STATISTICS].differing == 6
    assert list(found[-1].kinds) == [ModuleKind.HEAD]


def test_what_differs_and_was_not_measured_has_no_number(compared):
    a = resnet18().state_dict()
    found, numbers = compared(a, moved(a, "layer4.0", "fc.weight"))
    numbers = {key: one for key, one in numbers.items() if not key.startswith("layer4")}
    by_name = {block.name: block.whole for block in blocks(found, numbers)}
    assert by_name["layer4.0"].relative is None
    assert by_name["layer4.0"].differing
    assert by_name["layer1.0"].relative == 0
    assert by_name["fc"].relative
    assert (by_name["fc"].tensors, by_name["fc"].differing, by_name["fc"].measured) == (2, 1, 1)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (lambda: vit_b_32(image_size=64), "encoder.layers.encoder_layer_{}"),
        (lambda: timm.create_model("vit_tiny_patch16_224"), "blocks.{}"),
    ],
)
def test_a_transformer_is_a_map_of_blocks_by_their_parts(compared, model, names):
    a = model().state_dict()
    found = part_map(blocks(*compared(a, moved(a, ""))))
    assert found is not None
    assert found.blocks == tuple(names.format(index) for index in range(12))
    key = names.format(7)
    part = next(part for part in found.parts if "mlp" in part and part.endswith(("fc1", "0")))
    keys = [f"{key}.{part}.{name}" for name in ("weight", "bias")]
    cell = found.values[found.parts.index(part)][7]
    assert cell == pytest.approx(relative(a, moved(a, ""), keys), rel=1e-6)


def test_swin_stages_are_told_apart(compared):
    a = swin_t().state_dict()
    names = [block.name for block in blocks(*compared(a, a))]
    assert "features.1.0" in names
    assert "features.5.5" in names


def test_a_wrapping_prefix_is_no_block(compared):
    a = {f"module.{key}": value for key, value in resnet18().state_dict().items()}
    names = [block.name for block in blocks(*compared(a, a))]
    assert "module.layer1.0" in names
    assert len(names) == 11


def test_many_blocks_are_merged_and_none_is_lost(compared):
    a = {f"stages.{i}.blocks.{j}.w": torch.ones(1) for i in range(40) for j in range(20)}
    a |= {f"top{i}.w": torch.ones(1) for i in range(400)}
    found, numbers = compared(a, {key: value + 1 for key, value in a.items()})
    merged = blocks(found, numbers)
    assert len(merged) <= MAX_BLOCKS
    assert sum(block.whole.tensors for block in merged) == len(a)
    assert all(block.whole.relative == pytest.approx(1) for block in merged)


def test_keys_without_modules_and_tensors_of_one_side_are_counted(compared):
    found, numbers = compared({"w": torch.ones(2), "x": torch.ones(2)}, {"w": torch.ones(2) * 2})
    (block,) = blocks(found, numbers)
    assert (block.whole.tensors, block.whole.differing, block.whole.measured) == (2, 2, 1)
    assert found.counts[State.ONLY_A] == 1
    assert part_map([block]) is None


def test_from_zero_a_change_has_no_ratio(compared):
    found, numbers = compared({"a.w": torch.zeros(2)}, {"a.w": torch.ones(2)})
    assert blocks(found, numbers)[0].whole.relative == math.inf


def test_nothing_has_no_blocks(compared):
    assert blocks(*compared({"w": torch.ones(1)}, {"w": torch.ones(1)}))[0].whole.relative == 0


def names_of(compared, keys):
    a = {key: torch.ones(2) for key in keys}
    return [block.name for block in blocks(*compared(a, a))]


def layers(path, count, *parts):
    return [f"{path}.{index}.{part}" for index in range(count) for part in parts]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (
            [
                "bert.embeddings.word_embeddings.weight",
                *layers(
                    "bert.encoder.layer", 3, "attention.self.query.weight", "output.dense.bias"
                ),
                *("bert.pooler.dense.weight", "cls.predictions.bias"),
            ],
            ["bert.embeddings"]
            + [f"bert.encoder.layer.{index}" for index in range(3)]
            + ["bert.pooler", "cls"],
        ),
        (
            [
                "shared.weight",
                *layers("encoder.block", 3, "layer.0.SelfAttention.q.weight", "layer.1.wi.weight"),
                *layers("decoder.block", 3, "layer.0.SelfAttention.q.weight"),
            ],
            ["shared"]
            + [f"{side}.block.{at}" for side in ("encoder", "decoder") for at in range(3)],
        ),
        (
            [
                "model.embed_tokens.weight",
                *layers("model.layers", 3, "self_attn.q_proj.weight", "mlp.up_proj.weight"),
                *("model.norm.weight", "lm_head.weight"),
            ],
            ["model.embed_tokens"]
            + [f"model.layers.{index}" for index in range(3)]
            + ["model.norm", "lm_head"],
        ),
        (
            [
                "time_embed.0.weight",
                *layers("input_blocks", 3, "0.in_layers.0.weight", "1.norm.bias"),
            ],
            ["time_embed", "input_blocks.0", "input_blocks.1", "input_blocks.2"],
        ),
    ],
    ids=["BERT", "T5", "Llama", "UNet"],
)
def test_the_blocks_are_found_whatever_a_network_calls_them(compared, keys, names):
    assert names_of(compared, keys) == names


def test_branches_and_stems_of_convolutions_are_no_blocks(compared):
    keys = layers("inception3a.branch2", 2, "conv.weight") + layers("stem.proj", 3, "0.weight")
    assert names_of(compared, [*keys, "fc.weight"]) == ["inception3a", "stem", "fc"]


def test_very_many_layers_are_drawn_in_runs_that_share_their_parts(compared):
    keys = layers("model.layers", 400, "attn.weight", "mlp.weight")
    a = {key: torch.ones(1) for key in [*keys, "head.weight"]}
    found = blocks(*compared(a, {key: value + 1 for key, value in a.items()}))
    assert len(found) <= MAX_BLOCKS
    assert found[0].name == "model.layers.0–2"
    assert found[0].keys == tuple(keys[:6])
    assert list(found[0].parts) == ["attn", "mlp"]
    assert part_map(found).parts == ("attn", "mlp")


def test_the_states_of_tensors_without_numbers_are_counted(compared):
    a = {"fc.weight": torch.ones(4, 2), "fc.bias": torch.ones(4), "fc.scale": torch.ones(1)}
    b = {"fc.weight": torch.ones(3, 2), "fc.bias": torch.ones(4) * 2, "fc.shift": torch.zeros(7)}
    (block,) = blocks(*compared(a, b))
    assert block.whole.unmeasured == {State.RESHAPED: 1, State.ONLY_A: 1, State.ONLY_B: 1}
    assert block.whole.relative == pytest.approx(1)


def test_the_two_lines_of_depth_are_the_weights_and_the_norms_of_each_block(compared):
    a = resnet18().state_dict()
    b = {
        key: value * 1.5 if "bn" in key else value for key, value in moved(a, "layer", "fc").items()
    }
    found = blocks(*compared(a, b))
    lines = depth_lines(found)
    assert lines.blocks == tuple(block.name for block in found)
    assert lines.kinds == (ModuleKind.CONV, ModuleKind.HEAD)
    for name, weights, norms in zip(lines.blocks, lines.weights, lines.norms, strict=True):
        own = [key for key in a if key.startswith(f"{name}.")]
        convs = [key for key in own if "bn" not in key and "downsample.1" not in key]
        affine = [key for key in own if key not in convs and key.endswith(("weight", "bias"))]
        for keys, line in ((convs, weights), (affine, norms)):
            assert line == (pytest.approx(relative(a, b, keys), rel=1e-6) if keys else None)


def test_a_blocks_weights_are_one_value_over_all_their_kinds(compared):
    a = vit_b_32().state_dict()
    b = moved(a, "encoder.layers.encoder_layer_3.")
    (block,) = [one for one in blocks(*compared(a, b)) if one.name.endswith("layer_3")]
    assert {ModuleKind.ATTENTION, ModuleKind.LINEAR, ModuleKind.NORM} <= set(block.kinds)
    keys = [key for key in a if "encoder_layer_3." in key and "ln_" not in key]
    assert block.weights.relative == pytest.approx(relative(a, b, keys), rel=1e-6)
