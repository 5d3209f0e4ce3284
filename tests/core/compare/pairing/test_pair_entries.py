"""Which tensors stand side by side, on real networks whose keys were renamed or rearranged.

Whatever is taken must be right: a wrong pair is worse than none.
"""

import copy
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VisionTransformer, efficientnet_b0, resnet18, vgg11_bn

from core.checkpoint import open_checkpoint
from core.compare.comparison import NO_CHOICES, Choices, PairedBy, State
from core.compare.pairing.choices import accept, reject
from core.compare.pairing.pair_entries import MIN_CONFIDENCE, pair
from core.compare.rows import compare
from core.inspect import RecordChecks
from core.progress import Cancelled, Progress

pytestmark = pytest.mark.slow


@pytest.fixture
def saved(tmp_path):
    """Save tensors as torch or safetensors does, and read the state_dict back."""
    made = iter(range(100))

    def save(tensors, suffix=".pth"):
        path = tmp_path / f"{next(made)}{suffix}"
        if suffix == ".safetensors":
            save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path)
        else:
            torch.save(tensors, path)
        return open_checkpoint(path).state_dict()

    return save


def trained(model: nn.Module, steps: int, rate: float) -> nn.Module:
    torch.manual_seed(steps)
    optimizer = torch.optim.SGD(model.train().parameters(), rate, momentum=0.9)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(
            model(torch.randn(4, 3, 64, 64)), torch.randint(0, 9, (4,))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def networks():
    """A trained ResNet, and the same one after more training."""
    torch.manual_seed(0)
    first = trained(resnet18(num_classes=10), 6, 0.01)
    return first.state_dict(), trained(copy.deepcopy(first), 6, 0.003).state_dict()


def in_other_words(key: str) -> str:
    words = {
        **{"layer": "stage_", "conv": "convolution_", "bn": "normalisation_", "fc.": "classifier."},
        "downsample": "shortcut",
    }
    for word, other in words.items():
        key = key.replace(word, other)
    return key


def renamed(tensors, rename):
    return {rename(key): value for key, value in tensors.items()}


def pairs_of(found):
    return {one.a.key: one.b.key for one in found.pairs}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_renamed_tensors_are_found_by_their_content(networks, saved, suffix):
    weights, _ = networks
    found = pair(saved(weights, suffix), saved(renamed(weights, in_other_words), suffix))
    by = Counter(one.by for one in found.pairs)
    assert by[PairedBy.CONTENT] >= 90
    assert all(in_other_words(key_a) == key_b for key_a, key_b in pairs_of(found).items())
    assert len(found.pairs) >= 110
    certain = {one.confidence for one in found.pairs if one.by is PairedBy.CONTENT}
    assert certain == ({0.99} if suffix == ".pth" else {0.97})


def nameless(weights):
    names = {key: f"m{index}.{key.rpartition('.')[2]}" for index, key in enumerate(weights)}
    return names.__getitem__


@pytest.mark.parametrize("words", ["other words", "no words"])
def test_renamed_and_trained_further_they_are_found_by_their_values_and_neighbours(
    networks, saved, words
):
    weights, tuned = networks
    rename = in_other_words if words == "other words" else nameless(weights)
    found = pair(saved(weights), saved(renamed(tuned, rename)))
    assert {one.by for one in found.pairs} == {PairedBy.LIKENESS}
    assert len(found.pairs) >= 110
    assert all(rename(key_a) == key_b for key_a, key_b in pairs_of(found).items())
    assert all(MIN_CONFIDENCE <= one.confidence < 1 and one.why for one in found.pairs)
    convolution = next(one for one in found.pairs if one.a.key == "layer2.0.conv1.weight")
    assert "correlate" in convolution.why


def test_in_half_precision_and_renamed_they_are_found_and_called_a_cast(networks, saved):
    weights, _ = networks
    halves = {
        key: value.half() if value.is_floating_point() else value for key, value in weights.items()
    }
    found = compare(saved(weights), saved(renamed(halves, in_other_words)))
    row = next(row for row in found.rows if row.key_a == "layer2.0.conv1.weight")
    assert row.key_b == in_other_words("layer2.0.conv1.weight")
    assert (row.state, row.note) == (State.RECAST, "equal after a cast to float16")


def test_unrelated_weights_of_one_architecture_pair_only_where_the_names_say_so(networks, saved):
    weights, _ = networks
    torch.manual_seed(99)
    other = renamed(resnet18(num_classes=10).state_dict(), in_other_words)
    found = pair(saved(weights), saved(other))
    assert all(in_other_words(key_a) == key_b for key_a, key_b in pairs_of(found).items())
    assert not any("correlate" in one.why for one in found.pairs)


@pytest.mark.parametrize("other", [vgg11_bn, efficientnet_b0])
def test_other_architectures_share_next_to_nothing(networks, saved, other):
    weights, _ = networks
    found = pair(saved(weights), saved(other(num_classes=10).state_dict()))
    assert len(found.pairs) <= 2


def test_constants_of_unrelated_networks_are_not_called_renamed(saved):
    """Fresh norms are all ones and zeros in every network: equal content that says nothing."""
    a = {
        f"one.{index}.{name}": torch.full((64,), float(name == "g"))
        for index in range(9)
        for name in "gb"
    }
    b = {f"two.x{index}": torch.full((64,), float(index % 2)) for index in range(4)}
    assert pair(saved(a), saved(b)).pairs == ()


def to_timm(key: str) -> str:
    words = {
        "encoder.layers.encoder_layer_": "blocks.",
        **{"ln_1": "norm1", "ln_2": "norm2", "self_attention": "attn", "mlp.0": "mlp.fc1"},
        **{"in_proj_": "qkv.", "out_proj": "proj", "mlp.3": "mlp.fc2", "encoder.ln": "norm"},
        **{"heads.head": "head", "conv_proj": "patch_embed.proj", "class_token": "cls_token"},
        "encoder.pos_embedding": "pos_embed",
    }
    for word, other in words.items():
        key = key.replace(word, other)
    return key


def split(tensors):
    """q, k and v each for itself, as many libraries keep them."""
    apart = {}
    for key, value in tensors.items():
        if ".qkv." in key:
            for name, part in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True):
                apart[key.replace("qkv", name)] = part.clone()
        else:
            apart[key] = value
    return apart


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    small = VisionTransformer(64, 32, 12, num_heads=6, hidden_dim=384, mlp_dim=1536, num_classes=10)
    return small.state_dict()


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_transformer_in_another_librarys_names_pairs_whole(transformer, saved, noise):
    other = {
        key: value + noise * torch.randn_like(value)
        for key, value in renamed(transformer, to_timm).items()
    }
    found = pair(saved(transformer), saved(other))
    assert pairs_of(found) == {key: to_timm(key) for key in transformer}


def test_a_renamed_head_of_another_size_is_proposed_and_can_be_taken(transformer, saved):
    other = renamed(transformer, to_timm)
    other |= {"head.weight": torch.zeros(5, 384), "head.bias": torch.zeros(5)}
    a, b = saved(transformer), saved(other)
    found = pair(a, b)
    proposed = {(one.a.key, one.b.key) for one in found.proposals}
    assert proposed == {(f"heads.head.{name}", f"head.{name}") for name in ("weight", "bias")}
    assert {one.why for one in found.proposals} == {"a head of 5 classes in place of 10"}
    chosen = accept(NO_CHOICES, "heads.head.weight", "head.weight")
    row = next(row for row in compare(a, b, pair(a, b, chosen)).rows if row.key_b == "head.weight")
    assert row.state is State.RESHAPED


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("turned", [False, True])
def test_fused_attention_stands_beside_its_parts(transformer, saved, noise, turned):
    apart = {
        key: value + noise * torch.randn_like(value)
        for key, value in split(renamed(transformer, to_timm)).items()
    }
    files = [saved(transformer), saved(apart)]
    found = pair(*(files[::-1] if turned else files))
    shown = {
        (one.a if turned else one.b).key: (one.b.key, one.view_b)
        if turned
        else (one.a.key, one.view_a)
        for one in found.pairs
        if one.view_a or one.view_b
    }
    assert len({one.key for one in found.pairs}) == len(found.pairs)
    assert len(shown) == 12 * 6
    whole = "encoder.layers.encoder_layer_3.self_attention.in_proj_weight"
    assert shown["blocks.3.attn.k_proj.weight"] == (whole, "[384:768]")
    assert (found.only_a, found.only_b) == ((), ())
    by = {one.by for one in found.pairs if one.view_a or one.view_b}
    assert by == ({PairedBy.LIKENESS} if noise else {PairedBy.CONTENT, PairedBy.LIKENESS})


def test_parts_of_unequal_length_are_told_by_their_names(saved):
    torch.manual_seed(0)
    parts = {"q": torch.randn(64, 32), "k": torch.randn(16, 32), "v": torch.randn(16, 32)}
    a = {"h.0.attn.qkv.weight": torch.cat(list(parts.values()))}
    b = {f"h.0.attn.{name}_proj.weight": part for name, part in parts.items()}
    found = pair(saved(a), saved(b))
    assert {one.b.key: one.view_a for one in found.pairs} == {
        "h.0.attn.q_proj.weight": "[0:64]",
        "h.0.attn.k_proj.weight": "[64:80]",
        "h.0.attn.v_proj.weight": "[80:96]",
    }
    rows = compare(saved(a), saved(b)).rows
    assert {row.state for row in rows} == {State.RENAMED}


def test_weights_of_conv1d_are_seen_transposed_and_split(saved):
    """transformers' Conv1D keeps a linear layer's weight transposed, as in GPT-2."""
    torch.manual_seed(0)
    a = {
        "h.0.attn.c_attn.weight": torch.randn(64, 192),
        "h.0.mlp.c_fc.weight": torch.randn(64, 256),
    }
    b = {
        f"h.0.attn.{name}_proj.weight": part.contiguous()
        for name, part in zip("qkv", a["h.0.attn.c_attn.weight"].T.chunk(3), strict=True)
    }
    b["h.0.mlp.fc1.weight"] = a["h.0.mlp.c_fc.weight"].T.contiguous()
    found = compare(saved(a), saved(b))
    assert {row.state for row in found.rows} == {State.RENAMED}
    views = {one.b.key: one.view_a for one in found.pairing.pairs}
    assert views["h.0.mlp.fc1.weight"] == "transposed"
    assert views["h.0.attn.v_proj.weight"] == "transposed [128:192]"


@pytest.mark.parametrize("shape", [(32, 64), (48, 48)])
def test_a_transpose_under_the_same_name_is_seen(saved, shape):
    torch.manual_seed(0)
    weights = torch.randn(shape)
    found = compare(saved({"fc.weight": weights}), saved({"fc.weight": weights.T.contiguous()}))
    (row,) = found.rows
    assert row.pair.view_a == "transposed"
    assert (row.state, row.note) == (State.RESHAPED, "compared with transposed of A")


def test_a_symmetric_or_changed_square_matrix_is_no_transpose(saved):
    torch.manual_seed(0)
    square = torch.randn(48, 48)
    same = square + square.T
    found = compare(saved({"s": same, "c": square}), saved({"s": same, "c": square + 1}))
    assert {row.key: row.state for row in found.rows} == {"s": State.SAME, "c": State.CHANGED}


def test_a_persons_word_goes_before_every_evidence(networks, saved):
    weights, _ = networks
    a, b = saved(weights), saved(renamed(weights, in_other_words))
    key = "layer1.0.conv1.weight"
    free = pairs_of(pair(a, b))
    apart = pair(a, b, reject(NO_CHOICES, key, free[key]))
    assert pairs_of(apart).get(key) != free[key]
    other = in_other_words("layer1.0.conv2.weight")
    chosen = pair(a, b, accept(NO_CHOICES, key, other))
    (by_hand,) = (one for one in chosen.pairs if one.by is PairedBy.HAND)
    assert (by_hand.a.key, by_hand.b.key) == (key, other)
    assert len({one.b.key for one in chosen.pairs}) == len(chosen.pairs)


def test_choices_of_keys_that_are_not_there_do_no_harm(saved):
    a, b = saved({"w": torch.ones(2)}), saved({"w": torch.ones(2)})
    chosen = Choices((("no", "w"), ("w", "no")), (("x", "y"),), ("module.", "q."))
    assert pairs_of(pair(a, b, chosen)) == {"w": "w"}


def test_a_rejected_prefix_stays_on(saved):
    a, b = saved({"module.w": torch.ones(20)}), saved({"w": torch.arange(20.0)})
    assert pair(a, b).pairs[0].by is PairedBy.PREFIX
    kept = pair(a, b, Choices(strip=("", "")))
    assert (kept.strip_a, kept.strip_b) == ("", "")


def test_a_tied_key_that_one_file_keeps_once_takes_nobody_elses_place(saved):
    torch.manual_seed(0)
    shared = torch.randn(50, 8)
    a = saved({"wte.weight": shared, "lm_head.weight": shared})
    b = saved({"wte.weight": shared, "other.weight": torch.randn(50, 8)})
    found = compare(a, b)
    assert pairs_of(found.pairing) == {"wte.weight": "wte.weight"}
    assert any("wte.weight" in note and "lm_head.weight" in note for note in found.notes)


def test_tensors_whose_elements_are_not_sampled_pair_by_name_and_place(saved):
    torch.manual_seed(0)
    floats = {f"layers.{index}.weight": torch.randn(8, 8) for index in range(3)}
    integers = {
        key.replace("layers", "blocks"): torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)
        for key, value in floats.items()
    }
    found = pair(saved(floats), saved(integers))
    assert pairs_of(found) == {key: key.replace("layers", "blocks") for key in floats}


def test_nothing_and_tensors_without_data_are_paired_without_harm(saved):
    nothing = saved({"w": torch.empty(0)})
    meta = saved({"x": torch.empty(4, 4, device="meta"), "s": torch.tensor(1.0)})
    assert pair(nothing, meta).pairs == ()
    assert pairs_of(pair(meta, meta)) == {"x": "x", "s": "s"}


def test_a_cancel_stops_the_reading_of_samples(networks, saved):
    weights, tuned = networks
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        pair(saved(weights), saved(renamed(tuned, in_other_words)), progress=progress)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_tensors_that_changed_places_are_paired_by_content(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(0)
    weights = [torch.randn(4, 4) for _ in range(5)]
    opened = []
    for name, shift in (("a", 0), ("b", 1)):
        tensors = {f"l.{index}.w": weights[(index + shift) % 5] for index in range(5)}
        tensors["same"] = weights[0] + 1
        path = tmp_path / f"{name}.{ending}"
        (torch.save if ending == "pth" else save_file)(tensors, path)
        opened.append(open_checkpoint(path).state_dict())
    comparison = compare(*opened, checks=RecordChecks())
    assert comparison.counts[State.RENAMED] == 5
    assert comparison.counts[State.SAME] == 1
    assert comparison.sentence == (
        "The same weights, renamed: 5 tensors under another key, such as l.0.w, now l.4.w; the "
        "other tensor keeps its key."
    )


def test_a_tensor_that_took_the_place_of_another_keeps_its_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    one, other = torch.randn(4, 4), torch.randn(4, 4)
    torch.save({"x": one, "y": other}, tmp_path / "a.pth")
    torch.save({"x": other, "y": torch.randn(4, 4)}, tmp_path / "b.pth")
    state_dicts = [open_checkpoint(tmp_path / f"{name}.pth").state_dict() for name in "ab"]
    assert [(pair.a.key, pair.b.key) for pair in pair(*state_dicts).pairs] == [
        ("x", "x"), ("y", "y"),
    ]  # fmt: skip
