"""The server owner's own models: functions of modules that LOUPE_MODELS names."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType

from core.errors import ArchitectureError


def own_names(named: str) -> list[str]:
    """`module:function` or `module` as names `module.function`. Raises ArchitectureError."""
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


def own_function(name: str) -> Callable[..., object]:
    """What `module.function` names. Imports the module, so ask only for a name that the server's
    configuration allowed (`registry.known_name`). Raises ArchitectureError."""
    module_name, _, function = name.rpartition(".")
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
