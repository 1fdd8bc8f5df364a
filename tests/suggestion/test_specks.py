"""Proposals without specks: small regions become what surrounds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.core.errors import ConfigError
from semiseg.inference.predictor import Predictor
from semiseg.suggestion.specks import remove_specks, smallest_region


def test_a_speck_becomes_what_lies_nearest_to_it() -> None:
    mask = np.zeros((9, 12), np.uint8)
    mask[:, 6:] = 1
    mask[1, 1] = mask[2, 2] = 2  # they touch at a corner, and are two regions
    mask[4:6, 9:11] = 2
    mask[8, 0] = 255
    cleaned, number = remove_specks(mask, 4)
    expected = mask.copy()
    expected[1, 1] = expected[2, 2] = 0
    np.testing.assert_array_equal(cleaned, expected)
    assert number == 2
    cleaned, number = remove_specks(mask, 5)
    assert number == 3
    assert (cleaned[4:6, 9:11] == 1).all()
    assert cleaned[8, 0] == 255


@pytest.mark.parametrize("min_pixels", [0, 1])
def test_one_pixel_is_no_speck_if_all_regions_stay(min_pixels: int) -> None:
    mask = np.eye(4, dtype=np.uint8)
    assert remove_specks(mask, min_pixels) == (mask, 0)


def test_a_mask_of_specks_alone_stays() -> None:
    mask = np.indices((4, 4)).sum(0).astype(np.uint8) % 2
    assert remove_specks(mask, 3) == (mask, 0)


def test_the_smallest_region_grows_with_the_image() -> None:
    assert smallest_region((320, 256), 256) == 16
    assert smallest_region((4000, 2560), 256) == 1600
    assert smallest_region((64, 64), 256) == 1


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image, in which any model sees a region of 100 pixels and 20 specks of 4."""
    mask = np.zeros((48, 64), np.uint8)
    mask[30:40, 30:40] = 1
    for number in range(20):
        top, left = 4 * (number // 10), 5 * (number % 10)
        mask[top : top + 2, left : left + 2] = 1
    predict = Predictor.predict

    def patched(*arguments: Any, **options: Any) -> Any:
        return predict(*arguments, **options)._replace(mask=mask)

    monkeypatch.setattr(Predictor, "predict", patched)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "in" / "a.png")
    return tmp_path / "in"


@pytest.mark.parametrize("file_format", ["labelme", "coco", "cvat", "label-studio"])
def test_proposals_hold_no_specks(
    plain_release: Path, images: Path, tmp_path: Path, file_format: str, log: Any
) -> None:
    sizes = {}
    for min_area in (0, 5):
        out = tmp_path / f"out{min_area}"
        semiseg.suggest(
            *(plain_release, images), out=out, file_format=file_format, min_area=min_area
        )
        files = [*(out / "train").glob("*.*"), *(out / "train" / "images").glob("*.json")]
        sizes[min_area] = sum(file.stat().st_size for file in files)
    assert sizes[5] < sizes[0]
    assert log.text.count("20 specks of fewer than 5 pixels are left out") == 1


def test_a_smallest_area_needs_proposals_with_outlines(plain_release: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--min-area is for the masks of a model"):
        semiseg.suggest(tmp_path, min_area=5)


def test_masks_of_pixels_keep_all_regions(
    plain_release: Path, images: Path, tmp_path: Path
) -> None:
    semiseg.suggest(plain_release, images, out=tmp_path / "out", min_area=50)
    mask = np.asarray(Image.open(tmp_path / "out" / "train" / "masks" / "a.png"))
    assert len(np.unique(mask)) == 2
    assert (mask == mask[35, 35]).sum() == 180
