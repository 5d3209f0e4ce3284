"""The options that architectures take: their names, their values, and their text in a key."""

from __future__ import annotations

import difflib
import inspect
import re
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from core.errors import ArchitectureError
from core.wording import count

Value = int | float | str
"""An option's value: a size, 1 or 0 for a switch, a number for a scale, or one of its words."""

Options = tuple[tuple[str, Value], ...]
"""Options by name, each with its value."""

MAX_OPTION = 1_000_000


@dataclass(frozen=True, slots=True)
class Option:
    """An option by the name of the library's own argument.

    A `size` is a whole number from `least` to `most`. A `switch` is true or false, written as 1 and
    0. A `scale` is the first value of a layer scale, any number in the bounds, such as 1e-05; a
    file's tensors replace it, so 1 stands for all that give a model the scale. A `word` is one of
    `words`, and nothing else.
    """

    name: str
    kind: Literal["size", "switch", "scale", "word"] = "size"
    words: tuple[str, ...] = ()
    least: int = 1
    most: int = MAX_OPTION

    def is_value(self, value: Value) -> bool:
        """Whether the option can have this value."""
        if self.kind == "word":
            return value in self.words
        if self.kind == "scale":
            return isinstance(value, int | float) and self.least <= value <= self.most
        return isinstance(value, int) and self.least <= value <= self.most

    def argument(self, value: Value) -> object:
        """The value as the library's builder takes it."""
        if self.kind == "switch":
            return bool(value)
        return float(value) if self.kind == "scale" else value


def _switch(name: str) -> Option:
    return Option(name, "switch", least=0, most=1)


def _scale(name: str) -> Option:
    return Option(name, "scale", least=0)


SIMPLE = ("num_classes", "in_chans", "img_size", "image_size", "aux_logits", "aux_loss")
"""The options of everyday use: of the classes, of the image, and of auxiliary heads."""

_STRUCTURE = (
    # timm's VisionTransformer, Eva, Beit and VisionTransformerRelPos
    Option("global_pool", "word", ("avg", "token", "map", "max", "avgmax", "catavgmax")),
    _switch("class_token"),
    Option("reg_tokens", least=0),
    Option("num_reg_tokens", least=0),
    Option("pos_embed", "word", ("learn", "none")),
    _switch("no_embed_class"),
    _switch("qkv_bias"),
    _switch("proj_bias"),
    _switch("qk_norm"),
    _switch("scale_attn_norm"),
    _switch("scale_mlp_norm"),
    _switch("pre_norm"),
    _switch("final_norm"),
    _switch("fc_norm"),
    _switch("use_fc_norm"),
    _switch("use_abs_pos_emb"),
    _switch("use_rot_pos_emb"),
    _switch("use_rel_pos_bias"),
    _switch("use_shared_rel_pos_bias"),
    _switch("swiglu_mlp"),
    _switch("scale_mlp"),
    _scale("init_values"),
    # timm's ResNet and ResNetV2; `overlap` and those after it are ConvNeXt's
    Option(
        "stem_type",
        "word",
        ("deep", "deep_tiered", "patch", "overlap", "overlap_tiered", "overlap_act"),
    ),
    Option("stem_width"),
    _switch("avg_down"),
    Option("down_kernel_size"),
    _switch("replace_stem_pool"),
    Option("base_width"),
    Option("cardinality"),
    # timm's ConvNeXt
    _switch("use_grn"),
    _switch("conv_mlp"),
    _switch("conv_bias"),
    _scale("ls_init_value"),
)
"""Options that change the structure: a model's keys, its shapes, or what it computes."""

TABLE: Mapping[str, Option] = {
    option.name: option
    for option in (
        *(_switch(name) if name.startswith("aux_") else Option(name) for name in SIMPLE),
        *_STRUCTURE,
    )
}
"""Every option that a person may set, by its name."""

OPTIONS = tuple(TABLE)
"""The names of all options, by which an index file numbers them: a new one is added at the end."""

MOST_TEXT = 1000
"""Characters that the options of a key may have together."""

_BOOLEANS = {"true": 1, "false": 0}

_DECIMAL = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
"""A number as Python writes one, with neither a sign nor the words `inf` and `nan`."""


def parse_options(text: str, title: str, taken: Mapping[str, Option]) -> Options:
    """The options of a key's part after `?`, sorted by their names.

    `title` is the architecture's, and `taken` are the options that it takes. Raises
    ArchitectureError for an option that it does not take, for one that is given twice, and for a
    value that the option cannot have.
    """
    if len(text) > MOST_TEXT:
        raise ArchitectureError(
            f"The options of {title} are longer than {count(MOST_TEXT)} characters.",
            "Leave out those that it does not need.",
        )
    values: dict[str, Value] = {}
    for part in text.split("&"):
        name, _, written = part.partition("=")
        option = taken.get(name)
        if option is None:
            raise _not_taken(name, title, taken)
        if not written:
            raise ArchitectureError(
                f"The option {name} of {title} has no value.",
                f"Write it like {name}={option.words[0] if option.words else 1}.",
            )
        if name in values:
            raise ArchitectureError(
                f"The option {name} of {title} is given twice.", "Give it once."
            )
        values[name] = _value(option, written)
        check_value(option, values[name])
    return tuple(sorted(values.items()))


def _value(option: Option, written: str) -> Value:
    if option.kind != "word" and re.fullmatch(r"[0-9]{1,7}", written):
        return int(written)
    if option.kind == "scale" and _DECIMAL.fullmatch(written):
        number = float(written)
        return int(number) if number.is_integer() else number  # 1.0 and 1 are one value
    return _BOOLEANS.get(written.lower(), written) if option.kind == "switch" else written


def check_value(option: Option, value: Value) -> None:
    """Raise ArchitectureError if the option cannot have this value."""
    if not option.is_value(value):
        if option.kind == "scale":
            raise ArchitectureError(
                f"{option.name} is {str(value)[:80]}, but the first value of a layer scale is a "
                f"number from {option.least} to {count(option.most)}.",
                "Choose one, such as 1e-05.",
            )
        words = ", ".join(option.words) or f"{option.least} to {count(option.most)}"
        apart = " Put & between two options." if "," in str(value) else ""
        raise ArchitectureError(
            f"{option.name} is {str(value)[:80]}, which no model has.", f"Choose {words}.{apart}"
        )


def _not_taken(name: str, title: str, taken: Collection[str]) -> ArchitectureError:
    takes = f"it takes {', '.join(taken)}" if taken else "it takes none"
    near = difflib.get_close_matches(name, taken, n=3, cutoff=0.6)
    return ArchitectureError(
        f"{title} takes no option {name[:80]!r}: {takes}.",
        f"Did you mean {' or '.join(near)}?" if near else "Leave it out.",
    )


def timm_arguments(entrypoint: Callable[..., object]) -> frozenset[str]:
    """The arguments that the class of a timm model takes, by the function that builds it.

    timm passes an unknown argument on to the class. The class is the one that the function, or
    one that it calls, gives to timm's own builder; of several, only what all of them take.
    """
    classes = set(_built_by(entrypoint, set())) or {
        value for value in vars(inspect.getmodule(entrypoint)).values() if _is_classifier(value)
    }
    arguments = [_arguments(each) for each in classes]
    return frozenset.intersection(*arguments) if arguments else frozenset()


def _built_by(function: Callable[..., object], seen: set[Callable[..., object]]) -> Iterator[type]:
    """The classes of models that a function of timm names, and the functions that it calls."""
    if function in seen:
        return
    seen.add(function)
    plain = inspect.unwrap(function)
    if not isinstance(plain, types.FunctionType):
        return
    names = dict.fromkeys(_names(plain.__code__))
    for name in names:
        value = plain.__globals__.get(name)
        if _is_classifier(value) and "build_model_with_cfg" in names:
            yield value
        elif inspect.isfunction(value) and value.__module__ == plain.__module__:
            yield from _built_by(value, seen)


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names that code reads, functions within it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_classifier(value: object) -> TypeGuard[type]:
    return inspect.isclass(value) and _arguments(value) >= CLASSIFIER


def _arguments(made: Any) -> frozenset[str]:
    return frozenset(inspect.signature(made.__init__).parameters)


CLASSIFIER = frozenset(("num_classes", "in_chans"))
"""Arguments that the classes of all timm models take, and no layer's class."""
