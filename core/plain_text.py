"""Shows untrusted text, from a file, a link or a person, word for word.

Whatever the text contains, it draws no image, makes no link, and breaks no page and no terminal.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from core.errors import shown
from core.wording import count

MAX_LENGTH = 300
"""The most characters that are shown of one text. Real keys, file names and dtypes are shorter.
Of a longer text both ends are shown, since they distinguish it from its neighbours."""

MAX_SENTENCE_LENGTH = 2_000
"""The most characters that are shown of one of Loupe's sentences, including the names in it."""

_MARKS = frozenset("\\`*_[]<>$:~#!|&{}")
"""The characters that begin CommonMark's markup, tables, formulas, directives and entities."""

_INNER_UNDERSCORES = re.compile(r"(?<=[^\W_])(_+)(?=[^\W_])")
"""Underscores inside a word, which emphasize nothing (CommonMark, rule 2 of emphasis). They are not
escaped, because a screen reader reads a widget's label as it is written, backslashes included."""

_BLOCK = re.compile(r"^(\d+)(?=[.)](?:\s|$))|^(?=[-+=])")
"""The start of a line that makes it a list item, or makes the line before it a heading."""

_REWRITTEN = re.compile(
    r"://|www\.|@"
    r"|:[\w+-]+:|:material/"
    r"|(?:^|\s)(?:<->|->|<-|--|>=|<=|~=)(?:\s|$)",
    re.IGNORECASE,
)
"""What Streamlit's renderer rewrites after it has resolved the escapes, so that no escape prevents
it. Addresses and e-mails become links (mdast-util-gfm-autolink-literal), `:name:` becomes an icon,
a logo or an emoji, and arrows become other characters (StreamlitMarkdown)."""

_KEY = re.compile(r"(?<!`)`([^`]+)`(?!`)")
"""A key in single backticks, as Loupe's sentences quote it."""

_STACKED_MARKS = re.compile(
    "([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})"
    "([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+)"
)
"""More than four combining marks on one letter: group 1 is the first four, group 2 the rest. No
script needs more than four, and a stack of them covers the lines above. The ranges are Unicode's
five blocks of combining marks."""


def shortened(text: str, limit: int = MAX_LENGTH) -> str:
    """The text itself if it has at most `limit` characters, else both its ends and the number of
    characters left out between them."""
    if len(text) <= limit:
        return text
    notice = f" … {count(len(text) - limit)} characters left out … "
    head = limit - limit // 3
    return f"{text[:head]}{notice}{text[len(text) - limit // 3 :]}"


def visible(text: str, limit: int = MAX_LENGTH) -> str:
    """The text for a place that interprets no markup, such as a table, a terminal or code.

    It is one line of bounded length. Control characters, direction marks, lone surrogates and
    stacked combining marks are written as escapes. A text of white space alone is in quotes:
    nobody would see it otherwise.
    """
    line = _STACKED_MARKS.sub(_escaped_marks, shown(shortened(text, limit)))
    return f'"{line}"' if line.isspace() else line


def _escaped_marks(stack: re.Match[str]) -> str:
    return stack[1] + ascii(stack[2])[1:-1]


def plain(text: str, limit: int = MAX_LENGTH) -> str:
    """The text as Markdown that shows it word for word, without links, images, colours or
    formulas."""
    return _markdown(_runs(visible(text, limit)))


def code(text: str, limit: int = MAX_LENGTH) -> str:
    """The text as Markdown that shows it as code."""
    return _code(visible(text, limit))


def plain_sentence(text: str) -> str:
    """One of Loupe's own sentences, with its keys in single backticks, as Markdown.

    What is in single backticks is shown as code, everything else word for word, whatever a key
    contains.
    """
    with_short_keys = _KEY.sub(lambda key: f"`{shortened(key[1])}`", text)
    pieces = _KEY.split(visible(with_short_keys, MAX_SENTENCE_LENGTH))
    return _markdown(
        run
        for index, piece in enumerate(pieces)
        for run in ([(True, piece)] if index % 2 else _runs(piece))
    )


def markup(text: str, limit: int = MAX_LENGTH) -> str:
    """The text escaped for HTML, and for the subset of HTML that plotly interprets in labels,
    titles and hover texts."""
    return escape(visible(text, limit))


def image_address(data: bytes, kind: str = "webp") -> str:
    """The bytes of an image file as a URL, `kind` as in image/webp (RFC 2397)."""
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def _runs(line: str) -> Iterator[tuple[bool, str]]:
    """The words of a line and the spaces between them, each as (whether only code shows it
    unchanged, text)."""
    for word in re.split("( +)", line):
        yield _REWRITTEN.search(word) is not None, word


def _markdown(runs: Iterable[tuple[bool, str]]) -> str:
    """One line of Markdown from (is code, text).

    Neighbouring pieces of code are merged: the backticks of two code spans would touch, and read as
    one longer fence.
    """
    filled = (run for run in runs if run[1])
    merged = [
        (is_code, "".join(text for _, text in group))
        for is_code, group in groupby(filled, key=lambda run: run[0])
    ]
    line = "".join(_code(text) if is_code else _escaped(text) for is_code, text in merged)
    inner = _BLOCK.sub(r"\1\\", line.strip())
    start, end = line[: len(line) - len(line.lstrip())], line[len(line.rstrip()) :]
    return _space_entities(start) + inner + (_space_entities(end) if inner else "")


def _space_entities(spaces: str) -> str:
    """Spaces as entities, which neither Streamlit nor Markdown strips from the ends of a text or
    reads as an indented block."""
    return "".join(f"&#{ord(space)};" for space in spaces)


def _escaped(text: str) -> str:
    pieces = _INNER_UNDERSCORES.split(text)
    return "".join(
        piece if index % 2 else "".join(f"\\{char}" if char in _MARKS else char for char in piece)
        for index, piece in enumerate(pieces)
    )


def _code(text: str) -> str:
    """Inline code; `:material/` is split in two, because Streamlit rewrites it even in code."""
    return r"\/".join(map(_fenced, re.split("(?<=:material)/", text)))


def _fenced(text: str) -> str:
    if not text:
        return ""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    edge = " " if text.strip(" ") and (text[0] in "` " or text[-1] in "` ") else ""
    return f"{fence}{edge}{text}{edge}{fence}"
