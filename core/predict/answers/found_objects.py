"""The objects that a detector finds in an image: boxes, and perhaps masks and keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

MOST_OBJECTS = 300
"""The most objects of an image that are kept, those of the highest scores: RetinaNet and FCOS
return up to 300 by default, the others 100 or 200."""

MASK_LEVEL = 0.5
"""From where on a pixel is the object's (torchvision's tutorial on visualisation uses it too)."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMask:
    """The pixels of an object: bool [height, width], whose first pixel is at (left, top)."""

    left: int
    top: int
    pixels: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """The objects in one image, that of the highest score first.

    `boxes` are float32 [k, 4], as left, top, right and bottom in the pixels that the model was fed;
    `labels` and `scores` have k numbers. `masks` are k, or none if the model gives none;
    `keypoints` are float32 [k, points, 3] with x, y and whether the point is visible, or None.
    """

    boxes: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor
    masks: tuple[ObjectMask, ...] = ()
    keypoints: torch.Tensor | None = None

    def above(self, threshold: float) -> int:
        """How many objects have at least that score."""
        return int((self.scores >= threshold).sum())


def is_of_objects(output: object, images: int) -> bool:
    """Whether an output is a dict with boxes and their labels for each image."""
    return (
        isinstance(output, list | tuple)
        and len(output) == images > 0
        and all(isinstance(each, Mapping) and _has_boxes(each) for each in output)
    )


def _has_boxes(each: Mapping[object, object]) -> bool:
    boxes, labels = each.get("boxes"), each.get("labels")
    return (
        isinstance(boxes, torch.Tensor)
        and isinstance(labels, torch.Tensor)
        and boxes.ndim == 2
        and boxes.shape[1] == 4
        and labels.shape == boxes.shape[:1]
    )


def found_objects(output: object) -> tuple[FoundObjects, ...]:
    """The objects of each image of an output of which `is_of_objects` is true."""
    assert isinstance(output, list | tuple)
    return tuple(_objects(each) for each in output)


def _objects(each: Mapping[str, torch.Tensor]) -> FoundObjects:
    boxes, labels = each["boxes"].detach().float(), each["labels"].detach()
    scores = each.get("scores")
    scores = torch.ones(len(boxes)) if scores is None else scores.detach().float().cpu()
    order = scores.argsort(descending=True, stable=True)[:MOST_OBJECTS]
    boxes = boxes.cpu()[order]
    masks, keypoints = each.get("masks"), each.get("keypoints")
    return FoundObjects(
        boxes,
        labels.cpu().long()[order],
        scores[order],
        () if masks is None else _masks(masks.detach(), boxes, order),
        None if keypoints is None else keypoints.detach().float().cpu()[order],
    )


def _masks(masks: torch.Tensor, boxes: torch.Tensor, order: torch.Tensor) -> tuple[ObjectMask, ...]:
    """Each object's mask [k, 1, H, W] or [k, H, W], of which only what is in its box is kept: a
    hundred whole ones of a photograph would take gigabytes."""
    height, width = masks.shape[-2:]
    kept = []
    for box, place in zip(boxes.nan_to_num().tolist(), order.tolist(), strict=True):
        left, top = max(0, int(box[0])), max(0, int(box[1]))
        right, bottom = min(width, int(box[2]) + 2), min(height, int(box[3]) + 2)
        mask = masks[place].reshape(height, width)[top:bottom, left:right]
        inside = mask if mask.dtype == torch.bool else mask >= MASK_LEVEL
        kept.append(ObjectMask(left, top, inside.cpu().clone()))
    return tuple(kept)
