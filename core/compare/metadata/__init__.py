"""What differs besides the model's tensors: metadata, numpy arrays, training state, other tensors,
the files.

Two Checkpoints go in; trees of MetadataChanges, facts about the files and a summary come out.
"""

from core.compare.metadata.array_changes import compare_arrays, found_beside
from core.compare.metadata.content_changes import ContentChanges, content_changes
from core.compare.metadata.file_fact import file_facts
from core.compare.metadata.further_tensors import MAX_READ, OtherTensors, other_tensors
from core.compare.metadata.metadata_diff import (
    ChangeKind,
    MetadataChange,
    Node,
    change_words,
    changes_in,
    metadata_changes,
    metadata_tree,
    value_words,
)
from core.compare.metadata.metadata_summary import metadata_sentence, training_order, training_words

__all__ = [
    "MAX_READ",
    "ChangeKind",
    "ContentChanges",
    "MetadataChange",
    "Node",
    "OtherTensors",
    "change_words",
    "changes_in",
    "compare_arrays",
    "content_changes",
    "file_facts",
    "found_beside",
    "metadata_changes",
    "metadata_sentence",
    "metadata_tree",
    "other_tensors",
    "training_order",
    "training_words",
    "value_words",
]
