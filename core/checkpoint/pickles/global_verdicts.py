"""Verdicts on the Python globals in a pickle: what they would do in a program that loads it."""

from __future__ import annotations

import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from core.checkpoint.pickles.known_globals import (
    AS_DATA,
    DANGEROUS_MODULES,
    DANGEROUS_NAMES,
    DETOURS,
    HARMLESS_MODULES,
    HARMLESS_NAMES,
    METHODS,
    MIXED_MODULES,
    PLAIN_NAMES,
    TYPE,
)

MAX_MODULE_PARTS = 8
"""Parts of a dotted name that are compared; no module in the tables has more."""


CLASS_NAME = re.compile(r"_*[A-Z]\w*[a-z]\w*")
"""How classes are named, and hardly any function (PEP 8)."""


_ATTRIBUTES = {
    module: frozenset(name.removeprefix(f"{module}.") for name in names)
    for module, names in groupby(sorted(DANGEROUS_NAMES), lambda name: name.partition(".")[0])
}
"""The dangerous names by their outermost module."""


UNKNOWN = (
    "A class or function unknown to Loupe: what it would do is not known. It was not imported, and "
    "its contents are kept as data."
)
"""The reason for the verdict on a name in none of the tables."""


GIVEN = (
    "It fetches what a class or an object has under a name, and gives it to a class unknown to "
    "Loupe: whether that calls it is not known. Loupe did not import or call it."
)
"""The reason where a function in AS_DATA fetched something for such a class."""


class Verdict(StrEnum):
    """Loupe's verdict on a global."""

    PLAIN = "plain data"
    INERT = "unknown, kept inert"
    DANGEROUS = "would have run code"


@dataclass(frozen=True, slots=True)
class GlobalUse:
    """A Python global that a pickle names: its qualified name, its verdict and its uses.

    `reason` is a sentence on the verdict, `uses` how often the file names it. `where` is its first
    use: the pickle's name in the file and, where the object tree contains it, the path there, as in
    `data.pkl: hyper_parameters.optimizer`. `hidden` says that only pickles that torch.load does not
    read name it; `file` names such pickles that are files of their own beside the checkpoint, in a
    folder or an archive.
    """

    name: str
    verdict: Verdict
    reason: str
    uses: int
    where: str = ""
    hidden: bool = False
    file: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it is in one of Loupe's tables, so that what it would do is known."""
        return self.reason not in (UNKNOWN, GIVEN)


def judge(
    name: str, uses: int, *, known: bool, loose: bool | None = None, given: bool = False
) -> GlobalUse:
    """The verdict on a global.

    `known` says that Loupe rebuilds it itself, as it does a dict. `loose` says of a function in
    AS_DATA that it is also used in another way than the table says, and of `type` that it makes
    classes; None where its uses are not known. `given` says that what it gave goes to a class that
    is unknown, and may call it.
    """
    if name in AS_DATA and loose is False:
        if given:
            return GlobalUse(name, Verdict.INERT, GIVEN, uses)
        reason = f"It {AS_DATA[name]}. Loupe did not import or call it."
        return GlobalUse(name, Verdict.INERT, reason, uses)
    if name in TYPE and loose:
        reason = "It makes classes. Loupe did not import or call it."
        return GlobalUse(name, Verdict.DANGEROUS, reason, uses)
    verdict, reason = _verdict(name, known)
    return GlobalUse(name, verdict, reason, uses)


def _verdict(name: str, known: bool) -> tuple[Verdict, str]:
    if known:
        return Verdict.PLAIN, "Data that Loupe rebuilds with its own functions."
    if name in PLAIN_NAMES:
        return Verdict.PLAIN, f"It is {PLAIN_NAMES[name]}."
    today = list(_python3_names(name))
    harmless = next((each for each in (name, *today) if each in HARMLESS_NAMES), None)
    if harmless is not None:
        return Verdict.INERT, f"It is {HARMLESS_NAMES[harmless]}. It was not imported or called."
    danger = next(filter(None, map(_danger, (name, *today))), None)
    if danger:
        return Verdict.DANGEROUS, f"It {danger}. Loupe did not import or call it."
    return Verdict.INERT, UNKNOWN


def _danger(name: str) -> str | None:
    if name in DANGEROUS_NAMES:
        return DANGEROUS_NAMES[name]
    parts = name.split(".")
    if parts[-1] in METHODS:
        return METHODS[parts[-1]]
    for end in range(min(len(parts), MAX_MODULE_PARTS), 0, -1):
        module = ".".join(parts[:end])
        if module in HARMLESS_MODULES:
            break
        if module in DANGEROUS_MODULES:
            return DANGEROUS_MODULES[module]
        if module in MIXED_MODULES:
            if not CLASS_NAME.fullmatch(parts[-1]):
                return MIXED_MODULES[module]
            break
    inner = parts[1:]
    private = "_" in name
    if private and any(part.startswith("__") and part.endswith("__") for part in inner):
        return "reaches the internals of an object"
    if not DETOURS.isdisjoint(inner) or (
        private and not DETOURS.isdisjoint(part.lstrip("_") for part in inner)
    ):
        return "reaches a module that runs code, through another that imported it"
    if not _ATTRIBUTES.get(parts[0], frozenset()).isdisjoint(inner):
        return "reaches a function that runs code, through another module"
    return None


def _python3_names(name: str) -> Iterator[str]:
    """The names to which Python 3 maps a name of Python 2 (Lib/pickle.py, Unpickler.find_class).

    `xmlrpclib.ServerProxy`, for example, imports `xmlrpc.client`; only the latter is in the tables.
    """
    parts = name.split(".")
    for end in range(1, min(len(parts), MAX_MODULE_PARTS)):
        module, attribute = ".".join(parts[:end]), ".".join(parts[end:])
        if (module, attribute) in NAME_MAPPING:
            yield ".".join(NAME_MAPPING[module, attribute])
        elif module in IMPORT_MAPPING:
            yield f"{IMPORT_MAPPING[module]}.{attribute}"
