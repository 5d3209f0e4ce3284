"""Which keys of a state_dict go into an architecture, and keys told in few lines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from core.checkpoint.entries import Nested, Quantized, Sparse, StateDict, TensorEntry
from core.signature import Signature, TensorSpec

BATCH_COUNTER = "num_batches_tracked"
"""BatchNorm's buffer since PyTorch 0.4.1; inference does not use it, old files lack it."""

COMPUTED = frozenset(
    (
        "relative_position_index",  # torchvision Swin, Video Swin and MaxViT; Microsoft's Swin
        "relative_coords_table",  # torchvision Swin V2
        "attn_mask",  # Microsoft's Swin, older timm's
        "attention_bias_idxs",  # timm EfficientFormer, and LeViT's and TinyViT's own files
        "rel_pos_index",  # older timm's RelPosBias
        "position_ids",  # the embeddings of older transformers
    )
)
"""Buffers that a constructor computes from sizes alone, and that a state_dict holds all the same.

timm's own filters drop them too (timm/models/swin_transformer.py, checkpoint_filter_fn).
"""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A key of both sides that cannot be loaded: of two shapes, or for the `reason` given."""

    key: str
    found: tuple[int, ...]
    wanted: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """The keys of a state_dict and of a signature, each in exactly one of the five tuples.

    `missing_keys` and `unexpected_keys` are torch's words; `benign` are batch counters, and buffers
    that the model computes by itself, which the file lacks in layers whose other tensors it has.
    The coverages are the shares, 0 to 1, of the signature's keys and of its parameters' elements
    that match.
    """

    matched: tuple[str, ...]
    missing_keys: tuple[str, ...]
    unexpected_keys: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    benign: tuple[str, ...]
    coverage_keys: float
    coverage_parameters: float

    @property
    def total(self) -> int:
        """The keys that are wanted, benign ones apart."""
        return len(self.matched) + len(self.missing_keys) + len(self.mismatched)

    @property
    def computed(self) -> tuple[str, ...]:
        """Of the benign keys, those of buffers that the model computes by itself."""
        return tuple(key for key in self.benign if key.rpartition(".")[2] in COMPUTED)

    @property
    def fits(self) -> bool:
        """Nothing is missing, unexpected or mismatched; benign keys may be absent."""
        return not (self.missing_keys or self.unexpected_keys or self.mismatched)


def match(state_dict: StateDict, signature: Signature) -> Match:
    """Compare keys and shapes; a floating dtype never stands in the way, since loading converts.

    What is quantized, sparse or nested does not go into a dense tensor of floats (FIELD 29).
    """
    matched: list[str] = []
    missing: list[str] = []
    benign: list[str] = []
    mismatched: list[Mismatch] = []
    ordered = sorted(state_dict)
    for key, spec in signature.items():
        entry = state_dict.get(key)
        if entry is None:
            (benign if _is_benign(key, spec, ordered) else missing).append(key)
        elif (reason := _reason(entry, spec)) or entry.shape != spec.shape:
            mismatched.append(Mismatch(key, entry.shape, spec.shape, reason))
        else:
            matched.append(key)
    parameters = {key: spec.numel for key, spec in signature.items() if spec.kind == "parameter"}
    return Match(
        tuple(matched),
        tuple(missing),
        tuple(key for key in state_dict if key not in signature),
        tuple(mismatched),
        tuple(benign),
        _share(len(matched), len(signature) - len(benign)),
        _share(sum(parameters.get(key, 0) for key in matched), sum(parameters.values())),
    )


def _reason(entry: TensorEntry, spec: TensorSpec) -> str:
    """Why an entry does not go into a tensor of the right shape; empty where it does."""
    match entry.form:
        case Sparse(layout=layout):
            return f"sparse ({layout}), and the model's tensor is dense"
        case Nested():
            return "nested, and the model's tensor is dense"
        case Quantized(scheme) if entry.dtype != spec.dtype:
            return f"quantized ({scheme}), and a float model cannot take its integers"
    if entry.dtype.startswith(("qint", "quint")) and entry.dtype != spec.dtype:
        return "quantized, and a float model cannot take its integers"
    return ""


def _is_benign(key: str, spec: TensorSpec, ordered: Sequence[str]) -> bool:
    """Whether a missing key is a batch counter, or a buffer that the model computes by itself, of a
    layer that the file has; `ordered` are the file's keys."""
    module, dot, name = key.rpartition(".")
    layer = module + dot
    if name == BATCH_COUNTER:
        return _first_from(f"{layer}running_mean", ordered) == f"{layer}running_mean"
    if name not in COMPUTED or spec.kind != "buffer":
        return False
    found = _first_from(layer, ordered)
    return found is not None and found.startswith(layer)


def _first_from(text: str, ordered: Sequence[str]) -> str | None:
    at = bisect_left(ordered, text)
    return ordered[at] if at < len(ordered) else None


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Keys that one line stands for; `title`'s braces spell out these keys and no others."""

    title: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return self.title


MAX_DIGITS = 18
"""Of a number in a key that is told as one of a run; Python refuses to read very long ones."""

MAX_DEPTH = 32
"""Parts of a dotted path that are told apart; what is deeper counts as one part."""


def group_keys(keys: Iterable[str]) -> tuple[KeyGroup, ...]:
    """Tell keys in few lines such as `layers.{0…11}.attn.{qkv,proj}.{weight,bias}`.

    Every key is in exactly one group, groups and keys in the order given. Parts of a path share
    braces where the very same paths go on below all of them.
    """
    positions = {key: position for position, key in enumerate(dict.fromkeys(keys))}
    root = _Node()
    for key in positions:
        node = root
        for part in key.split(".", MAX_DEPTH - 1):
            node = node.children.setdefault(part, _Node())
        node.key = key
    _find_kinds(root, {}, count())
    groups = [
        KeyGroup(".".join(parts), tuple(sorted(covered, key=positions.__getitem__)))
        for parts, covered in _groups([root])
    ]
    return tuple(sorted(groups, key=lambda group: positions[group.keys[0]]))


@dataclass(slots=True)
class _Node:
    """A part of a path; `kind` is equal where the same paths go on below."""

    children: dict[str, _Node] = field(default_factory=dict)
    key: str | None = None
    kind: int = -1


_Kind = tuple[bool, frozenset[tuple[str, int]]]


def _find_kinds(node: _Node, kinds: dict[_Kind, int], fresh: count[int]) -> None:
    for child in node.children.values():
        _find_kinds(child, kinds, fresh)
    below = frozenset((part, child.kind) for part, child in node.children.items())
    node.kind = kinds.setdefault((node.key is not None, below), next(fresh))


def _groups(nodes: Sequence[_Node]) -> list[tuple[list[str], list[str]]]:
    """For nodes of one kind: the rests of the titles, each with the keys of all nodes."""
    groups: list[tuple[list[str], list[str]]] = []
    ends = [node.key for node in nodes if node.key is not None]
    if ends:
        groups.append(([], ends))
    alike: dict[int, list[str]] = {}
    for part, child in nodes[0].children.items():
        alike.setdefault(child.kind, []).append(part)
    for parts in alike.values():
        children = [node.children[part] for node in nodes for part in parts]
        groups += [([_braced(parts), *rest], covered) for rest, covered in _groups(children)]
    return groups


def _braced(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    numbered = [_stem_and_number(part) for part in parts]
    stems = {stem for stem, _ in numbered}
    if len(stems) > 1 or not all(0 < len(number) <= MAX_DIGITS for _, number in numbered):
        return f"{{{','.join(parts)}}}"
    numbers = sorted(int(number) for _, number in numbered)
    return f"{stems.pop()}{{{','.join(_runs(numbers))}}}"


def _stem_and_number(part: str) -> tuple[str, str]:
    """`layer10` as `layer` and `10`; leading zeros belong to the stem."""
    digits = part[len(part.rstrip("0123456789")) :]
    number = digits.lstrip("0") or digits[-1:]
    return part.removesuffix(number), number


def _runs(numbers: Sequence[int]) -> list[str]:
    """Sorted numbers as text, three and more in a row as `0…2`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
    words: list[str] = []
    for run in runs:
        words += [f"{run[0]}…{run[-1]}"] if len(run) > 2 else [str(number) for number in run]
    return words
