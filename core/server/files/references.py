"""References to files in links, and the files that they stand for.

- `sha256:<digest>/<name>` is an upload,
- `set:<digest>/<name>` several uploads that make up one checkpoint,
- `root:<number>/<path>` a file or folder in a server folder (its path as `folders.path_in_link`
  returns it),
- `sample:<name>` a bundled file,
- `bench:<number>` a file or folder from the command line.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath

from core.checkpoint import Surroundings, surroundings
from core.checkpoint.containers import FileSet, ServedFile, file_or_set
from core.errors import SourceError, shown
from core.server.files.folders import find_inside, path_of_link, surroundings_inside
from core.server.files.store import Store
from core.server.files.upload_sets import find_set
from core.server.samples import SAMPLES
from core.server.settings import Settings


@dataclass(frozen=True, slots=True)
class LocatedFile:
    """The file that a reference stands for, or the files that make up one checkpoint.

    `name` is its name on screen; `identity` is equal for equal contents, None where it is unknown.
    """

    path: Path | ServedFile | FileSet
    name: str
    identity: str | None = None
    quotes: bool = True
    """Whether an error may quote the file's contents. The link to an upload contains the digest of
    these, so whoever has it may see them. Anybody can write a link to a server folder, which may
    contain files that nobody meant to show."""
    around: Surroundings = field(default_factory=Surroundings)

    @property
    def files(self) -> tuple[Path, ...]:
        """The paths of all files that may be read."""
        own = self.path.files.values() if isinstance(self.path, FileSet) else (self.path,)
        files = (*own, *self.around.files.values())
        paths = (file.path if isinstance(file, ServedFile) else file for file in files)
        return tuple(path for path in paths if isinstance(path, Path))

    def fingerprint(self) -> str:
        """A SHA-256 of the name and of the files' paths and stat, as a key for what was opened.

        It is equal as long as none of them changes.
        """
        marks = [(os.fsencode(path), _marks(path)) for path in self.files]
        return sha256(repr((self.name, self.identity, marks)).encode()).hexdigest()


def _marks(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def locate(reference: str, settings: Settings, store: Store) -> LocatedFile:
    """Find the file behind a reference. Raises SourceError."""
    kind, _, rest = reference.partition(":")
    if kind == "sha256":
        digest, _, name = rest.partition("/")
        path = store.find(digest)
        if path is None:
            raise SourceError(
                f"{name[:200] or 'The upload'} is not on this server any more.", "Upload it again."
            )
        return LocatedFile(path, name or digest[:12], f"sha256:{digest}")
    if kind == "set":
        digest, _, name = rest.partition("/")
        files = find_set(store, digest, name)
        return LocatedFile(files, files.name, f"set:{digest}")
    if kind == "root":
        number, _, relative = rest.partition("/")
        root = _chosen(settings.roots, number, "server folder")
        name = PurePosixPath(path_of_link(relative)).name or root.name
        found, around = find_inside(root, relative), surroundings_inside(root, relative)
        return LocatedFile(found, shown(name), quotes=False, around=around)
    if kind == "sample" and rest in SAMPLES:
        path = SAMPLES[rest].path
        return LocatedFile(path, path.name)
    if kind == "bench":
        path = _chosen(settings.bench, rest, "file from the command line")
        return LocatedFile(file_or_set(path), shown(path.name), around=surroundings(path))
    raise SourceError("The link contains an unknown kind of reference.", "Open the file again.")


def _chosen(paths: tuple[Path, ...], number: str, kind: str) -> Path:
    if re.fullmatch(r"\d{1,4}", number) and int(number) < len(paths):
        return paths[int(number)]
    raise SourceError(f"This server has no {kind} {number[:20]!r}.", "Choose the file again.")
