"""Functions that reach or call anything are data in the forms in which honest libraries use them.

What `getattr`, `attrgetter` and the like give is harmless while it is only stored. Whatever may
call it, now or later, makes it dangerous.
"""

import configparser
import operator
import pickle
import typing
import zoneinfo
from collections.abc import Callable
from pathlib import Path

import fsspec
import joblib
import lightning.pytorch as pl
import numpy as np
import pytest
import scipy.interpolate
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from core.checkpoint import GlobalUse, Verdict, open_checkpoint
from core.errors import CheckpointError
from tests.core.checkpoint.files_by_hand import COMMAND, call, name, text, with_tensor, zip_file


class Method:
    def __init__(self) -> None:
        self.function = self.step

    def step(self, *_args: object) -> None: ...


class WithKeywords:
    def __new__(cls, *_args: object, **_keywords: object) -> "WithKeywords":
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, int]]:
        return (1,), {"k": 2}


def hooked() -> nn.Module:
    module = nn.Linear(2, 2)
    module.register_forward_hook(Method().step)
    return module


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1, momentum=0.9)


HONEST: dict[str, Callable[[], object]] = {
    "object that keeps its method": Method,
    "method": lambda: Method().step,
    "module with a method as hook": hooked,
    "CyclicLR": lambda: torch.optim.lr_scheduler.CyclicLR(optimizer(), 0.1, 0.2),
    "SWALR": lambda: torch.optim.swa_utils.SWALR(optimizer(), 0.1),
    "new arguments by name": WithKeywords,
    "two of them": lambda: [WithKeywords(), WithKeywords()],
    "time zone": lambda: zoneinfo.ZoneInfo("Europe/Berlin"),
    "types": lambda: [
        list[int], typing.List[int], typing.Optional[int], typing.Dict[str, typing.List[int]],  # noqa: UP006, UP045
        typing.Callable[[int], str], typing.Tuple[int, ...], typing.Literal["a", 1],  # noqa: UP006
    ],
    "choice of types": lambda: [int | None, int | str | typing.List[int]],  # noqa: UP006
    "itemgetter": lambda: [operator.itemgetter(1), operator.itemgetter("a", "b")],
    "attrgetter": lambda: [operator.attrgetter("loss"), operator.attrgetter("a.b", "c")],
    "methodcaller": lambda: operator.methodcaller("lower"),
    "methods of types": lambda: [str.split, str.lower, "x".lower, dict.get, dict.fromkeys],
    "CountVectorizer": lambda: CountVectorizer(tokenizer=str.split).fit(["a b"]),
    "FunctionTransformer": lambda: FunctionTransformer(str.lower),
    "methods of arrays": lambda: [np.ndarray.mean, torch.Tensor.add],
    "interp1d": lambda: scipy.interpolate.interp1d([0, 1], [0, 1]),
    "ConfigParser": configparser.ConfigParser,
    "local files": lambda: fsspec.filesystem("file"),
    "callbacks": lambda: [pl.callbacks.EarlyStopping("x"), pl.callbacks.ModelCheckpoint()],
}  # fmt: skip


def dangers(path: Path) -> list[GlobalUse]:
    return [use for use in open_checkpoint(path).globals if use.verdict is Verdict.DANGEROUS]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", HONEST)
def test_what_honest_libraries_save_is_no_danger(tmp_path: Path, kind: str, protocol: int) -> None:
    content = {"w": torch.ones(3), "x": HONEST[kind]()}
    torch.save(content, tmp_path / "m.pt", pickle_protocol=protocol)
    assert dangers(tmp_path / "m.pt") == []


@pytest.mark.parametrize("write", [joblib.dump, lambda value, path: path.write_bytes(
    pickle.dumps(value))], ids=["joblib", "pickle"])  # fmt: skip
def test_a_model_of_scikit_learn_is_refused_without_an_alarm(
    tmp_path: Path, write: Callable[[object, Path], object]
) -> None:
    for value in (CountVectorizer(tokenizer=str.split), FunctionTransformer(str.lower)):
        write(value, tmp_path / "m.bin")
        with pytest.raises(CheckpointError, match=r"^The file is a pickled scikit-learn"):
            open_checkpoint(tmp_path / "m.bin")


GETATTR = name("builtins", "getattr")
MODE = name("mylib", "Mode")
FETCHED = {
    "member": call(GETATTR, MODE, text("fast")),
    "method": call(GETATTR, MODE + b")\x81", text("fast")),
    "method of a type": call(GETATTR, name("builtins", "str"), text("split")),
    "attrgetter": call(name("operator", "attrgetter"), text("loss")),
    "itemgetter": call(name("_operator", "itemgetter"), text("loss")),
    "methodcaller": call(name("operator", "methodcaller"), text("lower")),
    "typing": call(name("_operator", "getitem"), name("typing", "List"), MODE),
    "union": call(
        name("functools", "reduce"), name("_operator", "or_"), b"(" + MODE + MODE + b"t"
    ),
}  # fmt: skip


def rebuilt(function: bytes) -> bytes:
    tensor = name("torch", "Tensor")
    return call(name("torch._tensor", "_rebuild_from_type_v2"), function, tensor, b")", b"}")


def partial_of(function: bytes, *state: bytes) -> bytes:
    made = call(name("functools", "partial"), MODE)
    return made + b"(" + function + b"".join(state or (b")", b"}", b"N")) + b"tb"


OBJECT = name("mylib", "Thing") + b")\x81"
CALLS: dict[str, Callable[[bytes], bytes]] = {
    "REDUCE": lambda it: it + b")R",
    "REDUCE with a command": lambda it: it + COMMAND + b"\x85R",
    "NEWOBJ": lambda it: it + b")\x81",
    "NEWOBJ_EX": lambda it: it + b")}\x92",
    "OBJ": lambda it: b"(" + it + COMMAND + b"o",
    "REDUCE out of the memo": lambda it: b"](" + it + b"q\x070h\x07)Re",
    "REDUCE of a copy": lambda it: b"](" + it + b"2)Re",
    "tensor's function": rebuilt,
    "tensor's function, out of the memo": lambda it: b"](" + it + b"q\x070" + rebuilt(b"h\x07")
    + b"e",
    "tensor's arguments": lambda it: call(
        name("torch._tensor", "_rebuild_from_type_v2"), MODE, MODE, b"(" + it + b"t", b"}"
    ),
    "factory of a defaultdict": lambda it: call(name("collections", "defaultdict"), it),
    "partial": lambda it: call(name("functools", "partial"), it),
    "partial, by NEWOBJ": lambda it: name("functools", "partial") + it + b"\x85\x81",
    "partial, by its state": partial_of,
    "partial's argument, called": lambda it: partial_of(MODE, it + b"\x85", b"}", b"N") + b")R",
    "partial's argument, given": lambda it: rebuilt(
        partial_of(MODE, it + b"\x85", b"}", b"N")
    ),
    "partial's keyword, called": lambda it: partial_of(
        MODE, b")", b"}" + text("x") + it + b"s", b"N"
    ) + b")R",
    "in an object's __setstate__": lambda it: OBJECT + b"}" + text("__setstate__") + it + b"sb"
    + COMMAND + b"b",
    "in slots": lambda it: OBJECT + b"(N}" + text("__setstate__") + it + b"stb" + COMMAND + b"b",
    "in an object's append": lambda it: OBJECT + b"}" + text("append") + it + b"sb" + COMMAND
    + b"a",
    "in an object's extend": lambda it: OBJECT + b"}" + text("extend") + it + b"sb(" + COMMAND
    + b"e",
    "in an object's add": lambda it: OBJECT + b"}" + text("add") + it + b"sb(" + COMMAND + b"\x90",
    "in an OrderedDict's __setstate__": lambda it: name("collections", "OrderedDict") + b")R}"
    + text("__setstate__") + it + b"sb" + COMMAND + b"b",
    "map": lambda it: call(name("builtins", "map"), it, b"]"),
    "filter": lambda it: call(name("builtins", "filter"), it, b"]"),
    "sorted": lambda it: call(name("builtins", "sorted"), b"]", it),
    "starmap": lambda it: call(name("itertools", "starmap"), it, b"]"),
    "function of sklearn": lambda it: call(name("sklearn.x", "_rebuild"), it),
    "function of joblib": lambda it: call(name("joblib.x", "_rebuild"), b"](" + it + b"e"),
    "function of pandas": lambda it: call(name("pandas.x", "_new_Index"), MODE, b"}" + it
    + b"Ns"),
    "class that REDUCE calls": lambda it: call(name("mylib", "Thing"), it),
    "class that OBJ calls": lambda it: b"(" + name("mylib", "Thing") + it + b"o",
    "class that INST calls": lambda it: b"(" + it + b"imylib\nThing\n",
    "class that NEWOBJ_EX makes": lambda it: name("mylib", "Thing") + it + b"\x85}\x92",
    "keyword of NEWOBJ_EX": lambda it: name("mylib", "Thing") + b")}" + text("k") + it
    + b"s\x92",
    "copyreg.__newobj__": lambda it: call(name("copyreg", "__newobj__"), it),
    "copyreg.__newobj_ex__": lambda it: call(name("copyreg", "__newobj_ex__"), it, b")", b"}"),
    "copyreg._reconstructor": lambda it: call(
        name("copyreg", "_reconstructor"), it, name("builtins", "object"), b"N"
    ),
    "copyreg._reconstructor's base": lambda it: call(
        name("copyreg", "_reconstructor"), MODE, it, COMMAND
    ),
    "generator's constructor": lambda it: call(
        name("numpy.random._pickle", "__generator_ctor"), text("x"), it
    ),
    "called result": lambda it: call(MODE) + it + b"\x85R",
    "state of the function": lambda it: it + b"}" + text("x") + b"K\x01sb",
    "item of the function": lambda it: it + text("x") + b"K\x01s",
    "getattr of it": lambda it: call(GETATTR, it, text("x")),
    "function that is in the memo": lambda it: b"](" + GETATTR + b"q\x08" + it + b"h\x08e",
}  # fmt: skip


def fetched_in(tmp_path: Path, content: bytes) -> set[str]:
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(content)))
    return {use.name for use in dangers(tmp_path / "m.pth")}


@pytest.mark.parametrize("fetched", FETCHED)
def test_what_is_only_stored_is_data(tmp_path: Path, fetched: str) -> None:
    it = FETCHED[fetched]
    for stored in (
        it, b"]" + it + b"a", OBJECT + b"}" + text("hook") + it + b"sb", b"}" + it + b"Ns",
        call(name("builtins", "set"), b"]" + it + b"a"),
        partial_of(MODE, it + b"\x85", b"}", b"N"),
    ):  # fmt: skip
        assert fetched_in(tmp_path, stored) == set()


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("fetched", FETCHED)
def test_what_something_may_call_is_dangerous(tmp_path: Path, fetched: str, kind: str) -> None:
    assert fetched_in(tmp_path, CALLS[kind](FETCHED[fetched]))


def test_what_goes_to_an_unknown_class_is_not_known(tmp_path: Path) -> None:
    thing = name("mylib", "Thing") + FETCHED["member"] + b"\x85\x81"
    assert fetched_in(tmp_path, thing) == set()
    uses = {use.name: use for use in open_checkpoint(tmp_path / "m.pth").globals}
    assert not uses["builtins.getattr"].is_known
    assert "whether that calls it is not known" in uses["builtins.getattr"].reason


OTHER_FORMS = {
    "getitem of a dict": call(name("_operator", "getitem"), b"}", text("x")),
    "getitem of a module": call(name("operator", "getitem"), name("sys", "modules"), text("os")),
    "getitem of an unknown name": call(name("operator", "getitem"), MODE, text("x")),
    "getitem of a type with an object": call(
        name("operator", "getitem"), name("typing", "List"), OBJECT
    ),
    "reduce of another function": call(name("functools", "reduce"), MODE, b"(" + MODE * 2 + b"t"),
    "reduce of objects": call(
        name("functools", "reduce"), name("operator", "or_"), b"(" + OBJECT * 2 + b"t"
    ),
    "attrgetter of a dunder": call(name("operator", "attrgetter"), text("a.__globals__")),
    "attrgetter without a name": call(name("operator", "attrgetter"), b"K\x01"),
    "itemgetter of an object": call(name("operator", "itemgetter"), OBJECT),
    "methodcaller of a dunder": call(name("operator", "methodcaller"), text("__reduce__")),
    "methodcaller with an object": call(name("operator", "methodcaller"), text("a"), OBJECT),
    "make_instance of another class": call(
        name("fsspec.spec", "make_instance"), MODE, b")", b"}"
    ),
    "make_instance with an object": call(
        name("fsspec.spec", "make_instance"),
        name("fsspec.implementations.local", "LocalFileSystem"), OBJECT + b"\x85", b"}",
    ),
    "make_instance of a connection": call(
        name("fsspec.spec", "make_instance"),
        name("fsspec.implementations.http", "HTTPFileSystem"), b")", b"}",
    ),
    "time zone of a path": call(
        call(GETATTR, name("zoneinfo", "ZoneInfo"), text("_unpickle")), text("../x"), b"K\x01"
    ),
    "another method of a time zone": call(
        call(GETATTR, name("zoneinfo", "ZoneInfo"), text("from_file")), OBJECT
    ),
    "__new__, called": call(GETATTR, MODE, text("__new__")) + MODE + b"\x85R",
    "__new__ in a partial that is not called": call(
        name("functools", "partial"), call(GETATTR, MODE, text("__new__"))
    ) + b")R",
    "another dunder": call(GETATTR, MODE, text("__subclasses__")),
    "dunder of an object": call(GETATTR, OBJECT, text("__reduce__")),
    "attribute of a list": call(GETATTR, b"]", text("append")),
    "no method of a type": call(GETATTR, name("builtins", "str"), text("mro")),
    "method that writes": call(GETATTR, name("numpy", "ndarray"), text("tofile")),
    "module of a module": call(GETATTR, OBJECT, text("os")),
    "by a name that hides from a search": b"S'builtins'\nS'get\\x61ttr'\n\x93" + MODE
    + text("A") + b"\x86R",
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER_FORMS)
def test_another_form_is_dangerous(tmp_path: Path, kind: str) -> None:
    assert fetched_in(tmp_path, OTHER_FORMS[kind])


def new_by_partial(state: bytes, calls: bytes = b")R") -> bytes:
    method = call(GETATTR, MODE, text("__new__"))
    return call(name("functools", "partial"), method + b"q\x09") + b"(" + state + b"tb" + calls


def test_the_partial_of_protocol_2_makes_an_object(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3), "x": WithKeywords()}, tmp_path / "m.pt")
    uses = {use.name for use in open_checkpoint(tmp_path / "m.pt").globals}
    assert "functools.partial" in uses
    good = b"h\x09" + MODE + b"K\x01\x86}N"
    assert fetched_in(tmp_path, new_by_partial(good)) == set()


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        (b"h\x09" + MODE + b"K\x01\x86}N", b""),
        (b"h\x09" + MODE + b"K\x01\x86}N", b"q\x0a0h\x0a)Rh\x0a)R\x86"),
        (b"h\x09" + MODE + b"K\x01\x86}N", COMMAND + b"\x85R"),
        (b"h\x09" + MODE + b"K\x01\x86}N", b"(" + MODE + b")}Ntb)R"),
        (b"h\x09" + OBJECT + b"\x85}N", b")R"),
        (b"h\x09" + MODE + FETCHED["method"] + b"\x86}N", b")R"),
        (b"h\x09" + MODE + b"\x85}" + text("f") + FETCHED["method"] + b"sN", b")R"),
        (MODE + MODE + b"\x85}N", b")R"),
    ],
    ids=["not called", "twice", "with a command", "another state", "another class", "a method",
         "a method by name", "another function"],
)  # fmt: skip
def test_another_partial_of_it_is_dangerous(tmp_path: Path, state: bytes, calls: bytes) -> None:
    assert fetched_in(tmp_path, new_by_partial(state, calls))
