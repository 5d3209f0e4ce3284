"""The networks that a checkpoint may be for: torchvision's, timm's, and the server owner's own."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.architectures.own_models import own_function, own_names
from core.errors import ArchitectureError

TORCHVISION, TIMM, OWN = "torchvision", "timm", "own"
LIBRARIES = (TORCHVISION, TIMM, OWN)

OPTIONS = ("num_classes", "in_chans", "img_size", "image_size", "aux_logits", "aux_loss")
"""The options that a person may set, in the libraries' own words."""

SWITCHES = ("aux_logits", "aux_loss")
"""The options that are true or false; as numbers they are 1 and 0."""


MAX_OPTION = 1_000_000

OTHER_CLASSES = 37
"""A number of classes that no model has by itself, and that divides none of its widths: which rows
are classes shows where a second model is built with it."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network: its library, its name there, and its options where they are not the default.

    An owner's own model has the library `own` and the name `module.function`.
    """

    library: str
    name: str
    options: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> str:
        """One text for it all: `torchvision:resnet18?num_classes=10`."""
        options = "&".join(f"{name}={value}" for name, value in self.options)
        return f"{self.library}:{self.name}" + (f"?{options}" if options else "")

    @property
    def title(self) -> str:
        """The same for people: `torchvision resnet18 (num_classes=10)`."""
        options = ", ".join(f"{name}={value}" for name, value in self.options)
        return f"{self.library} {self.name}" + (f" ({options})" if options else "")


_owned: set[str] = set()
"""Names that an owner's configuration allowed in this process; no other module is imported."""


def catalogue(owner_models: Sequence[str] = ()) -> tuple[Architecture, ...]:
    """Every network that can be chosen: the owner's, torchvision's, timm's.

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
    """The owner's alone, as `catalogue` has them.

    A module that cannot be imported is tried again each time. Its ArchitectureError is given to
    `trouble`, and the other modules' are listed; without one it is raised.
    """
    own: list[Architecture] = []
    for named in owner_models:
        try:
            own.extend(Architecture(OWN, name) for name in own_names(named))
        except ArchitectureError as error:
            if trouble is None:
                raise
            trouble(error)
    _owned.update(architecture.name for architecture in own)
    return tuple(own)


def parse_architecture(text: str) -> Architecture:
    """Read a key, or a bare name: torchvision's before timm's.

    Raises ArchitectureError where the text is no key, or nothing has that name.
    """
    found = re.fullmatch(r"(?:(\w+):)?([\w.]+)(?:\?([\w=&]*))?", text.strip())
    if found is None:
        raise ArchitectureError(
            f"{text[:120]!r} is no architecture's name.",
            "Write it like resnet18, timm:resnet50d or torchvision:vit_b_16.",
        )
    library, name, options = found[1], found[2], _options(found[3] or "")
    if library not in (None, *LIBRARIES):
        raise ArchitectureError(
            f"{library!r} is no library of architectures.", f"There are {', '.join(LIBRARIES)}."
        )
    for candidate in (library,) if library else (TORCHVISION, TIMM, OWN):
        if name in _names(candidate):
            return Architecture(candidate, name, options)
    raise _unknown(name, library)


def _options(text: str) -> tuple[tuple[str, int], ...]:
    pairs = re.findall(r"(\w+)=(\d{1,7})(?=&|$)", text)
    return tuple(sorted((name, int(value)) for name, value in pairs if name in OPTIONS))


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
    known = {each for one in ((library,) if library else LIBRARIES) for each in _names(one)}
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return ArchitectureError(
        f"No architecture is called {name[:80]!r}" + (f" in {library}." if library else "."),
        f"Did you mean {', '.join(near)}?" if near else "Choose one from the list.",
    )


def options_of(architecture: Architecture) -> tuple[str, ...]:
    """The options of OPTIONS that this architecture takes. Raises ArchitectureError."""
    if architecture.library == TORCHVISION:
        return _vision_options(architecture.name)
    if architecture.library == TIMM:
        return _timm_options(architecture.name)
    parameters = inspect.signature(own_function(known_name(OWN, architecture.name))).parameters
    return tuple(name for name in OPTIONS if name in parameters)


def least_of(architecture: Architecture, option: str) -> int:
    """The option's least value; timm's models of 0 classes have no head."""
    headless = option == "num_classes" and architecture.library == TIMM
    return 0 if headless or option in SWITCHES else 1


def most_of(option: str) -> int:
    """The option's largest value."""
    return 1 if option in SWITCHES else MAX_OPTION


@functools.cache
def _vision_options(name: str) -> tuple[str, ...]:
    """A builder of torchvision hides most options behind `**kwargs`, so what is known is said here.

    The segmentation networks name `aux_loss`; `googlenet` and `inception_v3` take `aux_logits`, the
    vision transformers `image_size`; RAFT has no classes.
    """
    from torchvision.models import get_model_builder

    named = inspect.signature(get_model_builder(known_name(TORCHVISION, name))).parameters
    options = [] if name.startswith("raft") else ["num_classes"]
    options += ["aux_loss"] if "aux_loss" in named else []
    options += ["aux_logits"] if name.endswith(("googlenet", "inception_v3")) else []
    options += ["image_size"] if name.startswith("vit_") else []
    return tuple(options)


@functools.cache
def _timm_options(name: str) -> tuple[str, ...]:
    """`img_size` is one where a network that the model's own file knows takes it."""
    import timm

    module = inspect.getmodule(timm.model_entrypoint(known_name(TIMM, name)))
    sized = any(
        {"img_size", "num_classes"} <= set(inspect.signature(value.__init__).parameters)
        for value in vars(module).values()
        if inspect.isclass(value)
    )
    return ("num_classes", "in_chans", *(("img_size",) if sized else ()))


def known_name(library: str, name: str) -> str:
    """The name, which the library has; of an owner's own, one that the configuration allowed.

    Raises ArchitectureError.
    """
    if name not in _names(library):
        raise _unknown(name, library)
    return name
