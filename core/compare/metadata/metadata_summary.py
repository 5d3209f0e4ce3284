"""What differs besides the tensors, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.checkpoint import Checkpoint
from core.checkpoint.tree import Json
from core.compare.metadata.metadata_diff import MetadataChange, change_words, value_words
from core.compare.metadata.training_state import Named, epoch_of, learning_rates, scores_of, step_of
from core.errors import printable
from core.wording import THIN, count, listed

OPTIONS = frozenset(
    ("hyper_parameters", "hparams", "hyperparameters", "args", "config", "cfg", "opt", "options")
)
"""Where training scripts store their command-line options."""

MAX_NAMED = 3
"""Changes that are named at most."""

MAX_NAME = 60
"""Characters of a name from the file at most."""


def metadata_sentence(a: Checkpoint, b: Checkpoint, changes: Sequence[MetadataChange]) -> str:
    """How B differs from A besides the tensors: how much later it is, and its learning rate,
    results and options. `changes` are all changes of the metadata; every number comes from the
    metadata."""
    progress = _progress(a.metadata, b.metadata)
    clauses = [
        clause
        for clause in (
            _rates(a.metadata, b.metadata),
            _scores(a.metadata, b.metadata),
            _options(changes),
            _torch(a, b),
            _optimizer(a, b),
        )
        if clause
    ]
    if not clauses and not changes:
        return _nothing(a, b)
    if not clauses and not progress.startswith("B "):
        clauses = [_named(changes)]
    sentence = "; ".join([progress, *clauses] if progress else clauses) + "."
    if sentence.startswith(("both ", "only ", "written ")):  # not the names that scripts give
        return sentence[0].upper() + sentence[1:]
    return sentence


def _nothing(a: Checkpoint, b: Checkpoint) -> str:
    if not a.metadata and not b.metadata:
        return "Neither file contains anything besides its tensors."
    epoch, step = epoch_of(a.metadata), step_of(a.metadata)
    at = ", ".join(f"{mark.name} {value_words(mark.value)}" for mark in (epoch, step) if mark)
    return f"Everything besides the tensors is the same{f' ({at})' if at else ''}."


def _progress(a: Mapping[str, Json], b: Mapping[str, Json]) -> str:
    """`B is 10 epochs later (epoch 2 → 12)`; empty where the files state no common epoch or
    step."""
    marks = [(epoch_of(a), epoch_of(b), "epoch"), (step_of(a), step_of(b), "step")]
    both = [(x, y, unit) for x, y, unit in marks if x and y and x.name == y.name]
    if not both:
        return ""
    moved = [(x, y, unit) for x, y, unit in both if x.value != y.value]
    if not moved:
        return f"both are at {' and '.join(_at(x) for x, _, _ in both)}"
    (x, y, unit), *_ = moved
    steps = abs(y.value - x.value)
    far = f"{_amount(steps)} {unit}{'' if steps == 1 else 's'}"
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
    digits = [[f"{rate:.6g}" for rate in rates] for rates in (before, after)]
    if digits[0] == digits[1]:
        digits = [[repr(rate) for rate in rates] for rates in (before, after)]
    old, new = (listed(list(dict.fromkeys(rates))) for rates in digits)
    return f"went from {old} to {new}"


def _scores(a: Mapping[str, Json], b: Mapping[str, Json]) -> str:
    after = {score.name: score.value for score in scores_of(b)}
    for score in scores_of(a):
        if score.name in after and after[score.name] != score.value:
            return f"{score.name} {_went([score.value], [after[score.name]])}"
    return ""


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
    number = len(changes)
    values = "value differs" if number == 1 else "values differ"
    return f"{count(number)} {values} besides the tensors: {listed(names)}"


def _name(path: Sequence[str]) -> str:
    """A path in the metadata as text. Its names come from a file, so they are made printable."""
    name = printable(".".join(path))
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
