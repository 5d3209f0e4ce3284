"""What the tensors of a norm are, by their values, where names that Loupe does not know hide it.

A norm's weight begins at 1 and stays above 0 nearly everywhere; its bias begins at 0 and takes both
signs. So where the norms of a file have two tensors of one shape under names such as `a_2` and
`b_2`, the shares of positive elements tell which is the weight. A variance is never negative.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from core.architectures import Signature
from core.checkpoint import StateDict, TensorEntry, is_float_dtype, sampled_numbers
from core.errors import SourceError
from core.keys import BATCH_COUNTER, leaf, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NORM_LEAVES = {
    "scale": "weight",
    "offset": "bias",
    "shift": "bias",
    "mean": "running_mean",
    "var": "running_var",
    "variance": "running_var",
}
"""Names of a norm's tensors in Flax, Haiku and the like. Alone they may mean something else, so
they count only where a module has all that a norm has."""

MEAN_WORDS, VARIANCE_WORDS = frozenset(("mean", "mu")), frozenset(("var", "variance", "sigma2"))
"""Words for the statistics of a BatchNorm. A standard deviation is another number, as is an inverse
or a logarithm."""

OTHER_NUMBERS = frozenset(("std", "sd", "inv", "inverse", "rstd", "log", "logvar", "sqrt"))

AFFINE = frozenset(("alpha", "beta"))
"""Names of a layer that scales and shifts and does not normalize (timm/models/mlp_mixer.py), so its
tensors are no norm's."""

MOST_READ = 64
"""The most norms with the same names whose values are read."""

CLEAR = 0.25
"""How much larger the weight's share of positive elements must be than the bias's, for one norm to
speak. By judgement: the shares are near 1 and near a half."""

AGREEING = 0.8
"""The share of the norms read that must speak for the same name."""


def norms_by_values(state_dict: StateDict, signature: Signature) -> dict[str, tuple[str, str]]:
    """The keys of norms with names that are unknown, also to the model, each with the norm's path
    and its leaf word.

    The leaf word is `weight`, `bias`, `running_mean` or `running_var`; it is the key's own last
    part where neither names nor values tell, since any other would be a guess. A few elements of
    each such tensor are read; one that cannot be read tells nothing.
    """
    families: dict[tuple[str, ...], list[str]] = defaultdict(list)
    modules = _unnamed(state_dict)
    if not modules:
        return {}
    of_model = {key.rpartition(".")[2] for key in signature}
    modules = {path: names for path, names in modules.items() if not names.keys() <= of_model}
    for module, names in modules.items():
        families[tuple(names)].append(module)
    found = {}
    for named, paths in families.items():
        tensors = [{name: modules[path][name] for name in named} for path in paths]
        roles = _roles(named, _spread(tensors))
        for path in paths:
            found.update({f"{path}.{name}": (path, roles[name]) for name in named})
    return found


def _unnamed(state_dict: StateDict) -> dict[str, dict[str, TensorEntry]]:
    """The modules that can be norms and are not named as such, each with its tensors by name."""
    modules: dict[str, dict[str, TensorEntry]] = defaultdict(dict)
    for key, entry in state_dict.items():
        module, _, name = key.rpartition(".")
        if name != BATCH_COUNTER:
            modules[module][name] = entry
    unnamed = {
        module: names
        for module, names in modules.items()
        if module and len(names) in (2, 4) and not _is_named(names) and _are_alike(names.values())
    }
    if not unnamed:
        return {}
    outer = {module[:at] for module in modules for at, char in enumerate(module) if char == "."}
    return {module: names for module, names in unnamed.items() if module not in outer}


def _is_named(names: Iterable[str]) -> bool:
    """Whether the names alone say what each tensor is."""
    told = [_named(name) for name in names]
    return all(told) and len(set(told)) == len(told)


def _named(name: str) -> str:
    return leaf(name) or NORM_LEAVES.get(name, "")


def _are_alike(entries: Iterable[TensorEntry]) -> bool:
    shapes = {entry.shape for entry in entries if is_float_dtype(entry.dtype)}
    return len(shapes) == 1 and len(next(iter(shapes))) == 1


def _spread(tensors: Sequence[Mapping[str, TensorEntry]]) -> list[Mapping[str, TensorEntry]]:
    """At most MOST_READ of them, evenly spaced."""
    step = -(-len(tensors) // MOST_READ)
    return list(islice(tensors, 0, None, step))


def _roles(names: tuple[str, ...], norms: Sequence[Mapping[str, TensorEntry]]) -> dict[str, str]:
    """What each name means in these norms; a name that stays unknown means itself."""
    roles = dict(zip(names, names, strict=True))
    if set(names) <= AFFINE:
        return roles
    rest = list(names)
    if len(names) == 4:
        statistics = _statistics(names, norms)
        if not statistics:
            return roles
        roles.update(statistics)
        rest = [name for name in names if name not in statistics]
        if _is_named(rest):
            return roles | {name: _named(name) for name in rest}
    one, other = rest
    votes = [_vote(norm[one], norm[other]) for norm in norms]
    for weight, bias, sign in ((one, other, 1), (other, one, -1)):
        if votes.count(sign) >= AGREEING * len(votes):
            return roles | {weight: "weight", bias: "bias"}
    return roles


def _statistics(names: Sequence[str], norms: Sequence[Mapping[str, TensorEntry]]) -> dict[str, str]:
    """The names of the mean and of the variance; empty unless words and values tell both."""
    by_word = {
        name: words(name) | {name.lower(), leaf(name).removeprefix("running_")} for name in names
    }
    plain = [name for name in names if not by_word[name] & OTHER_NUMBERS]
    means = [name for name in plain if by_word[name] & MEAN_WORDS]
    variances = [name for name in plain if by_word[name] & VARIANCE_WORDS]
    if len(means) != 1 or len(variances) != 1 or means == variances:
        return {}
    if any(_share_below_zero(norm[variances[0]]) for norm in norms):
        return {}
    return {means[0]: "running_mean", variances[0]: "running_var"}


def _share_below_zero(entry: TensorEntry) -> float:
    values = _values(entry)
    return 0.0 if values is None else float((values < 0).mean())


def _vote(one: TensorEntry, other: TensorEntry) -> int:
    """1 if the first looks like the weight and the second like the bias, −1 if the other way
    round, 0 if neither is clear."""
    values = [_values(entry) for entry in (one, other)]
    if values[0] is None or values[1] is None:
        return 0
    shares = [float((part > 0).mean()) for part in values if part is not None]
    difference = shares[0] - shares[1]
    return 0 if abs(difference) < CLEAR else 1 if difference > 0 else -1


def _values(entry: TensorEntry) -> NDArray[np.float64] | None:
    try:
        return sampled_numbers(entry)
    except SourceError:
        return None
