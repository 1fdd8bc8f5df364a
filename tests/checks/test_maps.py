"""Maps whose neighbors stand in another split, and maps of different resolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_maps import Box, write_raster
from PIL import Image

from semiseg.checks.examine import examine
from semiseg.data.findings import Finding
from semiseg.data.formats.extent import extent_of, find_overlaps
from semiseg.data.formats.raster_windows import Window, window_path

pytest.importorskip("rasterio")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))


def _add(root: Path, split: str, name: str, place: Box, **profile: object) -> None:
    rng = np.random.default_rng(len(list(root.rglob("*"))))
    pixels = rng.integers(0, 256, (3, 40, 40), dtype=np.uint8)
    write_raster(root / split / "images" / f"{name}.tif", pixels, place, **profile)
    (root / split / "masks").mkdir(exist_ok=True)
    mask = np.arange(1600, dtype=np.uint8).reshape(40, 40) // 64 % 2
    Image.fromarray(mask).save(root / split / "masks" / f"{name}.png")


def _found(root: Path, kind: str) -> list[Finding]:
    return [finding for finding in examine(root).findings if finding.kind == kind]


def test_the_extent_of_a_window_is_a_part_of_that_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_raster(path, np.zeros((40, 80), np.uint8))
    extent = extent_of(path)
    assert extent is not None
    assert extent[:5] == (500_000, 5_799_980, 500_040, 5_800_000, 0.5)
    part = extent_of(window_path(path, Window(20, 10, 4, 6)))
    assert part is not None
    assert part[:4] == (500_010, 5_799_992, 500_012, 5_799_995)
    assert part.system == extent.system
    left, right = (window_path(path, Window(x, 0, 40, 40)) for x in (0, 40))
    assert find_overlaps([left], [right]) == {}
    assert find_overlaps([left], [right], touching=True) == {left: [right]}
    assert find_overlaps([left], [window_path(path, Window(39, 0, 9, 9))]) != {}


@pytest.mark.parametrize(("left", "warns"), [(20, True), (40, True), (90, False)])
def test_maps_beside_each_other_in_train_and_val_are_a_leak(
    tmp_path: Path, left: int, warns: bool
) -> None:
    root = tmp_path / "data"
    _add(root, "train", "a", (0, 0, 40, 40))
    _add(root, "train", "b", (900, 0, 940, 40))
    _add(root, "val", "c", (left, 0, left + 40, 40))
    texts = [finding.text for finding in _found(root, "leak")]
    assert len(texts) == warns
    assert not warns or "val/images/c.tif and train/images/a.tif" in texts[0]


@pytest.mark.parametrize(
    ("names", "warns"),
    [
        (("map_x0_y0", "map_x0_y40", "map_x40_y0", "map_x40_y40"), True),
        (("map_r1c1", "map_r1c2", "map_r2c1", "map_r2c2"), True),
        (("map_0_0", "map_0_512", "map_512_0", "map_512_512"), True),
        (("video_1_10", "video_1_20", "video_2_10", "video_2_20"), False),
        (("day_2024_05", "day_2024_06", "day_2025_05", "day_2025_06"), False),
    ],
)
def test_names_of_tiles_in_train_and_val_are_a_leak(
    tmp_path: Path, names: tuple[str, ...], warns: bool
) -> None:
    root = tmp_path / "data"
    for name in names[:3]:
        _add(root, "train", name, (0, 0, 40, 40), crs=None, transform=None)
    _add(root, "val", names[3], (0, 0, 40, 40), crs=None, transform=None)
    assert len(_found(root, "leak")) == warns


@pytest.mark.parametrize(("side", "warns"), [(56, False), (64, True)])
def test_training_images_of_other_resolutions_are_named(
    tmp_path: Path, side: int, warns: bool
) -> None:
    root = tmp_path / "data"
    _add(root, "train", "fine", (0, 0, 40, 40))
    _add(root, "train", "coarse", (100, 0, 100 + side, side))
    findings = _found(root, "ground-resolution")
    assert len(findings) == warns
    assert not warns or "fine.tif (0.5 meter per pixel)" in findings[0].text
