"""The settings of the server's owner, read from environment variables once at the start."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import SettingsError, shown

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a server; `quota`, `largest_file` and `model_memory` are bytes.

    `data` is the data folder, and `roots` the server folders that people may browse. `models` are
    the owner's own model functions as `module:function` (or `module` for all of its public ones),
    `hosts` the names under which the server answers besides its address, and `bench` up to two
    files from the command line.
    """

    data: Path
    roots: tuple[Path, ...] = ()
    quota: int = 50 * GIB
    largest_file: int = 20 * GIB
    model_memory: int = 4 * GIB
    models: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    bench: tuple[Path, ...] = ()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read LOUPE_DATA, LOUPE_ROOTS, LOUPE_QUOTA, LOUPE_LARGEST_FILE, LOUPE_MODEL_MEMORY,
    LOUPE_MODELS, LOUPE_HOSTS and LOUPE_BENCH.

    Paths are separated as in PATH, and a `:` inside a path is written `\\:`; names are separated by
    commas. Sizes are written as `20GB`, `512MB` or plain bytes. Raises SettingsError.
    """
    data = environ.get("LOUPE_DATA") or str(Path.home() / ".local" / "share" / "loupe")
    roots = _paths(environ.get("LOUPE_ROOTS", ""))
    for root in roots:
        if not os.path.isdir(root):
            raise SettingsError(
                f"LOUPE_ROOTS names {shown(str(root))}, which is not a folder.",
                "Create it, or take it out of LOUPE_ROOTS.",
            )
    return Settings(
        data=Path(data).expanduser(),
        roots=roots,
        quota=_size(environ, "LOUPE_QUOTA", 50 * GIB),
        largest_file=_size(environ, "LOUPE_LARGEST_FILE", 20 * GIB),
        model_memory=_size(environ, "LOUPE_MODEL_MEMORY", 4 * GIB),
        models=_names(environ.get("LOUPE_MODELS", "")),
        hosts=_names(environ.get("LOUPE_HOSTS", "")),
        bench=_paths(environ.get("LOUPE_BENCH", "")),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def paths_setting(paths: Iterable[Path]) -> str:
    """The paths as the text of LOUPE_ROOTS or LOUPE_BENCH."""
    return os.pathsep.join(str(path).replace(os.pathsep, f"\\{os.pathsep}") for path in paths)


def _paths(text: str) -> tuple[Path, ...]:
    parts = re.split(rf"(?<!\\){os.pathsep}", text)
    paths = (part.replace(f"\\{os.pathsep}", os.pathsep) for part in parts if part)
    # Unlike Path.resolve and Path.expanduser, these raise nothing for a link to itself, or for an
    # unknown user.
    return tuple(Path(os.path.realpath(os.path.expanduser(path))) for path in paths)


_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
_UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def _size(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise SettingsError(f"{name} is {text!r}, which is not a size.", "Write it like 20GB.")
    return int(float(match[1]) * unit)
