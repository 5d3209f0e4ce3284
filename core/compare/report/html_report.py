"""A comparison as one HTML file that needs nothing but a browser: no network, no other file."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from core.compare.comparison import EVIDENCE, Comparison, PairedBy, Row, State
from core.compare.depth import blocks, part_map
from core.compare.metadata.metadata_diff import ChangeKind, MetadataChange, value_words
from core.compare.report.figures import depth_figure, part_figure, scatter_figure
from core.compare.report.html_page import SCRIPT, style
from core.compare.sides import Side
from core.compare.tensor_numbers import Numbers, Tolerance
from core.plain_text import MOST_OF_A_SENTENCE, markup
from core.wording import count, parameters, shape, size

NUMBERS: Mapping[str, str] = {
    "Relative L2": "the norm of B minus A, over the norm of A",
    "Max |Δ|": "the largest difference of one element",
    "Mean |Δ|": "the mean size of the difference of an element",
    "Cosine": "of the angle between the two: 1 is the same direction",
    "Changed": "the share of elements whose value differs",
}
"""The columns of the numbers, and what they mean."""


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
    """The file, piece by piece.

    `numbers` are by row key, and without them there are no figures; `metadata` is what
    changed beside the tensors. Names come from files that nobody vouches for: all is escaped, and
    the page's own policy lets no other script run, and no request out.
    """
    known = numbers or {}
    drawn = _figures(comparison, known)
    library = get_plotlyjs() if drawn else ""
    yield from _head(f"{a.name} → {b.name}", [library, SCRIPT])
    yield f'<p class="brand">Loupe · comparison of two checkpoints</p><h1>{_text(sentence)}</h1>'
    yield f'<div class="sides">{_side("A", a)}{_side("B", b)}</div>'
    yield _bar(comparison)
    if notes:
        yield "<h2>Notes</h2><ul>"
        yield from (f"<li>{_text(note)}</li>" for note in notes)
        yield "</ul>"
    for index, title in enumerate(drawn):
        yield f'<h2>{_text(title)}</h2><div class="figure" data-figure="figure-{index}"></div>'
    yield from _table(comparison, known)
    yield from _metadata(metadata)
    yield _meanings(comparison, known, tolerance)
    yield "<footer>Written by Loupe. Nothing in the two files was run.</footer></main>"
    for index, figure in enumerate(drawn.values()):
        data = figure.to_json(engine="json").replace("<", "\\u003c")
        yield f'<script type="application/json" id="figure-{index}">{data}</script>'
    if library:
        yield f"<script>{library}</script>"
    yield f"<script>{SCRIPT}</script></body></html>\n"


def _figures(comparison: Comparison, numbers: Mapping[str, Numbers]) -> dict[str, go.Figure]:
    """Those that have something to draw, by their title."""
    if not numbers:
        return {}
    found = blocks(comparison, numbers)
    shared = part_map(found)
    figures = {
        "Relative change by depth": depth_figure(found),
        "Blocks by their parts": part_figure(shared) if shared else None,
        "Norm in A against relative change": scatter_figure(comparison.rows, numbers),
    }
    return {title: figure for title, figure in figures.items() if figure is not None}


def _text(words: str) -> str:
    """A sentence, or a name in its place, whatever it holds."""
    return markup(words, MOST_OF_A_SENTENCE)


def _head(title: str, scripts: Sequence[str]) -> Iterator[str]:
    """The page's policy lets just these scripts run (Content Security Policy 3, hash sources)."""
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        for script in scripts
        if script
    )
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    yield (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{style()}</style></head><body><main>"
    )


def _side(slot: str, one: Side) -> str:
    facts = {"Format": one.format}
    if one.files:
        facts["Size"] = size(one.size) + (f" in {count(one.files)} files" if one.files > 1 else "")
        facts["state_dict"] = one.state_dict or "the file itself"
    facts["Tensors"] = count(one.tensors)
    facts["Parameters"] = parameters(one.parameters)
    if one.torch_version:
        facts["PyTorch"] = one.torch_version
    told = "".join(f"<dt>{_text(name)}</dt><dd>{_text(fact)}</dd>" for name, fact in facts.items())
    return (
        f'<section class="side {slot}"><h3>{slot}: {_text(one.name)}</h3><dl>{told}</dl></section>'
    )


def _bar(comparison: Comparison) -> str:
    there = {state: number for state, number in comparison.counts.items() if number}
    spans = "".join(
        f'<span data-s="{state}" style="flex-grow:{number}"></span>'
        for state, number in there.items()
    )
    told = "".join(
        f'<span class="state" data-s="{state}">{count(number)} {state}</span>'
        for state, number in there.items()
    )
    return f'<div class="bar" aria-hidden="true">{spans}</div><p class="counts">{told}</p>'


def _table(comparison: Comparison, numbers: Mapping[str, Numbers]) -> Iterator[str]:
    if not comparison.rows:
        return
    differs = len(comparison.rows) != comparison.counts[State.SAME]
    yield '<h2>Tensors</h2><div class="tools">'
    for state, number in comparison.counts.items():
        if number:
            checked = "" if differs and state is State.SAME else " checked"
            yield (
                f'<label data-s="{state}"><input type="checkbox" value="{state}"{checked}>'
                f'<span class="state">{count(number)} {state}</span></label>'
            )
    yield (
        '<input type="search" id="search" placeholder="Filter keys" aria-label="Filter keys"></div>'
        '<p class="shown" id="shown" role="status"></p><table id="rows"><thead><tr>'
    )
    for title in ("State", "Key", "Shape", "Dtype"):
        yield f'<th aria-sort="none"><button>{title}</button></th>'
    for title in ("Parameters", *(NUMBERS if numbers else ())):
        yield f'<th class="n" aria-sort="none"><button>{title}</button></th>'
    yield '<th aria-sort="none"><button>Evidence</button></th></tr></thead><tbody>'
    for row in comparison.rows:
        yield _row(row, numbers.get(row.key), told=bool(numbers), hidden=differs)
    yield "</tbody></table>"


def _row(row: Row, numbers: Numbers | None, *, told: bool, hidden: bool) -> str:
    state, entry = row.state, row.a or row.b
    shapes = [shape(one.shape) if one else "" for one in (row.a, row.b)]
    dtypes = [one.dtype if one else "" for one in (row.a, row.b)]
    cells = [
        f'<td><span class="state">{state}</span></td>',
        f'<td class="key">{_key(row)}</td>',
        f'<td class="shape">{_both(*shapes)}</td>',
        f'<td class="dtype">{_both(*dtypes)}</td>',
        _number(
            "parameters", entry.numel if entry else math.nan, count(entry.numel if entry else 0)
        ),
    ]
    if told:
        cells += _numbers(numbers)
    gone = " hidden" if hidden and state is State.SAME else ""
    cells.append(f"<td>{row.evidence}</td>")
    return f'<tr data-s="{state}"{gone}>{"".join(cells)}</tr>'


def _both(a: str, b: str) -> str:
    return f"{markup(a)} → {markup(b)}" if a and b and a != b else markup(a or b)


def _key(row: Row) -> str:
    more = []
    if row.pair is not None and row.pair.by is not PairedBy.NAME:
        sure = row.pair.by in (PairedBy.PREFIX, PairedBy.HAND)
        confidence = "" if sure else f" ({row.pair.confidence:.0%})"
        why = f": {row.pair.why}" if row.pair.why else ""
        more.append(f"paired by {row.pair.by}{confidence}{why}")
    more += [row.note] if row.note else []
    told = f'<span class="more">{_text("; ".join(more))}</span>' if more else ""
    return _both(row.key_a or "", row.key_b or "") + told


def _numbers(found: Numbers | None) -> list[str]:
    if found is None:
        return ['<td class="n"></td>'] * len(NUMBERS)
    cosine = math.nan if found.cosine is None else found.cosine
    return [
        _number("rel. L2", found.relative_l2, f"{found.relative_l2:.3g}"),
        _number("max |Δ|", found.max_abs, f"{found.max_abs:.3g}"),
        _number("mean |Δ|", found.mean_abs, f"{found.mean_abs:.3g}"),
        _number("cosine", cosine, "" if found.cosine is None else f"{cosine:.6f}"),
        _number("changed", found.changed_share, f"{found.changed_share:.1%}"),
    ]


def _number(title: str, value: float, told: str) -> str:
    """A cell that sorts by its value; JavaScript reads infinity by its whole name."""
    if math.isnan(value):
        return '<td class="n"></td>'
    sorted_by = repr(value).replace("inf", "Infinity")
    return f'<td class="n" data-t="{title}" data-v="{sorted_by}">{told}</td>'


def _metadata(changes: Sequence[MetadataChange]) -> Iterator[str]:
    if not changes:
        return
    yield '<h2>Beside the tensors</h2><table class="changes"><thead><tr>'
    yield "<th>What</th><th>In A</th><th>In B</th></tr></thead><tbody>"
    for one in changes:
        in_a = "" if one.kind is ChangeKind.ADDED else value_words(one.before)
        in_b = "" if one.kind is ChangeKind.REMOVED else value_words(one.after)
        cells = "".join(f"<td>{_text(words)}</td>" for words in (in_a, in_b))
        yield f'<tr><td class="key">{_text(".".join(one.path))}</td>{cells}</tr>'
    yield "</tbody></table>"


def _meanings(
    comparison: Comparison, numbers: Mapping[str, Numbers], tolerance: Tolerance | None
) -> str:
    there = {row.evidence for row in comparison.rows}
    terms = {str(evidence): words for evidence, words in EVIDENCE.items() if evidence in there}
    if numbers:
        terms |= NUMBERS
    if tolerance is not None and numbers:
        outside = sum(not found.close for found in numbers.values())
        terms["Tolerance"] = (
            f"|A − B| ≤ {tolerance.atol:g} + {tolerance.rtol:g} · |B| holds for every element in "
            f"{count(len(numbers) - outside)} of the {count(len(numbers))} measured tensors"
        )
    if not terms:
        return ""
    told = "".join(
        f"<dt>{_text(term)}</dt><dd>{_text(words)}</dd>" for term, words in terms.items()
    )
    return f"<details><summary>What the words mean</summary><dl>{told}</dl></details>"
