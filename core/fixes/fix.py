"""Fixes and recipes as small frozen values: what can be changed of a state_dict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.checkpoint.entries import StateDict

Syntax: TypeAlias = Literal["glob", "regex"]
"""`glob`: `*`, `?` and `[…]` over the whole key, dots included; `regex`: found anywhere in it."""

Resampling: TypeAlias = Literal["timm", "torchvision"]
"""Whose way of resampling position embeddings."""

WeightNormForm: TypeAlias = Literal["folded", "parametrized", "hooked"]
"""What WeightNorm leaves: one weight, or two tensors under new or old names."""

CASTS = ("float32", "float16", "bfloat16", "float64")
"""The dtypes that CastDtype goes to, in torch's names."""

MAX_TEXT = 1_000
"""Characters in a prefix, a pattern or a replacement."""

MAX_KEY = 4_096
"""Characters that a fix may give a key."""

MAX_CHARACTERS = 32 << 20
"""Characters that a fix may give all keys together."""

MAX_STEPS = 100
"""Steps in a recipe that comes as JSON, for example in a link."""


@dataclass(frozen=True, slots=True)
class StripPrefix:
    """Take `prefix` off the keys that begin with it; `*` stands for any text inside one part.

    `anywhere`: wherever it begins a part of the dotted path, until there is none left, so that
    `encoder.module.conv.weight` becomes `encoder.conv.weight`.
    """

    prefix: str
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class AddPrefix:
    """Put `prefix` in front of every key."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Drop every key that does not match."""

    pattern: str
    syntax: Syntax = "glob"


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop every key that matches."""

    pattern: str
    syntax: Syntax = "glob"


@dataclass(frozen=True, slots=True)
class Rename:
    """Replace what the regex finds in a key, as `re.sub` does."""

    pattern: str
    replacement: str


@dataclass(frozen=True, slots=True)
class DropMismatched:
    """Drop the tensors whose shape is not the one that the architecture wants."""


@dataclass(frozen=True, slots=True)
class CastDtype:
    """Give floating-point tensors another dtype, when they are read."""

    dtype: str


@dataclass(frozen=True, slots=True)
class RenameTable:
    """Give keys new names one by one: `table` holds pairs (old, new) of whole keys.

    A key that the table does not name stays; a pair whose old key is absent is passed over.
    """

    table: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SelectClasses:
    """Make a head's rows anew, one for each class: row i is the old row `rows[i]`.

    `pattern` is a glob over the keys of the head's weight and bias; −1 stands for a class that the
    file does not have, and gives a row of zeros.
    """

    pattern: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AdaptInput:
    """Give an input convolution another number of channels, as timm's `adapt_input_conv` does.

    `pattern` is a glob over the keys of its weight; `in_chans` 0 means what the signature wants.
    With `in_chans`, a pattern of `*` means the weight that most likely takes the image.
    """

    pattern: str = "*"
    in_chans: int = 0


@dataclass(frozen=True, slots=True)
class ResamplePositions:
    """Resample position embeddings and relative position tables to the sizes of the signature.

    `method` says whose way: `timm` (bicubic, antialiased) or `torchvision` (bicubic, corners
    aligned, as its `interpolate_embeddings`).
    """

    pattern: str = "*"
    method: Resampling = "timm"


@dataclass(frozen=True, slots=True)
class Split:
    """Cut tensors into equal parts along their first dimension: `qkv` into `q`, `k` and `v`.

    `fused` stands in the keys as one or several whole parts of the path; each of `parts` takes its
    place in turn.
    """

    fused: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fuse:
    """Join tensors along their first dimension: `q`, `k` and `v` into `qkv`.

    Each of `parts` stands in the keys as one or several whole parts of the path.
    """

    parts: tuple[str, ...]
    fused: str


@dataclass(frozen=True, slots=True)
class Transpose:
    """Exchange rows and columns of matrices, as GPT-2's Conv1D against Linear needs it."""

    pattern: str
    syntax: Syntax = "glob"


@dataclass(frozen=True, slots=True)
class Reshape:
    """Add or take away dimensions of 1 where the signature wants it: 1 × 1 convolution ↔ linear."""

    pattern: str = "*"


@dataclass(frozen=True, slots=True)
class WeightNorm:
    """Fold weight norm into the weight, or bring its two tensors under the other names.

    `hooked` are `weight_g` and `weight_v` of `torch.nn.utils.weight_norm`, `parametrized` the
    `parametrizations.weight.original0` and `original1` of `torch.nn.utils.parametrizations`.
    """

    to: WeightNormForm = "folded"


@dataclass(frozen=True, slots=True)
class AddBatchStatistics:
    """Give BatchNorm layers the statistics that they lack, at their defaults.

    `running_mean` is 0, `running_var` 1, `num_batches_tracked` 0, wherever the signature wants one.
    """


@dataclass(frozen=True, slots=True)
class MergeLora:
    """Merge LoRA adapters into their base: W + alpha / r · B A.

    `alpha` 0 takes the file's own, and where it has none a scale of 1.
    """

    alpha: float = 0.0


@dataclass(frozen=True, slots=True)
class Dequantize:
    """Make quantized tensors float32, when they are read."""


@dataclass(frozen=True, slots=True)
class Untie:
    """Give each key a storage of its own where several share one."""


Fix: TypeAlias = (
    StripPrefix
    | AddPrefix
    | Keep
    | Drop
    | Rename
    | RenameTable
    | DropMismatched
    | CastDtype
    | SelectClasses
    | AdaptInput
    | ResamplePositions
    | Split
    | Fuse
    | Transpose
    | Reshape
    | WeightNorm
    | AddBatchStatistics
    | MergeLora
    | Dequantize
    | Untie
)


@dataclass(frozen=True, slots=True)
class Step:
    """A fix in a recipe, switched on or off."""

    fix: Fix
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """Fixes in their order; each works on what the ones before it made."""

    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, fixes: Iterable[Fix]) -> Recipe:
        """The fixes, all switched on."""
        return cls(tuple(map(Step, fixes)))


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step did: tensors that got another key or dtype, tensors that went away."""

    changed: int
    dropped: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What a recipe makes of a state_dict, with one Effect for each of its steps."""

    state_dict: StateDict
    effects: tuple[Effect, ...]
