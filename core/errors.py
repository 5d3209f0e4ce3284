"""Every error that a person may see: what is wrong, and what to do about it."""

import re
import unicodedata


class LoupeError(Exception):
    """An error that Loupe understands, with a text for the person who sees it.

    `problem` is a sentence that says what is wrong, `remedy` one that says what to do, and
    `str(error)` is both. The technical cause is in `__cause__`, for the log.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class SourceError(LoupeError):
    """A file cannot be read: it is missing, too short, or it changed while it was open.

    The sentences may contain file names. Characters of these that cannot be shown are escaped.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(shown(problem), shown(remedy))


class CheckpointError(LoupeError):
    """A file is not a checkpoint, or is a damaged or hostile one.

    `whole` are the keys of the tensors that a truncated file still contains to the last byte. The
    sentences may contain names from the file. Control characters in these are escaped.
    """

    def __init__(self, problem: str, remedy: str = "", whole: tuple[str, ...] = ()) -> None:
        super().__init__(printable(problem), printable(remedy))
        self.whole = whole


class FixError(LoupeError):
    """A fix cannot be applied, for example because two keys would collide."""


class ArchitectureError(LoupeError):
    """An architecture is unknown, or cannot be built with the options given."""


class IndexFileError(LoupeError):
    """The index of architectures cannot be read or written."""


class LoadError(LoupeError):
    """A state_dict does not fit a model, or the model cannot be moved to the device."""


class ImageError(LoupeError):
    """An image cannot be decoded, or is refused."""


class LabelsError(LoupeError):
    """A list of class names cannot be read, or does not fit the model."""


class StoreError(LoupeError):
    """The data folder refuses a file: it is too large or over the quota, or its upload is out of
    order."""


class JobError(LoupeError):
    """Long work ended with an unexpected error, which is in the log."""


class SettingsError(LoupeError):
    """The server's configuration is wrong."""


class FilterError(LoupeError):
    """What was typed to filter a table cannot be understood."""


def printable(text: str) -> str:
    """Text from a file, made harmless for a terminal.

    Control characters, marks that change the direction of text, unassigned characters and lone
    surrogates are escaped, as `\\x1b`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        ascii(character)[1:-1]
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp")
        else character
        for character in text
    )


def shown(name: str) -> str:
    """A file name as text that every screen can show.

    Bytes that are not UTF-8, which Python represents as lone surrogates (PEP 383), become `\\xff`;
    the rest is as `printable` returns it.
    """
    if name.isascii() and name.isprintable():
        return name
    return printable(
        re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", name)
    )
