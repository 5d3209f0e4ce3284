"""The options that commands share, as parent parsers, and the functions that read them."""

from __future__ import annotations

import argparse
import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SourceError

if TYPE_CHECKING:
    from core.architectures import Architecture, Signature
    from core.fit.index import Index

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    """The object to which each command adds its parser."""

CHECKPOINT_HELP = "a checkpoint, its folder, or the .index.json of its shards"


def file_parent() -> argparse.ArgumentParser:
    """The argument FILE, a checkpoint."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("file", type=Path, metavar="FILE", help=CHECKPOINT_HELP)
    return parent


def json_parent() -> argparse.ArgumentParser:
    """The option `--json`."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parent


def checkpoint_parent() -> argparse.ArgumentParser:
    """FILE, `--json` and `--state-dict`, for commands that answer on one checkpoint."""
    parent = argparse.ArgumentParser(add_help=False, parents=[file_parent(), json_parent()])
    parent.add_argument(
        "--state-dict", metavar="PATH", help="the state_dict in the file (default: the best one)"
    )
    return parent


def architecture_parent(*, required: bool) -> argparse.ArgumentParser:
    """The options `--arch`, `--num-classes` and `--in-chans`; `required` is for `--arch`."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--arch",
        required=required,
        metavar="NAME",
        help="resnet18, timm:resnet50d, torchvision:vit_b_16, own:module.function",
    )
    parent.add_argument(
        "--num-classes",
        type=int,
        metavar="N",
        help="classes of the head (default: the architecture's)",
    )
    parent.add_argument("--in-chans", type=int, metavar="N", help="input channels (timm)")
    return parent


def repair_parent() -> argparse.ArgumentParser:
    """The options `--strip-prefix` and `--drop`."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--strip-prefix",
        action="append",
        default=[],
        metavar="P",
        help="strip P from the keys; repeatable",
    )
    parent.add_argument(
        "--drop", action="append", default=[], metavar="GLOB", help="drop these keys; repeatable"
    )
    return parent


def architecture_of(options: argparse.Namespace) -> Architecture:
    """The architecture that the options of `architecture_parent` name.

    Raises ArchitectureError, and SettingsError for an own model.
    """
    from core.architectures import OWN, catalogue, parse_architecture
    from core.fit.index import known_names, known_signature

    if options.arch.startswith(f"{OWN}:"):
        from core.server import read_settings

        catalogue(read_settings(os.environ).models)
    index = installed_index()
    architecture = parse_architecture(options.arch, known_names(index) if index else {})
    given = {"num_classes": options.num_classes, "in_chans": options.in_chans}
    chosen = dict(architecture.options) | {
        name: value for name, value in given.items() if value is not None
    }
    wanted = replace(architecture, options=tuple(sorted(chosen.items())))
    if index is not None and known_signature(index, wanted) is not None:
        return wanted
    return parse_architecture(wanted.key)  # which refuses an option that it does not take


def wanted_signature(architecture: Architecture) -> Signature:
    """The architecture's signature: by the index where it is known there, else by a build.

    A build imports the architecture's library, which takes seconds. Raises ArchitectureError.
    """
    from core.architectures import signature
    from core.fit.index import known_signature

    index = installed_index()
    known = None if index is None else known_signature(index, architecture)
    return signature(architecture) if known is None else known


def installed_index() -> Index | None:
    """The index of the installed versions; None if it must be built first.

    The server's settings say where an index that was built is. Loupe's own needs no settings.
    """
    shipped = _index_in(None)
    return _index_in(data_folder()) if shipped is None else shipped


@functools.cache
def _index_in(folder: Path | None) -> Index | None:
    from core.fit.index import find_index

    return find_index(folder)


def data_folder() -> Path:
    """The data folder of the settings. Raises SettingsError."""
    from core.server import read_settings  # it imports what a server needs, for a tenth of a second

    return read_settings(os.environ).data


def above_zero(text: str) -> int:
    """Read a whole number above 0, as argparse asks for it."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def share(text: str) -> float:
    """Read a number from 0 to 1, as argparse asks for it."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return number


def read_file(path: Path, most: int = -1) -> bytes:
    """The first `most` bytes of a file that an option names, −1 for all. Raises SourceError."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
