"""Decoded images and masks are the same whether they were kept or not, and are kept in bounds."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.formats.masks import Classes
from semiseg.data.pixel_cache import PixelCache, reduce_size
from semiseg.data.reader import load_dataset
from semiseg.training.batches import TrainingBatches, TrainingImages, Views

CLASSES = Classes(("a", "b"), ((0, 0, 0), (255, 0, 0)), "ids", (0, 1))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the test's own."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def cache_files(cache):
    return [p for p in cache.rglob("*") if p.is_file()]


def photograph(path: Path, size=(320, 200), seed=0, exif=None):
    """A smooth picture, an hour old."""
    small = np.random.default_rng(seed).integers(0, 255, (5, 8, 3), dtype=np.uint8)
    more = {} if exif is None else {"exif": exif}
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **more)
    return aged(path)


def aged(path, hours=1.0):
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))
    return path


def stripes(path, size=(320, 200)):
    Image.fromarray((np.indices(size[::-1])[1] // 10 % 2).astype(np.uint8)).save(path)
    return aged(path)


def test_the_second_read_gives_the_bits_of_the_first_without_decoding(cache, tmp_path, monkeypatch):
    image, mask = photograph(tmp_path / "a.jpg"), stripes(tmp_path / "a.png")
    first = PixelCache(120, CLASSES)
    expected = first.image(image), first.labels(Sample("a", image, mask), (192, 120))
    assert expected[0].shape == (120, 192, 3)
    assert expected[1].shape == (120, 192)
    assert set(np.unique(expected[1])) == {0, 1}
    assert len(cache_files(cache)) == 2
    for name in ("read_image", "read_labels"):
        monkeypatch.setattr(f"semiseg.data.pixel_cache.{name}", None)
    for store in (first, PixelCache(120, CLASSES)):
        assert np.array_equal(store.image(image), expected[0])
        assert np.array_equal(store.labels(Sample("a", image, mask), (192, 120)), expected[1])


def test_without_a_cache_the_bits_are_the_same(cache, tmp_path, monkeypatch):
    image = photograph(tmp_path / "a.jpg", (1600, 1000))
    expected = PixelCache(120, CLASSES).image(image)
    monkeypatch.setenv("SEMISEG_CACHE_MB", "0")
    assert np.array_equal(PixelCache(120, CLASSES).image(image), expected)
    monkeypatch.delenv("SEMISEG_CACHE_MB")
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "a.jpg"))  # a file: nothing can be written
    assert np.array_equal(PixelCache(120, CLASSES).image(image), expected)
    assert not cache_files(cache)  # those that were there went with the bound


def test_a_changed_file_is_read_anew(cache, tmp_path):
    path = photograph(tmp_path / "a.png")
    store = PixelCache(120, CLASSES)
    before = store.image(path)
    photograph(path, seed=1)
    aged(path, 2.0)
    after = store.image(path)
    assert not np.array_equal(before, after)
    assert np.array_equal(after, PixelCache(120, CLASSES).image(path))


def test_a_file_of_this_moment_is_not_kept(cache, tmp_path):
    path = photograph(tmp_path / "a.png")
    path.touch()
    PixelCache(120, CLASSES).image(path)
    assert not cache_files(cache)


def test_settings_do_not_share_files(cache, tmp_path):
    path, mask = photograph(tmp_path / "a.png"), stripes(tmp_path / "m.png")
    other = Classes(("b", "a"), CLASSES.colors, "ids", (1, 0))
    assert PixelCache(120, CLASSES).image(path).shape != PixelCache(60, CLASSES).image(path).shape
    first, second = (
        PixelCache(120, c).labels(Sample("a", path, mask), (320, 200)) for c in (CLASSES, other)
    )
    assert np.array_equal(first, 1 - second)


@pytest.mark.parametrize("damage", [b"", b"\1\0\0\0", b"x" * 5000], ids=len)
def test_a_damaged_file_is_replaced(cache, tmp_path, damage):
    path = photograph(tmp_path / "a.png")
    expected = PixelCache(120, CLASSES).image(path)
    (file,) = cache_files(cache)
    file.write_bytes(damage)
    assert np.array_equal(PixelCache(120, CLASSES).image(path), expected)
    assert file.stat().st_size == expected.nbytes + 128


def test_a_full_disk_is_no_error(cache, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = photograph(tmp_path / "a.png")
    store = PixelCache(120, CLASSES)
    monkeypatch.setattr("semiseg.data.pixel_cache.np.save", full)
    assert store.image(path).shape == (120, 192, 3)
    assert not cache_files(cache)


def test_the_bound_holds_and_a_start_frees_space(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE_MB", "1")
    store = PixelCache(200, CLASSES)  # 192 kB each
    paths = [photograph(tmp_path / f"{i}.png", seed=i) for i in range(8)]
    for path in paths:
        store.image(path)
    assert len(cache_files(cache)) == 5
    store = PixelCache(200, CLASSES)
    assert len(cache_files(cache)) == 2
    for path in paths:
        store.image(path)
    assert sum(p.stat().st_size for p in cache_files(cache)) <= 1 << 20


def test_loader_processes_share_one_size_limit(cache, tmp_path):
    store = PixelCache(120, CLASSES)
    before, path = store._free_bytes.value, photograph(tmp_path / "a.png")
    for start in ("fork", "spawn"):
        child = multiprocessing.get_context(start).Process(target=store.image, args=(path,))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert store._free_bytes.value == before - 120 * 192 * 3
        assert len(cache_files(cache)) == 1


def test_a_broken_file_is_reported_and_not_kept(cache, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.jpg"):
        PixelCache(120, CLASSES).image(aged(path))
    assert not cache_files(cache)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photograph_is_decoded_small_and_looks_the_same(cache, tmp_path, orientation):
    """A JPEG's own reduction and ours differ by a level or two from reducing all its pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = photograph(tmp_path / "a.jpg", (1999, 1501), exif=exif)
    decoded = PixelCache(180, CLASSES).image(path)
    with Image.open(path) as file:
        upright = file.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else file.copy()
    size = reduce_size(upright.size, 180)
    assert decoded.shape == (size[1], size[0], 3)
    assert min(size) == 180
    whole = np.asarray(upright.resize(size, Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decoded - whole).max() <= 4


def test_batches_have_the_same_bits_with_and_without_kept_files(cache, tiny_folder, monkeypatch):
    folder = load_dataset(tiny_folder)
    labeled = [s for s in folder.train if s.mask is not None]
    for sample in folder.train:
        aged(sample.image)

    def batch():
        images = TrainingImages(labeled, folder.train, folder.classes)
        arrays = TrainingBatches(images, Views(40, 32), 4, Key.of(0, "data"))[0]
        assert arrays.unlabeled is not None
        return [v for v in (*arrays.labeled, *arrays.unlabeled) if isinstance(v, torch.Tensor)]

    fresh, again = batch(), batch()
    assert cache_files(cache)
    monkeypatch.setenv("SEMISEG_CACHE_MB", "0")
    for other in (again, batch()):
        assert all(map(torch.equal, fresh, other))
