"""Blocks of neighboring tiles that are held out together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_maps import write_raster

from semiseg.core.types import Arrangement, Sample
from semiseg.data.formats.raster_windows import Window, split_window, window_path
from semiseg.data.reader import read_dataset
from semiseg.data.splits import Split, make_split
from semiseg.data.tiles.blocks import blocks_of

pytest.importorskip("rasterio")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))


def _tiles(name: str, columns: int, rows: int, labeled: bool = True) -> list[Sample]:
    file, mask = Path(f"{name}.tif"), Path("mask.npz") if labeled else None
    windows = [Window(64 * x, 64 * y, 64, 64) for y in range(rows) for x in range(columns)]
    paths = [window_path(file, window) for window in windows]
    return [Sample(f"{name}/{path.name}", path, mask) for path in paths]


def _sizes(blocks: dict[Path, str]) -> list[int]:
    names = list(blocks.values())
    return sorted(names.count(name) for name in set(names))


def test_blocks_are_the_largest_squares_of_which_eight_have_labels() -> None:
    assert _sizes(blocks_of(_tiles("a", 9, 9))) == [9] * 9
    assert _sizes(blocks_of(_tiles("a", 20, 20))) == [36, 42, 42, 42, 42, 49, 49, 49, 49]
    assert _sizes(blocks_of(_tiles("a", 40, 1))) == [5] * 8
    assert _sizes(blocks_of(_tiles("a", 2, 2))) == [1] * 4
    mixed = _tiles("a", 4, 4) + _tiles("b", 8, 8, labeled=False)
    assert _sizes(blocks_of(mixed))[0] == 1  # sixteen labeled tiles in blocks of 2 x 2 are four


def test_many_rasters_are_held_out_as_a_whole() -> None:
    samples = [tile for i in range(5) for tile in _tiles(f"r{i}", 3, 2)]
    assert _sizes(blocks_of(samples)) == [6] * 5
    assert blocks_of([Sample("a", Path("a.png"), Path("a_mask.png"))]) == {}


def _split(root: Path, held_out: tuple[str, ...] = ()) -> Split:
    data = read_dataset(root, flags=Arrangement(tile=32))
    assert data.errors() == ()
    return make_split(data, "all", 0, held_out)


def _data(root: Path, side: int = 288) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 256, (3, side, side), dtype=np.uint8)
    mask = np.broadcast_to(np.arange(side) % 4 // 2, (side, side)).astype(np.uint8).copy()
    mask[side // 2 :] = 255
    write_raster(root / "images" / "field.tif", pixels)
    write_raster(root / "masks" / "field.tif", mask)


def test_a_raster_is_validated_on_whole_blocks_of_it(tmp_path: Path) -> None:
    root = tmp_path / "data"
    _data(root)
    split = _split(root)
    data = read_dataset(root, flags=Arrangement(tile=32))
    blocks = blocks_of(data.train)
    held_out = {blocks[sample.image] for sample in split.val}
    others = [*split.labeled, *split.unlabeled]
    assert held_out.isdisjoint(blocks[sample.image] for sample in others)
    masked = [sample for sample in data.train if sample.mask is not None]
    assert len(masked) == 45  # 9 x 5 tiles of 9 x 9; the last row of them is half a tile
    assert {s.image for s in split.val} == {s.image for s in masked if blocks[s.image] in held_out}
    assert 0.1 < len(split.val) / len(masked) < 0.35
    assert any("block" in note and "held out for validation" in note for note in split.notes)
    assert any("take no part" in note for note in split.notes)


def test_an_earlier_run_holds_out_the_same_blocks_again(tmp_path: Path) -> None:
    root = tmp_path / "data"
    _data(root)
    first = _split(root)
    names = tuple(sample.name for sample in first.val)
    assert _split(root, names).val == first.val


def test_another_raster_of_the_same_ground_takes_no_part(tmp_path: Path) -> None:
    root = tmp_path / "data"
    _data(root)
    pixels = np.random.default_rng(1).integers(1, 256, (3, 288, 288), dtype=np.uint8)
    write_raster(root / "images" / "june.tif", pixels)  # without a mask
    split = _split(root)
    held_out = {split_window(sample.image)[1] for sample in split.val}
    june = {split_window(s.image)[1] for s in split.unlabeled if s.name.startswith("june")}
    assert june
    assert held_out
    assert june.isdisjoint(held_out)
