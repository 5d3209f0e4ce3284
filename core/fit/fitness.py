"""Whether a model fits: every key has a tensor, and nothing speaks against them being its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.architectures import Shape, Signature
from core.checkpoint import Derived, StateDict, TensorEntry, is_float_dtype
from core.fit.align import norms_by_values
from core.fit.copies import (
    Copy,
    copies_of,
    copies_sentence,
    keys_by_place,
    mixture,
    owning_place,
)
from core.fit.foreign_tensors import foreign_tensor
from core.fit.fused_order import other_orders, unknown_orders
from core.fit.key_match import Match, match
from core.fit.left_out import left_out_words
from core.fit.left_out_heads import LeftOutHead, left_out_heads, left_out_heads_words
from core.fit.matrix_layout import square_layouts
from core.fit.neighbours import neighbours, output_weight
from core.fit.one_module import torn_layers
from core.fit.one_tree import of_another_tree, torn_tree
from core.keys import (
    COMPUTED,
    LEAVES,
    STATISTICS,
    group_keys,
    names_another_part,
    names_head,
    names_slow_copy,
    network_prefix,
    starts,
)
from core.wording import are, counted, have, listed

OF_PRETRAINING = frozenset(("mask_token",))
"""Tensors that stand for hidden parts of an image while a network is pretrained, and for none when
it is used, wherever they are: DINOv2's and BEiT's."""

MAX_PARTS = 32
"""The most parts of a path that are looked at; a file may have any number."""

MOST_NAMED = 3
"""The most groups of keys that a sentence names."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason why a model with a tensor for every key is still no fit.

    `keys` are the keys or modules of the file that it is about.
    """

    sentence: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a file, after a recipe, fits a model: the match of keys, and the doubts.

    If every key matches, `left_out` says which modules of the file are left out, `heads` has
    sentences on those that may be the head that was trained, and `copies` says which of
    several copies of the network is taken; `by_values` says which tensors of norms are told apart
    by their values alone. Else they are empty.
    """

    match: Match
    doubts: tuple[Doubt, ...] = ()
    left_out: str = ""
    heads: tuple[str, ...] = ()
    copies: str = ""
    by_values: str = ""

    @property
    def fits(self) -> bool:
        """Whether every key matches, and the tensors are one whole network's."""
        return self.match.fits and not self.doubts


def fit_of(state_dict: StateDict, repaired: StateDict, signature: Signature) -> Fit:
    """How `repaired`, the file's `state_dict` after a recipe, fits a model.

    The doubts are a mixture of two copies of the network, or of one and a part of another beside
    it, a tensor of another part, such as a decoder, a layer with tensors of several layers, a fused
    layer with its parts in another or an unknown order, matrices that were not transposed as the
    others were or have columns in another order, norms of another kind or with their tensors
    exchanged, and trained tensors of the network itself, or next to its head, that are left out.
    They are looked for only if every key matches.
    """
    matched = match(repaired, signature)
    if not matched.fits:
        return Fit(matched)
    taken = taken_keys(repaired, signature)
    parameters = {key: new for key, new in taken.items() if signature[new].kind == "parameter"}
    copies = copies_of(state_dict, signature)
    norms = _norms_by_values(state_dict, taken, signature)
    doubts = (
        *_mixed(state_dict, parameters, copies),
        *_foreign(parameters),
        *_torn(repaired, signature),
        *_reordered(taken),
        *_half_transposed(state_dict, repaired, signature),
        *_other_columns(taken),
        *_other_norms(state_dict, taken),
        *_exchanged_in_norms(norms),
        *_left_out(state_dict, taken, parameters, signature, copies),
    )
    named = {key for doubt in doubts for key in doubt.keys}
    layers = {layer for key in named if (layer := key.rpartition(".")[0])}
    beside = [
        key
        for key in state_dict
        if key not in taken and key not in named and key.rpartition(".")[0] not in layers
    ]
    heads, own = _left_out_heads(state_dict, taken, signature, beside)
    told = tuple(f"{head.module}." for head in heads)
    beside = [key for key in beside if not key.startswith(told)]
    return Fit(
        matched,
        doubts,
        left_out_words(beside, state_dict),
        tuple(left_out_heads_words(heads, own)),
        "" if doubts else copies_sentence(copies, parameters),
        "" if doubts else _by_values(norms),
    )


def _left_out_heads(
    state_dict: StateDict, taken: Mapping[str, str], signature: Signature, left: Sequence[str]
) -> tuple[tuple[LeftOutHead, ...], str | None]:
    """The modules that are left out and can be a head, and the head that the model gets instead.

    A model without a head has features as wide as its last norm, or the last layer's bias.
    """
    weight = output_weight(taken, signature)
    if weight is not None:
        features = signature[taken[weight]].shape[1]
    else:
        widths = [spec.shape[0] for spec in signature.values() if len(spec.shape) == 1]
        features = widths[-1] if widths else 0
    heads = left_out_heads(state_dict, left, features) if left and features else ()
    return heads, None if weight is None else weight.removesuffix(".weight")


def taken_keys(repaired: StateDict, signature: Signature) -> dict[str, str]:
    """The file's keys from which the model's tensors come → the model's key, buffers included."""
    taken: dict[str, str] = {}
    for key, entry in repaired.items():
        if key in signature:
            taken.update(dict.fromkeys(_all_origins(entry), key))
    return taken


def _all_origins(entry: TensorEntry) -> Iterator[str]:
    """The keys in the file that an entry is computed from, scales and adapters included."""
    if isinstance(entry.form, Derived):
        for part in entry.form.parts:
            yield from _all_origins(part)
    else:
        yield entry.origin or entry.key


def _mixed(
    state_dict: StateDict, taken: Mapping[str, str], copies: Sequence[Copy]
) -> Iterator[Doubt]:
    mixed = mixture(state_dict, taken, copies)
    torn = torn_tree(taken) if mixed is None else mixed.sentence
    if torn:
        yield Doubt(torn, tuple(taken))


def _foreign(taken: Mapping[str, str]) -> Iterator[Doubt]:
    sentence = foreign_tensor(taken)
    if sentence:
        yield Doubt(sentence, ())


def _torn(repaired: StateDict, signature: Signature) -> Iterator[Doubt]:
    for torn in torn_layers(repaired, signature)[:MOST_NAMED]:
        yield Doubt(torn.sentence, torn.modules)


def _reordered(taken: Mapping[str, str]) -> Iterator[Doubt]:
    orders = [*other_orders(taken)]
    for own, new in orders[:1]:
        yield Doubt(
            f"`{own}` names its parts in another order than the model's `{new}`.",
            tuple(key for key, _ in orders),
        )
    unknown = [*unknown_orders(taken)]
    for own, new in unknown[:1]:
        yield Doubt(
            f"Nothing says whether `{own}` has its parts head by head, as Megatron's, or one after "
            f"the other, as the model's `{new}`.",
            tuple(key for key, _ in unknown),
        )


def _half_transposed(
    state_dict: StateDict, repaired: StateDict, signature: Signature
) -> Iterator[Doubt]:
    """Square matrices that are not transposed as those around them are, or as the library that
    wrote the file stores them: shapes cannot tell."""
    oblong, squares = _turned(state_dict, repaired, signature)
    straight = [key for key, turned in squares.items() if not turned]
    if straight and any(key.endswith("._variance") for key in state_dict):
        yield Doubt(
            f"`{straight[0]}` is square, and Paddle, whose names the file has, stores matrices "
            "transposed: the shape does not show it.",
            tuple(straight),
        )
        return
    if not any((*oblong.values(), *squares.values())):
        return
    layouts = square_layouts(oblong, squares)
    wrong = [key for key, turned in squares.items() if layouts[key] is not turned]
    if wrong:
        yield Doubt(
            f"Other matrices are transposed, and square ones, such as `{wrong[0]}`, are not as "
            "those around them: nothing else says which way round they are.",
            tuple(wrong),
        )


def _turned(
    state_dict: StateDict, repaired: StateDict, signature: Signature
) -> tuple[dict[str, bool], dict[str, bool]]:
    """Whether the recipe transposes each of the file's matrices: of oblong ones, of square ones."""
    oblong: dict[str, bool] = {}
    squares: dict[str, bool] = {}
    for key, spec in signature.items():
        if len(spec.shape) != 2 or not key.endswith("weight") or key not in repaired:
            continue
        for entry in _matrices(repaired[key]):
            own = state_dict.get(entry.origin or entry.key)
            if own is None or len(own.shape) != 2 or min(own.shape) < 2 or own.form is not None:
                continue
            turned = (entry.stride[0] < entry.stride[1]) != (own.stride[0] < own.stride[1])
            (squares if own.shape[0] == own.shape[1] else oblong)[own.key] = turned
    return oblong, squares


def _matrices(entry: TensorEntry) -> Iterator[TensorEntry]:
    """The strided matrices that an entry is, or is computed from."""
    if isinstance(entry.form, Derived):
        for part in entry.form.parts:
            yield from _matrices(part)
    elif entry.form is None and len(entry.shape) == 2 and min(entry.shape) > 1:
        yield entry


def _other_columns(taken: Mapping[str, str]) -> Iterator[Doubt]:
    """mmpretrain's Swin: it merges patches by nn.Unfold, whose columns are in another order.

    PatchMerging of mmpretrain/models/utils/embed.py has them channel by channel; timm and
    torchvision have one of the four neighbours after the other.
    """
    if any(".w_msa." in key for key in taken):
        keys = tuple(key for key in taken if key.endswith(".downsample.reduction.weight"))
        if keys:
            yield Doubt(
                f"`{keys[0]}` is mmpretrain's: its columns, and the values of a norm before it, "
                "are in another order than the model's.",
                keys,
            )


def _other_norms(state_dict: StateDict, taken: Mapping[str, str]) -> Iterator[Doubt]:
    """Statistics that are left out of a BatchNorm of which the weight is taken."""
    keys = tuple(
        key
        for key in state_dict
        if key not in taken
        and key.endswith(".running_var")
        and f"{key.rpartition('.')[0]}.weight" in taken
    )
    if keys:
        yield Doubt(
            f"{counted(len(keys), 'norm')} of the file {are(len(keys))} BatchNorm with statistics, "
            f"such as `{keys[0]}`, and the model's {have(len(keys))} none.",
            keys,
        )


@dataclass(frozen=True, slots=True)
class _NormTensor:
    """A tensor of a norm with a name that says nothing: what its values say that it is (its own
    name if they say nothing), and what the model takes it for."""

    key: str
    is_a: str
    taken_as: str


def _norms_by_values(
    state_dict: StateDict, taken: Mapping[str, str], signature: Signature
) -> list[_NormTensor]:
    return [
        _NormTensor(key, word, taken_as)
        for key, (_, word) in norms_by_values(state_dict, signature).items()
        if key in taken and (taken_as := taken[key].rpartition(".")[2]) in LEAVES
    ]


def _exchanged_in_norms(norms: Sequence[_NormTensor]) -> Iterator[Doubt]:
    wrong = [tensor for tensor in norms if tensor.is_a != tensor.taken_as]
    if wrong:
        first = wrong[0]
        why = (
            f"its values are those of a {first.is_a}"
            if first.is_a in LEAVES
            else "neither its name nor its values say so"
        )
        yield Doubt(
            f"`{first.key}` is taken as a norm's {first.taken_as}, and {why}.",
            tuple(tensor.key for tensor in wrong),
        )


def _by_values(norms: Sequence[_NormTensor]) -> str:
    told = {tensor.key.rpartition(".")[2]: tensor.taken_as for tensor in norms}
    pairs = [f"`{name}` is the {word}" for name, word in told.items()]
    return f"In norms, by their values, {listed(pairs, len(pairs))}." if pairs else ""


def _left_out(
    state_dict: StateDict,
    taken: Mapping[str, str],
    parameters: Collection[str],
    signature: Signature,
    copies: Sequence[Copy],
) -> Iterator[Doubt]:
    left = [key for key in state_dict if key not in taken]
    if not left:
        return
    common = _common_parts(taken)
    others = _other_copies(state_dict, taken, copies)
    # A head beside a student and its teacher is of both; beside two networks it may take both.
    slow = any(map(names_slow_copy, parameters))
    rivals = [key for key in left if not (slow and key in others)]
    left = [key for key in left if key not in others]
    sentence, keys = of_another_tree(state_dict, parameters, rivals)
    if sentence:
        yield Doubt(sentence, keys)
    left = [key for key in left if not _is_of_a_copy(key, taken, common)]
    keys = _dropped_parts(state_dict, taken, left)
    if keys:
        groups = [f"`{group}`" for group in group_keys(keys)]
        yield Doubt(
            f"{counted(len(keys), 'trained tensor')} of the network itself {are(len(keys))} left "
            f"out: {listed(groups, MOST_NAMED)}.",
            keys,
        )
    dropped = frozenset(keys)
    beside = [key for key in left if key not in dropped]
    for neighbour in neighbours(state_dict, taken, signature, beside):
        yield Doubt(
            neighbour.sentence, tuple(key for key in beside if key.startswith(neighbour.module))
        )


def _other_copies(
    state_dict: StateDict, taken: Collection[str], copies: Sequence[Copy]
) -> frozenset[str]:
    """The keys below copies of which none is taken, and which have all shapes that are taken but a
    head's. A place of the blocks alone is no copy: it may be more layers of the network."""
    places = [copy.prefix for copy in copies]
    used = keys_by_place(taken, places)
    if not used:
        return frozenset()
    below: dict[str, list[str]] = defaultdict(list)
    for key in state_dict:
        place = owning_place(key, places)
        if place is not None and place not in used:
            below[place].append(key)
    wanted = _trained_shapes([key for key in taken if not names_head(key)], state_dict)
    return frozenset(
        key
        for keys in below.values()
        if wanted <= _trained_shapes(keys, state_dict)
        for key in keys
    )


def _trained_shapes(keys: Collection[str], state_dict: StateDict) -> Counter[Shape]:
    """How often the keys have each shape, without statistics and what is computed."""
    return Counter(
        state_dict[key].shape for key in keys if key.rpartition(".")[2] not in STATISTICS | COMPUTED
    )


def _dropped_parts(
    state_dict: StateDict, taken: Collection[str], left: Collection[str]
) -> tuple[str, ...]:
    """Those of the `left` keys whose tensors are trained and parts of the network itself.

    The network is below the longest prefix that the taken keys have in common, without its head. A
    tensor is a part of it if its module has taken tensors too, such as a bias in a block, or if it
    is below that prefix and nothing in its name says that it is another part, such as a decoder.
    """
    root = network_prefix(taken)
    # A head may lack all of its matrices, as a model of features does, and still have a norm.
    matrices = {
        key[:start]
        for key in taken
        if len(state_dict[key].shape) > 1
        for start in starts(key, MAX_PARTS)[1:]
    }
    modules = {key[:start] for key in taken for start in starts(key, MAX_PARTS)[1:]}

    def is_beside(key: str) -> bool:
        own = (key[:start] for start in reversed(starts(key, MAX_PARTS)))
        deepest = next((module for module in own if module in modules), "")
        if not root.startswith(deepest):
            return deepest not in matrices and names_head(deepest)
        return not key.startswith(root) or names_another_part(key[len(root) :])

    return tuple(
        key
        for key in left
        if is_float_dtype(state_dict[key].dtype)
        and not {key.rpartition(".")[2]} & (STATISTICS | COMPUTED | OF_PRETRAINING)
        and not is_beside(key)
    )


def _common_parts(taken: Collection[str]) -> list[str]:
    """The parts of paths that all taken keys have but a head's, such as `ema`, and no number.

    Buffers may lack them. What nearly all have may be a list of blocks, of which a network can have
    another one of the same shapes.
    """
    trained = [key for key in taken if key.rpartition(".")[2] not in STATISTICS | COMPUTED]
    body = [key for key in trained if not names_head(key)] or trained
    common = set[str].intersection(*({*key.split(".")[:MAX_PARTS]} for key in body))
    return sorted(part for part in common if not part.isdecimal())


def _is_of_a_copy(key: str, taken: Collection[str], common: Collection[str]) -> bool:
    """Whether the key, with one part exchanged for one that all taken keys have, is taken:
    then it is of another copy of the network."""
    parts = key.split(".", MAX_PARTS)
    return any(
        ".".join((*parts[:at], other, *parts[at + 1 :])) in taken
        for at in range(len(parts) - 1)
        for other in common
        if parts[at] != other
    )
