"""Fix, the base class of all kinds of fixes, and Recipe, a list of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from core.architectures import Signature
from core.checkpoint import StateDict
from core.errors import FixError
from core.fixes.form import Form
from core.fixes.script_part import ScriptPart
from core.keys import Patience

Syntax: TypeAlias = Literal["glob", "regex"]
"""`glob`: `*`, `?` and `[…]` for the whole key, dots included; `regex`: matches anywhere in it."""

MAX_TEXT = 1_000
"""The most characters of a prefix, a pattern or a replacement."""

MAX_KEY = 4_096
"""The most characters of a key that a fix makes."""

MAX_CHARACTERS = 32 << 20
"""The most characters of all keys together after a fix."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step did: how many tensors it changed and dropped, and a sentence."""

    changed: int
    dropped: int
    sentence: str


Changed: TypeAlias = tuple[StateDict, Effect]
"""A state_dict after a fix, and what the fix did to it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What fixes need besides the state_dict.

    `signature` is that of the chosen architecture, None without one; `patience` is the time that is
    left for matching patterns.
    """

    signature: Signature | None = None
    patience: Patience = field(default_factory=Patience)

    @property
    def wanted(self) -> Signature:
        """The signature. Raises FixError if there is none."""
        if self.signature is None:
            raise shapes_unknown()
        return self.signature


def shapes_unknown() -> FixError:
    """The FixError of a fix that needs an architecture's shapes."""
    return FixError(
        "This step needs the shapes of an architecture, and none is chosen.",
        "Choose an architecture, or switch this step off.",
    )


@dataclass(frozen=True, slots=True)
class Fix(ABC):
    """One change of a state_dict. Each kind of fix is a frozen dataclass that inherits from it.

    `json_name` is the kind's name in a recipe's JSON, and `form` describes its form on the Fit
    page. `keeps_names`: after it the tensors have the names that the file gives them, but a prefix.
    The dataclass's fields are texts, numbers, booleans, Literals of texts, and tuples of these:
    core/recipe/json_form.py reads and writes them by their annotations. A kind says all that is
    particular to it; core/fixes/table.py lists the kinds.
    """

    json_name: ClassVar[str]
    form: ClassVar[Form]
    keeps_names: ClassVar[bool] = False

    @abstractmethod
    def words(self) -> str:
        """The fix in a few words that begin with a verb, with keys in backticks."""

    @abstractmethod
    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """The state_dict after the fix, and what the fix did; it reads no tensor.

        Raises FixError if the fix cannot be applied.
        """

    @abstractmethod
    def script(self) -> ScriptPart:
        """The fix as PyTorch code that does to tensors what `apply` does to entries."""


@dataclass(frozen=True, slots=True)
class Step:
    """A fix in a recipe, switched on or off."""

    fix: Fix
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps in order; each is applied to the result of those before it."""

    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, fixes: Iterable[Fix]) -> Recipe:
        """The fixes, all switched on."""
        return cls(tuple(map(Step, fixes)))
