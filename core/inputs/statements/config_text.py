"""Reads a Python config as data: assignments of literals, as OpenMMLab keeps them in checkpoints.

The text is parsed, and never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

MAX_CHARACTERS = 200_000
"""The longest text that is parsed."""


class _NoLiteral(Exception):
    """A part of the text that is no literal."""


def config_of(text: str) -> Mapping[str, object] | None:
    """The values that the text assigns to names; those that are no literals are left out.

    Names of earlier values, `dict(…)` and `**` are followed. None if the text is no Python.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    values: dict[str, object] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                values[statement.targets[0].id] = _value(statement.value, values)
            except (_NoLiteral, RecursionError):
                continue
    return values


def _value(node: ast.expr, known: Mapping[str, object]) -> object:
    match node:
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)):
            return -number
        case ast.Name(name) if name in known:
            return known[name]
        case ast.List(items) | ast.Tuple(items):
            return [_value(item, known) for item in items]
        case ast.Dict(keys, items):
            return _pairs(
                [
                    (None if k is None else _value(k, known), v)
                    for k, v in zip(keys, items, strict=True)
                ],
                known,
            )
        case ast.Call(ast.Name("dict"), [], keywords):
            return _pairs([(keyword.arg, keyword.value) for keyword in keywords], known)
    raise _NoLiteral


def _pairs(
    pairs: list[tuple[object, ast.expr]], known: Mapping[str, object]
) -> Mapping[str, object]:
    """A mapping of a key and a value each; what has no key is a mapping that is merged in.

    A value that is no literal, such as a call, stands as its text.
    """
    merged: dict[str, object] = {}
    for key, node in pairs:
        try:
            value = _value(node, known)
        except _NoLiteral:
            value = ast.unparse(node)[:80]
        if key is not None:
            merged[str(key)] = value
        elif isinstance(value, Mapping):
            merged.update(value)
    return merged
