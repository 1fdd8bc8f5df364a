"""What labelme2voc writes: masks as PNG, as NumPy's files, or both."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from semiseg.data.reader import read_dataset
from tests.data.annotated import masks_of, photograph, read, rectangle

IDS = rectangle(2, 20, 20, 30, 25, rectangle(1, 2, 2, 9, 9)).astype(np.int32)
IDS[0, :5] = -1  # __ignore__


def write(root, png=None, npy=None):
    """Images, with masks in folders of these names."""
    for name in "abc":
        photograph(root / "JPEGImages" / f"{name}.jpg")
        photograph(root / "SegmentationClassVisualization" / f"{name}.jpg")
        for folder in filter(None, (png, npy)):
            (root / folder).mkdir(exist_ok=True)
        if npy:
            np.save(root / npy / f"{name}.npy", IDS)
        if png:
            mask = Image.fromarray(IDS.astype(np.uint8))
            mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [9] * 759)
            mask.save(root / png / f"{name}.png")
    (root / "class_names.txt").write_text("_background_\ncrop\nweed")


@pytest.mark.parametrize(
    ("png", "npy"),
    [
        ("SegmentationClassPNG", "SegmentationClass"),  # older releases
        ("SegmentationClass", "SegmentationClassNpy"),  # newer ones
        ("SegmentationClass", None),
        (None, "SegmentationClass"),
    ],
)
def test_all_forms_give_the_same_masks_and_names(tmp_path, png, npy):
    write(tmp_path, png, npy)
    data = read(tmp_path)
    assert data.classes.names == ("_background_", "crop", "weed")
    expected = np.where(IDS < 0, 255, IDS)
    masks = masks_of(data, "train")
    assert sorted(masks) == ["a.jpg", "b.jpg", "c.jpg"]
    assert all(np.array_equal(mask, expected) for mask in masks.values())
    assert not [f for f in data.findings if f.kind == "not-read" and f.severity == "warning"]


@pytest.mark.parametrize(
    "array", [np.zeros((3, 4, 3), np.int32), np.full((3, 4), 7.5), np.full((3, 4), -2)]
)
def test_an_array_that_is_no_mask_is_refused_by_its_name(tmp_path, array):
    write(tmp_path, npy="SegmentationClass")
    np.save(tmp_path / "SegmentationClass" / "b.npy", array)
    assert "b.npy" in read_dataset(tmp_path).errors()[0].message
    (tmp_path / "SegmentationClass" / "b.npy").write_bytes(b"\x93NUMPY broken")
    assert "b.npy" in read_dataset(tmp_path).errors()[0].message
