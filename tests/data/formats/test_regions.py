"""Which pixels areas cover: those whose centers lie inside."""

from __future__ import annotations

import numpy as np
import pytest

from semiseg.data.formats.regions import (
    Bitmap,
    Ellipse,
    Polygon,
    Region,
    draw,
    fill,
    image_size,
    number,
    rectangle,
    ring,
)


def inside_by_hand(corners, x, y):
    """The even-odd rule for one point: how many edges lie to its left?"""
    crossings = 0
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (ay <= y) != (by <= y) and ax + (y - ay) * (bx - ax) / (by - ay) <= x:
            crossings += 1
    return crossings % 2 == 1


@pytest.mark.parametrize("seed", range(30))
def test_a_polygon_covers_the_pixels_whose_centers_lie_inside(seed):
    rng = np.random.default_rng(seed)
    width, height = (int(size) for size in rng.integers(1, 25, 2))
    corners = rng.uniform(-15, 40, (int(rng.integers(3, 9)), 2))
    expected = [
        [inside_by_hand(corners.tolist(), x + 0.5, y + 0.5) for x in range(width)]
        for y in range(height)
    ]
    assert fill(corners, width, height).tolist() == expected
    left, top, inside = Polygon((corners,)).cover(width, height)
    whole = np.zeros((height, width), bool)
    whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    assert whole.tolist() == expected


def test_regions_are_drawn_by_layer_and_order_or_by_their_size():
    large = Region("a", Polygon((rectangle(0, 0, 4, 1),)), "1", layer=1)
    small = Region("b", Polygon((rectangle(1, 0, 2, 1),)), "2", layer=0)
    ignored = Region(None, Polygon((rectangle(0, 0, 2, 1),)), "3", layer=2)
    values = {"a": 1, "b": 2, None: 255}
    by_order = draw([large, small, ignored], (5, 1), values, by_area=False)
    assert by_order.tolist() == [[255, 255, 1, 1, 0]]
    by_size = draw([large, small, ignored], (5, 1), values, by_area=True)
    assert by_size.tolist() == [[1, 2, 1, 1, 0]]


def test_areas_out_of_the_image_cover_nothing():
    far = Polygon((rectangle(1e5, -1e5, 9e5, -9e4),))
    assert far.cover(7, 5).inside.size == 0
    assert Ellipse(-50, 2, 3, 3).cover(7, 5).inside.size == 0
    bitmap = Bitmap(5, -1, np.ones((3, 4), bool)).cover(7, 5)
    assert (bitmap.left, bitmap.top, bitmap.inside.shape) == (5, 0, (2, 2))


@pytest.mark.parametrize("value", [None, True, "x", [], float("nan"), float("inf"), 2e6, "1e9"])
def test_what_is_no_coordinate_is_refused(value):
    with pytest.raises(ValueError, match=r"no number|no coordinate|could not convert"):
        number(value)
    with pytest.raises(ValueError, match=r"no number|no coordinate|could not convert"):
        ring([1, 2, value], [1, 2, 3])


@pytest.mark.parametrize("size", [(0, 5), (-3, 5), (100_000, 100_000), ("a", 5), (None, 5)])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match=r"pixels|no number|could not convert"):
        image_size(*size)
