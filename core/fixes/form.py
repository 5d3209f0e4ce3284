"""The form of a fix as data: what it asks a person for, which a page draws as its widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TextField:
    """One line of text; `default` None leaves it empty, with the placeholder in grey."""

    name: str
    label: str
    placeholder: str = ""
    default: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class PartsField:
    """Several names in one line, with commas between them: a tuple of texts."""

    name: str
    label: str
    placeholder: str
    default: str


@dataclass(frozen=True, slots=True)
class ChoiceField:
    """One of several texts, the first by default; all are in sight, or `folded` into a list."""

    name: str
    label: str
    options: Sequence[str]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class WholeField:
    """A whole number from 0, the default, to `most`."""

    name: str
    label: str
    most: int


@dataclass(frozen=True, slots=True)
class RealField:
    """A number from 0, the default, to `most`."""

    name: str
    label: str
    most: float


@dataclass(frozen=True, slots=True)
class SwitchField:
    """Yes or no."""

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class TableField:
    """New names for single keys, of the file's keys that the network does not know."""

    name: str


@dataclass(frozen=True, slots=True)
class ClassesField:
    """The rows of a head, by the names of the file's classes and of those that are wanted."""

    name: str


Field: TypeAlias = (
    TextField
    | PartsField
    | ChoiceField
    | WholeField
    | RealField
    | SwitchField
    | TableField
    | ClassesField
)
"""What a form asks for one field of a fix, whose name is `name`."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a kind of fix: its name there, what it is good for, and its fields in order."""

    title: str
    about: str
    fields: tuple[Field, ...] = ()


PATTERN = TextField("pattern", "Pattern", "fc.*")
SYNTAX = ChoiceField("syntax", "Read the pattern as", ("glob", "regex"))
ANY_PATTERN = TextField("pattern", "Pattern", "fc.*", default="*")
"""A pattern that need not be changed where there is only one thing to find."""
