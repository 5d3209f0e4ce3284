"""An indexed model as JSON, to send it from the process that built it."""

from __future__ import annotations

from typing import Any

from core.architectures import Architecture, Signature, TensorSpec
from core.fit.index.index import IndexedModel, Variation


def from_model(model: IndexedModel) -> dict[str, Any]:
    """The model as dicts and lists that json.dumps takes."""
    return {
        "library": model.architecture.library,
        "name": model.architecture.name,
        "signature": _from_signature(model.signature),
        "variations": [
            {
                "option": each.option,
                "default": each.default,
                "value": each.value,
                "shapes": dict(each.shapes),
                "gone": each.gone,
                "added": _from_signature(each.added),
            }
            for each in model.variations
        ],
    }


def to_model(message: dict[str, Any]) -> IndexedModel:
    """The model of which `from_model` made this message."""
    return IndexedModel(
        Architecture(message["library"], message["name"]),
        _to_signature(message["signature"]),
        tuple(
            Variation(
                each["option"],
                each["default"],
                each["value"],
                {key: tuple(shape) for key, shape in each["shapes"].items()},
                tuple(each["gone"]),
                _to_signature(each["added"]),
            )
            for each in message["variations"]
        ),
    )


def _from_signature(signature: Signature) -> list[Any]:
    return [[key, spec.shape, spec.dtype, spec.kind] for key, spec in signature.items()]


def _to_signature(message: list[Any]) -> Signature:
    return {key: TensorSpec(tuple(shape), dtype, kind) for key, shape, dtype, kind in message}
