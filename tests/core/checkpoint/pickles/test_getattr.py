"""`getattr` of a class and a plain name is an Enum's member, as Python 3.11.0 to 3.11.3 pickle it.

A pickle of protocol 2 names a class inside another in the same way. Every other use is dangerous.
"""

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


DATA = {
    "member": MEMBER,
    "member, by Python 2's name": MEMBER.replace(b"builtins", b"__builtin__"),
    "members, by the memo": b"](" + GETATTR + b"q\x01" + MODE + b"q\x02" + text("FAST") + b"\x86R"
    b"h\x01h\x02" + text("SLOW") + b"\x86Re",
    "members in a list and as keys": b"}" + MEMBER + b"K\x01s",
    "member in protocol 4": call(name("builtins", "getattr"), name("mylib", "Mode"), text("A")),
    "class inside a class": INNER + b")\x81}" + text("a") + b"K\x01sb",
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
    "nested": call(GETATTR, MEMBER, text("b")),
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
