"""The weak view shows the same place in image and mask, and knows what is padding."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from semiseg.augment.geometric import (
    View,
    draw_view,
    view_image,
    view_mask,
    view_valid,
)
from semiseg.augment.working_size import working_size
from semiseg.core.rng import Key

COLORS = np.array([(0, 0, 0), (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)], np.uint8)
AS_IT_IS = (1.0, 1.0)


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def drawn_view(
    count: int, source: tuple[int, int], size: int, crop: int, scale: tuple[float, float]
) -> list[View]:
    return [draw_view(Key.of(0, i), source, size, crop, scale) for i in range(count)]


def shown_image(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    return view_image(image, view).permute(1, 2, 0).numpy()


def unflipped(array: NDArray[np.generic], view: View) -> NDArray[np.generic]:
    return array[:, ::-1] if view.flip else array


@pytest.mark.parametrize(
    ("source", "expected"),
    [((480, 360), (320, 240)), ((360, 480), (240, 320)), ((50, 50), (240, 240)), ((1, 3), (9, 27))],
)
def test_the_short_side_gets_the_working_size(
    source: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert working_size(source, min(expected)) == expected


# --- what is shown


@pytest.mark.slow
def test_at_its_own_size_an_image_is_shown_as_it_is_or_mirrored() -> None:
    image = noise(40, 40)
    mask = image[..., 0] // 32
    for view in drawn_view(8, (40, 40), 40, 40, AS_IT_IS):
        assert np.array_equal(unflipped(shown_image(image, view), view), image)
        assert np.array_equal(unflipped(view_mask(mask, view), view), mask)
        assert view_valid(view).all()


def test_a_crop_is_a_part_of_a_larger_image() -> None:
    image = noise(64, 48)
    places = set()
    for view in drawn_view(20, (64, 48), 48, 32, AS_IT_IS):
        left, top = round(view.box[0]), round(view.box[1])
        part = image[top : top + 32, left : left + 32]
        assert np.array_equal(unflipped(shown_image(image, view), view), part)
        assert view_valid(view).all()
        places.add((left, top))
    assert len(places) > 15


def test_a_smaller_image_is_padded_and_the_padding_is_known() -> None:
    image = noise(40, 20)
    mask = np.full((20, 40), 3, np.uint8)
    for view in drawn_view(20, (40, 20), 20, 32, AS_IT_IS):
        valid = view_valid(view)
        rows = np.flatnonzero(valid.any(1))
        assert np.array_equal(rows, np.arange(rows[0], rows[0] + 20))
        assert valid[rows].all()
        mask_view = view_mask(mask, view)
        assert (mask_view[valid] == 3).all()
        assert (mask_view[~valid] == 255).all()
        image_view = shown_image(image, view)
        assert len(np.unique(image_view[~valid], axis=0)) == 1
        left = round(view.box[0])
        assert np.array_equal(unflipped(image_view, view)[rows], image[:, left : left + 32])


def test_image_mask_and_valid_are_flipped_together() -> None:
    image, mask = noise(30, 20), noise(30, 20)[..., 0]
    view = draw_view(Key.of(1), (30, 20), 20, 48, (0.7, 0.9))
    here, there = (view._replace(flip=flip) for flip in (False, True))
    assert 0 < view_valid(here).mean() < 1
    assert np.array_equal(shown_image(image, there), shown_image(image, here)[:, ::-1])
    assert np.array_equal(view_mask(mask, there), view_mask(mask, here)[:, ::-1])
    assert np.array_equal(view_valid(there), view_valid(here)[:, ::-1])


@pytest.mark.parametrize(
    ("source", "size", "crop"), [((96, 64), 64, 48), ((64, 96), 96, 64), ((200, 150), 60, 64)]
)
def test_an_image_that_spells_the_mask_still_does_so_in_its_view(
    source: tuple[int, int], size: int, crop: int
) -> None:
    """Away from edges, where resampling mixes colors."""
    blocks = np.random.default_rng(0).integers(len(COLORS), size=(20, 20))
    ids = np.kron(blocks, np.ones((16, 16), int))[: source[1], : source[0]].astype(np.uint8)
    image, mask = COLORS[ids], ids
    compared = 0
    for view in drawn_view(25, source, size, crop, (0.75, 1.5)):
        mask_view, image_view = view_mask(mask, view), shown_image(image, view)
        around = np.lib.stride_tricks.sliding_window_view(mask_view, (7, 7))
        inner = (around == around[..., :1, :1]).all((-1, -2)) & (around[..., 0, 0] != 255)
        middle = slice(3, -3), slice(3, -3)
        spelled = COLORS[mask_view[middle][inner]].astype(int)
        assert np.abs(image_view[middle][inner] - spelled).max(initial=0) <= 1
        compared += int(inner.sum())
    assert compared > 5000


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3, 2.0])
def test_edges_of_image_and_mask_fall_on_the_same_pixels(upright: bool, factor: float) -> None:
    """Half a pixel between them would teach every outline wrongly; so would ids in between."""
    stripes = (np.arange(60) // 10 % 2 * 7).astype(np.uint8)
    mask = np.tile(stripes, (60, 1))
    mask = mask.T if upright else mask
    image = np.repeat(mask[..., None] // 7 * np.uint8(255), 3, axis=2)
    wrong = []
    for view in drawn_view(20, (60, 60), 60, 40, (factor, factor)):
        mask_view = view_mask(mask, view)
        assert set(np.unique(mask_view)) <= {0, 7, 255}
        image_view = shown_image(image, view)[..., 0]
        clear = (mask_view != 255) & (np.abs(image_view.astype(int) - 128) > 16)
        wrong.append(((image_view > 128) != (mask_view == 7))[clear].mean())
    assert np.mean(wrong) < 0.005


# --- how it is drawn


def test_a_view_is_a_function_of_its_key() -> None:
    arguments = (64, 48), 48, 32, (0.5, 2.0)
    views = {draw_view(Key.of(0, i), *arguments) for i in range(30)}
    assert len(views) == 30
    assert views == {draw_view(Key.of(0, i), *arguments) for i in range(30)}


def test_scales_fill_their_range_evenly_in_the_logarithm() -> None:
    low, high = 0.5, 2.0
    views = drawn_view(600, (1000, 800), 800, 64, (low, high))
    factors = np.array([v.extent[0] / (v.box[2] - v.box[0]) for v in views])
    assert low - 1e-3 <= factors.min() < 0.52
    assert 1.95 < factors.max() <= high + 1e-3
    assert abs(np.median(np.log2(factors))) < 0.15  # as many below as above 1


def test_sides_keep_their_ratio() -> None:
    for view in drawn_view(50, (640, 480), 240, 160, (0.75, 1.5)):
        across = view.extent[0] / (view.box[2] - view.box[0])
        down = view.extent[1] / (view.box[3] - view.box[1])
        assert across == pytest.approx(down, rel=0.01)


@pytest.mark.parametrize("side", [28, 36])
def test_every_place_of_crop_or_padding_occurs_and_half_are_flipped(side: int) -> None:
    views = drawn_view(400, (side, side), side, 32, AS_IT_IS)
    for axis in range(2):
        places = [round(v.box[axis]) + v.offset[axis] for v in views]
        counts = np.bincount(places)
        assert len(counts) == 5
        assert counts.min() > 45  # of 80 expected
    assert 150 < sum(v.flip for v in views) < 250


def test_sources_of_any_shape_give_whole_views() -> None:
    """No side, however short or odd, leads out of the image."""
    rng = np.random.default_rng(0)
    sources = [(1, 1), (1, 90), (90, 1), (3, 200), *rng.integers(1, 120, (200, 2)).tolist()]
    for number, (width, height) in enumerate(sources):
        size, crop = (int(x) for x in rng.integers(8, 64, 2))
        view = draw_view(Key.of(number), (width, height), size, crop, (0.5, 2.0))
        image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        assert view_image(image, view).shape == (3, crop, crop)
        valid = view_valid(view)
        assert valid.any()
        assert np.array_equal(view_mask(mask, view) == 0, valid)
