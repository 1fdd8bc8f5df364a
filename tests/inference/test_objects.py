"""Counts of objects: those of scipy, however the mask is divided."""

import numpy as np
import pytest
from scipy.ndimage import label

from semiseg.inference.objects import ObjectCounter, pixels_of

CLASSES = 3


def expected(mask, min_pixels=1):
    """The counts of scipy, class by class."""
    counts = []
    for index in range(CLASSES):
        objects, _ = label(mask == index, structure=np.ones((3, 3)))
        counts.append(int((np.bincount(objects.reshape(-1))[1:] >= min_pixels).sum()))
    return tuple(counts)


def blobs(seed, shape):
    """A mask of areas of several pixels, of three classes and of pixels without one."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice(np.array([0, 1, 2, 255], np.uint8), (shape[0] // 3 + 1, shape[1] // 2 + 1))
    return np.kron(coarse, np.ones((3, 2), np.uint8))[: shape[0], : shape[1]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (37, 53)])
@pytest.mark.parametrize("min_pixels", [1, 7])
def test_the_counts_are_those_of_scipy_for_any_division_into_rows(shape, min_pixels):
    rng = np.random.default_rng(1)
    for mask in (blobs(0, shape), rng.integers(0, 3, shape, dtype=np.uint8)):
        for rows in (1, 2, 5, shape[0]):
            counter = ObjectCounter(CLASSES, min_pixels)
            for top in range(0, shape[0], rows):
                counter.add(mask[top : top + rows])
                counter = ObjectCounter(CLASSES, min_pixels, counter.state())
            assert counter.counts() == expected(mask, min_pixels)


def test_objects_that_join_below_are_one():
    mask = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], np.uint8)
    counter = ObjectCounter(CLASSES)
    counter.add(mask[:1])
    counter.add(mask[1:2])
    assert counter.counts() == (2, 3, 0)
    counter.add(mask[2:])
    assert counter.counts() == (2, 1, 0)


def test_no_rows_hold_no_objects():
    assert ObjectCounter(CLASSES).counts() == (0, 0, 0)


@pytest.mark.parametrize(
    ("min_area", "pixel_area", "pixels"),
    [(None, None, 1), (15, None, 15), (2.5, None, 3), (2, 0.01, 200), (0.3, 0.1, 3)],
)
def test_the_smallest_object_on_a_map_is_given_in_its_units(min_area, pixel_area, pixels):
    assert pixels_of(min_area, pixel_area) == pixels
