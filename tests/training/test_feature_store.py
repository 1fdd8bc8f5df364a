"""Cached features on the disk: only intact files count, and all of them keep to one limit."""

import os
import shutil
import time

import numpy as np
import pytest

from semiseg.training.feature_store import FeatureStore, room_for_features

COUNT = 498  # 1000 bytes with the checksum
KB = 1000


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "features"


def numbers(seed):
    return np.random.default_rng(seed).standard_normal(COUNT).astype(np.float16)


def fill(store, count, hours=0.0):
    """Save entries and let them be so many hours old."""
    names = [f"{i:032x}" for i in range(count)]
    for i, name in enumerate(names):
        store.save(name, numbers(i))
    for file in files(store):
        os.utime(file, (time.time() - 3600 * hours,) * 2)
    return names


def files(store):
    return [file for file in store.folder.glob("*/*")]


def size(folder):
    return sum(file.stat().st_size for file in folder.glob("*/*/*"))


def test_what_was_saved_is_loaded_bit_by_bit(folder):
    store = FeatureStore(folder, "group", COUNT, 64 * KB)
    (name,) = fill(store, 1)
    for other in (store, FeatureStore(folder, "group", COUNT, 64 * KB)):
        assert np.array_equal(other.load(name), numbers(0))
    assert store.load("f" * 32) is None
    assert store.size() == size(folder) == KB


@pytest.mark.parametrize("damage", ["torn", "empty", "bit", "longer", "zeros"])
def test_a_damaged_file_does_not_count_and_is_written_again(folder, damage):
    store = FeatureStore(folder, "group", COUNT, 64 * KB)
    (name,) = fill(store, 1)
    (file,) = files(store)
    content = bytearray(file.read_bytes())
    if damage == "bit":
        content[99] ^= 1
    file.write_bytes(
        {
            "torn": content[:500],
            "empty": b"",
            "bit": content,
            "longer": content + b"1",
            "zeros": bytes(len(content)),
        }[damage]
    )
    assert store.load(name) is None
    store.save(name, numbers(0))
    assert np.array_equal(store.load(name), numbers(0))


def test_the_oldest_files_of_other_groups_go_first(folder):
    old, newer = (FeatureStore(folder, name, COUNT, 64 * KB) for name in ("old", "newer"))
    fill(old, 10, hours=2)
    fill(newer, 10, hours=1)
    for store in (old, newer):
        store.close()
    store = FeatureStore(folder, "own", COUNT, 20 * KB)
    fill(store, 12)
    assert size(folder) <= 20 * KB
    assert len(files(store)) == 12
    assert not old.folder.exists()
    assert 0 < len(files(newer)) < 10


def test_a_group_in_use_keeps_its_files(folder, caplog):
    other = FeatureStore(folder, "other", COUNT, 64 * KB)
    fill(other, 10, hours=2)
    store = FeatureStore(folder, "own", COUNT, 12 * KB)
    fill(store, 5)
    assert len(files(other)) == 10
    assert len(files(store)) < 5
    assert size(folder) <= 12 * KB
    (warning,) = caplog.records
    assert "No more features" in warning.message
    assert store.load(f"{4:032x}") is None  # it is computed again
    other.close()
    again = FeatureStore(folder, "own", COUNT, 12 * KB)
    fill(again, 5)
    assert len(files(again)) == 5


def test_a_group_that_is_removed_while_it_is_opened_is_in_use_afterwards(folder, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    flock, calls = fcntl.flock, []

    def lock(*args):
        calls.append(args)
        if len(calls) == 1:  # as another process does, which had the lock until now
            shutil.rmtree(folder / "old")
        return flock(*args)

    monkeypatch.setattr(fcntl, "flock", lock)
    old = FeatureStore(folder, "old", COUNT, 4 * KB)
    names = fill(old, 2, hours=2)
    store = FeatureStore(folder, "new", COUNT, 4 * KB)
    fill(store, 4)
    assert all(old.load(name) is not None for name in names)


def test_files_that_this_training_uses_stay(folder):
    before = FeatureStore(folder, "own", COUNT, 64 * KB)
    names = fill(before, 10, hours=2)
    before.close()
    store = FeatureStore(folder, "own", COUNT, 12 * KB)
    for name in names[:4]:
        assert store.load(name) is not None
    for i in range(100, 106):
        store.save(f"{i:032x}", numbers(i))
    assert size(folder) <= 12 * KB
    assert all(store.load(name) is not None for name in names[:4])
    assert all(store.load(f"{i:032x}") is not None for i in range(100, 106))


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, caplog):
    (tmp_path / "features").touch()
    store = FeatureStore(tmp_path / "features", "group", COUNT, 64 * KB)
    (name, _) = fill(store, 2)
    assert store.load(name) is None
    assert len(caplog.records) == 1
    store.close()


def test_the_room_is_the_limit_or_half_of_the_free_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    assert room_for_features(64 * KB) == 64 * KB
    free = room_for_features(10**18)
    assert 0 < free < 10**18
    monkeypatch.setattr("semiseg.training.feature_store.features_folder", lambda: None)
    assert room_for_features(64 * KB) == 0
