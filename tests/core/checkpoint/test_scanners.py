"""What the scanners picklescan and fickling call dangerous, Loupe never calls plain."""

from collections.abc import Iterator

import pytest
from fickling.analysis import UnsafeImportsML
from fickling.fickle import SAFE_BUILTINS, UNSAFE_IMPORTS
from picklescan.scanner import SafetyLevel, _build_scan_result_from_raw_globals, _unsafe_globals

from core.checkpoint.constructors import CONSTRUCTORS, MENTIONED
from core.checkpoint.known_names import DANGEROUS_MODULES, DANGEROUS_NAMES, PLAIN_NAMES
from core.checkpoint.unpickle import Mentions
from core.checkpoint.verdicts import Verdict

TAKEN_FOR_HARMLESS = {
    "functools.partial": "whole models keep their layers' classes in it; it calls nothing by "
    "itself, and what it would call is judged by its own name",
    "test.anything": "a user's own test.py, more often than Python's tests",
}
"""What picklescan calls dangerous and Loupe keeps inert, with the reason."""


def verdict(name: str) -> Verdict:
    mentions = Mentions()
    mentions.add(name)
    return mentions.judged()[0].verdict


def picklescan_calls_dangerous(name: str) -> bool:
    parts = name.split(".")
    splits = {(".".join(parts[:end]), ".".join(parts[end:])) for end in range(1, len(parts))}
    found = _build_scan_result_from_raw_globals(splits, "name")
    return any(one.safety is SafetyLevel.Dangerous for one in found.globals)


def fickling_calls_dangerous(name: str) -> bool:
    """Its analyses UnsafeImports and UnsafeImportsML; others call all but a few names unsafe."""
    module, _, attribute = name.rpartition(".")
    if module in ("builtins", "__builtin__"):
        return attribute not in SAFE_BUILTINS
    packages = {".".join(module.split(".")[:end]) for end in range(1, len(module.split(".")) + 1)}
    return (
        not UNSAFE_IMPORTS.isdisjoint(name.split("."))
        or not packages.isdisjoint(UnsafeImportsML.UNSAFE_MODULES)
        or attribute in UnsafeImportsML.UNSAFE_IMPORTS.get(module, ())
    )


def names_of_picklescan() -> Iterator[str]:
    for module, names in _unsafe_globals.items():
        if names == "*":
            yield f"{module}.anything"
        else:
            yield from (f"{module}.{name}" for name in ([names] if type(names) is str else names))


def names_of_fickling() -> Iterator[str]:
    for module in UNSAFE_IMPORTS | UnsafeImportsML.UNSAFE_MODULES.keys():
        yield f"{module}.anything"
        yield f"a_module.{module}.anything"
    for module, names in UnsafeImportsML.UNSAFE_IMPORTS.items():
        yield from (f"{module}.{name}" for name in names)


@pytest.mark.parametrize("name", sorted(names_of_picklescan()))
def test_what_picklescan_lists_as_dangerous_is_dangerous(name: str) -> None:
    assert picklescan_calls_dangerous(name)
    harmless = name in TAKEN_FOR_HARMLESS
    assert verdict(name) is (Verdict.INERT if harmless else Verdict.DANGEROUS)


def test_what_fickling_lists_as_dangerous_is_never_plain() -> None:
    assert [name for name in names_of_fickling() if verdict(name) is Verdict.PLAIN] == []


@pytest.mark.parametrize("name", sorted({*CONSTRUCTORS, *MENTIONED, *PLAIN_NAMES}))
def test_what_is_plain_no_scanner_calls_dangerous(name: str) -> None:
    assert verdict(name) is Verdict.PLAIN
    assert not picklescan_calls_dangerous(name)
    assert not fickling_calls_dangerous(name)


def test_each_dangerous_name_has_a_reason_that_makes_a_sentence() -> None:
    for reason in (*DANGEROUS_MODULES.values(), *DANGEROUS_NAMES.values()):
        assert reason.split()[0].rstrip(",").endswith("s")
        assert not reason.endswith(".")
