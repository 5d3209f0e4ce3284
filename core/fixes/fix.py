"""Fixes and recipes as small frozen values, and what every kind of fix says of itself."""

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
"""`glob`: `*`, `?` and `[…]` over the whole key, dots included; `regex`: found anywhere in it."""

MAX_TEXT = 1_000
"""Characters in a prefix, a pattern or a replacement."""

MAX_KEY = 4_096
"""Characters that a fix may give a key."""

MAX_CHARACTERS = 32 << 20
"""Characters that a fix may give all keys together."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step did: tensors that got another key or dtype, tensors that went away."""

    changed: int
    dropped: int
    sentence: str


Changed: TypeAlias = tuple[StateDict, Effect]
"""A state_dict after a fix, and what the fix did to it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What fixes go by besides the state_dict: the signature of the chosen architecture, where
    there is one, and the time that is left for their patterns."""

    signature: Signature | None = None
    patience: Patience = field(default_factory=Patience)

    @property
    def wanted(self) -> Signature:
        """The signature. Raises FixError where there is none."""
        if self.signature is None:
            raise shapes_unknown()
        return self.signature


def shapes_unknown() -> FixError:
    """Why a fix that goes by an architecture's shapes cannot be applied without one."""
    return FixError(
        "Which shapes are wanted is not known without an architecture.",
        "Choose an architecture, or switch this step off.",
    )


@dataclass(frozen=True, slots=True)
class Fix(ABC):
    """One change of a state_dict. A kind is a frozen dataclass of it, and says all that there is
    to say of the kind; core/fixes/table.py lists the kinds.

    `json_name` is what the kind is called in a recipe's JSON, `form` the form in which a person
    writes one. The dataclass's fields are texts, numbers, booleans, Literals of texts, and tuples
    of these: core/recipe/json_form.py reads and writes them by their annotations.
    """

    json_name: ClassVar[str]
    form: ClassVar[Form]

    @abstractmethod
    def words(self) -> str:
        """The fix in a few words that begin with a verb, with keys in backticks."""

    @abstractmethod
    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """The state_dict after the fix, and what the fix did; no tensor is read.

        Raises FixError where the fix cannot be applied.
        """

    @abstractmethod
    def script(self) -> ScriptPart:
        """The fix as PyTorch code, which does to tensors what `apply` does to entries."""


@dataclass(frozen=True, slots=True)
class Step:
    """A fix in a recipe, switched on or off."""

    fix: Fix
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """Fixes in their order; each works on what the ones before it made."""

    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, fixes: Iterable[Fix]) -> Recipe:
        """The fixes, all switched on."""
        return cls(tuple(map(Step, fixes)))
