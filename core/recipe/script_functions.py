"""The source of the functions that a script contains: of its fixes, and to read the file."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from core.fixes import Function

FIND = '''
def find(value, path):
    """What lies at a dotted path of dicts and lists."""
    if not path:
        return value
    items = value if isinstance(value, dict) else dict(enumerate(value))
    for key in sorted(items, key=lambda key: len(str(key)), reverse=True):
        if path == str(key) or path.startswith(f"{key}."):
            return find(items[key], path[len(str(key)) + 1 :])
    raise KeyError(path)


def tensors_in(value):
    """The tensors of a dict or a list, and of an optimizer's dicts under numbers."""
    tensors = {}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, torch.Tensor):
            tensors[str(key)] = item
        elif isinstance(key, int) and isinstance(item, dict):
            tensors.update((f"{key}.{name}", x) for name, x in item.items() if torch.is_tensor(x))
    return tensors
'''
"""Reads a state_dict that is not in plain dicts with texts as keys."""


def sources(functions: Iterable[Function]) -> list[str]:
    """The source of each function once, those given as text first."""
    different = dict.fromkeys(functions)
    texts = [function for function in different if isinstance(function, str)]
    return texts + [
        inspect.getsource(function) for function in different if not isinstance(function, str)
    ]
