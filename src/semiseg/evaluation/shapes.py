"""Areas, boundaries and objects of predicted masks: what fields report beside IoU.

All counts are sums over images, so the counts of several processes can be added. Ignored pixels
(255 in the truth) become 255 in the prediction too. They belong to no class, and they bound a class
as the edge of the image does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label, maximum_filter1d, minimum_filter1d
from scipy.spatial import KDTree

from semiseg.core.scores import ClassShapes, ShapeScores
from semiseg.core.types import IGNORE_INDEX

BOUNDARY_SHARE = 0.02
"""The width of a boundary as a share of the image's diagonal, as in Boundary IoU."""
OBJECT_IOU = 0.5
"""The least IoU of a predicted object and the true object that it matches."""

_PERCENTILE = 95
_NEIGHBORS = np.ones((3, 3), dtype=np.uint8)

Labels = NDArray[np.uint8]
Counts = NDArray[np.float64]
Box = tuple[slice, ...]


class ShapeCounts(NamedTuple):
    """Sums over images, each `(C,)` float64.

    Attributes:
        true: the true pixels of each class.
        predicted: its predicted pixels.
        common: the pixels that are both.
        boundary_common: the pixels of its true boundary that are in its predicted one too.
        boundary_all: the pixels of its true boundary, its predicted one, or both.
        distance: the sum of its HD95 in pixels, over the images where both masks hold the class.
        measured: the number of these images.
        one_sided: the number of images where one mask holds the class and the other does not.
        objects: its true objects.
        predicted_objects: its predicted objects.
        matched: the predicted objects that match a true one.
        share_error: the sum over the images of the absolute error of its share of the pixels.
        images: the images with at least one pixel that counts, the same number for each class.
    """

    true: Counts
    predicted: Counts
    common: Counts
    boundary_common: Counts
    boundary_all: Counts
    distance: Counts
    measured: Counts
    one_sided: Counts
    objects: Counts
    predicted_objects: Counts
    matched: Counts
    share_error: Counts
    images: Counts

    @classmethod
    def zeros(cls, classes: int) -> ShapeCounts:
        """The counts of no image."""
        return cls(*(np.zeros(classes) for _ in cls._fields))

    def plus(self, other: ShapeCounts) -> ShapeCounts:
        """The counts of the images of both."""
        return ShapeCounts(*(a + b for a, b in zip(self, other, strict=True)))


def count_shapes(prediction: Labels, truth: Labels, classes: int) -> ShapeCounts:
    """Count the areas, boundaries and objects of one image.

    Args:
        prediction: `(H, W)` class indices below `C` wherever the truth is not 255.
        truth: `(H, W)` class indices, or 255 for pixels that are not counted.
        classes: the number of classes `C`.

    Returns:
        The counts of each class.
    """
    predicted = np.where(truth == IGNORE_INDEX, truth, prediction)
    true_pixels, predicted_pixels = _count(truth, classes), _count(predicted, classes)
    common = _count(truth[truth == predicted], classes)
    total = true_pixels.sum()
    present = (true_pixels > 0) & (predicted_pixels > 0)
    boundary_common, boundary_all = _boundaries(truth, predicted, classes)
    objects, predicted_objects, matched = _objects(truth, predicted, classes)
    return ShapeCounts(
        true=true_pixels,
        predicted=predicted_pixels,
        common=common,
        boundary_common=boundary_common,
        boundary_all=boundary_all,
        distance=_surface_distances(truth, predicted, present),
        measured=present.astype(np.float64),
        one_sided=((true_pixels > 0) != (predicted_pixels > 0)).astype(np.float64),
        objects=objects,
        predicted_objects=predicted_objects,
        matched=matched,
        share_error=abs(predicted_pixels - true_pixels) / max(total, 1),
        images=np.full(classes, float(total > 0)),
    )


def shape_scores(
    counts: ShapeCounts, names: Sequence[str], foreground: Sequence[int]
) -> ShapeScores:
    """Compute the scores from the counts of all images.

    A class without true pixels has neither a boundary IoU nor an object F1, as it has no IoU. The
    scores of the foreground are the means over its classes that have the score.

    Args:
        counts: the sums over all images.
        names: the class names.
        foreground: the indices of the classes that the means are over.

    Returns:
        The scores. See `core.scores.ClassShapes` for their definitions.
    """
    scored = counts.true > 0
    whole = np.full(len(names), counts.true.sum())
    dice = _percent(2 * counts.common, scored * (counts.true + counts.predicted))
    boundary = _percent(counts.boundary_common, scored * counts.boundary_all)
    distance = _ratio(counts.distance, counts.measured)
    f1 = _percent(2 * counts.matched, scored * (counts.objects + counts.predicted_objects))
    true_share, predicted_share = _percent(counts.true, whole), _percent(counts.predicted, whole)
    bias = _percent(counts.predicted - counts.true, whole)
    error = _percent(counts.share_error, counts.images)
    per_class = {
        name: ClassShapes(
            boundary_iou=boundary[c],
            hd95=distance[c],
            hd95_images=int(counts.measured[c]),
            one_sided_images=int(counts.one_sided[c]),
            object_f1=f1[c],
            objects=int(counts.objects[c]),
            predicted_objects=int(counts.predicted_objects[c]),
            matched_objects=int(counts.matched[c]),
            true_share=true_share[c],
            predicted_share=predicted_share[c],
            share_bias=bias[c],
            share_error=error[c],
        )
        for c, name in enumerate(names)
    }
    return ShapeScores(
        foreground=tuple(names[c] for c in foreground),
        foreground_dice=_mean(dice, foreground),
        boundary_iou=_mean(boundary, foreground),
        hd95=_mean(distance, foreground),
        object_f1=_mean(f1, foreground),
        share_error=_mean(error, foreground),
        per_class=per_class,
    )


def boundary(labels: Labels, width: int) -> NDArray[np.bool_]:
    """Find the pixels that lie near the edge of their class.

    A pixel is in the boundary if a square of `2 width + 1` pixels around it leaves its class or the
    image. This is the mask of the class without its erosion, as in Boundary IoU (Cheng et al., CVPR
    2021). One pass serves all classes, since each pixel has one: the square leaves the class where
    its smallest and its largest label differ.

    Args:
        labels: `(H, W)` class indices, 255 where there is none.
        width: the width of the boundary in pixels.

    Returns:
        `(H, W)`, False where there is no class.
    """
    lowest, highest = labels, labels
    for axis in (0, 1):
        around = {"size": 2 * width + 1, "axis": axis, "mode": "constant", "cval": IGNORE_INDEX}
        lowest = minimum_filter1d(lowest, **around)
        highest = maximum_filter1d(highest, **around)
    result: NDArray[np.bool_] = (lowest != highest) & (labels != IGNORE_INDEX)
    return result


def surface(labels: Labels) -> NDArray[np.bool_]:
    """Find the pixels with one of four neighbors outside of their class or of the image.

    Args:
        labels: `(H, W)` class indices, 255 where there is none.

    Returns:
        `(H, W)`, False where there is no class.
    """
    padded = np.pad(labels, 1, constant_values=IGNORE_INDEX)
    neighbors = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs = np.zeros(labels.shape, dtype=np.bool_)
    for neighbor in neighbors:
        differs |= neighbor != labels
    result: NDArray[np.bool_] = differs & (labels != IGNORE_INDEX)
    return result


def match_objects(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Count the objects of one class, and match them one to one.

    An object is a connected component; pixels that touch at a corner are connected. No object
    matches twice: two others with an IoU of 0.5 would be its two halves, which touch and so are
    one object.

    Args:
        truth: `(H, W)` the true pixels of the class.
        prediction: `(H, W)` its predicted pixels.

    Returns:
        The number of true objects, of predicted objects, and of matches.
    """
    true_labels, objects = label(truth, _NEIGHBORS)
    predicted_labels, predicted_objects = label(prediction, _NEIGHBORS)
    if not objects or not predicted_objects:
        return objects, predicted_objects, 0
    both = truth & prediction
    pairs = true_labels[both].astype(np.int64) * (predicted_objects + 1) + predicted_labels[both]
    pairs, common = np.unique(pairs, return_counts=True)
    true_object, predicted_object = np.divmod(pairs, predicted_objects + 1)
    sizes = np.bincount(true_labels[truth])[true_object]
    predicted_sizes = np.bincount(predicted_labels[prediction])[predicted_object]
    matched = common >= OBJECT_IOU * (sizes + predicted_sizes - common)
    return objects, predicted_objects, int(matched.sum())


def _count(labels: Labels, classes: int) -> Counts:
    """The pixels of each class, without the ignored ones."""
    return np.bincount(labels[labels != IGNORE_INDEX], minlength=classes).astype(np.float64)


def _boundaries(truth: Labels, predicted: Labels, classes: int) -> tuple[Counts, Counts]:
    """The intersection and the union of the true and the predicted boundary of each class."""
    width = max(1, round(BOUNDARY_SHARE * math.hypot(*truth.shape)))
    true_boundary, predicted_boundary = boundary(truth, width), boundary(predicted, width)
    common = _count(truth[true_boundary & predicted_boundary & (truth == predicted)], classes)
    both = _count(truth[true_boundary], classes) + _count(predicted[predicted_boundary], classes)
    return common, both - common


def _surface_distances(truth: Labels, predicted: Labels, present: NDArray[np.bool_]) -> Counts:
    """The HD95 of each class that both masks hold, in pixels; 0 for the others."""
    distances = np.zeros(len(present))
    (points, true_class), (others, predicted_class) = (
        (np.argwhere(edge), labels[edge])
        for labels in (truth, predicted)
        for edge in [surface(labels)]
    )
    for index in np.flatnonzero(present):
        first, second = points[true_class == index], others[predicted_class == index]
        both = [_tree(first).query(second)[0], _tree(second).query(first)[0]]
        distances[index] = np.percentile(np.concatenate(both), _PERCENTILE)
    return distances


def _tree(points: NDArray[np.int64]) -> KDTree:
    """A tree for the nearest of some points. On a grid, unbalanced ones are built much faster."""
    return KDTree(points, balanced_tree=False, compact_nodes=False)


def _objects(truth: Labels, predicted: Labels, classes: int) -> tuple[Counts, Counts, Counts]:
    """The true objects, the predicted objects and the matches of each class."""
    counts = np.zeros((classes, 3))
    boxes = [find_objects(labels.astype(np.int32) + 1, classes) for labels in (truth, predicted)]
    for index, (box, other) in enumerate(zip(*boxes, strict=True)):
        if area := _join(box, other):
            counts[index] = match_objects(truth[area] == index, predicted[area] == index)
    objects, predicted_objects, matched = counts.T
    return objects, predicted_objects, matched


def _join(box: Box | None, other: Box | None) -> Box | None:
    """The least box that holds both; None without any."""
    if box is None or other is None:
        return box or other
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True)
    )


def _ratio(part: Counts, whole: Counts) -> list[float | None]:
    """`part / whole`; None where the whole is 0."""
    return [float(a / b) if b else None for a, b in zip(part, whole, strict=True)]


def _percent(part: Counts, whole: Counts) -> list[float | None]:
    return _ratio(100 * part, whole)


def _mean(values: Sequence[float | None], chosen: Sequence[int]) -> float | None:
    """The mean of the chosen values that exist; None if none does."""
    existing = [value for c in chosen if (value := values[c]) is not None]
    return sum(existing) / len(existing) if existing else None
