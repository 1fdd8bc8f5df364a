"""Soft masks of two classes are split at the middle; all others are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_masks import COLORS, draw_indices, jpeg, kinds, photograph, png, read, write_folder
from PIL import Image, ImageFilter

import semiseg
from semiseg.data.formats.mask_rule import DOUBTFUL, MaskRule
from semiseg.data.reader import read_dataset

BLUR = ImageFilter.GaussianBlur(0.8)


def blurred(values: np.ndarray, path: Path) -> None:
    Image.fromarray(values).filter(BLUR).save(f"{path}.png")


def from_jpeg(values: np.ndarray, path: Path) -> None:
    """A JPEG that somebody converted to PNG."""
    jpeg(values, path)
    with Image.open(f"{path}.jpg") as image:
        image.save(f"{path}.png")
    Path(f"{path}.jpg").unlink()


def from_good_jpeg(values: np.ndarray, path: Path) -> None:
    jpeg(values, path, 100)
    with Image.open(f"{path}.jpg") as image:
        image.save(f"{path}.png")
    Path(f"{path}.jpg").unlink()


def upsampled(values: np.ndarray, path: Path) -> None:
    image = Image.fromarray(values)
    small = image.resize((image.width // 4, image.height // 4), Image.Resampling.BOX)
    small.resize(image.size, Image.Resampling.BILINEAR).save(f"{path}.png")


def as_shares(values: np.ndarray, path: Path) -> None:
    soft = np.asarray(Image.fromarray(values).filter(BLUR))
    Image.fromarray(soft.astype(np.float32) / 255).save(f"{path}.tif")


def webp(values: np.ndarray, path: Path) -> None:
    Image.fromarray(values).save(f"{path}.webp", quality=70)


GRAY = np.array([0, 255], np.uint8)
WAYS = {
    "JPEG": (jpeg, GRAY, ("0", "255")),
    "gray JPEG in RGB": (jpeg, GRAY[:, None].repeat(3, 1), ("0", "255")),
    "JPEG of low quality": (lambda v, p: jpeg(v, p, 40), GRAY, ("0", "255")),
    "JPEG of 0 and 128": (jpeg, np.array([0, 128], np.uint8), ("0", "128")),
    "red JPEG": (jpeg, COLORS[[0, 2]], ("#000000", "#ff0000")),
    "yellow on purple": (blurred, np.array([[68, 0, 84], [255, 231, 37]], np.uint8), None),
    "antialiased": (blurred, GRAY, ("0", "255")),
    "red, antialiased": (blurred, COLORS[[0, 2]], ("#000000", "#ff0000")),
    "converted JPEG": (from_jpeg, GRAY, ("0", "255")),
    "converted red JPEG": (from_jpeg, COLORS[[0, 2]], ("#000000", "#ff0000")),
    "converted JPEG of high quality": (from_good_jpeg, GRAY, ("0", "255")),
    "resized": (upsampled, GRAY, ("0", "255")),
    "shares": (as_shares, GRAY, ("0", "255")),
    "WebP": (webp, GRAY, ("0", "255")),
}
"""How people save masks of two classes, the values of the classes, and the names they get."""


@pytest.mark.parametrize("way", WAYS)
def test_two_classes_are_split_at_the_middle(tmp_path: Path, way: str) -> None:
    save, values, names = WAYS[way]
    truth = write_folder(tmp_path, lambda _, indices, path: save(values[indices], path))
    data, labels = read(tmp_path)
    assert kinds(data) == ["soft-mask"]
    assert names is None or data.classes.names == names
    assert len(data.classes) == 2
    assert sum(data.counts[mask].get(255, 0) for _, mask in data.labeled("train")) < 0.06 * 4 * 6912
    # Where an edge was resized, it may lie a pixel beside the true one.
    tolerance = 0.01 if way == "resized" else 0
    for name, indices in truth.items():
        certain = labels[name] != 255
        assert certain.mean() > 0.9
        assert (labels[name] != indices)[certain].mean() <= tolerance


def test_the_share_of_doubtful_pixels_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path, lambda _, indices, path: blurred(indices * np.uint8(255), path))
    data, labels = read(tmp_path)
    (finding,) = [f for f in data.findings if f.kind == "soft-mask"]
    ignored = np.mean([(pixels == 255).mean() for pixels in labels.values()])
    assert 0 < ignored < 0.05
    assert f"{100 * ignored:.1f} % of their pixels are doubtful" in finding.text
    assert finding.files == tuple(f"masks/{i}.png" for i in range(4))


@pytest.mark.parametrize("foreground", [1, 255])
def test_soft_masks_among_hard_ones_get_their_values(tmp_path: Path, foreground: int) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        if number == 1:
            jpeg(indices * np.uint8(255), path)
        else:
            png(indices * np.uint8(foreground), path)

    truth = write_folder(tmp_path, save)
    data, labels = read(tmp_path)
    assert data.classes.codes == (0, foreground)
    (finding,) = [f for f in data.findings if f.kind == "soft-mask"]
    assert finding.files == ("masks/1.jpg",)
    assert all(np.array_equal(labels[name], truth[name]) for name in ("0", "2", "3"))
    certain = labels["1"] != 255
    assert np.array_equal(labels["1"][certain], truth["1"][certain])


def test_an_empty_jpeg_holds_the_background(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        jpeg(indices * np.uint8(255 * (number > 1)), path)

    write_folder(tmp_path, save)
    _, labels = read(tmp_path)
    assert [set(np.unique(labels[name])) for name in "01"] == [{0}, {0}]


def test_named_classes_keep_their_ids(tmp_path: Path) -> None:
    """Names alone are the ids 0 and 1, whatever levels a JPEG holds."""
    (tmp_path / "classes.yaml").write_text("classes: [ground, polyp]\n")
    truth = write_folder(tmp_path, lambda _, i, path: jpeg(i * np.uint8(255), path))
    data, labels = read(tmp_path)
    assert data.classes.names == ("ground", "polyp")
    assert all(
        np.array_equal(labels[n][labels[n] != 255], truth[n][labels[n] != 255]) for n in truth
    )


MANY = {
    "gray levels": (jpeg, np.array([0, 85, 170, 255], np.uint8), 4),
    "colors": (jpeg, COLORS, 4),
    "three colors": (blurred, COLORS[:3], 3),
    "a rare third level": (jpeg, np.array([0, 255, 128], np.uint8), 3),
    "ids": (lambda v, p: jpeg(v, p, 98), np.array([0, 1, 2], np.uint8), 3),
    "ids 0 and 1": (lambda v, p: jpeg(v, p, 98), np.array([0, 1], np.uint8), 2),
}


@pytest.mark.parametrize("way", MANY)
def test_masks_of_more_classes_are_refused(tmp_path: Path, way: str) -> None:
    save, values, count = MANY[way]

    def draw(seed: int) -> np.ndarray:
        indices = draw_indices(seed, count)
        if way == "a rare third level":
            indices[indices == 2] = 0
            indices[60:66, 4:10] = 2
        return indices

    write_folder(tmp_path, lambda _, indices, path: save(values[indices], path), draw=draw)
    data = read_dataset(tmp_path)
    assert "smeared-mask" in kinds(data, "error")
    assert "soft-mask" not in kinds(data)


def test_the_nearest_levels_are_named(tmp_path: Path) -> None:
    levels = np.array([0, 60, 250], np.uint8)
    write_folder(
        tmp_path, lambda _, i, path: jpeg(levels[i], path, 95), draw=lambda s: draw_indices(s, 3)
    )
    (finding,) = [f for f in read_dataset(tmp_path).errors() if f.kind == "smeared-mask"]
    assert "0 and 60 are nearest" in finding.text
    assert "Save the original masks as PNG" in finding.remedy


def test_a_soft_mask_among_many_classes_is_refused(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        jpeg(indices * np.uint8(80), path) if number == 1 else png(indices, path)

    write_folder(tmp_path, save, draw=lambda seed: draw_indices(seed, 4))
    data = read_dataset(tmp_path)
    assert [f.files for f in data.errors()] == [("masks/1.jpg",)]


def test_a_photograph_among_soft_masks_is_refused_alone(tmp_path: Path) -> None:
    def save(number: int, indices: np.ndarray, path: Path) -> None:
        if number == 2:
            photograph(indices, number).save(f"{path}.jpg")
        else:
            jpeg(indices * np.uint8(255), path)

    write_folder(tmp_path, save)
    data = read_dataset(tmp_path)
    assert [(f.kind, f.files) for f in data.errors()] == [("smeared-mask", ("masks/2.jpg",))]


def test_a_class_beyond_the_two_frequent_levels_is_no_soft_edge(tmp_path: Path) -> None:
    """Cells: a thin wall between the ground and the cell, and a small nucleus."""
    levels = np.array([0, 85, 170, 255], np.uint8)

    def draw(seed: int) -> np.ndarray:
        y, x = np.mgrid[:72, :96]
        distance = np.hypot(y - 36, x - 30 - 8 * seed)
        return np.digitize(-distance, [-21, -20.2, -4]).astype(np.uint8)

    write_folder(tmp_path, lambda _, i, path: png(levels[i], path), draw=draw)
    data = read_dataset(tmp_path)
    assert "soft-mask" not in kinds(data)


def test_rare_classes_with_hard_edges_are_no_soft_edges(tmp_path: Path) -> None:
    levels = np.array([0, 60, 120, 180, 240], np.uint8)

    def draw(seed: int) -> np.ndarray:
        indices = np.zeros((72, 96), np.uint8)
        indices[40:] = 4
        for index in (1, 2, 3):
            indices[8 * index : 8 * index + 4, 20 * index : 20 * index + 6] = index
        return indices

    truth = write_folder(tmp_path, lambda _, i, path: png(levels[i], path), draw=draw)
    data, labels = read(tmp_path)
    assert data.classes.codes == tuple(levels)
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_values_between_the_levels_by_hand() -> None:
    rule = MaskRule(levels=(0, 200), halves=(0, 1))
    values = np.array([0, 1, 50, 51, 100, 149, 150, 200, 250, 251], np.int32)
    d = DOUBTFUL
    assert rule.apply(values, "ids").tolist() == [0, 0, 0, d, d, d, 1, 1, 1, d]
    hard = np.array([0, 1, 1, 255], np.int32)
    assert rule.apply(hard, "ids").tolist() == [0, 1, 1, 255]  # the values of hard masks
    assert rule.apply(hard, "ids", lossy=True).tolist() == [0, 0, 0, d]
    red = MaskRule(levels=(0, 0xFF0000), halves=(0, 0xFF0000))
    # Dark red and light red are near; orange lies half-way to yellow, off the line.
    colors = np.array([0x200000, 0xE00000, 0x800000, 0xFF8000], np.int32)
    assert red.apply(colors, "colors").tolist() == [0, 0xFF0000, d, d]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["JPEG", "red JPEG", "antialiased"])
def test_a_training_learns_from_soft_masks_and_its_model_scores_them(
    tmp_path: Path, tiny_settings: dict[str, object], way: str
) -> None:
    save, values, _ = WAYS[way]
    write_folder(
        tmp_path / "data",
        lambda _, indices, path: save(values[indices], path),
        count=6,
        draw=lambda seed: draw_indices(seed, size=(64, 64)),
    )
    out = tmp_path / "run"
    semiseg.train(
        tmp_path / "data", method="supervised", out=out, **{**tiny_settings, "labels": "all"}
    )
    result = semiseg.evaluate(out, tmp_path / "data", split="train")
    assert set(result.per_class) == set(read_dataset(tmp_path / "data").classes.names)
    assert all(scores.iou is not None for scores in result.per_class.values())
