"""The functions that a script carries: those of its fixes, and those that read the file."""

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
    found = {}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, torch.Tensor):
            found[str(key)] = item
        elif isinstance(key, int) and isinstance(item, dict):
            found.update((f"{key}.{name}", x) for name, x in item.items() if torch.is_tensor(x))
    return found
'''
"""What reads a state_dict that does not lie in plain dicts under texts."""


def sources(functions: Iterable[Function]) -> list[str]:
    """The source of each function once, those that come as text before those of modules."""
    different = dict.fromkeys(functions)
    texts = [each for each in different if isinstance(each, str)]
    return texts + [inspect.getsource(each) for each in different if not isinstance(each, str)]
