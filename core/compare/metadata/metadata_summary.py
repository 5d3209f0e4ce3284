"""What differs besides the tensors, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from core.checkpoint import Checkpoint
from core.checkpoint.tree import Json
from core.compare.metadata.metadata_diff import MetadataChange, change_words, value_words
from core.compare.metadata.training_state import Named, epoch_of, learning_rates, scores_of, step_of
from core.errors import printable
from core.wording import THIN, capital, count, counted, listed

OPTIONS = frozenset(
    ("hyper_parameters", "hparams", "hyperparameters", "args", "config", "cfg", "opt", "options")
)
"""Where training scripts store their command-line options."""

MAX_NAMED = 3
"""The most changes that are named."""

MAX_NAME = 60
"""The most characters of a name from the file."""


def metadata_sentence(a: Checkpoint, b: Checkpoint, changes: Sequence[MetadataChange]) -> str:
    """How B differs from A besides the tensors: how much later it is, and its learning rate,
    results and options. `changes` are all changes of the metadata; every number comes from the
    metadata."""
    marks = _common_marks(a.metadata, b.metadata)
    moved = any(x.value != y.value for x, y, _ in marks)
    clauses = [
        clause
        for clause in (
            _Clause(_rates(a.metadata, b.metadata), named=True),
            _Clause(_scores(a.metadata, b.metadata), named=True),
            _Clause(_options(changes), named=True),
            _Clause(_torch(a, b)),
            _Clause(_optimizer(a, b)),
        )
        if clause.text
    ]
    if not clauses and not changes:
        return _nothing(a, b)
    if not clauses and not moved:
        clauses = [_Clause(_named(changes))]
    if marks:
        clauses.insert(0, _Clause(_progress(marks)))
    first = clauses[0].text
    if not clauses[0].named:
        first = capital(first)
    return "; ".join([first, *(clause.text for clause in clauses[1:])]) + "."


def training_words(a: Checkpoint, b: Checkpoint) -> str:
    """`epoch 2 → 40, accuracy 85.83 → 99.72`: the epoch, the step and the first result that both
    files state and that differ; else empty."""
    marks = [(x, y) for x, y, _ in _common_marks(a.metadata, b.metadata) if x.value != y.value]
    words = [f"{x.name} {_amount(x.value)} → {_amount(y.value)}" for x, y in marks]
    score = _common_score(a.metadata, b.metadata)
    if score is not None:
        name, before, after = score
        words.append(f"{name} {' → '.join(_digits([before], [after]))}")
    return ", ".join(words)


def training_order(a: Checkpoint, b: Checkpoint) -> int:
    """1 if B states a later epoch or step than A, -1 if an earlier one; 0 if they state none, the
    same, or one of each."""
    marks = _common_marks(a.metadata, b.metadata)
    later = {(y.value > x.value) - (y.value < x.value) for x, y, _ in marks} - {0}
    return later.pop() if len(later) == 1 else 0


class _Clause(NamedTuple):
    """A part of the sentence; `named` if it begins with a name that a script gave, which keeps its
    first letter."""

    text: str
    named: bool = False


_Mark = tuple[Named, Named, str]
"""A number of both files under the same name, such as the epoch: (A's, B's, its unit)."""


def _nothing(a: Checkpoint, b: Checkpoint) -> str:
    if not a.metadata and not b.metadata:
        return "Neither file contains anything besides its tensors."
    epoch, step = epoch_of(a.metadata), step_of(a.metadata)
    at = ", ".join(f"{mark.name} {value_words(mark.value)}" for mark in (epoch, step) if mark)
    return f"Everything besides the tensors is the same{f' ({at})' if at else ''}."


def _common_marks(a: Mapping[str, Json], b: Mapping[str, Json]) -> list[_Mark]:
    """The epoch and the step, where both files state them."""
    marks = [(epoch_of(a), epoch_of(b), "epoch"), (step_of(a), step_of(b), "step")]
    return [(x, y, unit) for x, y, unit in marks if x and y and x.name == y.name]


def _progress(marks: Sequence[_Mark]) -> str:
    """`B is 10 epochs later (epoch 2 → 12)`, or `both are at epoch 2`."""
    moved = [(x, y, unit) for x, y, unit in marks if x.value != y.value]
    if not moved:
        return f"both are at {' and '.join(_at(x) for x, _, _ in marks)}"
    (x, y, unit), *_ = moved
    steps = abs(y.value - x.value)
    far = counted(steps, unit) if isinstance(steps, int) else f"{_amount(steps)} {unit}s"
    where = ", ".join(f"{x.name} {_amount(x.value)} → {_amount(y.value)}" for x, y, _ in moved)
    return f"B is {far} {'later' if y.value > x.value else 'earlier'} ({where})"


def _at(mark: Named) -> str:
    return f"{mark.name} {_amount(mark.value)}"


def _amount(value: float) -> str:
    return count(value) if isinstance(value, int) else f"{value:.6g}"


def _rates(a: Mapping[str, Json], b: Mapping[str, Json]) -> str:
    """`lr went from 0.1 to 0.001`, for the first optimizer whose learning rate changed; else
    empty."""
    before, after = learning_rates(a), learning_rates(b)
    moved = [path for path, rates in before.items() if after.get(path, rates) != rates]
    if not moved:
        return ""
    old, new = before[moved[0]], after[moved[0]]
    of = f" of {_name([moved[0]])}" if len(before) > 1 else ""
    more = f", and that of {count(len(moved) - 1)} more changed" if len(moved) > 1 else ""
    return f"lr{of} {_went(old, new)}{more}"


def _went(before: Sequence[float], after: Sequence[float]) -> str:
    """`went from 0.1 to 0.01`, with all digits where six read the same. Of several parameter
    groups, every different rate is listed."""
    old, new = _digits(before, after)
    return f"went from {old} to {new}"


def _digits(before: Sequence[float], after: Sequence[float]) -> tuple[str, str]:
    digits = [[f"{number:.6g}" for number in numbers] for numbers in (before, after)]
    if digits[0] == digits[1]:
        digits = [[repr(number) for number in numbers] for numbers in (before, after)]
    old, new = (listed(list(dict.fromkeys(numbers))) for numbers in digits)
    return old, new


def _scores(a: Mapping[str, Json], b: Mapping[str, Json]) -> str:
    score = _common_score(a, b)
    if score is None:
        return ""
    name, before, after = score
    return f"{name} {_went([before], [after])}"


def _common_score(a: Mapping[str, Json], b: Mapping[str, Json]) -> tuple[str, float, float] | None:
    """The first result under one name in both that differs: its name, A's value and B's."""
    after = {score.name: score.value for score in scores_of(b)}
    for score in scores_of(a):
        if score.name in after and after[score.name] != score.value:
            return score.name, score.value, after[score.name]
    return None


def _options(changes: Sequence[MetadataChange]) -> str:
    """The options that differ: each by name where they are few, else their number."""
    options = [change for change in changes if change.path[0] in OPTIONS and len(change.path) > 1]
    if not options:
        return ""
    if len(options) > MAX_NAMED:
        return f"{count(len(options))} values of {options[0].path[0]} differ"
    return ", ".join(f"{_name(change.path[1:])} {change_words(change)}" for change in options)


def _torch(a: Checkpoint, b: Checkpoint) -> str:
    if a.torch_version and b.torch_version and a.torch_version != b.torch_version:
        return f"written by PyTorch{THIN}{a.torch_version} and {b.torch_version}"
    return ""


def _optimizer(a: Checkpoint, b: Checkpoint) -> str:
    has_a, has_b = (
        "optimizer" in checkpoint.roles.values() or bool(learning_rates(checkpoint.metadata))
        for checkpoint in (a, b)
    )
    return "" if has_a == has_b else f"only {'A' if has_a else 'B'} contains its optimizer's state"


def _named(changes: Sequence[MetadataChange]) -> str:
    names = list(dict.fromkeys(_name(change.path) for change in changes))
    differ = "differs" if len(changes) == 1 else "differ"
    return f"{counted(len(changes), 'value')} {differ} besides the tensors: {listed(names)}"


def _name(path: Sequence[str]) -> str:
    """A path in the metadata as text. Its names come from a file, so they are made printable."""
    name = printable(".".join(path))
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
