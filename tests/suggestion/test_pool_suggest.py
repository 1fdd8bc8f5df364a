"""`suggest` for a pool: what is written, interruptions, shards, and what is refused."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from tiny_pool import write_tar
from tiny_pools import drawn

import semiseg
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.reading import AS_STORED
from semiseg.data.pools.pool import Pool, open_pool
from semiseg.suggestion.descriptors import describe_images
from semiseg.suggestion.feature_rows import PoolRows
from semiseg.suggestion.features import Inspector
from semiseg.suggestion.first_images import build_network

FIRST = {"encoder": "lcnet_035", "weights": "none", "accelerator": "cpu"}
BROKEN = "unlabeled/08.png"


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Two tars of twelve pictures; one of them is broken, and two are the same."""
    folder = tmp_path_factory.mktemp("pool")
    for shard in range(2):
        members = {}
        for number in range(6 * shard, 6 * shard + 6):
            content = drawn(2 if number == 3 else number)
            members[f"unlabeled/{number:02d}.png"] = b"no image" if number == 8 else content
        write_tar(folder / f"{shard}.tar", members)
    return folder


@pytest.fixture(scope="module")
def folder_of_images(pool, tmp_path_factory):
    """The images of the pool as files."""
    images, packed = tmp_path_factory.mktemp("images"), open_pool(pool)
    for number in range(len(packed)):
        file = images / packed.file_name(number).replace("unlabeled/", "")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(packed.read(number))
    return images


@pytest.fixture
def run_folder(css_release, tiny_folder, tmp_path):
    """The release, with the lists of a training on the tiny folder."""
    run = shutil.copytree(css_release, tmp_path / "run")
    (run / "split").mkdir()
    (run / "split" / "labeled.txt").write_text("0000\n0001\n")
    (run / "split" / "val.txt").write_text("0000\n0001\n")
    (run / "config.yaml").write_text(f"data: {tiny_folder}\n")
    return run


@pytest.fixture
def inspected(monkeypatch):
    """How many images a model or an encoder has computed."""
    calls = []
    inspect = Inspector.__call__

    def counted(self, image):
        calls.append(image)
        return inspect(self, image)

    monkeypatch.setattr(Inspector, "__call__", counted)
    return calls


def files_below(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "features" not in file.parts and file.suffix not in (".txt", ".csv")
    }


def numbers(folder):
    """The rows of `suggested.csv` without the images."""
    with (folder / "suggested.csv").open(newline="") as file:
        return [[float(row[key]) for key in row if key != "image"] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_pool_gives_what_a_folder_of_its_images_gives_however_it_is_divided(
    run_folder, pool, folder_of_images, tmp_path, inspected, caplog
):
    names = ("folder", "pool", "shards")
    folder, whole, shards = (tmp_path / name for name in names)
    right = semiseg.suggest(run_folder, folder_of_images, out=folder, n=5).images
    caplog.clear()
    ours = semiseg.suggest(run_folder, pool, out=whole, n=5).images
    assert [one.name for one in ours] == [one.name for one in right]
    assert not {"0/02", "0/03"} <= {one.name for one in ours}
    np.testing.assert_allclose(numbers(whole), numbers(folder), atol=2e-3)
    assert files_below(whole) == files_below(folder)
    assert len(list((whole / "train" / "masks").rglob("*.png"))) == 5
    assert [r.getMessage() for r in caplog.records if BROKEN in r.getMessage()]
    with pytest.raises(DataError, match=r"There are no features in .*--shard 1/2, then 2/2"):
        semiseg.suggest(run_folder, pool, out=shards, merge=True)
    inspected.clear()
    for shard in ("1/3", "3/3"):
        result = semiseg.suggest(run_folder, pool, out=shards, shard=shard)
        assert result.images == ()
        assert "--merge" in result.text()
    with pytest.raises(DataError, match=r"not have all 3 shards yet. Not finished: 2\.") as caught:
        semiseg.suggest(run_folder, pool, out=shards, n=5, merge=True)
    assert "--shard 2/3" in str(caught.value)
    semiseg.suggest(run_folder, pool, out=shards, shard="2/3")
    assert len(inspected) == 11
    merged = semiseg.suggest(run_folder, pool, out=shards, n=5, merge=True)
    assert [one[2:] for one in merged.images] == [one[2:] for one in ours]
    assert files_below(shards) == files_below(whole)
    with pytest.raises(ConfigError, match="as many shards as before"):
        semiseg.suggest(run_folder, pool, out=shards, shard="1/2")
    with pytest.raises(ConfigError, match=r"ledgers of 3 shards, such as 1/3\. .* add --merge"):
        semiseg.suggest(run_folder, pool, out=shards, overwrite=True)


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_call_goes_on_and_a_finished_one_computes_nothing(
    run_folder, pool, tmp_path, inspected, monkeypatch
):
    whole, out = tmp_path / "whole", tmp_path / "out"
    semiseg.suggest(run_folder, pool, out=whole, n=4)
    right = {
        file.relative_to(whole): file.read_bytes()
        for file in (whole / "features").iterdir()
        if file.suffix == ".npy"
    }
    inspected.clear()
    write = Pool.image

    def killed(self, index):
        if index == 9:
            raise KeyboardInterrupt
        return write(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(Pool, "image", killed)
        with pytest.raises(KeyboardInterrupt):
            semiseg.suggest(run_folder, pool, out=out, n=4)
    before = len(inspected)
    assert 0 < before < 11
    assert not (out / "train").exists()
    semiseg.suggest(run_folder, pool, out=out, n=4)
    # The labeled images of the run and those of its val are inspected for the choice.
    assert {name: (out / name).read_bytes() for name in right} == right
    assert files_below(out) == files_below(whole)
    inspected.clear()
    with pytest.raises(RunError, match="may hold masks that you corrected"):
        semiseg.suggest(run_folder, pool, out=out, n=6)
    assert len(semiseg.suggest(run_folder, pool, out=out, n=6, overwrite=True).images) == 6
    assert len(inspected) <= 6  # of the run, and none of the pool


@pytest.mark.slow
def test_the_features_of_another_model_or_pool_are_refused(
    run_folder, plain_release, pool, tmp_path
):
    out = tmp_path / "out"
    semiseg.suggest(run_folder, pool, out=out, shard="1/4")
    other = write_tar(tmp_path / "other" / "0.tar", {"a.png": drawn(1), "b.png": drawn(2)}).parent
    with pytest.raises(ConfigError, match="features of the images of another pool"):
        semiseg.suggest(run_folder, other, out=out, shard="1/4")
    with pytest.raises(ConfigError, match="features of another model"):
        semiseg.suggest(plain_release, pool, out=out, shard="2/4")


@pytest.mark.slow
def test_a_pool_of_broken_images_ends_with_a_sentence(run_folder, tmp_path):
    members = {f"{number:02d}.png": b"no image" for number in range(14)}
    pool = write_tar(tmp_path / "pool" / "0.tar", members).parent
    with pytest.raises(DataError, match="11 of the first 11 images of the pool"):
        semiseg.suggest(run_folder, pool, out=tmp_path / "out")


@pytest.mark.slow
def test_the_first_images_of_a_pool_have_the_features_of_files(pool, folder_of_images, tmp_path):
    whole, shards = (tmp_path / name for name in ("pool", "shards"))
    first = semiseg.suggest(pool, out=whole, n=3, **FIRST)
    assert len(first.images) == 3
    assert sum(one.stands_for for one in first.images) == 11
    assert f"--unlabeled {pool}" in first.next_steps
    images = {f"{n:02d}": folder_of_images / f"{n // 6}" / f"{n:02d}.png" for n in range(12)}
    files, _ = describe_images(build_network("lcnet_035", "none"), images, AS_STORED)
    rows = PoolRows([whole / "features" / "1-of-1.npy"]).features(np.array([0, 11]))
    right = np.stack([files["00"], files["11"]])
    np.testing.assert_allclose(rows, right, atol=1e-3 * np.abs(right).max())
    copy = whole / "train" / "images" / f"{first.images[0].name}.png"
    assert copy.read_bytes() == images[copy.stem].read_bytes()
    for number in (1, 2):
        semiseg.suggest(pool, out=shards, shard=f"{number}/2", **FIRST)
    merged = semiseg.suggest(pool, out=shards, n=3, merge=True, **FIRST)
    assert [one[2:] for one in merged.images] == [one[2:] for one in first.images]
    assert files_below(shards) == files_below(whole)
    other = {**FIRST, "encoder": "mobilenetv3_small_050"}
    with pytest.raises(ConfigError, match="features of another model"):
        semiseg.suggest(pool, out=shards, shard="1/2", **other)


@pytest.mark.slow
def test_a_data_folder_whose_unlabeled_images_are_a_pool_names_it(
    run_folder, tiny_folder, tmp_path
):
    data = tmp_path / "data"
    for kind in ("images", "masks"):
        shutil.copytree(tiny_folder / "train" / kind, data / "train" / kind)
    masked = {file.stem for file in (data / "train" / "masks").iterdir()}
    for file in (data / "train" / "images").iterdir():
        if file.stem not in masked:
            file.unlink()
    write_tar(data / "unlabeled" / "0.tar", {"a.png": drawn(1)})
    for places in ((data,), (run_folder, data)):
        with pytest.raises(DataError, match=r"Name the pool of its unlabeled.*data.unlabeled$"):
            semiseg.suggest(*places, out=tmp_path / "out", **(FIRST if len(places) == 1 else {}))


def test_shards_are_for_pools_and_a_pool_is_no_output(folder_of_images, pool, tmp_path):
    with pytest.raises(ConfigError, match="is the pool"):
        semiseg.suggest(pool, out=pool)
    with pytest.raises(ConfigError, match=r"--shard 1/2 is for a pool.*semiseg pack"):
        semiseg.suggest(folder_of_images, out=tmp_path / "out", shard="1/2")
    with pytest.raises(ConfigError, match="Leave one of the two out"):
        semiseg.suggest(folder_of_images, out=tmp_path / "out", shard="1/2", merge=True)
