"""The server owner's own models: functions of modules that LOUPE_MODELS names."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType

from core.errors import ArchitectureError


def own_model_names(text: str) -> list[str]:
    """The models that one item of LOUPE_MODELS names, each as `module.function`.

    `text` is `module:function`, or `module` for all its public functions and `nn.Module` classes.
    Raises ArchitectureError where the module cannot be imported.
    """
    module_name, _, function = text.partition(":")
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
    """The function or class `module.function`. Raises ArchitectureError.

    It imports the module, so call it only with a name that the server's configuration allows
    (`registry.known_name`).
    """
    module_name, _, function = name.rpartition(".")
    builder = getattr(_own_module(module_name), function, None)
    if not callable(builder):
        raise ArchitectureError(
            f"The module {module_name} has no function {function}.", "Correct LOUPE_MODELS."
        )
    typed: Callable[..., object] = builder
    return typed


def _own_module(name: str) -> ModuleType:
    if name not in sys.modules:
        importlib.invalidate_caches()  # its file may have been added since the last attempt
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the owner's own code: it may raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArchitectureError(
            f"The module {name} of LOUPE_MODELS cannot be imported: {first[:300]}",
            "Correct LOUPE_MODELS, or add the module's folder to PYTHONPATH.",
        ) from error
