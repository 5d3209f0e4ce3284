"""The architectures that can be chosen: torchvision's, timm's, and those of the server's owner."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from core.architectures.option_table import (
    OPTIONS,
    SIMPLE,
    TABLE,
    Option,
    Options,
    check_value,
    parse_options,
    timm_arguments,
)
from core.architectures.own_models import own_function, own_model_names
from core.errors import ArchitectureError

TORCHVISION, TIMM, OWN = "torchvision", "timm", "own"
LIBRARIES = (TORCHVISION, TIMM, OWN)

OTHER_CLASSES = 37
"""A number of classes that no model has by default, and that divides none of its widths. Built with
it, a second model differs from the default one only in the rows that stand for classes."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A named definition of a model: its library, its name there, and its non-default options.

    A model of the server's owner has the library `own` and the name `module.function`. `tag` is
    that of weights of a timm model, as in `vit_base_patch16_224.mae`: their configuration sets the
    classes, the pooling and the image size where no option does.
    """

    library: str
    name: str
    options: Options = ()
    tag: str = ""

    @property
    def tagged_name(self) -> str:
        """The name as the library's own functions take it, with the tag."""
        return f"{self.name}.{self.tag}" if self.tag else self.name

    @property
    def key(self) -> str:
        """The whole as one text: `torchvision:resnet18?num_classes=10`."""
        options = "&".join(f"{name}={value}" for name, value in self.options)
        return f"{self.library}:{self.tagged_name}" + (f"?{options}" if options else "")

    @property
    def plain_key(self) -> str:
        """Its library and name alone: `torchvision:resnet18`."""
        return f"{self.library}:{self.name}"

    @property
    def title(self) -> str:
        """The same as people read it: `torchvision resnet18 (num_classes=10)`."""
        options = ", ".join(f"{name}={value}" for name, value in self.options)
        return f"{self.library} {self.tagged_name}" + (f" ({options})" if options else "")

    def size(self, option: str) -> int | None:
        """The value of an option that is a number; None where it is left at its default."""
        value = dict(self.options).get(option)
        return value if isinstance(value, int) else None


_owned: set[str] = set()
"""Names that the server's configuration allowed in this process; no other module is imported."""


def catalogue(owner_models: Sequence[str] = ()) -> tuple[Architecture, ...]:
    """Every architecture that can be chosen: the owner's, torchvision's and timm's, in that order.

    `owner_models` are `module:function`, or `module` for all its public functions and classes that
    make a model. Raises ArchitectureError where the owner's module cannot be imported.
    """
    import timm
    import torchvision

    return (
        *own_architectures(owner_models),
        *(Architecture(TORCHVISION, name) for name in torchvision.models.list_models()),
        *(Architecture(TIMM, name) for name in timm.list_models()),
    )


def own_architectures(
    owner_models: Sequence[str], trouble: Callable[[ArchitectureError], None] | None = None
) -> tuple[Architecture, ...]:
    """The architectures of the server's owner, as in `catalogue`.

    A module that cannot be imported is tried again at each call. Its ArchitectureError is passed to
    `trouble`, and the other modules' architectures are listed; without `trouble` it is raised.
    """
    own: list[Architecture] = []
    for owner_model in owner_models:
        try:
            own.extend(Architecture(OWN, name) for name in own_model_names(owner_model))
        except ArchitectureError as error:
            if trouble is None:
                raise
            trouble(error)
    _owned.update(architecture.name for architecture in own)
    return tuple(own)


def parse_architecture(
    text: str, names: Mapping[str, Collection[str]] = MappingProxyType({})
) -> Architecture:
    """Parse a key, or a name without a library: torchvision's is preferred to timm's.

    A deprecated name of timm gives the architecture under its current name.

    `names` are those of the libraries, where they are known without their import, which takes
    seconds. Raises ArchitectureError where the text is not a key, no architecture has that name, or
    the architecture does not take one of the options.
    """
    match = re.fullmatch(r"(?:(\w+):)?([\w.]+)(?:\?(.*))?", text.strip())
    if match is None:
        raise ArchitectureError(
            f"{text[:120]!r} is not the name of an architecture.",
            "Write it like resnet18, timm:resnet50d or torchvision:vit_b_16.",
        )
    library, name = match[1], match[2]
    if library not in (None, *LIBRARIES):
        raise ArchitectureError(
            f"{library!r} is not a library of architectures.",
            f"The libraries are {', '.join(LIBRARIES)}.",
        )
    architecture = _named(library, name, names)
    if not match[3]:
        return architecture
    taken = {name: option_of(architecture, name) for name in options_of(architecture)}
    return replace(architecture, options=parse_options(match[3], architecture.title, taken))


def _named(library: str | None, name: str, names: Mapping[str, Collection[str]]) -> Architecture:
    libraries = (library,) if library else (TORCHVISION, TIMM, OWN)
    for candidate in libraries:
        if name in names.get(candidate, ()):
            return Architecture(candidate, name)
    for candidate in libraries:
        if name in _names(candidate):
            return Architecture(candidate, name)
    if TIMM in libraries:
        name = _current_name(name)
    plain, dot, tag = name.partition(".")
    if TIMM in libraries and plain in _names(TIMM):
        return Architecture(TIMM, plain, tag=_known_tag(plain, tag) if dot else "")
    raise _unknown(name, library)


def _current_name(name: str) -> str:
    """The name that timm has for a deprecated one, with a tag or without; any other name as it is.

    `tf_efficientnet_b0_ns` → `tf_efficientnet_b0.ns_jft_in1k`. timm lists no deprecated name, but
    builds it, with a warning.
    """
    from timm.models import get_deprecated_models

    return get_deprecated_models().get(name) or name


def _known_tag(name: str, tag: str) -> str:
    """The tag, once checked. Raises ArchitectureError where timm's model has no such weights."""
    from timm.models import get_arch_pretrained_cfgs

    tags = [known.partition(".")[2] for known in get_arch_pretrained_cfgs(name)]
    if tag in tags:
        return tag
    known = [each for each in tags if each]
    near = difflib.get_close_matches(tag, known, n=3, cutoff=0.5)
    raise ArchitectureError(
        f"timm {name} has no weights with the tag {tag[:80]!r}: "
        + (f"its tags are {', '.join(known)}." if known else "it has no tags."),
        f"Did you mean {' or '.join(near)}?" if near else "Leave the tag out, or choose another.",
    )


def _names(library: str) -> frozenset[str]:
    return frozenset(_owned) if library == OWN else _library_names(library)


@lru_cache(maxsize=2)
def _library_names(library: str) -> frozenset[str]:
    if library == TORCHVISION:
        import torchvision

        return frozenset(torchvision.models.list_models())
    import timm

    return frozenset(timm.list_models())


def _unknown(name: str, library: str | None) -> ArchitectureError:
    known = {
        candidate
        for searched in ((library,) if library else LIBRARIES)
        for candidate in _names(searched)
    }
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return ArchitectureError(
        f"No architecture is called {name[:80]!r}" + (f" in {library}." if library else "."),
        f"Did you mean {', '.join(near)}?" if near else "Choose one from the list.",
    )


def options_of(architecture: Architecture) -> tuple[str, ...]:
    """Those of OPTIONS that this architecture takes. Raises ArchitectureError."""
    if architecture.library == TORCHVISION:
        return _vision_options(architecture.name)
    if architecture.library == TIMM:
        return _timm_options(architecture.name)
    parameters = inspect.signature(own_function(known_name(OWN, architecture.name))).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return SIMPLE  # what it passes its keyword arguments on to is not known
    return tuple(name for name in SIMPLE if name in parameters)


def option_of(architecture: Architecture, name: str) -> Option:
    """The option with the values that it can have in this architecture.

    For timm, `num_classes=0` means a model without a head.
    """
    headless = name == "num_classes" and architecture.library == TIMM
    return replace(TABLE[name], least=0) if headless else TABLE[name]


def check_options(architecture: Architecture) -> None:
    """Raise ArchitectureError if an option has a value that no model has."""
    for name, value in architecture.options:
        check_value(option_of(architecture, name), value)


@functools.cache
def _vision_options(name: str) -> tuple[str, ...]:
    """The options of torchvision's builders, most of which hide theirs behind `**kwargs`.

    The segmentation models name `aux_loss`; `googlenet` and `inception_v3` take `aux_logits`, the
    vision transformers `image_size`; RAFT has no classes.
    """
    from torchvision.models import get_model_builder

    parameters = inspect.signature(get_model_builder(known_name(TORCHVISION, name))).parameters
    options = [] if name.startswith("raft") else ["num_classes"]
    options += ["aux_loss"] if "aux_loss" in parameters else []
    options += ["aux_logits"] if name.endswith(("googlenet", "inception_v3")) else []
    options += ["image_size"] if name.startswith("vit_") else []
    return tuple(options)


@functools.cache
def _timm_options(name: str) -> tuple[str, ...]:
    """The options of timm's models: the arguments of the model's class."""
    import timm

    arguments = timm_arguments(timm.model_entrypoint(known_name(TIMM, name)))
    return tuple(option for option in OPTIONS if option in arguments)


def known_name(library: str, name: str) -> str:
    """The name, once checked: the library has it, or the owner's configuration allows it.

    Raises ArchitectureError where it is unknown.
    """
    if name not in _names(library):
        raise _unknown(name, library)
    return name
