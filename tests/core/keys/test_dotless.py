"""Keys without dots, read with dots between their parts."""

import pytest
from torchvision.models import resnet18

from core.keys import dotted, folded_scales, is_caffe2, momentum_blobs

CAFFE2 = {
    "conv1_w": "conv1.weight",
    "conv1_b": "conv1.bias",
    "res_conv1_bn_s": "bn1.weight",
    "res_conv1_bn_b": "bn1.bias",
    "res2_0_branch1_w": "layer1.0.downsample.0.weight",
    "res2_0_branch1_bn_s": "layer1.0.downsample.1.weight",
    "res2_0_branch2a_w": "layer1.0.conv1.weight",
    "res2_0_branch2a_bn_b": "layer1.0.bn1.bias",
    "res4_22_branch2c_w": "layer3.22.conv3.weight",
    "res4_22_branch2c_bn_s": "layer3.22.bn3.weight",
    "pred_w": "fc.weight",
    "fc1000_b": "fc.bias",
}


def test_caffe2_s_names_of_a_resnet_become_torchvision_s() -> None:
    without_conv1_bias = {key: name for key, name in CAFFE2.items() if key != "fc1000_b"}
    assert dotted(without_conv1_bias) == without_conv1_bias
    assert dotted([key for key in CAFFE2 if key != "pred_w"])["fc1000_b"] == "fc.bias"
    assert [key for key in CAFFE2 if is_caffe2(key)] == [key for key in CAFFE2 if "branch" in key]


def test_underscores_join_words_too_and_these_stay_whole() -> None:
    keys = list(resnet18().state_dict())
    assert list(dotted([key.replace(".", "_") for key in keys]).values()) == keys
    assert dotted(["net_0_rnn_weight_ih_l1"]) == {
        "net_0_rnn_weight_ih_l1": "net.0.rnn.weight_ih_l1"
    }
    assert dotted(["enc_0_self_attn_q_proj_w", "enc_0_ln_1_b", "enc_0_bn_s"]) == {
        "enc_0_self_attn_q_proj_w": "enc.0.self_attn.q_proj.weight",
        "enc_0_ln_1_b": "enc.0.ln.1.bias",
        "enc_0_bn_s": "enc.0.bn.weight",
    }


def test_tensorflow_s_names_are_parted_at_slashes_alone() -> None:
    assert dotted(["block_1/conv_a/kernel:0", "block_1/bn/moving_mean:0"]) == {
        "block_1/conv_a/kernel:0": "block_1.conv_a.kernel",
        "block_1/bn/moving_mean:0": "block_1.bn.moving_mean",
    }


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["weight", "bias"],
        ["in_proj_weight", "in_proj_bias"],
        ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0_reverse", "bias_hh_l0_reverse"],
        ["layer1_0_conv1_weight", "fc.weight"],
        ["a_b_weight", "a_b_w"],
        ["a__b_c", "a_b_c"],
        ["a_b_" + "c" * 2000, "a_b_weight"],
    ],
)
def test_other_keys_stay_as_they_are(keys: list[str]) -> None:
    assert dotted(keys) == {}


def test_a_scale_is_folded_where_its_bias_is_beside_it_and_no_statistics_are_anywhere() -> None:
    folded = ["res_conv1_bn_s", "res_conv1_bn_b", "res2_0_branch2a_w"]
    assert folded_scales(folded) == {"res_conv1_bn_s"}
    assert not folded_scales(folded[:1])
    for statistic in ("res_conv1_bn_rm", "x_bn_riv", "other_running_var", "a.b.running_mean"):
        assert not folded_scales([*folded, statistic])
    assert not folded_scales(["bn1.weight", "bn1.bias"])
    assert not folded_scales(["x_bn_s", "x_bn_b"])


def test_the_name_of_one_gpu_before_all_of_caffe2_s_blobs_is_left_out() -> None:
    keys = ["gpu_0/conv1_w", "gpu_0/res2_0_branch2a_w", "gpu_0/res4_22_branch2c_bn_s"]
    assert [*dotted(keys).values()] == ["conv1.weight", *map(CAFFE2.get, [k[6:] for k in keys[1:]])]
    assert is_caffe2("gpu_0/res2_0_branch2a_w")
    assert not is_caffe2("gpu_0/gpu_1/res2_0_branch2a_w")
    for other in ("gpu_1/res2_0_branch2a_w", "res2_0_branch2a_w"):
        assert "layer1.0.conv1.weight" not in dotted([*keys, other]).values()


def test_mxnet_s_groups_of_parameters_and_statistics_are_left_out() -> None:
    keys = ["arg:stage1_unit1_conv1_weight", "arg:stage1_unit1_bn1_gamma"]
    assert dotted([*keys, "aux:stage1_unit1_bn1_moving_mean"]) == {
        "arg:stage1_unit1_conv1_weight": "stage1.unit1.conv1.weight",
        "arg:stage1_unit1_bn1_gamma": "stage1.unit1.bn1.gamma",
        "aux:stage1_unit1_bn1_moving_mean": "stage1.unit1.bn1.moving_mean",
    }
    assert dotted([*keys, "aux:stage1_unit1_bn1_gamma"]) == {}
    assert dotted([*keys, "stage1_unit1_bn1_beta"])[keys[0]].startswith("arg:")


def test_caffe2_s_momentum_is_known_by_the_blocks_of_a_resnet_beside_it() -> None:
    assert momentum_blobs(["conv1_w", "conv1_w_momentum", "res2_0_branch2a_w"]) == {
        "conv1_w_momentum"
    }
    assert not momentum_blobs(["conv1_w", "conv1_w_momentum"])
    assert not momentum_blobs(["conv1_w", "res2_0_branch2a_w"])
