"""The keys of a state_dict by module, as the tables show them."""

from core.keys import module_groups, open_at_first


def grouped(*keys: str) -> dict[str | None, int]:
    """The number of keys by path; those of no module are counted together."""
    groups = module_groups(keys)
    assert sorted(key for group in groups for key in group.keys) == sorted(set(keys))
    counts: dict[str | None, int] = {}
    for group in groups:
        counts[group.path] = counts.get(group.path, 0) + len(group.keys)
    return counts


def layer(path: str, names: str = "weight bias") -> list[str]:
    return [f"{path}.{name}" for name in names.split()]


def test_a_wrapper_is_passed():
    keys = [*layer("module.conv1.0"), *layer("module.fc")]
    assert grouped(*keys) == {"module.conv1": 2, "module.fc": 2}


def test_a_module_with_most_of_the_keys_is_replaced_by_its_own():
    blocks = [key for at in range(12) for key in layer(f"blocks.{at}.mlp", "a b c d e f")]
    assert grouped("cls_token", *blocks, *layer("head")) == {
        None: 1,
        **{f"blocks.{at}": 6 for at in range(12)},
        "head": 2,
    }


def test_a_few_keys_stay_together():
    keys = [key for at in range(6) for key in layer(f"layer.{at}")]
    assert grouped(*keys, *layer("fc")) == {"layer": 12, "fc": 2}


def test_modules_of_one_tensor_each_are_no_groups():
    lone = [f"tables.{at}.weight" for at in range(100)]
    assert grouped(*lone, *layer("top")) == {"tables": 100, "top": 2}
    assert grouped("a.weight", "b.weight", "scale") == {None: 3}


def test_groups_and_keys_keep_the_files_order():
    keys = ["b.x", "a.x", "free", "b.y", "a.y"]
    assert [(group.path, group.keys) for group in module_groups(keys)] == [
        ("b", ("b.x", "b.y")),
        ("a", ("a.x", "a.y")),
        (None, ("free",)),
    ]


def test_odd_keys_are_grouped_too():
    assert grouped("", ".", "..", "a.", ".a") == {None: 2, "": 3}
    deep = [".".join("x" * 100) + name for name in (".a", ".b")]
    assert sum(grouped(*deep).values()) == 2
    assert module_groups([]) == ()


def test_the_smallest_groups_are_open_while_all_lines_have_room():
    assert open_at_first([6, 84, 156, 84, 6, 2], 20) == {0, 4, 5}
    assert open_at_first([6, 84], 7) == frozenset()
    assert open_at_first([40] * 500, 20) == frozenset()
    assert open_at_first([], 20) == frozenset()
