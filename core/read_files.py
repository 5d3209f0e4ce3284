"""The files that a checkpoint's tensors lie in."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint import Checkpoint
from core.checkpoint.containers.sources import LocalFile, Within
from core.checkpoint.entries import Source


def read_files(checkpoint: Checkpoint) -> Mapping[str, int]:
    """Bytes by the file's name, in the order in which the tensors first name them.

    A file inside another one, such as a shard in a tar, counts as the one that holds it.
    """
    found: dict[str, int] = {}
    seen: set[int] = set()
    for state_dict in checkpoint.state_dicts.values():
        for entry in state_dict.values():
            for record in entry.records:
                if id(record.source) not in seen:
                    seen.add(id(record.source))
                    file = _outermost(record.source)
                    if isinstance(file, LocalFile):
                        found.setdefault(file.name, file.size)
    return found


def _outermost(source: Source) -> Source:
    while isinstance(source, Within):
        source = source.whole
    return source
