"""Words from a file or of a person, shown as they are."""


def plain(text: str) -> str:
    """The text, safe from being read as Markdown: no links, pictures, colours or formulas."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>$:~#!|" else sign for sign in text)


def plain_sentence(text: str) -> str:
    """A sentence of Loupe's own in which keys stand in backticks: these stay code, all else is
    safe, whatever a key holds."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "".join(f"`{part}`" if i % 2 else plain(part) for i, part in enumerate(parts))
