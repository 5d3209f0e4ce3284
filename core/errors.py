"""Every error that a person may see: what is wrong, and what to do about it."""

import re
import unicodedata


class LoupeError(Exception):
    """A trouble that Loupe understands.

    `problem` is one sentence that says what is wrong, `remedy` one that says what to do;
    `str(error)` is both. The technical cause travels as `__cause__`, for the log.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class SourceError(LoupeError):
    """A file cannot be read: it is missing, out of bounds, or it changed while it was open.

    Names of files may stand in the sentences: what cannot be shown of them is written out.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(shown(problem), shown(remedy))


class CheckpointError(LoupeError):
    """A file is not a checkpoint, or is a damaged or a hostile one.

    `whole` are the keys of a truncated file's tensors that are there to the last byte. Names that
    come from the file may stand in the sentences: their control characters are written out.
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
    """A state_dict does not go into a model, or the model does not go onto the device."""


class ImageError(LoupeError):
    """A picture cannot be decoded, or is refused."""


class LabelsError(LoupeError):
    """A list of class names cannot be read, or does not go with the model."""


class StoreError(LoupeError):
    """The data folder refuses a file: over the quota, too large, or an upload out of order."""


class JobError(LoupeError):
    """Long work was ended by what nobody foresaw; the log says by what."""


class SettingsError(LoupeError):
    """The server's configuration is wrong."""


class FilterError(LoupeError):
    """What was typed to filter a table cannot be understood."""


def printable(text: str) -> str:
    """A file's own words without effect on a terminal: control characters, marks that turn the
    direction of text, and lone surrogates written out, as `\\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        ascii(sign)[1:-1]
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp")
        else sign
        for sign in text
    )


def shown(name: str) -> str:
    """A file's name as text that every screen takes: bytes that are no UTF-8, which Python holds as
    lone surrogates (PEP 383), as `\\xff`, and else as `printable` has it."""
    if name.isascii() and name.isprintable():
        return name
    return printable(
        re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", name)
    )
