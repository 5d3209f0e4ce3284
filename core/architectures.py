"""The networks that a checkpoint may be for: torchvision's, timm's, and the server owner's own."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import re
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from core.errors import ArchitectureError
from core.signature import Signature, TensorSpec

if TYPE_CHECKING:
    from torch import nn

    from core.blueprint import Blueprint, Blueprints

__all__ = [
    "Architecture",
    "Signature",
    "TensorSpec",
    "blueprint",
    "build",
    "build_uninitialised",
    "build_without_weights",
    "catalogue",
    "least_of",
    "most_of",
    "options_of",
    "own_architectures",
    "parse_architecture",
    "signature",
    "signature_of",
]

TORCHVISION, TIMM, OWN = "torchvision", "timm", "own"
LIBRARIES = (TORCHVISION, TIMM, OWN)

OPTIONS = ("num_classes", "in_chans", "img_size", "image_size", "aux_logits", "aux_loss")
"""The options that a person may set, in the libraries' own words."""

SWITCHES = ("aux_logits", "aux_loss")
"""The options that are true or false; as numbers they are 1 and 0."""

ASK_WHETHER_TO_INITIALISE = ("googlenet", "inception_v3")
"""torchvision's networks that do by default, and warn that they will not (models/googlenet.py)."""

MAX_OPTION = 1_000_000

OTHER_CLASSES = 37
"""A number of classes that no model has by itself, and that divides none of its widths: which rows
are classes shows where a second model is built with it."""

SIGNATURES = 512
"""Signatures remembered."""


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
            own.extend(Architecture(OWN, name) for name in _own_names(named))
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
    parameters = inspect.signature(_own_function(architecture.name)).parameters
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

    named = inspect.signature(get_model_builder(_known_name(TORCHVISION, name))).parameters
    options = [] if name.startswith("raft") else ["num_classes"]
    options += ["aux_loss"] if "aux_loss" in named else []
    options += ["aux_logits"] if name.endswith(("googlenet", "inception_v3")) else []
    options += ["image_size"] if name.startswith("vit_") else []
    return tuple(options)


@functools.cache
def _timm_options(name: str) -> tuple[str, ...]:
    """`img_size` is one where a network that the model's own file knows takes it."""
    import timm

    module = inspect.getmodule(timm.model_entrypoint(_known_name(TIMM, name)))
    sized = any(
        {"img_size", "num_classes"} <= set(inspect.signature(value.__init__).parameters)
        for value in vars(module).values()
        if inspect.isclass(value)
    )
    return ("num_classes", "in_chans", *(("img_size",) if sized else ()))


def _known_name(library: str, name: str) -> str:
    if name not in _names(library):
        raise _unknown(name, library)
    return name


def signature(architecture: Architecture) -> Signature:
    """The model's state_dict as keys, shapes and dtypes, without allocating its weights.

    Safe to call from several threads. Raises ArchitectureError.
    """
    with _lock_of(architecture):
        return _signature(architecture)


@lru_cache(maxsize=SIGNATURES)
def _lock_of(_architecture: Architecture) -> threading.Lock:
    return threading.Lock()


@lru_cache(maxsize=SIGNATURES)
def _signature(architecture: Architecture) -> Signature:
    model = _learnt(architecture) if architecture.library != OWN else None
    return signature_of(model or build_without_weights(architecture))


def blueprint(architecture: Architecture) -> Blueprint | None:
    """What the model can be made of again without its constructor.

    None for an owner's own model, whose constructor may make another one each time, and for a
    network that cannot be copied exactly. Safe to call from several threads.
    """
    if architecture.library == OWN:
        return None
    with _lock_of(architecture):
        if architecture.key not in _blueprints():
            _learnt(architecture)
        return _blueprints().get(architecture.key)


@functools.cache
def _blueprints() -> Blueprints:
    from core.blueprint import Blueprints

    return Blueprints()


def _learnt(architecture: Architecture) -> nn.Module | None:
    """The model with its weights on the meta device, its blueprint remembered; None where its
    constructor cannot do without their values."""
    from core.blueprint import blueprint_of
    from core.skeleton import WeightsOnMeta

    for _ in range(2):  # numbers that another thread drew at random are no reason the second time
        mode = WeightsOnMeta()
        try:
            with mode:
                model = _build(architecture).eval()
        except (RuntimeError, NotImplementedError, ArchitectureError):
            _blueprints().put(architecture.key, None)
            return None
        if not mode.drew:
            break
    exact = not (mode.drew or mode.left_out)
    _blueprints().put(architecture.key, blueprint_of(model) if exact else None)
    return model


def signature_of(model: nn.Module) -> Signature:
    """The model's own state_dict as keys, shapes, dtypes and kinds."""
    import torch
    from torch import nn

    return {
        key: TensorSpec(
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            "parameter" if isinstance(tensor, nn.Parameter) else "buffer",
        )
        for key, tensor in model.state_dict(keep_vars=True).items()
        if isinstance(tensor, torch.Tensor)
    }


def build_without_weights(architecture: Architecture) -> nn.Module:
    """The model on the meta device, or where its constructor needs values, as
    build_uninitialised makes it. Raises ArchitectureError."""
    import torch

    try:
        with torch.device("meta"):
            return _build(architecture)
    except (RuntimeError, NotImplementedError, ArchitectureError):
        # Some constructors look at values, which the meta device has none of.
        return build_uninitialised(architecture)


def build(architecture: Architecture) -> nn.Module:
    """The model on the CPU with its own initialisation, in eval mode. Raises ArchitectureError."""
    return _build(architecture).eval()


def build_uninitialised(architecture: Architecture) -> nn.Module:
    """The model on the CPU, in eval mode, its parameters' memory untouched and its buffers right.

    Raises ArchitectureError.
    """
    from core.skeleton import UninitialisedParameters

    with UninitialisedParameters():
        return _build(architecture).eval()


def _build(architecture: Architecture) -> nn.Module:
    from torch import nn

    for name, value in architecture.options:
        least, most = least_of(architecture, name), most_of(name)
        if not least <= value <= most:
            raise ArchitectureError(
                f"{name} is {value}, which no network has.", f"Choose {least} to {most:,}."
            )
    make = _maker(architecture)
    options = {
        name: bool(value) if name in SWITCHES else value for name, value in architecture.options
    }
    try:
        model = make(**options)
    except ArchitectureError:
        raise
    except (Exception, SystemExit) as error:  # a constructor of another's code may raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArchitectureError(
            f"{architecture.title} cannot be built: {first[:300]}",
            "Change its options, or choose another architecture.",
        ) from error
    if not isinstance(model, nn.Module):
        raise ArchitectureError(
            f"{architecture.title} gives a {type(model).__name__}, not a torch.nn.Module.",
            "Name a function that returns a model in LOUPE_MODELS.",
        )
    return model


def _maker(architecture: Architecture) -> Callable[..., object]:
    if architecture.library == OWN:
        return _own_function(architecture.name)
    name = _known_name(architecture.library, architecture.name)
    if architecture.library == TORCHVISION:
        from torchvision.models import get_model_builder

        make = get_model_builder(name)
        weights = [each for each in inspect.signature(make).parameters if "weights" in each]
        initialised = {"init_weights": True} if name.endswith(ASK_WHETHER_TO_INITIALISE) else {}
        return functools.partial(make, **dict.fromkeys(weights), **initialised)
    import timm

    return functools.partial(timm.create_model, name, pretrained=False)


def _own_names(named: str) -> list[str]:
    """`module:function` or `module` as names `module.function`."""
    module_name, _, function = named.partition(":")
    if function:
        return [f"{module_name}.{function}"]
    module = _own_module(module_name)
    return [
        f"{module_name}.{name}"
        for name, value in vars(module).items()
        if not name.startswith("_") and _makes_models(value, module_name)
    ]


def _makes_models(value: object, module_name: str) -> bool:
    from torch import nn

    if getattr(value, "__module__", None) != module_name:
        return False
    return inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module))


def _own_function(name: str) -> Callable[..., object]:
    module_name, _, function = name.rpartition(".")
    if name not in _owned:
        raise _unknown(name, OWN)
    found = getattr(_own_module(module_name), function, None)
    if not callable(found):
        raise ArchitectureError(
            f"The module {module_name} has no function {function}.", "Correct LOUPE_MODELS."
        )
    made: Callable[..., object] = found
    return made


def _own_module(name: str) -> ModuleType:
    if name not in sys.modules:
        importlib.invalidate_caches()  # its file may have come since the last try
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the owner's own code: it may raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArchitectureError(
            f"The module {name} of LOUPE_MODELS cannot be imported: {first[:300]}",
            "Correct LOUPE_MODELS, or let PYTHONPATH name its folder.",
        ) from error
