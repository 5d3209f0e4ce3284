"""Whether weights lie in a pickled object, which plain PyTorch reads only by running code."""

from __future__ import annotations

from core.checkpoint.inert import Opaque, Tree, inside


def in_pickled_object(tree: Tree, path: str) -> bool:
    """Whether the state_dict at `path` of a checkpoint's tree is an object of some class, or
    part of one: `torch.save(model)` writes such files."""
    if isinstance(tree, Opaque):
        return True
    for key, value in inside(tree) if path else ():
        if path == str(key) or path.startswith(f"{key}."):
            return in_pickled_object(value, path[len(str(key)) + 1 :])
    return False
