"""A link holds the whole bench, and a broken link does no harm."""

from dataclasses import replace
from urllib.parse import parse_qsl

from core.compare import NO_CHOICES, Choices
from core.fixes import AddPrefix, Drop, Recipe, RenameTable, Step, StripPrefix
from core.server.bench import Bench, SlotState, bench_from_query, bench_to_query, link_query

FULL = Bench(
    a=SlotState(
        file="sha256:" + "ab" * 32 + "/my model é.pth",
        state_dict="",
        architecture="torchvision:resnet18?num_classes=10",
        recipe=Recipe((Step(StripPrefix("module.")), Step(Drop("fc.*"), enabled=False))),
        device="cuda:1",
        dtype="bfloat16",
        strict=False,
        channels_last=True,
        compiled=True,
    ),
    b=SlotState(file="sample:final", recipe=Recipe((Step(AddPrefix("x.")),))),
)


def test_a_bench_comes_back_from_its_link() -> None:
    decided = replace(FULL, pairing=Choices((("w", "é"),), (("x", "y"),), ("module.", "")))
    for bench in (
        Bench(),
        FULL,
        decided,
        Bench(b=FULL.a),
        Bench(a=SlotState(file="root:0/a b/c.pth")),
    ):
        assert bench_from_query(bench_to_query(bench)) == bench


OLD_LINK = {
    "a": "sha256:abababababababababababababababababababababababababababababababab/my model é.pth",
    "a_arch": "torchvision:resnet18?num_classes=10",
    "a_channels_last": "1",
    "a_compiled": "1",
    "a_device": "cuda:1",
    "a_dtype": "bfloat16",
    "a_partial": "1",
    "a_recipe": "eNqLrlZKy6xQslIqLinKLIgvKEoFcXWUoAwrpdz8lNKcVD2lWh2YypSi_AKQ"
    "isSSktSiPKBAWrKeFlAgNS8xKSc1RckqLTGnOLU2FgCL1B54",
    "a_state_dict": "",
    "b": "sample:final",
    "b_recipe": "eNqLrlZKy6xQslJKTEmJLyhKBXF0lKAMK6UKPaXaWADhWQvy",
    "pairing": "eNqrVkpMTk4tKElNUbKKjlYqV9JRiik1MEi1VIqN1VEqSs1KTYbJVQDlKsHC"
    "xSVFmQVAMaXc_JTSnFQ9oIRSbC0AeZoXGw",
}
"""The link of FULL, with a choice of pairs, as it was written before the packages of core had their
present names: people keep links."""


def test_a_link_of_an_older_loupe_opens_the_same_bench() -> None:
    pairing = Choices((("w", "é"),), (("x", "y"),), ("module.", ""))
    assert bench_from_query(OLD_LINK) == replace(FULL, pairing=pairing)


def test_an_empty_bench_leaves_the_address_clean() -> None:
    assert bench_to_query(Bench()) == {}


def test_a_broken_recipe_in_a_link_is_left_out() -> None:
    for broken in ("%%%", "AAAA", "x" * 5000):
        found = bench_from_query({"a": "sample:early", "a_recipe": broken})
        assert found.a == SlotState(file="sample:early")


def test_broken_choices_in_a_link_are_left_out() -> None:
    for broken in ("%%%", "AAAA", "x" * 5000):
        found = bench_from_query({"a": "sample:early", "b": "sample:final", "pairing": broken})
        assert found.pairing == NO_CHOICES


def test_a_recipe_that_unpacks_to_more_than_its_bound_is_left_out() -> None:
    huge = Bench(a=SlotState(file="f", recipe=Recipe((Step(AddPrefix("x" * 2_000_000)),))))
    query = bench_to_query(huge)
    assert len(query["a_recipe"]) < 5000
    assert bench_from_query(query).a.recipe == Recipe()


def test_a_table_of_a_thousand_long_keys_travels_in_a_link_that_a_server_takes() -> None:
    modules = ("attention_norm", "query", "key", "value", "output", "mlp_in", "mlp_out")
    names = [
        (f"encoder.layers.{block}.residual_attention_block.{module}.{leaf}", f"h.{block}.{new}")
        for block in range(72)
        for module in modules
        for leaf in ("weight", "bias")
        for new in (f"{module[:4]}{module[-2:]}.{leaf}",)
    ]
    assert len(names) > 1_000
    bench = Bench(a=SlotState(file="f", recipe=Recipe((Step(RenameTable(tuple(names))),))))
    query = bench_to_query(bench)
    assert bench_from_query(query) == bench
    assert len(query["a_recipe"]) < 32_000


def test_a_name_that_no_address_can_hold_is_left_out_of_the_link() -> None:
    for name in ("half \ud800 of one", "x" * 100_000):
        bench = Bench(SlotState(file="sample:early", state_dict=name), SlotState())
        assert bench_to_query(bench) == {"a": "sample:early"}


def test_a_link_to_a_page_has_what_it_shows_beside_the_bench():
    link = dict(parse_qsl(link_query(FULL, {"search": "conv é", "states": ""}), True))
    assert bench_from_query(link) == FULL
    assert (link["search"], link["states"]) == ("conv é", "")


def test_a_text_that_no_url_can_contain_is_left_out():
    view = {"tensor": "\ud800", "search": "x" * 1001, "order": "a\nb"}
    assert link_query(Bench(), view) == ""
