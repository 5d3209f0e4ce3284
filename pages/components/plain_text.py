"""Words from a file or of a person, shown as they are."""


def plain(text: str) -> str:
    """The text, safe from being read as Markdown: no links, pictures, colours or formulas."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>$:~#!|" else sign for sign in text)
