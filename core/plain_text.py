"""Text that is not ours, from a file, a link or a person, shown as text: whatever it holds, it
draws no picture, makes no link, and breaks no page and no terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from core.errors import shown
from core.wording import count

MOST = 300
"""Characters of one text that are shown. Real keys, file names and dtypes are shorter; of a longer
one, both ends tell it from its neighbours."""

MOST_OF_A_SENTENCE = 2_000
"""Characters of a sentence of Loupe's that are shown, the names in it included."""

_MARKS = frozenset("\\`*_[]<>$:~#!|&{}")
"""What CommonMark, its tables, formulas, directives and entities begin with."""

_WITHIN_A_WORD = re.compile(r"(?<=[^\W_])(_+)(?=[^\W_])")
"""Underscores that emphasize nothing (CommonMark, rule 2 of emphasis). They need no escape, which
the label of a widget, read aloud by a screen reader as it was written, would show."""

_BLOCK = re.compile(r"^(\d+)(?=[.)](?:\s|$))|^(?=[-+=])")
"""What turns a line into a list, or the line before it into a heading."""

_REWRITTEN = re.compile(
    r"://|www\.|@"
    r"|:[\w+-]+:|:material/"
    r"|(?:^|\s)(?:<->|->|<-|--|>=|<=|~=)(?:\s|$)",
    re.IGNORECASE,
)
"""What Streamlit's renderer rewrites after it has read the escapes, so that none holds: addresses
and e-mails become links (mdast-util-gfm-autolink-literal), `:name:` an icon, a logo or an emoji,
and arrows other signs (StreamlitMarkdown)."""

_KEY = re.compile(r"(?<!`)`([^`]+)`(?!`)")
"""A key in backticks, as Loupe's sentences have them."""

_PILE = re.compile(
    "([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})"
    "([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+)"
)
"""Combining marks (Unicode's five blocks of them) on one letter, and those after the fourth: no
script needs more, and a pile of them covers the lines above."""


def shortened(text: str, most: int = MOST) -> str:
    """The text itself up to `most` characters, else both its ends and how much is left out."""
    if len(text) <= most:
        return text
    said = f" … {count(len(text) - most)} characters left out … "
    head = most - most // 3
    return f"{text[:head]}{said}{text[len(text) - most // 3 :]}"


def visible(text: str, most: int = MOST) -> str:
    """The text for a place that shows it as it is, such as a table, a terminal or code: one line,
    bounded, and with control characters, marks of direction, halves of characters, and marks that
    pile up on one letter written out."""
    return _PILE.sub(_written_out, shown(shortened(text, most)))


def _written_out(pile: re.Match[str]) -> str:
    return pile[1] + ascii(pile[2])[1:-1]


def plain(text: str, most: int = MOST) -> str:
    """The text as Markdown that shows it word for word: no links, pictures, colours, formulas."""
    return _markdown(_runs(visible(text, most)))


def code(text: str, most: int = MOST) -> str:
    """The text as Markdown that shows it as code."""
    return _code(visible(text, most))


def plain_sentence(text: str) -> str:
    """A sentence of Loupe's own in which keys stand in backticks, as Markdown: what is in single
    backticks is code, all else is shown word for word, whatever a key holds."""
    with_short_keys = _KEY.sub(lambda key: f"`{shortened(key[1])}`", text)
    pieces = _KEY.split(visible(with_short_keys, MOST_OF_A_SENTENCE))
    return _markdown(
        run
        for index, piece in enumerate(pieces)
        for run in ([(True, piece)] if index % 2 else _runs(piece))
    )


def markup(text: str, most: int = MOST) -> str:
    """The text for HTML, and for the pseudo-HTML of a figure's labels, titles and hover texts."""
    return escape(visible(text, most))


def _runs(line: str) -> Iterator[tuple[bool, str]]:
    """Its words and the spaces between them, each with whether only code shows it as it is."""
    for word in re.split("( +)", line):
        yield _REWRITTEN.search(word) is not None, word


def _markdown(runs: Iterable[tuple[bool, str]]) -> str:
    """One line of Markdown; what becomes code next to code becomes one with it, since two would be
    read as something else."""
    filled = (run for run in runs if run[1])
    merged = [
        (is_code, "".join(text for _, text in group))
        for is_code, group in groupby(filled, key=lambda run: run[0])
    ]
    line = "".join(_code(text) if is_code else _escaped(text) for is_code, text in merged)
    inner = _BLOCK.sub(r"\1\\", line.strip())
    start, end = line[: len(line) - len(line.lstrip())], line[len(line.rstrip()) :]
    return _kept(start) + inner + (_kept(end) if inner else "")


def _kept(spaces: str) -> str:
    """Spaces that neither Streamlit nor Markdown takes off the ends of a text, nor reads as an
    indented block."""
    return "".join(f"&#{ord(space)};" for space in spaces)


def _escaped(text: str) -> str:
    pieces = _WITHIN_A_WORD.split(text)
    return "".join(
        piece if index % 2 else "".join(f"\\{sign}" if sign in _MARKS else sign for sign in piece)
        for index, piece in enumerate(pieces)
    )


def _code(text: str) -> str:
    """Inline code; `:material/` is parted, since it would be rewritten even there."""
    return r"\/".join(map(_fenced, re.split("(?<=:material)/", text)))


def _fenced(text: str) -> str:
    if not text:
        return ""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    edge = " " if text.strip(" ") and (text[0] in "` " or text[-1] in "` ") else ""
    return f"{fence}{edge}{text}{edge}{fence}"
