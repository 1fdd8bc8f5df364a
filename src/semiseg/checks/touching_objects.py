"""Objects that touch: people outline each of them, and in a mask of classes they are one area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import label

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.labelme import LABELME_SUFFIX, count_shapes
from semiseg.data.formats.masks import Classes, read_mask

_MAX_SAMPLED = 20  # masks that are read again: about 0.1 s for each with a million pixels
_MIN_SHARE = 0.05  # of the objects that are missing among the areas; fewer do no harm
_MAX_NAMED = 3  # classes
_NEIGHBORS = np.ones((3, 3), dtype=np.bool_)  # as the scores count: corners connect


def touching_objects(data: Dataset) -> Iterator[Finding]:
    """Say how many labeled objects there are, and how many areas they are in the masks.

    Only annotation files, LabelMe's files and masks of numbered objects tell objects apart.
    """
    classes = data.class_list
    if classes is None:
        return
    masks = [m for _, m in data.labeled("train", "val") if m in data.counts]
    masks = [mask for mask in masks if _tells_objects(data, mask, classes)]
    number = min(len(masks), _MAX_SAMPLED)
    sampled = [masks[i * len(masks) // number] for i in range(number)]  # evenly spread
    objects, areas = Counter[int](), Counter[int]()
    for mask in sampled:
        try:
            drawn = _objects(data, mask, classes)
            indices = np.asarray(read_mask(mask, classes))
        except DataError:  # it has just been read, so the file changes at this moment
            continue
        objects.update(drawn)
        areas.update({index: label(indices == index, _NEIGHBORS)[1] for index in drawn})
    touching = [
        f"{plural(count, 'object')} of class {classes.names[index]} "
        f"{'is' if count == 1 else 'are'} {plural(areas[index], 'area')}"
        for index, count in objects.most_common()
        if areas[index] < (1 - _MIN_SHARE) * count
    ]
    if not touching:
        return
    others = len(touching) - _MAX_NAMED
    named = ", ".join(touching[:_MAX_NAMED])
    named += f", and {plural(others, 'other class', 'other classes')}" if others > 0 else ""
    where = f" (counted in {len(sampled)} of {len(masks):,})" if len(sampled) < len(masks) else ""
    message = (
        f"Objects of one class that touch or overlap are one area in the masks{where}: {named}"
    )
    remedy = (
        "This does no harm unless you count objects: semiseg counts areas. To count, leave a gap "
        "of background between objects."
    )
    yield Finding("touching-objects", "note", (), message, remedy)


def _tells_objects(data: Dataset, mask: Path, classes: Classes) -> bool:
    """Whether the file of a mask tells the objects of one class apart."""
    is_labelme = mask.suffix.lower() == LABELME_SUFFIX
    return mask in data.outlines or is_labelme or classes.rule.instances


def _objects(data: Dataset, mask: Path, classes: Classes) -> Mapping[int, int]:
    """The number of labeled objects of each class index, without the background.

    Raises:
        DataError: the file cannot be read.
    """
    if mask in data.outlines:
        codes = data.outlines[mask]
    elif mask.suffix.lower() == LABELME_SUFFIX:
        codes = count_shapes(mask)
    else:
        numbers = read_codes(mask).values
        is_object = classes.rule.apply(numbers, "ids") == 1
        codes = {1: len(np.unique(numbers[is_object]))}
    counts = Counter[int]()
    for code, count in codes.items():
        index = classes.indices.get(code)
        if code and index is not None and index < len(classes):
            counts[index] += count
    return counts
