"""A comparison as one HTML file that needs nothing but a browser: no network, no other file."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from core.compare.comparison import EVIDENCE, Comparison, PairedBy, Row, State
from core.compare.depth import blocks, part_map
from core.compare.metadata.metadata_diff import ChangeKind, MetadataChange, value_words
from core.compare.report.figures import depth_figure, part_figure, scatter_figure
from core.compare.sides import Side
from core.compare.tensor_numbers import Numbers, Tolerance
from core.plain_text import MAX_SENTENCE_LENGTH, visible
from core.theme import ACCENT, FONT, MONOSPACE, SLOT_COLOURS, STATE_COLOURS
from core.wording import (
    cosine,
    count,
    parameters,
    percent,
    place_in_file,
    shape,
    size,
    small,
)

TEMPLATES = Path(__file__).with_name("templates")

NUMBERS: Mapping[str, str] = {
    "Relative L2": "the norm of B minus A, divided by the norm of A",
    "Max |Δ|": "the largest difference of an element",
    "Mean |Δ|": "the mean difference of an element, without its sign",
    "Cosine": "of the angle between the two: 1 means the same direction",
    "Changed": "the share of elements whose value differs",
}
"""Column of numbers → its meaning."""

Cell = tuple[str, str, str]
"""(title on a narrow screen, value to sort by, text) of a number."""

NO_NUMBER: Cell = ("", "", "")


def report_html(
    comparison: Comparison,
    a: Side,
    b: Side,
    *,
    sentence: str,
    numbers: Mapping[str, Numbers] | None = None,
    tolerance: Tolerance | None = None,
    metadata: Sequence[MetadataChange] = (),
    notes: Sequence[str] = (),
) -> Iterator[str]:
    """The HTML file, piece by piece.

    `numbers` are by row key; without them there are no figures. `metadata` is what changed besides
    the tensors. Names come from untrusted files, so the template escapes all of them, and the
    page's own policy allows no other script and no request.
    """
    known = numbers or {}
    figures = _figures(comparison, known)
    counts = {str(state): number for state, number in comparison.counts.items() if number}
    differs = len(comparison.rows) != comparison.counts[State.SAME]
    yield from (
        _environment()
        .get_template("report.html")
        .generate(
            title=f"{a.name} → {b.name}",
            sentence=sentence,
            sides={"A": a, "B": b},
            counts=counts,
            hidden={str(State.SAME)} if differs else set(),
            notes=notes,
            figures=figures,
            number_titles=["Parameters", *(NUMBERS if known else ())],
            rows=(_cells(row, known) for row in comparison.rows),
            metadata=metadata,
            meanings=_meanings(comparison, known, tolerance),
            scripts=_scripts(with_figures=bool(figures)),
        )
    )


@cache
def _environment() -> Environment:
    """The templates, which escape every text except the scripts, with their filters and
    constants."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "after": _after,
        "before": _before,
        "count": count,
        "digest": _digest,
        "facts": _facts,
        "sentence": _sentence,
    }
    environment.globals |= {
        "ACCENT": ACCENT,
        "FONT": FONT,
        "MONOSPACE": MONOSPACE,
        "SLOT_COLOURS": SLOT_COLOURS,
        "STATE_COLOURS": STATE_COLOURS,
    }
    environment.policies["json.dumps_function"] = _figure_json
    return environment


def _figure_json(figure: go.Figure, **_: object) -> str:
    """A figure for the filter `tojson`, which then escapes what would end a script element."""
    text: str = figure.to_json(engine="json")
    return text


def _digest(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()


def _sentence(text: str) -> str:
    """Any text, made safe to show: sentences and names may contain anything."""
    return visible(text, MAX_SENTENCE_LENGTH)


def _before(change: MetadataChange) -> str:
    return "" if change.kind is ChangeKind.ADDED else value_words(change.before)


def _after(change: MetadataChange) -> str:
    return "" if change.kind is ChangeKind.REMOVED else value_words(change.after)


def _scripts(*, with_figures: bool) -> list[Markup]:
    own = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return [Markup(script) for script in ([get_plotlyjs(), own] if with_figures else [own])]


def _figures(comparison: Comparison, numbers: Mapping[str, Numbers]) -> dict[str, go.Figure]:
    """Title → figure, for the figures with something to draw."""
    if not numbers:
        return {}
    changed = blocks(comparison, numbers)
    shared = part_map(changed)
    figures = {
        "Relative change by depth": depth_figure(changed),
        "Blocks by their parts": part_figure(shared) if shared else None,
        "Norm in A against relative change": scatter_figure(comparison.rows, numbers),
    }
    return {title: figure for title, figure in figures.items() if figure is not None}


def _facts(side: Side) -> dict[str, str]:
    facts = {"Format": side.format}
    if side.files:
        in_files = f" in {count(side.files)} files" if side.files > 1 else ""
        facts["Size"] = size(side.size) + in_files
        facts["state_dict"] = place_in_file(side.state_dict)
    facts["Tensors"] = count(side.tensors)
    facts["Parameters"] = parameters(side.parameters)
    if side.torch_version:
        facts["PyTorch"] = side.torch_version
    return facts


def _cells(
    row: Row, numbers: Mapping[str, Numbers]
) -> tuple[str, str, str, str, str, list[Cell], str]:
    """(state, key, how the two were paired, shape, dtype, numbers, evidence) of a row."""
    entry = row.a or row.b
    numel = entry.numel if entry else 0
    cells = [("parameters", str(numel), count(numel))]
    if numbers:
        cells += _numbers(numbers.get(row.key))
    return (
        row.state.value,
        _both(row.key_a, row.key_b),
        _more(row),
        _shapes(row.a.shape if row.a else None, row.b.shape if row.b else None),
        _both(row.a.dtype if row.a else None, row.b.dtype if row.b else None),
        cells,
        row.evidence.value,
    )


def _both(a: str | None, b: str | None) -> str:
    return f"{visible(a)} → {visible(b)}" if a and b and a != b else visible(a or b or "")


@lru_cache(maxsize=1024)
def _shapes(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> str:
    """The two shapes in words. Cached, because the tensors of a model have few different shapes,
    and this takes as long as the rest of a row."""
    return _both(*(None if sizes is None else shape(sizes) for sizes in (a, b)))


def _more(row: Row) -> str:
    if row.pair is None or row.pair.by is PairedBy.NAME:
        return row.note
    sure = row.pair.by in (PairedBy.PREFIX, PairedBy.HAND)
    confidence = "" if sure else f" ({percent(row.pair.confidence)})"
    why = f": {row.pair.why}" if row.pair.why else ""
    note = f"; {row.note}" if row.note else ""
    return f"paired by {row.pair.by}{confidence}{why}{note}"


def _numbers(numbers: Numbers | None) -> list[Cell]:
    if numbers is None:
        return [NO_NUMBER] * len(NUMBERS)
    angle = math.nan if numbers.cosine is None else numbers.cosine
    return [
        _number("rel. L2", numbers.relative_l2, _three_digits),
        _number("max |Δ|", numbers.max_abs, _three_digits),
        _number("mean |Δ|", numbers.mean_abs, _three_digits),
        _number("cosine", angle, cosine),
        _number("changed", numbers.changed_share, _one_decimal),
    ]


def _number(title: str, value: float, words: Callable[[float], str]) -> Cell:
    """The cell of a number. JavaScript reads infinity only as `Infinity`."""
    if math.isnan(value):
        return NO_NUMBER
    return title, repr(value).replace("inf", "Infinity"), words(value)


def _three_digits(value: float) -> str:
    return small(value, 3)


def _one_decimal(share: float) -> str:
    return percent(share, decimal=True)


def _meanings(
    comparison: Comparison, numbers: Mapping[str, Numbers], tolerance: Tolerance | None
) -> dict[str, str]:
    used = {row.evidence for row in comparison.rows}
    terms = {str(evidence): words for evidence, words in EVIDENCE.items() if evidence in used}
    if numbers:
        terms |= NUMBERS
    if tolerance is not None and numbers:
        outside = sum(not measured.close for measured in numbers.values())
        terms["Tolerance"] = (
            f"|A − B| ≤ {tolerance.atol:g} + {tolerance.rtol:g} · |B| holds for every element in "
            f"{count(len(numbers) - outside)} of the {count(len(numbers))} measured tensors"
        )
    return terms
