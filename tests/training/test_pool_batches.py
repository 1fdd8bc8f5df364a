"""The batches from a pool: the same ones wherever it lies, and whoever reads them."""

import multiprocessing
import pickle

import fsspec
import numpy as np
import pytest
import torch
from range_server import serve
from tiny_pools import BATCH_SETTINGS, load, same, served_as_s3, tensors, write_pool

from semiseg.config.train import TrainConfig
from semiseg.core.errors import DataError
from semiseg.core.rng import Key
from semiseg.data.formats.masks import Classes
from semiseg.data.pixel_cache import PixelCache
from semiseg.data.pools.pool import open_pool
from semiseg.training.data import read_data
from semiseg.training.loaders import training_loader
from semiseg.training.place import Place
from semiseg.training.pool_images import PoolDraws, PoolError, PoolImages


@pytest.fixture(autouse=True)
def _no_decoded_images(tmp_path, monkeypatch):
    """Each test reads the pool itself, not what another one has decoded."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return write_pool(tmp_path_factory.mktemp("pools") / "pool")


@pytest.fixture(scope="module")
def expected(tiny_folder, pool):
    return load(tiny_folder, pool)


def test_the_batches_show_all_images_of_the_pool_and_those_with_hidden_masks(tiny_folder, pool):
    config = TrainConfig.from_values({**BATCH_SETTINGS, "data": tiny_folder, "unlabeled": pool})
    images = read_data(config).unlabeled
    assert len(images) == 12 + 2  # two of four masks are hidden
    batches = training_loader(config, read_data(config), Place("cpu", 1, 0, 1)).dataset
    names = [batches.unlabeled.where(position) for position in range(28)]
    assert len(set(names[:14])) == len(set(names[14:])) == 14
    assert names[:14] != names[14:]


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_processes_give_the_same_batches(tiny_folder, pool, expected, workers):
    assert same(load(tiny_folder, pool, workers=workers), expected)


def test_a_resumed_training_has_the_rest_of_the_batches(tiny_folder, pool, expected):
    assert same(load(tiny_folder, pool, start=3, workers=1), expected[3:])


def test_two_ranks_share_each_batch(tiny_folder, pool, expected):
    parts = [load(tiny_folder, pool, rank=rank, world=2) for rank in (0, 1)]
    for number, whole in enumerate(expected):
        joined = [
            torch.cat(pair) for pair in zip(*(tensors(p[number]) for p in parts), strict=True)
        ]
        assert all(map(torch.equal, joined, tensors(whole)))


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="memory is not shared")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_pool_in_memory_gives_the_same_batches(tiny_folder, pool, expected, workers):
    memory = fsspec.filesystem("memory")
    memory.put(str(pool), "/pool-batches", recursive=True)
    try:
        assert same(load(tiny_folder, "memory://pool-batches", workers=workers), expected)
    finally:
        memory.rm("/pool-batches", recursive=True)


@pytest.mark.servers
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_pool_on_a_server_gives_the_same_batches(tiny_folder, pool, expected, workers):
    with serve(pool) as server:
        url = f"{server.url}/{{000000..000002}}.tar"
        assert same(load(tiny_folder, url, workers=workers), expected)


@pytest.mark.servers
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_pool_in_s3_gives_the_same_batches(tiny_folder, pool, expected, workers, monkeypatch):
    with served_as_s3(pool, monkeypatch) as url:
        assert same(load(tiny_folder, url, workers=workers), expected)


class Indexed:
    """A pool of which only the counts are known: reading an image is an error."""

    fingerprint, address = "0" * 16, "nowhere"

    def __init__(self, counts):
        self.counts = counts

    def __len__(self):
        return int(self.counts.sum())


CLASSES = Classes(names=("a", "b"), colors=((0, 0, 0), (9, 9, 9)), encoding="ids", codes=(0, 1))


@pytest.mark.parametrize("shards", [1, 100_000])
def test_the_order_of_a_pool_is_made_without_reading_it_and_passes_to_a_process(shards):
    """10^8 images in 10^5 shards take some numbers for each shard, and nothing for an image."""
    images = PoolImages((), Indexed(np.full(shards, 1000)))
    draws = PoolDraws(images, Key.of(0), PixelCache(32, CLASSES), keep=False)
    assert len(draws) == 1000 * shards
    indices = [draws._order[position] for position in (0, 1, 1000 * shards - 1)]
    assert len({*indices}) == 3
    assert max(indices) < len(draws)
    assert len(pickle.dumps(images)) < 100 * shards + 2000


def broken_pool(tmp_path, *broken, images=12, shards=3):
    return write_pool(tmp_path / "pool", images, shards, broken)


def test_a_broken_image_is_replaced_by_another_one_of_its_shard(tiny_folder, tmp_path):
    first = load(tiny_folder, broken_pool(tmp_path, 6, images=24, shards=2), steps=7)
    second = load(tiny_folder, tmp_path / "pool", steps=7, workers=2)
    assert same(first, second)
    assert [batch.unreadable for batch in first] == [batch.unreadable for batch in second]
    messages = [text for batch in first for text in batch.unreadable]
    assert messages  # 28 places show each of 26 images
    assert all("000000.tar/0006.png" in text for text in messages)


def test_a_shard_without_any_image_is_refused(tmp_path):
    folder = broken_pool(tmp_path, 0, 1, 2, images=3, shards=1)
    draws = PoolDraws(PoolImages((), open_pool(folder)), Key.of(0), PixelCache(32, CLASSES), False)
    sentence = r"In 20 attempts, no image of a shard .*000000.tar/000\d.png"
    with pytest.raises(DataError, match=sentence) as error:
        draws[0]
    assert not isinstance(error.value, PoolError)


def test_a_shard_that_ends_too_early_is_no_broken_image(tmp_path):
    folder = broken_pool(tmp_path)
    draws = PoolDraws(PoolImages((), open_pool(folder)), Key.of(0), PixelCache(32, CLASSES), False)
    shard = folder / "000001.tar"
    with shard.open("rb+") as file:
        file.truncate(600)
    with pytest.raises(PoolError, match=r"000\d.png in .*000001.tar cannot be read"):
        [draws[position] for position in range(12)]


def test_images_are_kept_decoded_where_they_come_again(tmp_path, monkeypatch):
    folder = broken_pool(tmp_path)
    draws = PoolDraws(PoolImages((), open_pool(folder)), Key.of(0), PixelCache(32, CLASSES), True)
    before = [draws[position].pixels for position in range(12)]
    monkeypatch.setattr("semiseg.data.pools.pool.Pool.image", None)  # nothing is read now
    again = PoolDraws(draws.images, Key.of(0), draws.decoded, True)
    assert all(np.array_equal(again[p].pixels, pixels) for p, pixels in enumerate(before))
