"""The form of a fix as data: the fields that a person fills in, which a page shows as widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TextField:
    """One line of text; with `default` None it begins empty and shows the placeholder."""

    name: str
    label: str
    placeholder: str = ""
    default: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class PartsField:
    """Several names in one line, separated by commas: a tuple of texts."""

    name: str
    label: str
    placeholder: str
    default: str


@dataclass(frozen=True, slots=True)
class ChoiceField:
    """One of several texts, the first by default; `folded` into a list, or all visible."""

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
    """A number from 0 to `most`."""

    name: str
    label: str
    most: float
    default: float = 0.0


@dataclass(frozen=True, slots=True)
class SwitchField:
    """Yes or no."""

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class TableField:
    """New names for single keys of the file, among those that the model does not have."""

    name: str


@dataclass(frozen=True, slots=True)
class ClassesField:
    """The rows of a head, by two lists of class names: the file's and the wanted ones."""

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
"""How a form asks for the field `name` of a fix."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a kind of fix: its title, one line about what it does, and its fields."""

    title: str
    about: str
    fields: tuple[Field, ...] = ()


PATTERN = TextField("pattern", "Pattern", "fc.*")
SYNTAX = ChoiceField("syntax", "Read the pattern as", ("glob", "regex"))
ANY_PATTERN = TextField("pattern", "Pattern", "fc.*", default="*")
"""A pattern that matches every key by default, for fixes that find their tensors themselves."""
