"""The catalogue, names and signatures of architectures, without a weight being allocated."""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import get_model

from core.architectures.construct import build, build_uninitialised, signature
from core.architectures.registry import (
    Architecture,
    catalogue,
    option_of,
    options_of,
    own_architectures,
    parse_architecture,
)
from core.architectures.tensor_spec import Signature
from core.errors import ArchitectureError
from core.server import Bench, SlotState, bench_from_query, bench_to_query
from tests.core.plain_torch import signature_of

OWN_MODULE = """
import torch
from torch import nn
from torch.nn import Linear

IMPORTED = True


class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.fc = Linear(4, num_classes)
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.tied = self.fc


def small():
    return Net(2)


def looks_at_values():
    return nn.Linear(4, int(torch.ones(3).sum()))


def breaks():
    raise RuntimeError("the moon is full")


def gives_a_number():
    return 7


def _hidden():
    return Net()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module of the owner's, another one for each test."""
    name = f"owned_{tmp_path.name.lower()}"
    (tmp_path / f"{name}.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def assert_same(found: Signature, wanted: Signature) -> None:
    assert list(found) == list(wanted)
    assert dict(found) == dict(wanted)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "densenet121",
        "squeezenet1_1",
        "mobilenet_v3_small",
        "shufflenet_v2_x0_5",
        "efficientnet_b0",
        "googlenet",
        "swin_v2_t",
    ],
)
def test_a_torchvision_signature_is_the_real_state_dicts(name: str) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    model = get_model(name, weights=None, num_classes=9, **options)
    found = signature(Architecture("torchvision", name, (("num_classes", 9),)))
    assert_same(found, signature_of(model))


@pytest.mark.parametrize(
    "name",
    [
        "test_vit4",
        "test_resnet",
        "test_efficientnet",
        "convnext_atto",
        "eva02_tiny_patch14_224",
        "mobilevit_xxs",
    ],
)
def test_a_timm_signature_is_the_real_state_dicts(name: str) -> None:
    model = timm.create_model(name, num_classes=9, in_chans=1)
    found = signature(Architecture("timm", name, (("in_chans", 1), ("num_classes", 9))))
    assert_same(found, signature_of(model))


def test_a_signature_takes_no_weights_into_memory() -> None:
    found = signature(Architecture("torchvision", "vit_h_14"))
    assert sum(spec.numel for spec in found.values()) > 600_000_000
    assert signature(Architecture("torchvision", "vit_h_14")) is found


def test_options_change_the_head_and_the_first_layer() -> None:
    plain = signature(parse_architecture("timm:test_resnet"))
    other = signature(parse_architecture("timm:test_resnet?num_classes=7&in_chans=1"))
    changed = {key for key in plain if plain[key] != other[key]}
    assert {"fc.weight", "fc.bias"} < changed
    assert len(changed) == 3
    assert options_of(Architecture("timm", "test_resnet"))[:2] == ("num_classes", "in_chans")
    assert options_of(Architecture("torchvision", "resnet18")) == ("num_classes",)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("torchvision:raft_small", ()),
        ("torchvision:deeplabv3_resnet50", ("num_classes", "aux_loss")),
        ("torchvision:googlenet", ("num_classes", "aux_logits")),
        ("torchvision:vit_b_16", ("num_classes", "image_size")),
        ("timm:efficientnet_b0", ("num_classes", "in_chans", "global_pool")),
        ("timm:mixer_b16_224", ("num_classes", "in_chans", "img_size", "global_pool")),
    ],
)
def test_every_architecture_says_which_options_it_takes(name: str, options: tuple[str]) -> None:
    assert options_of(parse_architecture(name)) == options


def test_options_switch_auxiliary_heads_and_take_a_head_away() -> None:
    def keys(text: str) -> set[str]:
        return set(signature(parse_architecture(text)))

    with_aux = keys("torchvision:deeplabv3_mobilenet_v3_large?aux_loss=1")
    more = with_aux - keys("torchvision:deeplabv3_mobilenet_v3_large")
    assert more
    assert {key.split(".")[0] for key in more} == {"aux_classifier"}
    assert keys("torchvision:googlenet") - keys("torchvision:googlenet?aux_logits=0")
    headless = keys("timm:test_resnet") - keys("timm:test_resnet?num_classes=0")
    assert headless == {"fc.weight", "fc.bias"}


def test_the_bounds_of_an_option_are_what_a_model_can_be_built_with() -> None:
    resnet, vit = Architecture("torchvision", "resnet18"), Architecture("timm", "test_vit")
    assert option_of(resnet, "num_classes").least == 1
    assert option_of(vit, "num_classes").least == 0
    assert (option_of(vit, "in_chans").least, option_of(vit, "in_chans").most) == (1, 1_000_000)
    assert (option_of(resnet, "aux_loss").least, option_of(resnet, "aux_loss").most) == (0, 1)
    with pytest.raises(ArchitectureError, match="aux_logits is 2"):
        signature(parse_architecture("googlenet?aux_logits=2"))
    with pytest.raises(ArchitectureError, match="num_classes is 0"):
        signature(Architecture("torchvision", "resnet18", (("num_classes", 0),)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timm:test_vit?bogus=3", ("takes no option 'bogus'", "it takes num_classes, in_chans")),
        ("timm:test_vit?clas_token=0", ("'clas_token'", "Did you mean class_token")),
        ("resnet18?in_chans=1", ("torchvision resnet18 takes no option 'in_chans'",)),
        ("torchvision:raft_small?num_classes=3", ("it takes none",)),
        ("resnet18?num_classes", ("num_classes of torchvision resnet18 has no value",)),
        ("resnet18?num_classes=", ("has no value",)),
        ("resnet18?num_classes=x", ("num_classes is x", "Choose 1 to")),
        ("resnet18?num_classes=3&num_classes=4", ("given twice",)),
        ("resnet18?num_classes=7,foo=1", ("num_classes is 7,foo=1", "Put & between two options.")),
        ("resnet18?num_classes=3&", ("takes no option ''",)),
        ("timm:test_vit?num_classes=12345678", ("num_classes is 12345678",)),
        ("timm:test_vit?global_pool=nn.Linear", ("global_pool is nn.Linear", "Choose avg")),
        ("timm:test_vit?class_token=2", ("class_token is 2",)),
        ("timm:test_vit?init_values=abc", ("init_values is abc", "a number from 0 to")),
        ("timm:test_vit?init_values=-1", ("init_values is -1", "such as 1e-05")),
        ("timm:test_vit?init_values=nan", ("init_values is nan",)),
        ("timm:test_vit?init_values=1e9", ("init_values is 1000000000",)),
        ("timm:test_convnext?ls_init_value=none", ("ls_init_value is none",)),
        ("timm:test_vit?num_classes=1e1", ("num_classes is 1e1",)),
        ("timm:test_vit?" + "&".join(["num_classes=1"] * 500), ("longer than",)),
        ("timm:vit_base_patch16_224.mea", ("no weights with the tag 'mea'", "Did you mean mae?")),
        # timm builds no model by this deprecated name either: the tag that it stands for is gone.
        ("timm:vit_base_patch16_224_sam", ("no weights with the tag 'sam'",)),
        (
            "torchvision:tf_efficientnet_b0_ns",
            ("No architecture is called 'tf_efficientnet_b0_ns'",),
        ),
        ("timm:davit_huge.x", ("it has no tags",)),
        ("torchvision:resnet18.a1_in1k", ("No architecture is called 'resnet18.a1_in1k'",)),
    ],
)
def test_what_an_architecture_does_not_take_is_refused_in_words(
    text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(ArchitectureError) as error:
        parse_architecture(text)
    assert all(each in str(error.value) for each in words)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("global_pool=avg&num_classes=7", {"global_pool": "avg", "num_classes": 7}),
        ("class_token=0&global_pool=avg", {"class_token": False, "global_pool": "avg"}),
        ("reg_tokens=3", {"reg_tokens": 3}),
        ("qkv_bias=false", {"qkv_bias": False}),
        ("init_values=1", {"init_values": 1e-5}),
        ("init_values=1e-5", {"init_values": 1e-5}),
        ("init_values=0.1", {"init_values": 0.1}),
        ("init_values=0.0", {"init_values": 0.0}),
        ("qk_norm=1&pre_norm=1", {"qk_norm": True, "pre_norm": True}),
    ],
)
def test_options_of_structure_build_what_timm_builds(
    options: str, arguments: dict[str, object]
) -> None:
    architecture = parse_architecture(f"timm:test_vit?{options}")
    assert parse_architecture(architecture.key) == architecture
    assert_same(signature(architecture), signature_of(timm.create_model("test_vit", **arguments)))


@pytest.mark.parametrize(
    ("written", "key"), [("1e-5", "1e-05"), ("1E-05", "1e-05"), ("1.0", "1"), (".1", "0.1")]
)
def test_the_first_value_of_a_layer_scale_is_what_timm_is_given(written: str, key: str) -> None:
    architecture = parse_architecture(f"timm:test_vit?init_values={written}")
    assert architecture.key == f"timm:test_vit?init_values={key}"
    assert parse_architecture(architecture.key) == architecture
    scale = build(architecture).state_dict()["blocks.0.ls1.gamma"]
    assert torch.equal(scale, torch.full_like(scale, float(written)))


def test_the_stem_of_a_resnet_is_an_option() -> None:
    text = "timm:test_resnet?avg_down=0&stem_type=deep&stem_width=16"
    model = timm.create_model("test_resnet", avg_down=False, stem_type="deep", stem_width=16)
    assert_same(signature(parse_architecture(text)), signature_of(model))


def test_a_tag_is_taken_as_timm_takes_it() -> None:
    architecture = parse_architecture("timm:vit_base_patch16_224.mae")
    assert architecture == Architecture("timm", "vit_base_patch16_224", tag="mae")
    assert (architecture.key, architecture.title) == (
        "timm:vit_base_patch16_224.mae",
        "timm vit_base_patch16_224.mae",
    )
    assert "head.weight" not in signature(architecture)
    assert parse_architecture("vit_base_patch16_224.mae") == architecture
    classes = parse_architecture("timm:vit_base_patch16_224.mae?num_classes=5")
    assert signature(classes)["head.weight"].shape == (5, 768)
    assert parse_architecture(classes.key) == classes


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("timm:tf_efficientnet_b0_ns", "timm tf_efficientnet_b0.ns_jft_in1k"),
        ("vit_tiny_patch16_224_in21k", "timm vit_tiny_patch16_224.augreg_in21k"),
        ("timm:mnasnet_b1?num_classes=3", "timm mnasnet_100 (num_classes=3)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Mapping deprecated")
def test_a_deprecated_name_of_timm_is_taken_and_titled_by_its_current_one(
    name: str, title: str
) -> None:
    architecture = parse_architecture(name)
    assert architecture.title == title
    assert parse_architecture(architecture.key) == architecture
    plain, _, options = name.removeprefix("timm:").partition("?")
    arguments = {"num_classes": 3} if options else {}
    assert_same(signature(architecture), signature_of(timm.create_model(plain, **arguments)))


@pytest.mark.parametrize(
    "name",
    [
        "fasterrcnn_mobilenet_v3_large_fpn",
        "lraspp_mobilenet_v3_large",
        "quantized_resnet18",
        "raft_small",
        "s3d",
    ],
)
def test_what_is_no_classifier_of_pictures_is_built_without_weights_of_its_backbone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", "/nowhere")
    monkeypatch.setattr("urllib.request.urlopen", None)
    weights = {"weights": None} | ({} if "_fpn" not in name else {"weights_backbone": None})
    weights |= {"weights_backbone": None} if name.startswith("lraspp") else {}
    model = get_model(name, **weights)
    assert_same(signature(Architecture("torchvision", name)), signature_of(model))


def test_the_catalogue_has_every_model_of_both_libraries() -> None:
    found = catalogue()
    assert len(set(found)) == len(found)
    assert {"torchvision", "timm"} == {each.library for each in found}
    assert len([each for each in found if each.library == "timm"]) == len(timm.list_models())
    assert Architecture("torchvision", "vit_b_16") in found
    assert Architecture("torchvision", "fasterrcnn_resnet50_fpn") in found


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("torchvision", "resnet18"),
        Architecture("torchvision", "resnet18", (("num_classes", 10),)),
        Architecture("timm", "test_vit", (("in_chans", 1), ("num_classes", 1_000_000))),
    ],
)
def test_a_key_reads_back_as_the_same_architecture(architecture: Architecture) -> None:
    assert parse_architecture(architecture.key) == architecture


def test_a_bare_name_is_torchvisions_before_timms() -> None:
    assert parse_architecture("resnet18") == Architecture("torchvision", "resnet18")
    assert parse_architecture(" resnet50d ") == Architecture("timm", "resnet50d")
    assert Architecture("timm", "resnet18", (("num_classes", 4),)).title == (
        "timm resnet18 (num_classes=4)"
    )


def test_names_that_are_given_are_looked_up_first() -> None:
    names = {"torchvision": ["resnet18"], "timm": ["resnet18", "later"]}
    assert parse_architecture("resnet18", names) == Architecture("torchvision", "resnet18")
    assert parse_architecture("later", names) == Architecture("timm", "later")
    assert parse_architecture("resnet50d", names) == Architecture("timm", "resnet50d")


@pytest.mark.parametrize("text", ["resnet81", "torchvision:resnet81", "torchvision:resnet18d"])
def test_an_unknown_name_names_the_nearest(text: str) -> None:
    with pytest.raises(ArchitectureError, match="resnet18") as caught:
        parse_architecture(text)
    assert caught.value.remedy.startswith("Did you mean")


@pytest.mark.parametrize(
    "text", ["", "a b", "os:system", "own:", "resnet18?num_classes=<b>", "x:y:z"]
)
def test_what_is_no_architectures_name_is_a_sentence(text: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        parse_architecture(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "options", [(("num_classes", 0),), (("num_classes", 10**9),), (("in_chans", 3),)]
)
def test_an_option_that_cannot_be_is_a_sentence(options: tuple[tuple[str, int], ...]) -> None:
    architecture = Architecture("torchvision", "resnet18", options)
    for use in (signature, build):
        with pytest.raises(ArchitectureError) as caught:
            use(architecture)
        assert caught.value.problem
        assert caught.value.remedy


def test_threads_that_ask_at_once_get_the_same_signature() -> None:
    architecture = Architecture("timm", "test_byobnet", (("num_classes", 11),))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(signature, [architecture] * 8))
    assert all(each is found[0] for each in found)
    assert_same(found[0], signature_of(timm.create_model("test_byobnet", num_classes=11)))


def test_a_signature_made_meanwhile_leaves_other_threads_models_alone() -> None:
    def make(number: int) -> bool:
        signature(Architecture("timm", "test_vit", (("num_classes", 100 + number),)))
        return not any(p.is_meta for p in build(Architecture("timm", "test_vit")).parameters())

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(make, range(12)))


def test_the_owners_functions_and_classes_come_first(own: str) -> None:
    found = [each.name for each in catalogue((own,)) if each.library == "own"]
    assert found == [
        f"{own}.{name}" for name in ("Net", "small", "looks_at_values", "breaks", "gives_a_number")
    ]
    assert catalogue((f"{own}:small",))[0] == Architecture("own", f"{own}.small")
    assert options_of(Architecture("own", f"{own}.Net")) == ("num_classes",)
    assert options_of(Architecture("own", f"{own}.small")) == ()
    assert parse_architecture(f"own:{own}.Net?num_classes=5").options == (("num_classes", 5),)


@pytest.mark.parametrize("name", ["Net", "small", "looks_at_values"])
def test_the_owners_model_has_its_real_state_dicts_signature(own: str, name: str) -> None:
    catalogue((own,))
    made = getattr(sys.modules[own], name)()
    assert_same(signature(Architecture("own", f"{own}.{name}")), signature_of(made))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("breaks", "cannot be built: the moon is full"),
        ("gives_a_number", r"returns a int, not a torch\.nn\.Module"),
    ],
)
def test_what_is_wrong_with_the_owners_function_is_told(own: str, name: str, told: str) -> None:
    catalogue((own,))
    with pytest.raises(ArchitectureError, match=told):
        signature(Architecture("own", f"{own}.{name}"))


def test_an_owners_module_that_cannot_be_imported_is_a_sentence() -> None:
    with pytest.raises(ArchitectureError, match="no_such_module of LOUPE_MODELS"):
        catalogue(("no_such_module",))


@pytest.mark.parametrize(
    "first", ["raise ValueError('the moon is full')\n", "exit(3)\n", "def (\n"]
)
def test_a_broken_module_of_the_owners_takes_no_other_with_it_and_is_tried_again(
    own: str, tmp_path: Path, first: str
) -> None:
    broken = f"broken_{own}"
    named = (broken, own)
    troubles: list[ArchitectureError] = []
    assert own_architectures(named, troubles.append) == own_architectures((own,))
    (tmp_path / f"{broken}.py").write_text(first)
    assert own_architectures(named, troubles.append) == own_architectures((own,))
    assert [f"{broken} of LOUPE_MODELS" in str(trouble) for trouble in troubles] == [True, True]
    (tmp_path / f"{broken}.py").write_text(f"{OWN_MODULE}\n# mended")
    mended = own_architectures(named, troubles.append)
    assert len(troubles) == 2
    assert signature(mended[0])
    assert len(mended) == 2 * len(own_architectures((own,)))


def test_a_module_that_the_configuration_does_not_name_is_never_imported(own: str) -> None:
    architecture = Architecture("own", f"{own}.Net")
    for ask in (signature, build, options_of):
        with pytest.raises(ArchitectureError, match="No architecture is called"):
            ask(architecture)
    with pytest.raises(ArchitectureError, match="No architecture is called"):
        parse_architecture(architecture.key)
    assert own not in sys.modules


def test_naming_one_function_lets_nobody_reach_another(own: str) -> None:
    catalogue((f"{own}:small",))
    for name in ("Net", "torch.load", "IMPORTED", "_hidden"):
        with pytest.raises(ArchitectureError, match="No architecture is called"):
            build(Architecture("own", f"{own}.{name}"))


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "subprocess.call", "antigravity.fly"]
)
def test_a_link_cannot_name_a_module_to_import(name: str) -> None:
    linked = bench_to_query(
        Bench(SlotState(file="sample:final", architecture=f"own:{name}"), SlotState())
    )
    named = bench_from_query(linked).a.architecture
    assert named == f"own:{name}"
    with pytest.raises(ArchitectureError, match="No architecture is called"):
        parse_architecture(named)
    assert "antigravity" not in sys.modules


def test_a_model_is_built_in_eval_mode_on_the_cpu() -> None:
    model = build(Architecture("timm", "test_vit"))
    assert not model.training
    assert {tensor.device for tensor in model.state_dict().values()} == {torch.device("cpu")}


@pytest.mark.parametrize(
    "name", ["googlenet", "inception_v3", "quantized_googlenet", "quantized_inception_v3"]
)
def test_a_network_that_would_warn_of_its_initialisation_is_built_without_a_word(
    name: str, recwarn: pytest.WarningsRecorder
) -> None:
    wanted = get_model(name, weights=None, init_weights=False).state_dict()
    recwarn.clear()
    assert list(build_uninitialised(Architecture("torchvision", name)).state_dict()) == list(wanted)
    assert not recwarn.list


def test_building_in_several_threads_leaves_the_programs_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(build, [Architecture("timm", "test_vit")] * 12))
    assert warnings.filters == before
