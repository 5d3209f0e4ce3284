"""A page that draws generated texts through core.plain_text, in each way that Streamlit draws
Markdown: as a paragraph, a caption, an error, a label, and a heading."""

import random
import string

import streamlit as st

from core.plain_text import code, plain, plain_sentence

PIECES = [
    *("![p](https://evil.example/p.png)", "[s](https://evil.example)", "<https://evil.example>"),
    *("https://evil.example/x", "HTTP://EVIL.EXAMPLE", "www.evil.example", "WWW.evil.example"),
    *("me@evil.example", "mailto:me@evil.example", "xmpp:me@evil.example", "ftp://evil.example"),
    *(":material/bolt:", ":material_bolt:", ":streamlit:", ":smile:", ":+1:", ":red[x]"),
    *(":red-background[x]", ":blue-badge[x]", ":small[x]", ":color[x]{foreground=red}"),
    *(":help[x]", ":shimmer[x]", "$x^2$", "$$", "$", "&lt;b&gt;", "&#58;", "&colon;", "<b>x</b>"),
    *("<!-- x -->", "<img src=https://evil.example/q.png>", "```", "~~~", "~~x~~", "**x**"),
    *("_x_", "`x`", "``", "`", "\\", "\\`", "|", "|a|b|", "# x", "1. x", "12) x", "- x", "+ x"),
    *("_", "__", "a_b", "é__", "_2"),
    *("> x", "===", "---", "***", ":::note", "::leaf", "[^1]", "[x]: https://evil.example"),
    *("->", "<->", "<-", "--", ">=", "<=", "~=", "[ ]", "(x)", " ", "  ", "    ", "/", ".", ":"),
    *(
        "\u202f",
        "\u00a0",
        "é",
        "語",
        "👍",
        "{x=1}",
        '"',
        "'",
        "a",
        "layer1.0.conv1.weight",
        "]",
        "[",
    ),
]


def texts() -> list[str]:
    """The same texts each time: every piece alone, in words, and many at random."""
    chosen = random.Random(13)
    some = ["".join(chosen.choices(PIECES, k=chosen.randint(2, 7))) for _ in range(200)]
    few = ["".join(chosen.choices(string.printable[:95], k=12)) for _ in range(50)]
    words = [f"of {piece} in" for piece in PIECES]
    return [text for text in dict.fromkeys([*PIECES, *words, *some, *few]) if text.strip()]


def sentences() -> list[str]:
    """Sentences of Loupe's own about keys that hold anything."""
    return [f"Drops `{text}` and `{text[::-1]}`: {text}." for text in texts()]


WAYS = {
    "markdown": lambda text: st.markdown(plain(text)),
    "caption": lambda text: st.caption(plain(text)),
    "error": lambda text: st.error(plain(text), icon=":material/error:"),
    "subheader": lambda text: st.subheader(plain(text), anchor=False),
    "label": lambda text: st.checkbox(plain(text), key=f"box-{text}"),
    "code": lambda text: st.markdown(f"of {code(text)} in"),
    "inside": lambda text: st.markdown(f"**A** · {plain(text)}, {plain(text)}"),
}


def main() -> None:
    """Draw all of them one way, which the address chooses."""
    way = st.query_params["way"]
    if way == "sentence":
        for number, text in enumerate(sentences()):
            with st.container(key=f"text-{number}"):
                st.markdown(plain_sentence(text))
        return
    for number, text in enumerate(texts()):
        with st.container(key=f"text-{number}"):
            WAYS[way](text)


if __name__ == "__main__":
    main()
