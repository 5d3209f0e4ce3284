"""What a reader understood of a statement on preprocessing, and what it did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from core.inputs.preprocessing import Fit, Preprocessing
from core.inputs.statements.fields import LARGEST, LEAST, interpolation, numbers, told

Subject = tuple[str, ...]
SIZE, INTERPOLATION, VALUES = ("size",), ("interpolation",), ("mean", "std")
ORDER = ("channel order",)
"""What a statement may be on, in words."""

COMPLETE: Set[Subject] = frozenset({SIZE, INTERPOLATION, VALUES})
"""What a statement is on that leaves nothing open: images are RGB if nothing else is said."""

CAFFE_BGR = (103.939, 116.779, 123.68)
"""ImageNet's mean for blue, green and red, in which Caffe's models get their channels."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The preprocessing with what is stated in place; on what that is; what is not understood."""

    preprocessing: Preprocessing
    on: Set[Subject] = frozenset()
    not_understood: tuple[str, ...] = ()

    def lacking(self, name: str, value: object) -> Reading:
        """The same with another field that is not understood."""
        return replace(self, not_understood=(*self.not_understood, told(name, value)))

    def sized(
        self, resize: tuple[int, int], crop: tuple[int, int] | None = None, fit: Fit = "cover"
    ) -> Reading:
        """The same with a size stated; without a crop, what is resized is not cropped."""
        changed = replace(self.preprocessing, resize=resize, crop=crop or resize, fit=fit)
        return replace(self, preprocessing=changed, on=self.on | {SIZE})

    def interpolated(self, name: str, value: object) -> Reading:
        """The same with the interpolation that a field states; None states none."""
        if value is None or value == "":
            return self
        way = interpolation(value)
        if way is None:
            return self.lacking(name, value)
        changed = replace(self.preprocessing, interpolation=way)
        return replace(self, preprocessing=changed, on=self.on | {INTERPOLATION})

    def normalised(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Reading:
        """The same with mean and std stated, for pixel values from 0 to 1, if they can be used."""
        if min(std) < LEAST or max(*std, *map(abs, mean)) > LARGEST:
            return self.lacking("mean", mean).lacking("std", std)
        changed = replace(self.preprocessing, mean=mean, std=std)
        return replace(self, preprocessing=changed, on=self.on | {VALUES})

    def in_bgr(self, bgr: bool) -> Reading:
        """The same with the order of the channels stated."""
        changed = replace(self.preprocessing, bgr=bgr)
        return replace(self, preprocessing=changed, on=self.on | {ORDER})

    def without(
        self, entry: Mapping[str, object], known: Set[str], *, off_is_nothing: bool = True
    ) -> Reading:
        """The same, with every field of `entry` not understood that is not among the known ones.

        None states nothing, and False neither in a library's format, where it is a step that is
        left out; elsewhere it may be anything.
        """
        reading = self
        for name, value in entry.items():
            nothing = value is None or (off_is_nothing and value is False)
            if str(name).lower() not in known and not nothing:
                reading = reading.lacking(str(name), value)
        return reading


def with_mean_and_std(
    reading: Reading, mean: object, std: object, *, scale: float | None = None
) -> Reading:
    """The reading with mean and std as a file states them; None states none.

    `scale` is the largest value of a pixel; where the file does not say it, the values do
    (`scale_of`). Both have one value for all channels, or one for each.
    """
    if mean is None and std is None:
        return reading
    means, stds = numbers(mean), numbers(std)
    if means and stds and scale is None:
        scale = scale_of(means, stds)
    if (
        not means
        or not stds
        or scale is None
        or min(stds) <= 0
        or not {len(means), len(stds)} <= {1, _most(means, stds)}
    ):
        for name, value in (("mean", mean), ("std", std)):
            reading = reading if value is None else reading.lacking(name, value)
        return reading
    length = _most(means, stds)
    means, stds = means * (length // len(means)), stds * (length // len(stds))
    if scale == 255 and length == 3 and is_caffe(means):
        reading = replace(reading, preprocessing=replace(reading.preprocessing, bgr=True))
    if scale != 1:
        means, stds = (tuple(value / scale for value in values) for values in (means, stds))
    return reading.normalised(means, stds)


def scale_of(means: Sequence[float], stds: Sequence[float]) -> float | None:
    """The largest value of a pixel for which these are meant: 1, or 255 if no pixel between 0 and 1
    needs them; None if one of them is for the one, and the other for the other."""
    if max(map(abs, means)) > 1:
        return 255.0 if min(stds) >= 1 else None
    if max(stds) <= 2:
        return 1.0
    return None if any(means) else 255.0


def _most(means: tuple[float, ...], stds: tuple[float, ...]) -> int:
    return max(len(means), len(stds))


def is_caffe(mean: tuple[float, ...]) -> bool:
    """Whether these are ImageNet's means from 0 to 255 for blue first."""
    return all(abs(a - b) < 1.5 for a, b in zip(mean, CAFFE_BGR, strict=True))
