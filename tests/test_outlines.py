"""Masks as LabelMe's polygons: what is drawn is what was there."""

import json
from pathlib import Path

import numpy as np
import pytest

from semiseg.data.formats.labelme import label_code, read_shapes
from semiseg.data.formats.outlines import Outline, label_of, outlines, write_outlines

LABELS = ["_background_", "forêt/é", "crop"]


def round_trip(mask, tmp_path, background=0):
    """What is read again from the polygons, as class indices."""
    parts = outlines(mask, background)
    path = tmp_path / "a.json"
    write_outlines(
        path, parts, dict(enumerate(LABELS)), Path("a.jpg"), (mask.shape[1], mask.shape[0])
    )
    codes, labels, _ = read_shapes(path)
    assert set(labels.values()) <= set(LABELS)
    back = np.full(mask.shape, 255, np.uint8)
    for index, label in enumerate(LABELS):
        back[codes == label_code(label)] = index
    return parts, back


def disc(shape, x, y, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def test_rectangles_lines_and_what_touches_the_edge_come_back_pixel_by_pixel(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 10:30] = 1
    mask[0:8, 40:60] = 2  # into a corner
    mask[30, 3:50] = 2  # one pixel wide
    mask[20:28, 20:24] = 1
    parts, back = round_trip(mask, tmp_path)
    assert np.array_equal(back, mask)
    assert sorted(one.label for one in parts) == [1, 1, 2, 2]
    (first,) = [one for one in parts[:-1] if round(one.area) == 9 * 19]
    assert sorted(map(tuple, first.points.round().tolist())) == [
        (10, 5),
        (10, 14),
        (29, 5),
        (29, 14),
    ]


@pytest.mark.parametrize("slope", [0, 0.2, 0.55, 1, 3])
@pytest.mark.parametrize("width", [1, 2])
def test_thin_slanting_things_are_kept_whole(tmp_path, slope, width):
    mask = np.zeros((120, 120), np.uint8)
    for along in np.arange(0, 100 / max(1, slope), 0.1):
        x, y = round(10 + along), round(10 + along * slope)
        mask[y : y + width, x : x + width] = 2
    parts, back = round_trip(mask, tmp_path)
    assert (back != mask).sum() <= 0.1 * (mask == 2).sum()
    assert len(parts) <= 12


def test_what_lies_in_a_hole_is_drawn_later(tmp_path):
    mask = np.zeros((60, 80), np.uint8)
    mask[5:55, 5:75] = 1
    mask[15:45, 15:65] = 0  # background in a ring
    mask[20:30, 20:40] = 2  # and a thing in it
    parts, back = round_trip(mask, tmp_path)
    assert [one.label for one in parts] == [1, 0, 2]
    assert np.array_equal(back, mask)


def test_an_outline_that_comes_back_to_a_point_keeps_its_corners(tmp_path):
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 1
    mask[30, 2:58] = mask[2:58, 30] = 1  # hairs on all sides
    _, back = round_trip(mask, tmp_path)
    assert np.array_equal(back, mask)


def test_without_a_background_class_all_is_drawn(tmp_path):
    mask = np.full((30, 40), 1, np.uint8)
    mask[10:20, 10:20] = 2
    _, back = round_trip(mask, tmp_path, background=None)
    assert np.array_equal(back, mask)


@pytest.mark.parametrize("seed", range(5))
def test_round_things_need_few_corners_and_move_by_about_a_pixel(tmp_path, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((200, 260), np.uint8)
    for _ in range(8):
        x, y, radius = rng.integers((0, 0, 8), (260, 200, 50))
        mask[disc(mask.shape, x, y, radius)] = rng.integers(0, 3)
    parts, back = round_trip(mask, tmp_path)
    edge = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            edge |= np.roll(mask, step, axis) != mask
    assert not (back != mask)[2:-2, 2:-2][~edge[2:-2, 2:-2]].any()
    parts = [one for one in parts if isinstance(one, Outline)]
    for one in parts:
        assert (one.points != np.roll(one.points, 1, axis=0)).any(axis=1).all()  # none twice
    assert all(len(one.points) < 1.2 * np.sqrt(one.area) + 40 for one in parts)


def test_what_is_too_small_for_polygons_is_one_shape_of_its_pixels(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[3:5, 3:5] = mask[15, 17] = 1
    mask[10:13, 10:13] = 2
    _, back = round_trip(mask, tmp_path)
    assert np.array_equal(back, mask)
    content = json.loads((tmp_path / "a.json").read_text())
    assert (content["imagePath"], content["imageWidth"], content["imageHeight"]) == (
        "a.jpg",
        20,
        20,
    )
    first, second = content["shapes"]
    assert (first["label"], first["shape_type"]) == ("crop", "polygon")
    assert (second["label"], second["shape_type"]) == ("forêt/é", "mask")
    assert second["points"] == [[3, 3], [17, 15]]


def test_the_background_has_labelme_s_own_name():
    assert label_of("Background", 0) == "_background_"
    assert label_of("forêt", label_code("forêt")) == "forêt"
