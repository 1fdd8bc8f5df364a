"""What the pixels of masks mean where a file alone does not say it: palettes, alpha, objects."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_masks import COLORS, draw_indices, kinds, photograph, png, read, write_folder
from PIL import Image

import semiseg
from semiseg.checks.examine import examine
from semiseg.core.errors import DataError
from semiseg.data.formats.codes import read_codes, scan_mask
from semiseg.data.formats.mask_rule import NO_DATA
from semiseg.data.formats.masks import read_mask
from semiseg.data.masks.instances import count_areas
from semiseg.data.reader import read_dataset


def three(seed: int) -> np.ndarray:
    return draw_indices(seed, 3)


def indexed(ids: np.ndarray, colors: np.ndarray, path: Path) -> None:
    """Save ids with a palette."""
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette(colors.astype(np.uint8).ravel().tolist())
    image.save(f"{path}.png")


def reordered(number: int, indices: np.ndarray, path: Path) -> None:
    """As editors save "as indexed": the colors are numbered anew in each file."""
    order = np.random.default_rng(number).permutation(3)
    indexed(np.argsort(order)[indices], COLORS[order], path)


# --- palettes


def test_palettes_that_contradict_each_other_are_read_by_color(tmp_path: Path) -> None:
    truth = write_folder(tmp_path, reordered, draw=three)
    data, labels = read(tmp_path)
    assert kinds(data) == ["palette"]
    assert data.classes.names == ("#000000", "#0000ff", "#ff0000")
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)
    (finding,) = [f for f in data.findings if f.kind == "palette"]
    assert "masks/0.png" in finding.message
    assert "#ff0000" in finding.remedy


def test_black_and_white_in_another_order(tmp_path: Path) -> None:
    """As in bilevel GIF files: the colors are gray levels, so that they are read as ids."""
    black_first = np.array([[0, 0, 0], [255, 255, 255]])

    def save(number: int, indices: np.ndarray, path: Path) -> None:
        if number % 2:
            indexed(1 - indices, black_first[::-1], path)
        else:
            indexed(indices, black_first, path)

    truth = write_folder(tmp_path, save)
    data, labels = read(tmp_path)
    assert kinds(data) == ["palette"]
    assert data.classes.codes == (0, 255)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_palettes_beside_masks_of_the_same_colors_are_read_by_color(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        indexed(indices, COLORS[:3], path) if number % 2 else png(COLORS[indices], path)

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert kinds(data) == []
    assert "palette" in kinds(data, "note")
    assert data.classes.encoding == "colors"
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_equal_palettes_show_ids(tmp_path: Path) -> None:
    truth = write_folder(tmp_path, lambda _, i, path: indexed(i, COLORS, path), draw=three)
    data, labels = read(tmp_path)
    assert (data.classes.encoding, data.classes.codes) == ("ids", (0, 1, 2))
    assert data.classes.colors == tuple(tuple(color) for color in COLORS[:3].tolist())
    assert kinds(data) == []
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_palettes_drawn_at_random_show_ids(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        colors = np.random.default_rng(number).integers(1, 256, (3, 3))
        colors[0] = 0
        indexed(indices, colors, path)

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert kinds(data) == ["palette"]
    assert data.classes.codes == (0, 1, 2)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_a_file_that_names_ids_decides_against_colors(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("classes: [a, b, c]\n")
    write_folder(tmp_path, reordered, draw=three)
    data, _ = read(tmp_path)
    assert (data.classes.encoding, data.classes.names) == ("ids", ("a", "b", "c"))


def test_a_file_that_names_colors_is_read_by_color(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(
        "classes:\n"
        '  - {name: a, color: "#000000"}\n'
        '  - {name: b, color: "#0000ff"}\n'
        '  - {name: c, color: "#ff0000"}\n'
    )
    truth = write_folder(tmp_path, reordered, draw=three)
    data, labels = read(tmp_path)
    assert data.classes.names == ("a", "b", "c")
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_gray_palettes_that_are_the_ids_contradict_nothing(tmp_path: Path) -> None:
    ramp = np.arange(256)[:, None].repeat(3, 1)

    def save(number: int, indices: np.ndarray, path: Path) -> None:
        indexed(indices, ramp if number % 2 else COLORS, path)

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert kinds(data) == []
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_ids_beside_other_colors_are_still_refused(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        if number % 2:
            indexed(indices, COLORS, path)
        else:
            png(np.array([[9, 9, 9], [90, 0, 90], [0, 90, 90]], np.uint8)[indices], path)

    write_folder(tmp_path, save, draw=three)
    assert kinds(read_dataset(tmp_path), "error") == ["classes"]


# --- transparency


def painted(number: int, indices: np.ndarray, path: Path, hidden: int = 77) -> None:
    """Colors on a transparent ground, beneath which an editor left a color of its own."""
    rgb = COLORS[indices].copy()
    rgb[indices == 0] = (hidden, number, 5)
    png(np.dstack([rgb, np.where(indices == 0, 0, 255).astype(np.uint8)]), path)


def test_transparent_pixels_are_background_where_all_others_are_objects(tmp_path: Path) -> None:
    truth = write_folder(tmp_path, painted, draw=three)
    data, labels = read(tmp_path)
    assert data.classes.names == ("#000000", "#0000ff", "#ff0000")
    assert "mask-transparency" in kinds(data, "note")
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_transparent_pixels_are_ignored_where_the_background_is_opaque(tmp_path: Path) -> None:
    def save(_: int, indices: np.ndarray, path: Path) -> None:
        alpha = np.full_like(indices, 255)
        alpha[:9] = 0
        rgb = COLORS[indices].copy()
        rgb[:9] = 200
        png(np.dstack([rgb, alpha]), path)

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert kinds(data) == ["mask-transparency"]
    for name, indices in truth.items():
        expected = indices.copy()
        expected[:9] = 255
        assert np.array_equal(labels[name], expected)


def test_opaque_masks_beside_them_change_nothing(tmp_path: Path) -> None:
    """Such as those that semiseg suggests: black is the background there."""

    def save(number: int, indices: np.ndarray, path: Path) -> None:
        painted(number, indices, path) if number % 2 else png(COLORS[indices], path)

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert data.classes.names == ("#000000", "#0000ff", "#ff0000")
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_an_empty_transparent_mask_is_background(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        painted(0, indices * (number > 0), path)

    truth = write_folder(tmp_path, save, draw=three)
    _, labels = read(tmp_path)
    assert set(np.unique(labels["0"])) == {0}
    assert np.array_equal(labels["3"], truth["3"])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_black_shapes_on_a_transparent_ground_are_objects(tmp_path: Path, mode: str) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        black = Image.new(mode, indices.shape[::-1])
        black.putalpha(Image.fromarray(indices * 255))
        black.save(f"{path}.png")

    def draw(seed: int) -> np.ndarray:
        return draw_indices(seed) if seed else np.zeros((72, 96), np.uint8)  # one is empty

    truth = write_folder(tmp_path, save, draw=draw)
    data, labels = read(tmp_path)
    assert kinds(data) == ["mask-transparency"]
    assert data.classes.codes == (0, 255)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)
    # A mask that somebody corrected later, or that semiseg suggests, is opaque.
    png(truth["1"] * 255, tmp_path / "corrected")
    assert np.array_equal(read_mask(tmp_path / "corrected.png", data.classes), truth["1"])


def test_gray_masks_on_a_transparent_ground(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        gray = np.where(indices > 0, 255, 31 * number).astype(np.uint8)
        png(np.dstack([gray, 255 * (indices > 0).astype(np.uint8)]), path)

    truth = write_folder(tmp_path, save)
    data, labels = read(tmp_path)
    assert data.classes.codes == (0, 255)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_soft_alpha_is_split_at_the_middle(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[..., 3] = [[0, 127, 128, 255]] * 4
    png(rgba, tmp_path / "m")
    counts = scan_mask(tmp_path / "m.png").counts
    assert sorted(counts.values()) == [8, 8]
    assert counts[0xC8C8C8] == 8


# --- objects


def cells(seed: int, count: int, radius: int = 5, size: tuple[int, int] = (96, 120)) -> np.ndarray:
    """`(H, W)` uint16: numbered discs on 0, some of them hidden by later ones."""
    rng = np.random.default_rng(seed)
    ids = np.zeros(size, np.uint16)
    y, x = np.mgrid[: size[0], : size[1]]
    for number in range(1, count + 1):
        center = rng.uniform(radius, size[0] - radius), rng.uniform(radius, size[1] - radius)
        ids[(y - center[0]) ** 2 + (x - center[1]) ** 2 < rng.uniform(0.5, 1) * radius**2] = number
    return ids


def tiles(seed: int) -> np.ndarray:
    """Cells of a large image, of which this is a tile: ids that no other tile has."""
    ids = cells(seed, 12)
    return np.where(ids > 0, ids + 700 * seed, 0).astype(np.uint16)


def with_outlines(seed: int) -> np.ndarray:
    """As in VOC: 255 surrounds the objects."""
    ids = cells(seed, 10 + seed, radius=8)
    inside = np.zeros_like(ids, dtype=bool)
    inside[1:-1, 1:-1] = (
        (ids[1:-1, 1:-1] == ids[:-2, 1:-1])
        & (ids[1:-1, 1:-1] == ids[2:, 1:-1])
        & (ids[1:-1, 1:-1] == ids[1:-1, :-2])
        & (ids[1:-1, 1:-1] == ids[1:-1, 2:])
    )
    return np.where((ids > 0) & ~inside, 255, ids).astype(np.uint8)


OBJECTS: dict[str, Callable[[int], np.ndarray]] = {
    "40 cells in each": lambda i: cells(i, 40, radius=4),
    "different numbers of cells": lambda i: cells(i, 3 + 9 * i),
    "pedestrians": lambda i: cells(i, (2, 1, 5, 3)[i], radius=12),
    "tiles": tiles,
    "outlines": with_outlines,
    "8 bits": lambda i: cells(i, 30 + i).astype(np.uint8),
}


@pytest.mark.parametrize("way", OBJECTS)
def test_numbered_objects_are_one_class(tmp_path: Path, way: str) -> None:
    ids = {f"{i}": OBJECTS[way](i) for i in range(4)}
    write_folder(
        tmp_path,
        lambda n, _, path: png(ids[f"{n}"], path),
        draw=lambda n: (ids[f"{n}"] > 0).astype(np.uint8),
    )
    data, labels = read(tmp_path)
    assert kinds(data) == ["instances"]
    assert data.classes.codes == (0, 1)
    for name, objects in ids.items():
        expected = (objects > 0).astype(np.uint8)
        expected[(objects == 255) & (way == "outlines")] = 255
        assert np.array_equal(labels[name], expected)
    assert "classes.yaml" in data.findings[0].remedy


def test_more_objects_than_classes_could_be(tmp_path: Path) -> None:
    ids = {f"{i}": cells(i, 400, radius=4, size=(240, 320)) for i in range(2)}
    assert all(len(np.unique(objects)) > 257 for objects in ids.values())
    write_folder(
        tmp_path,
        lambda n, _, path: png(ids[f"{n}"], path),
        count=2,
        draw=lambda n: (ids[f"{n}"] > 0).astype(np.uint8),
    )
    data, labels = read(tmp_path)
    assert data.classes.rule.instances
    assert all(np.array_equal(labels[name], ids[name] > 0) for name in ids)


def test_objects_in_colors_of_their_own(tmp_path: Path) -> None:
    def save(number: int, _: np.ndarray, path: Path) -> None:
        colors = np.random.default_rng(number).integers(20, 255, (31, 3)).astype(np.uint8)
        colors[0] = 0
        png(colors[cells(number, 30)], path)

    write_folder(tmp_path, save, draw=lambda n: (cells(n, 30) > 0).astype(np.uint8))
    data, labels = read(tmp_path)
    assert kinds(data) == ["instances"]
    assert np.array_equal(labels["2"], cells(2, 30) > 0)


def layers(seed: int) -> np.ndarray:
    """Layers on each other, of which one image shows more than the other."""
    return (np.arange(72) // (6 + 4 * seed))[:, None].repeat(96, 1).astype(np.uint8)


def scattered(seed: int) -> np.ndarray:
    """Twenty classes; each that occurs has two or more areas."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((72, 96), np.uint8)
    cells_of = [(y, x) for y in range(0, 72, 6) for x in range(0, 96, 6)]
    places = rng.permutation(len(cells_of))
    for number in range(1, 21):
        for place in places[3 * number : 3 * number + 3]:
            y, x = cells_of[place]
            ids[y + 1 : y + 5, x + 1 : x + 5] = number
    return ids


SEMANTIC = {
    "discs": lambda i: draw_indices(i, 5),
    "discs, some missing": lambda i: np.where(draw_indices(i, 6) == i + 1, 0, draw_indices(i, 6)),
    "the same six everywhere": lambda i: cells(7, 6, radius=9).astype(np.uint8),
    "layers": layers,
    "scattered": scattered,
}


@pytest.mark.parametrize("way", SEMANTIC)
def test_classes_are_no_objects(tmp_path: Path, way: str) -> None:
    truth = write_folder(tmp_path, lambda _, i, path: png(i, path), draw=SEMANTIC[way])
    data, labels = read(tmp_path)
    assert "instances" not in kinds(data)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_a_file_that_names_the_numbers_makes_them_classes(tmp_path: Path) -> None:
    lines = "".join(f"  - {{name: c{i}, id: {i}}}\n" for i in range(41))
    (tmp_path / "classes.yaml").write_text(f"classes:\n{lines}")
    write_folder(tmp_path, lambda n, _, path: png(cells(n, 40, radius=4), path))
    data = read_dataset(tmp_path)
    assert len(data.classes) == 41
    assert "instances" not in kinds(data)


def test_a_file_that_names_background_and_object_fits_numbers(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("classes: [ground, cell]\n")
    ids = {f"{i}": cells(i, 20 + i) for i in range(4)}
    write_folder(
        tmp_path,
        lambda n, _, path: png(ids[f"{n}"], path),
        draw=lambda n: (ids[f"{n}"] > 0).astype(np.uint8),
    )
    data, labels = read(tmp_path)
    assert data.classes.names == ("ground", "cell")
    assert all(np.array_equal(labels[name], ids[name] > 0) for name in ids)


def test_areas_less_holes_by_hand() -> None:
    codes = np.array(
        [
            [1, 1, 1, 0, 2],
            [1, 0, 1, 0, 0],
            [1, 1, 1, 0, 2],
            [3, 3, 0, 4, 4],
            [0, 3, 0, 4, 4],
        ],
        np.int32,
    )
    # 1 is a ring, 2 are two pixels apart, 3 bends, 4 is a square.
    assert count_areas(codes, [1, 2, 3, 4]) == [0, 2, 1, 1]


# --- numbers


def test_ids_of_floating_point_numbers(tmp_path: Path) -> None:
    def save(_: int, indices: np.ndarray, path: Path) -> None:
        Image.fromarray(indices.astype(np.float32)).save(f"{path}.tif")

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert data.classes.codes == (0, 1, 2)
    assert kinds(data) == []
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_pixels_without_a_number_are_ignored(tmp_path: Path) -> None:
    def save(_: int, indices: np.ndarray, path: Path) -> None:
        values = indices.astype(np.float32)
        values[:5], values[5:7] = np.nan, np.inf
        Image.fromarray(values).save(f"{path}.tif")

    truth = write_folder(tmp_path, save)
    data, labels = read(tmp_path)
    assert kinds(data) == ["mask-no-data"]
    assert data.classes.codes == (0, 1)
    for name, indices in truth.items():
        expected = indices.copy()
        expected[:7] = 255
        assert np.array_equal(labels[name], expected)


@pytest.mark.parametrize("top", [2.5, 1e12])
def test_other_numbers_are_no_ids(tmp_path: Path, top: float) -> None:
    def save(_: int, indices: np.ndarray, path: Path) -> None:
        Image.fromarray((indices * top).astype(np.float32)).save(f"{path}.tif")

    write_folder(tmp_path, save)
    (finding,) = read_dataset(tmp_path).errors()
    assert finding.kind == "unreadable-mask"
    assert f"{np.float32(top):g}" in finding.text


def test_numbers_by_hand(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, -1], [np.nan, 300]], np.float32)).save(tmp_path / "m.tif")
    assert read_codes(tmp_path / "m.tif").values.tolist() == [[0, -1], [NO_DATA, 300]]


def test_one_bit_masks_of_both_kinds(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        image = Image.fromarray(indices == 1)
        image.save(f"{path}.tif", tiffinfo={262: number % 2})  # 0: white is zero

    truth = write_folder(tmp_path, save)
    data, labels = read(tmp_path)
    assert len(data.classes) == 2
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_stacks_of_masks_are_refused(tmp_path: Path) -> None:
    def save(_: int, indices: np.ndarray, path: Path) -> None:
        pages = [Image.fromarray((indices == index).astype(np.uint8)) for index in range(3)]
        pages[0].save(f"{path}.tif", save_all=True, append_images=pages[1:])

    write_folder(tmp_path, save, draw=three)
    (finding,) = read_dataset(tmp_path).errors()
    assert finding.kind == "unreadable-mask"
    assert "holds 3 pages" in finding.text


def test_smaller_pages_of_a_mask_are_no_matter(tmp_path: Path) -> None:
    mask = Image.fromarray(three(0))
    overview = mask.resize((48, 36), Image.Resampling.NEAREST)
    mask.save(tmp_path / "m.tif", save_all=True, append_images=[overview])
    assert np.array_equal(read_codes(tmp_path / "m.tif").values, three(0))


def test_the_color_beneath_a_transparent_id_is_no_conflict(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        colors = COLORS.copy()
        colors[0] = (number, 200, 9)
        image = Image.fromarray(indices)
        image.putpalette(colors.ravel().tolist())
        image.save(f"{path}.png", transparency=0)

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert kinds(data) == []
    assert data.classes.colors[0] == (0, 0, 0)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_ids_beside_void_outlines_are_no_soft_edges(tmp_path: Path) -> None:
    """As in VOC: tiny areas of many classes, each surrounded by 255."""

    def draw(seed: int) -> np.ndarray:
        indices = scattered(seed)
        inside = np.zeros_like(indices, dtype=bool)
        for y in range(0, 72, 6):
            for x in range(0, 96, 6):
                inside[y + 2 : y + 4, x + 2 : x + 4] = True
        return np.where((indices > 0) & ~inside, 255, indices).astype(np.uint8)

    write_folder(tmp_path, lambda _, i, path: png(i, path), draw=draw)
    assert "soft-mask" not in kinds(read_dataset(tmp_path))


@pytest.mark.parametrize("way", ["palettes", "soft"])
def test_twins_are_compared_as_they_are_read(tmp_path: Path, way: str) -> None:
    """Two files of one image whose stored values differ, but not their classes."""

    def save(number: int, indices: np.ndarray, path: Path) -> None:
        if way == "palettes":
            reordered(number, indices, path)
        else:
            Image.fromarray((indices > 0) * np.uint8(255)).save(f"{path}.jpg", quality=60 + number)

    write_folder(tmp_path, save, draw=three)
    suffix = "png" if way == "palettes" else "jpg"
    rule_of = examine(tmp_path).classes.rule
    shutil.copy(tmp_path / "images" / "0.png", tmp_path / "images" / "twin.png")
    save(7, three(0), tmp_path / "masks" / "twin")
    assert (tmp_path / "masks" / f"twin.{suffix}").exists()
    data = examine(tmp_path)
    assert data.classes.rule == rule_of
    assert "repeated-image" in kinds(data)
    assert not data.errors()


# --- training


@pytest.mark.slow
@pytest.mark.parametrize("way", ["palettes", "transparency", "objects", "numbers"])
def test_a_training_learns_the_classes_and_its_model_scores_them(
    tmp_path: Path, tiny_settings: dict[str, object], way: str
) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        if way == "palettes":
            reordered(number, indices, path)
        elif way == "transparency":
            painted(number, indices, path)
        elif way == "objects":
            png(cells(number, 20 + number, size=(64, 64)), path)
        else:
            values = indices.astype(np.float32)
            values[:3] = np.nan
            Image.fromarray(values).save(f"{path}.tif")

    folder, out = tmp_path / "data", tmp_path / "run"
    write_folder(folder, save, count=6, draw=lambda seed: draw_indices(seed, 3, (64, 64)))
    settings = {**tiny_settings, "labels": "all"}
    semiseg.train(folder, method="supervised", out=out, **settings)
    result = semiseg.evaluate(out, folder, split="train")
    assert len(result.per_class) == (2 if way == "objects" else 3)
    assert all(scores.iou is not None for scores in result.per_class.values())


# --- the name that Cellpose gives to numbered objects


@pytest.mark.parametrize("suffix", ["_cp_masks", "_mask"])
def test_few_objects_are_recognized_by_the_name_of_cellpose(tmp_path: Path, suffix: str) -> None:
    truth = {}
    for number in range(4):
        ids = cells(number, 1 + number % 3)
        truth[str(number)] = ids
        png(ids.astype(np.uint8), tmp_path / f"{number}{suffix}")
        photograph(ids, number).save(tmp_path / f"{number}.jpg")
    data, labels = read(tmp_path)
    is_named = suffix == "_cp_masks"
    assert ("instances" in kinds(data)) == is_named
    assert len(data.classes) == (2 if is_named else 4)
    for name, ids in truth.items():
        assert np.array_equal(labels[name], ids > 0 if is_named else ids)


# --- compression with loss


LOSSY: dict[str, tuple[str, dict[str, object]]] = {
    "AVIF": ("avif", {"quality": 50}),
    "JPEG 2000": ("jp2", {"quality_mode": "rates", "quality_layers": [30], "irreversible": True}),
    "JPEG in TIFF": ("tif", {"compression": "jpeg"}),
}


@pytest.mark.parametrize("way", LOSSY)
def test_small_ids_that_were_compressed_with_loss_are_refused(tmp_path: Path, way: str) -> None:
    """They become other small ids, and look like classes."""
    suffix, options = LOSSY[way]

    def save(_: int, indices: np.ndarray, path: Path) -> None:
        Image.fromarray(indices).save(f"{path}.{suffix}", **options)

    write_folder(tmp_path, save, draw=three)
    data = read_dataset(tmp_path)
    assert kinds(data, "error") == ["smeared-mask"]


@pytest.mark.parametrize(("suffix", "options"), [("jp2", {}), ("tif", {"compression": "tiff_lzw"})])
def test_ids_that_were_compressed_without_loss_are_read(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    def save(_: int, indices: np.ndarray, path: Path) -> None:
        Image.fromarray(indices).save(f"{path}.{suffix}", **options)

    truth = write_folder(tmp_path, save, draw=three)
    data, labels = read(tmp_path)
    assert data.classes.codes == (0, 1, 2)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


# --- TIFF files that Pillow cannot open


@pytest.mark.parametrize("kind", ["int64", "uint64", "float64"])
def test_tiff_masks_of_64_bits_are_read_through_an_extra(tmp_path: Path, kind: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    path, ids = tmp_path / "mask.tif", three(1)
    tifffile.imwrite(path, ids.astype(kind))
    codes = read_codes(path)
    assert codes.encoding == "ids"
    assert np.array_equal(codes.values, ids)


def test_without_the_extra_a_tiff_mask_of_64_bits_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile = pytest.importorskip("tifffile")
    for module in ("mask_files", "tiff"):
        monkeypatch.setattr(f"semiseg.data.formats.{module}.can_read_bands", lambda: False)
    tifffile.imwrite(tmp_path / "mask.tif", three(1).astype(np.int64))
    with pytest.raises(DataError, match=r"64-bit .*semiseg\[geo\]"):
        read_codes(tmp_path / "mask.tif")


def test_a_tiff_mask_with_a_channel_for_each_class_says_so(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    shares = np.eye(3, dtype=np.float32)[three(1)].transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "mask.tif", shares, planarconfig="separate")
    with pytest.raises(DataError, match="several channels"):
        read_codes(tmp_path / "mask.tif")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "web page"),
    ],
)
def test_what_a_download_left_instead_of_a_mask_is_named(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_codes(tmp_path / "mask.png")
