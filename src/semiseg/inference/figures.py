"""What `predict` notes about each image: whether it was written, its confidence and its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX, UNLIKE_LIMIT
from semiseg.inference.objects import ObjectCounter

State: TypeAlias = Literal["written", "added", "existed", "failed"]
"""What became of an image: its mask was written; its mask existed and other files were added to it;
all its files existed; or it cannot be read."""

MAX_LISTED = 20
"""The reasons that a message lists, most of them of one image."""
_MAX_NAMED = 3
_BLOCK = 1 << 20  # pixels that are counted together
_VALUES = 256
_DIGITS = 6  # sums of bands of other heights differ behind them


class Figures(NamedTuple):
    """What a mask holds.

    Attributes:
        confidence: the mean over its pixels, from 0 to 1; None if it is not known.
        shares: the share of each class in its pixels, from 0 to 1. They sum to less than 1 where
            the model abstains. None if they are not known.
        pixels: the pixels of each class; None if they are not known.
        objects: the objects of each class, see `ObjectCounter`; None if they are not known.
    """

    confidence: float | None = None
    shares: tuple[float, ...] | None = None
    pixels: tuple[int, ...] | None = None
    objects: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Record:
    """What became of one image.

    Attributes:
        name: of the result, below the output folder and without a suffix.
        state: see `State`.
        mask: the file of the mask, as its path below the output folder; None for an image that
            cannot be read.
        confidence: see `Figures`.
        shares: see `Figures`.
        reason: why the image cannot be read; empty for others.
        pixels: see `Figures`; None in a line of semiseg 0.2 and earlier.
        objects: see `Figures`; None in such a line, too.
        min_area: smaller objects were not counted; see `pixels_of`.
        pixel_area: the area of a pixel in square units of the map; None for other images.
        unlike: how unlike the images of the training the image is; see `Prediction`.
    """

    name: str
    state: State
    mask: str | None = None
    confidence: float | None = None
    shares: tuple[float, ...] | None = None
    reason: str = ""
    pixels: tuple[int, ...] | None = None
    objects: tuple[int, ...] | None = None
    min_area: float | None = None
    pixel_area: float | None = None
    unlike: float | None = None


@dataclass
class Unusual:
    """Images that are unlike those of the training.

    Attributes:
        limit: an image with a higher number counts.
        images: the number of images of which it is known.
        count: the number of those that are.
        furthest: the most unusual ones: number and name, the highest number first.
        highest: the number and the name of the image that is least like those of the training.
    """

    limit: float = UNLIKE_LIMIT
    images: int = 0
    count: int = 0
    furthest: list[tuple[float, str]] = field(default_factory=list)
    highest: tuple[float, str] = (-1.0, "")

    def add(self, record: Record) -> None:
        """Count an image."""
        if record.unlike is None:
            return
        self.images += 1
        if record.unlike > self.highest[0]:
            self.highest = (record.unlike, record.name)
        if record.unlike > self.limit:
            self.count += 1
            ranked = sorted(
                [*self.furthest, (record.unlike, record.name)], key=lambda x: (-x[0], x[1])
            )
            self.furthest = ranked[:_MAX_NAMED]

    def summary(self) -> str:
        """That none is unusual; empty if some are, or if it is not known."""
        if self.count or not self.images:
            return ""
        number, name = self.highest
        return (
            f"none of {plural(self.images, 'image')} is unlike those of the training in color and "
            f"texture (the furthest: {name}, {number:g}; above {self.limit:g} is unlike)"
        )

    def warning(self) -> str:
        """What to do about them; empty if there are none."""
        if not self.count:
            return ""
        names = ", ".join(f"{name} ({number:g})" for number, name in self.furthest)
        verb = "is" if self.images == 1 else "are"
        return (
            f"{self.count:,} of {plural(self.images, 'image')} {verb} unlike the images of the "
            f"training in color and texture (above {self.limit:g}, where 1 is as far as the most "
            f"unusual 1 % of those). The furthest: {names}. Their masks may be wrong where the "
            "confidence is high. Look at them, label some of these images, and train again; "
            "`semiseg suggest` helps to choose."
        )


@dataclass
class Failures:
    """Why images cannot be read.

    Attributes:
        reasons: the first reasons, each with the number of its images: those of a shard that
            cannot be read share one.
        count: the number of images, also of those with other reasons.
    """

    reasons: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def add(self, reason: str) -> None:
        """Count an image."""
        self.count += 1
        if reason in self.reasons or len(self.reasons) < MAX_LISTED:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def describe(self, total: int, others: str = "") -> str:
        """A sentence that counts the images, and a line for each of the first reasons.

        Args:
            total: the number of images, with those that can be read.
            others: a sentence on the other images.
        """
        lines = [f"{self.count:,} of {plural(total, 'image')} could not be read. {others}".rstrip()]
        for reason, images in self.reasons.items():
            lines.append(reason if images == 1 else f"{reason} ({plural(images, 'image')})")
        if more := self.count - sum(self.reasons.values()):
            lines.append(f"and {more:,} more")
        return "\n".join(lines)


class Tally:
    """Counts the pixels of a mask, part by part. Pixels without data do not count.

    Args:
        classes: the number of classes.
        state: what `state` of an earlier tally gave; None for a new one.
        min_pixels: objects of fewer pixels do not count; None counts no objects at all.

    Example:
        >>> tally = Tally(2)
        >>> tally.add(np.array([[0, 1, 1, 255]], np.uint8), np.full((1, 4), 0.5, np.float32))
        >>> tally.figures()
        Figures(confidence=0.5, shares=(0.25, 0.5), pixels=(1, 2), objects=(1, 1))
    """

    def __init__(
        self, classes: int, state: Sequence[float] | None = None, min_pixels: int | None = 1
    ) -> None:
        self._counts = np.zeros(classes, np.int64)
        self._pixels, self._confidence = 0, 0.0
        if state is not None:
            self._confidence, self._pixels = float(state[0]), int(state[1])
            self._counts += np.array(state[2 : 2 + classes], np.int64)
        objects = None if state is None else state[2 + classes :]
        self._objects = None if min_pixels is None else ObjectCounter(classes, min_pixels, objects)

    def add(
        self,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        empty: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add some rows.

        Args:
            mask: `(H, W)` class indices, 255 where the model abstains.
            confidence: `(H, W)`, from 0 to 1.
            empty: `(H, W)`, True where there are no data; None for nowhere.
        """
        if self._objects is not None:
            no_class = np.uint8(IGNORE_INDEX)
            self._objects.add(mask if empty is None else np.where(empty, no_class, mask))
        if empty is not None:
            mask, confidence = mask[~empty], confidence[~empty]
        self._pixels += mask.size
        self._confidence += float(confidence.sum(dtype=np.float64))
        flat = mask.reshape(-1)
        for start in range(0, flat.size, _BLOCK):  # a count takes eight bytes for each pixel
            counts = np.bincount(flat[start : start + _BLOCK], minlength=_VALUES)
            self._counts += counts[: len(self._counts)]

    def state(self) -> list[float]:
        """The numbers from which a tally goes on."""
        counts = self._counts.tolist()
        objects = [] if self._objects is None else self._objects.state()
        return [self._confidence, self._pixels, *counts, *objects]

    def figures(self) -> Figures:
        """The figures of all rows. Without data, confidence and shares are None."""
        pixels = tuple(self._counts.tolist())
        objects = None if self._objects is None else self._objects.counts()
        if not self._pixels:
            return Figures(pixels=pixels, objects=objects)
        shares = (self._counts / self._pixels).round(_DIGITS).tolist()
        confidence = round(self._confidence / self._pixels, _DIGITS)
        return Figures(confidence, tuple(shares), pixels, objects)
