"""`getattr` of a class and a plain name is an Enum's member, as Python 3.11.0 to 3.11.3 pickle it.

A pickle of protocol 2 names a class inside another in the same way. Every other use is dangerous.
"""

import enum
import pickle
from pathlib import Path

import pytest
import torch

from core.checkpoint import Verdict, open_checkpoint
from tests.core.checkpoint.files_by_hand import COMMAND, call, name, text, with_tensor, zip_file

MODE = b"cmylib\nMode\n"
GETATTR = b"cbuiltins\ngetattr\n"
INNER = GETATTR + MODE + text("Inner") + b"\x86R"
MEMBER = GETATTR + MODE + text("FAST") + b"\x86R"


def verdicts(tmp_path: Path, value: bytes) -> dict[str, Verdict]:
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(value)))
    return {use.name: use.verdict for use in open_checkpoint(tmp_path / "m.pth").globals}


def dangerous(tmp_path: Path, value: bytes) -> bool:
    return Verdict.DANGEROUS in verdicts(tmp_path, value).values()


CHAIN = GETATTR + INNER + text("Mode") + b"\x86R"
IN_CHAIN = GETATTR + CHAIN + text("FAST") + b"\x86R"

DATA = {
    "member of a class inside a class": GETATTR + INNER + text("FAST") + b"\x86R",
    "member of a class inside two": IN_CHAIN,
    "members of a class inside a class, by the memo": b"](" + GETATTR + b"q\x01" + INNER
    + b"q\x02" + text("FAST") + b"\x86Rh\x01h\x02" + text("SLOW") + b"\x86Re",
    "member by its number, of a class inside two": CHAIN + b"K\x01\x85R",
    "member": MEMBER,
    "member, by Python 2's name": MEMBER.replace(b"builtins", b"__builtin__"),
    "members, by the memo": b"](" + GETATTR + b"q\x01" + MODE + b"q\x02" + text("FAST") + b"\x86R"
    b"h\x01h\x02" + text("SLOW") + b"\x86Re",
    "members in a list and as keys": b"}" + MEMBER + b"K\x01s",
    "member in protocol 4": call(name("builtins", "getattr"), name("mylib", "Mode"), text("A")),
    "class inside a class": INNER + b")\x81}" + text("a") + b"K\x01sb",
    "member by its value, a word": INNER + text("fast-1.5") + b"\x85R",
    "member of a class inside two, by its value": CHAIN + text("fast") + b"\x85R",
    "member by its number": INNER + b"K\x01\x85R",
    "torch's own function": call(
        GETATTR, b"ctorch._C\n_VariableFunctionsClass\n", text("relu")
    ),
}  # fmt: skip

OTHER = {
    "called": MEMBER + b")R",
    "called with a text": MEMBER + COMMAND + b"\x85R",
    "called as a class, with a text": GETATTR
    + MODE
    + text("Runner")
    + b"\x86R"
    + COMMAND
    + b"\x85R",
    "called by the memo": b"](" + MEMBER + b"q\x07h\x07)Re",
    "made by NEWOBJ": MEMBER + b")\x81",
    "changed": MEMBER + b"}" + text("x") + b"K\x01sb",
    "three arguments": GETATTR + MODE + text("FAST") + b"N\x87R",
    "one argument": GETATTR + MODE + b"\x85R",
    "of a member": call(GETATTR, MEMBER, text("b")),
    "of a member, in capitals": call(GETATTR, MEMBER, text("FAST")),
    "of a member of a member": call(GETATTR, call(GETATTR, MEMBER, text("Inner")), text("A")),
    "of an attribute of a module": call(
        GETATTR, call(GETATTR, b"cmylib\nmodes\n", text("Mode")), text("FAST")
    ),
    "dunder in a chain": call(GETATTR, INNER, text("__subclasses__")),
    "private in a chain": call(GETATTR, INNER, text("_member_map_")),
    "dotted in a chain": call(GETATTR, INNER, text("a.b")),
    "os in a chain": call(GETATTR, INNER, text("os")),
    "system in a chain": call(GETATTR, call(GETATTR, INNER, text("Os")), text("system"))
    + text("x")
    + b"\x85R",
    "chain from a dangerous class": call(
        GETATTR, call(GETATTR, b"csubprocess\nPopen\n", text("Inner")), text("FAST")
    ),
    "chain from a plain class": call(
        GETATTR, call(GETATTR, b"cbuiltins\nobject\n", text("Inner")), text("FAST")
    ),
    "chain that is called": IN_CHAIN + b")R",
    "chain that is called with a text": IN_CHAIN + COMMAND + b"\x85R",
    "class in a chain that is called with a text": CHAIN + COMMAND + b"\x85R",
    "chain that is called by the memo": b"](" + IN_CHAIN + b"q\x07h\x07)Re",
    "chain that is made by NEWOBJ": IN_CHAIN + b")\x81",
    "chain that is changed": IN_CHAIN + b"}" + text("x") + b"K\x01sb",
    "class in a chain that is changed": INNER
    + b"q\x07}"
    + text("x")
    + b"K\x01sb0"
    + GETATTR
    + b"h\x07"
    + text("FAST")
    + b"\x86R",
    "called attribute of an instance": call(GETATTR, INNER + b")\x81", text("FAST")) + b")R",
    "called attribute of a member": call(GETATTR, INNER + b"K\x01\x85R", text("FAST")) + b")R",
    "member by two words": INNER + text("fast; reboot") + b"\x85R",
    "member by a path": INNER + text("/bin/sh") + b"\x85R",
    "member by two values": INNER + text("a") + text("b") + b"\x86R",
    "member by an object": INNER + MODE + b"\x85R",
    "function by a word": call(GETATTR, MODE, text("run")) + text("fast") + b"\x85R",
    "function of a class in a class by a word": call(GETATTR, INNER, text("run"))
    + text("fast")
    + b"\x85R",
    "member of a class inside two, in capitals, by a word": IN_CHAIN + text("fast") + b"\x85R",
    "name without end": MODE
    + b"".join(
        b"q\x07" + b"0" + GETATTR + b"h\x07" + text("Inner" * 90) + b"\x86R" for _ in range(3)
    ),
    "chain with a default": GETATTR + INNER + text("FAST") + b"N\x87R",
    "chain whose function comes from elsewhere": b"]("
    + INNER
    + b"q\x07"
    + b"cfunctools\npartial\n("
    + GETATTR
    + b"h\x07"
    + text("FAST")
    + b"tRe",
    "dunder": call(GETATTR, MODE, text("__subclasses__")),
    "private": call(GETATTR, MODE, text("_member_map_")),
    "dotted": call(GETATTR, MODE, text("a.b")),
    "no text": call(GETATTR, MODE, b"K\x01"),
    "of a dangerous class": call(GETATTR, b"cos\nsystem\n", text("x")),
    "of a plain class": call(GETATTR, b"cbuiltins\nobject\n", text("mro")),
    "of a list": call(GETATTR, b"]", text("append")),
    "of a module's os": call(GETATTR, b"cmylib\nMode\n", text("os")),
    "as a value": GETATTR,
    "as a value, besides a member": b"](" + GETATTR + b"q\x01" + MODE + text("A") + b"\x86Rh\x01e",
    "copied": b"](" + GETATTR + b"2" + MODE + text("A") + b"\x86Re",
    "given to another": call(b"cfunctools\npartial\n", GETATTR, MODE, text("A")),
    "dropped": b"](" + GETATTR + b"0Ne",
}


@pytest.mark.parametrize("kind", DATA)
def test_a_member_is_data(tmp_path: Path, kind: str) -> None:
    found = verdicts(tmp_path, DATA[kind])
    assert Verdict.DANGEROUS not in found.values()
    assert any(use.endswith(".getattr") for use in found)


@pytest.mark.parametrize("kind", OTHER)
def test_any_other_use_is_dangerous(tmp_path: Path, kind: str) -> None:
    assert dangerous(tmp_path, OTHER[kind])


def test_a_stored_attribute_of_an_instance_is_data_as_a_bound_method_is(tmp_path: Path) -> None:
    for owner in (INNER + b")\x81", INNER + b"K\x01\x85R"):
        assert not dangerous(tmp_path, call(GETATTR, owner, text("FAST")))


def test_a_member_is_shown_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(MEMBER)))
    assert open_checkpoint(tmp_path / "m.pth").metadata == {"x": "mylib.Mode.FAST"}


def test_type_of_a_value_is_data_and_a_new_class_is_not(tmp_path: Path) -> None:
    kind = b"cbuiltins\ntype\n"
    assert not dangerous(tmp_path, kind)
    assert not dangerous(tmp_path, kind + b"N\x85R")
    assert dangerous(tmp_path, call(kind, text("A"), b")", b"}"))
    assert dangerous(tmp_path, kind + MODE + b"\x85R)R")


def test_the_bytes_of_a_tensor_in_a_plain_pickle_are_data(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"a": torch.ones(3), "b": torch.ones(4)}))
    uses = open_checkpoint(tmp_path / "m.pkl").globals
    assert not [use for use in uses if use.verdict is Verdict.DANGEROUS]


class Outer:
    class Inner(enum.Enum):
        FAST = "fast"
        NUMBER = 1

    class Deeper:
        class Mode(enum.Enum):
            SLOW = "slow-1.0"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("by_getattr", [False, True], ids=["by value", "by name"])
def test_members_of_enums_inside_classes_are_data(
    tmp_path: Path, protocol: int, by_getattr: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By value as most versions of Python pickle them, by name as 3.11.0 to 3.11.3 do."""
    if by_getattr:
        for kind in (Outer.Inner, Outer.Deeper.Mode):
            monkeypatch.setattr(
                kind, "__reduce_ex__", lambda self, _: (getattr, (type(self), self.name))
            )
    members = [*Outer.Inner, *Outer.Deeper.Mode]
    saved = {"w": torch.ones(2), "modes": members}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(saved, protocol))
    uses = open_checkpoint(tmp_path / "m.pkl").globals
    assert [use.name for use in uses if use.verdict is Verdict.DANGEROUS] == []
