"""All that differs in two files besides their tensors: what the metadata shows, and what not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.checkpoint import Checkpoint
from core.checkpoint.tree import Fingerprints, Json
from core.compare.measurability import BY_ITSELF
from core.compare.metadata.metadata_diff import (
    MetadataChange,
    Node,
    changes_in,
    metadata_changes,
    metadata_tree,
)
from core.compare.metadata.other_files import FileChanges, file_changes
from core.compare.metadata.other_records import RecordChanges, record_changes
from core.compare.metadata.unshown_changes import unshown_changes


@dataclass(frozen=True, slots=True)
class ContentChanges:
    """The `tree` of changes from A to B. `unread` counts the bytes of long byte strings that were
    not compared. `records` is what is known of the files' other records, and `files` what is of
    the files beside them."""

    tree: Node
    unread: int = 0
    records: RecordChanges = field(default_factory=RecordChanges)
    files: FileChanges = field(default_factory=FileChanges)

    @property
    def changes(self) -> tuple[MetadataChange, ...]:
        """Every change, in order."""
        return tuple(changes_in(self.tree))


def content_changes(
    a: Checkpoint,
    b: Checkpoint,
    most: int | None = None,
    *,
    most_of_records: int | None = BY_ITSELF,
) -> ContentChanges:
    """What differs besides the tensors and the numpy arrays, in all that the files contain.

    It compares the objects by value, and the versions of modules that torch notes beside the
    state_dicts at the same path, where both have some. Of long byte strings that stayed in the
    file, at most `most` bytes are read (None: all), and `most_of_records` of the records of an
    archive that have the same stored checksums. Raises SourceError where they are gone.
    """
    tree = metadata_tree(a.metadata, b.metadata)
    digests_a, digests_b = Fingerprints(most), Fingerprints(most)
    unshown = unshown_changes(a.tree, b.tree, changes_in(tree), digests_a, digests_b)
    for change in (*unshown, *_versions(a, b)):
        tree = _with(tree, change, change.path)
    unread = max(digests_a.unread, digests_b.unread)
    records = record_changes(a, b, most_of_records)
    return ContentChanges(tree, unread, records, file_changes(a, b, BY_ITSELF))


def _versions(a: Checkpoint, b: Checkpoint) -> Sequence[MetadataChange]:
    changes: list[MetadataChange] = []
    for path, in_a in a.state_dicts.items():
        in_b = b.state_dicts.get(path)
        if in_b is not None and in_a.versions and in_b.versions:
            above = (*([path] if path else []), "_metadata")
            noted: tuple[Mapping[str, Json], Mapping[str, Json]] = (in_a.versions, in_b.versions)
            changes += [
                replace(change, path=(*above, *change.path)) for change in metadata_changes(*noted)
            ]
    return changes


def _with(node: Node, change: MetadataChange, rest: Sequence[str]) -> Node:
    """The tree with one more change, at the place that the `rest` of its path leads to."""
    name, *below = rest
    children = list(node.children)
    at = next((at for at, child in enumerate(children) if child.name == name), None)
    if not below:
        children.append(Node(name, change, (), 1))
    elif at is None:
        children.append(_with(Node(name, None), change, below))
    else:
        children[at] = _with(children[at], change, below)
    return replace(node, children=tuple(children), changes=node.changes + 1)
