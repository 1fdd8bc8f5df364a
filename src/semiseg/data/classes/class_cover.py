"""A random choice of labeled images in which each class occurs, where that is possible."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from semiseg.core.rng import Key
from semiseg.core.types import Sample

PixelCounts: TypeAlias = Mapping[Path, Mapping[int, int]]
"""The pixels of each class by mask."""
_MAX_TRIES = 10_000  # in the search for a cover, before a class is left out


def cover_classes(
    samples: Sequence[Sample], count: int, pixels: PixelCounts, key: Key
) -> list[Sample]:
    """Choose samples at random, so that each class occurs where that is possible.

    The function takes the first `count` of a random order. Then, from the rarest missing class on,
    the next image of the order that holds the class replaces the last chosen image whose removal
    loses no class. So the choice stays as random as the cover allows. If `count` is so small that a
    class is still missing, the function searches for a cover. If there is none, it takes the better
    of the two choices: the one above, and the greedy one.

    Args:
        samples: labeled samples.
        count: the number of samples to choose.
        pixels: the pixels of each class by mask.
        key: the key of the random order.

    Returns:
        The chosen samples, sorted by name.
    """
    ordered = sorted(samples)
    order = [ordered[i] for i in key.numpy().permutation(len(ordered))]
    cover = _cover_by_swaps(order, count, pixels)
    all_classes = classes_in(samples, pixels)
    if classes_in(cover, pixels) != all_classes:
        greedy = _cover_greedily(order, count, pixels)
        if len(classes_in(greedy, pixels)) > len(classes_in(cover, pixels)):
            cover = greedy
    if classes_in(cover, pixels) != all_classes:
        cover = _cover_exactly(order, count, pixels) or cover
    return sorted(cover)


def classes_in(samples: Iterable[Sample], pixels: PixelCounts) -> set[int]:
    """The classes that occur in the masks of samples."""
    return {c for sample in samples if sample.mask is not None for c in pixels[sample.mask]}


def _cover_by_swaps(order: Sequence[Sample], count: int, pixels: PixelCounts) -> list[Sample]:
    """The first samples of the order, with as few changes as cover the missing classes."""
    holders: dict[int, list[Sample]] = {}
    for sample in order:
        for c in classes_in([sample], pixels):
            holders.setdefault(c, []).append(sample)
    cover = list(order[:count])
    for c in sorted(holders, key=lambda c: (len(holders[c]), c)):
        if c in classes_in(cover, pixels):
            continue
        for candidate in reversed(cover):
            others = [sample for sample in cover if sample is not candidate]
            if classes_in(others, pixels) == classes_in(cover, pixels):
                cover = [*others, holders[c][0]]
                break
    return cover


def _cover_greedily(order: Sequence[Sample], count: int, pixels: PixelCounts) -> list[Sample]:
    """Take the sample with the most missing classes each time."""
    remaining = list(order)
    cover: list[Sample] = []
    covered: set[int] = set()
    while len(cover) < count:
        # Of equally good samples, the first of the order.
        best = max(remaining, key=lambda sample: len(classes_in([sample], pixels) - covered))
        remaining.remove(best)
        cover.append(best)
        covered |= classes_in([best], pixels)
    return cover


def _cover_exactly(order: Sequence[Sample], count: int, pixels: PixelCounts) -> list[Sample] | None:
    """Search for a choice that covers all classes; None if there is none, or after many tries."""
    classes_of = {sample: classes_in([sample], pixels) for sample in order}
    all_classes = classes_in(order, pixels)
    holders = {c: [sample for sample in order if c in classes_of[sample]] for c in all_classes}
    tries = itertools.count()

    def search(part: list[Sample], uncovered: set[int]) -> list[Sample] | None:
        if not uncovered:
            return part
        if len(part) == count or next(tries) > _MAX_TRIES:
            return None
        rarest = min(uncovered, key=lambda c: (len(holders[c]), c))
        covers = (search([*part, s], uncovered - classes_of[s]) for s in holders[rarest])
        return next((cover for cover in covers if cover is not None), None)

    cover = search([], set(holders))
    if cover is None:
        return None
    return [*cover, *[sample for sample in order if sample not in cover][: count - len(cover)]]
