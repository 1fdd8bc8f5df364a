"""`check` looks at a sample of a pool, and says so."""

import functools
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from PIL import Image
from tiny_pools import write_pool

import semiseg
from semiseg.comparison.tasks import list_tasks
from semiseg.config.compare import CompareConfig
from semiseg.config.train import TrainConfig
from semiseg.core.errors import DataError
from semiseg.data.pools.pool import Pool, open_pool
from semiseg.data.pools.pool_sample import sample_pool


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def reads(monkeypatch):
    """The numbers of the images that are read from a pool."""
    numbers, read = [], Pool.read

    def counted(pool, index):
        numbers.append(index)
        return read(pool, index)

    monkeypatch.setattr(Pool, "read", counted)
    return numbers


@pytest.fixture
def small_sample(monkeypatch):
    sample = functools.partial(sample_pool, count=5)
    monkeypatch.setattr("semiseg.data.data_listing.sample_pool", sample)


def test_a_sample_is_looked_at_once_and_the_report_says_so(
    tiny_folder, tmp_path, reads, small_sample
):
    pool = write_pool(tmp_path / "pool")
    report = semiseg.check(tiny_folder, unlabeled=pool)
    assert report.ok
    assert report.counts["unlabeled"] == (0, 12)
    (finding,) = report.of("note")
    assert finding.kind == "pool"
    assert f"the pool {pool} of 12 images in 3 shards; semiseg looked at a sample of 5" in (
        finding.text
    )
    assert len(reads) == len(set(reads)) == 5
    assert json.loads(json.dumps(report.to_dict()))["pool"] == {
        "address": str(pool),
        "fingerprint": open_pool(pool).fingerprint,
        "images": 12,
        "shards": 3,
        "sampled": 5,
    }
    again = semiseg.check(tiny_folder, unlabeled=pool)
    assert (again.findings, len(reads)) == (report.findings, 5)


def test_a_larger_sample_holds_the_smaller_one(tmp_path, reads):
    pool = open_pool(write_pool(tmp_path / "pool"))
    small, large = (set(sample_pool(pool, count).names.values()) for count in (4, 9))
    assert len(small) == 4
    assert small < large
    assert len(reads) == 9


def test_a_damaged_copy_is_not_taken_for_the_pool_that_was_looked_at(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "images" / f"{number}.png")
    semiseg.pack(tmp_path / "images", out=tmp_path / "POOL")
    sample_pool(open_pool(tmp_path / "POOL"))
    shutil.copytree(tmp_path / "POOL", tmp_path / "copy")
    (tmp_path / "copy" / "000000.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"copy.*Copy the shard again"):
        sample_pool(open_pool(tmp_path / "copy"))
    (tmp_path / "POOL" / "000000.tar").write_bytes(b"")
    with pytest.raises(DataError, match="Copy the shard again"):
        sample_pool(open_pool(tmp_path / "POOL"))


def test_without_a_cache_the_sample_lies_in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").touch()
    sample = sample_pool(open_pool(write_pool(tmp_path / "pool")), 3)
    assert all(file.is_file() for file in sample.files)


@pytest.mark.parametrize(("broken", "severity"), [((6,), "warning"), (range(11), "error")])
def test_unreadable_images_of_the_sample_are_named(tiny_folder, tmp_path, broken, severity):
    pool = write_pool(tmp_path / "pool", 24, 2, tuple(broken))
    report = semiseg.check(tiny_folder, unlabeled=pool)
    (finding,) = [f for f in report.of(severity) if f.kind == "unreadable-image"]
    assert finding.files == tuple(f"000000/{number:04d}.png" for number in broken)
    assert all("it is damaged" in detail for detail in finding.details)
    assert report.counts["unlabeled"] == (0, 24)


def test_an_image_of_val_in_the_pool_is_a_leak(tiny_folder, tmp_path):
    pool = write_pool(tmp_path / "pool", 3, 1)
    image = next((tiny_folder / "val" / "images").iterdir())
    with tarfile.open(pool / "000001.tar", "w") as tar:
        tar.add(image, "copy.jpg")
    report = semiseg.check(tiny_folder, unlabeled=pool)
    files = {finding.kind: finding.files for finding in report.of("warning")}
    assert files["leak"] == ("000001/copy.jpg",)
    assert "unlike-images" in files  # the others are noise


def test_a_pool_that_is_none_is_an_error(tiny_folder, tmp_path):
    (tmp_path / "empty.tar").write_bytes(bytes(1024))
    report = semiseg.check(tiny_folder, unlabeled=tmp_path / "empty.tar")
    (finding,) = report.of("error")
    assert "empty.tar" in finding.text
    with pytest.raises(DataError, match=r"empty\.tar"):
        semiseg.plan(tiny_folder, unlabeled=tmp_path / "empty.tar", out=tmp_path / "run")


def test_a_compressed_tar_is_said_to_be_one(tiny_folder):
    (finding,) = semiseg.check(tiny_folder, unlabeled="images.tar.gz").of("error")
    assert "images.tar.gz is compressed" in finding.text
    assert "gunzip" in finding.text


def test_dataset_yaml_names_a_pool_in_the_data_folder(tiny_folder, tmp_path):
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    shutil.rmtree(data / "unlabeled")
    write_pool(data / "pool")
    (data / "dataset.yaml").write_text("unlabeled: pool\n")
    report = semiseg.check(data)
    # The tars are accounted for.
    assert [finding.kind for finding in report.findings] == ["unlike-images", "pool"]
    (data / "dataset.yaml").write_text("unlabeled: [pool, s3://bucket/pool]\n")
    (finding,) = semiseg.check(data).of("error")
    assert "s3://bucket/pool is a pool, which cannot be joined" in finding.text


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_folder_unlabeled_may_be_a_pool(tiny_folder, tmp_path, is_packed, log):
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    pool = data / "unlabeled"
    if is_packed:
        pool.rename(tmp_path / "images")
        semiseg.pack(tmp_path / "images", out=pool)
    else:
        shutil.rmtree(pool)
        write_pool(pool)
    count = len(open_pool(pool))
    report = semiseg.check(data)
    assert report.ok
    assert report.counts["unlabeled"] == (0, count)
    assert [f.kind for f in report.of("note") if f.kind == "pool"] == ["pool"]
    assert not any(".tar" in finding.text for finding in report.findings)
    semiseg.plan(data, labels="2", weights="none", accelerator="cpu", out=tmp_path / "run")
    assert f"images with masks and {2 + count} without" in log.text
    semiseg.init(data)
    assert yaml.safe_load((data / "dataset.yaml").read_text())["unlabeled"] == "unlabeled"
    assert semiseg.check(data).counts == report.counts


def test_init_writes_the_pool_down(tiny_folder, tmp_path):
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    write_pool(data / "pool")
    semiseg.init(data, unlabeled="pool")
    text = (data / "dataset.yaml").read_text()
    assert yaml.safe_load(text)["unlabeled"] == "pool"
    assert "# 12 images" in text


def test_the_place_of_a_pool_is_written_down_as_that_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("data/inside", "outside"):
        write_pool(Path(folder), 3, 1)

    def place(unlabeled):
        return TrainConfig.from_values({"data": "data", "unlabeled": unlabeled}).data.unlabeled

    assert place("s3://me:secret@bucket/pool") == "s3://me:secret@bucket/pool"
    assert place("inside") == "inside"
    assert place("outside") == str(tmp_path / "outside")
    assert place("inside/{000000..000003}.tar") == str(Path("inside/{000000..000003}.tar"))
    assert place("outside/000000.tar") == str(tmp_path / "outside" / "000000.tar")


def test_a_plan_and_a_comparison_count_the_pool(tiny_folder, tmp_path, log):
    pool = write_pool(tmp_path / "pool")
    settings = {"unlabeled": pool, "weights": "none", "accelerator": "cpu"}
    plan = semiseg.plan(tiny_folder, labels="2", out=tmp_path / "run", **settings)
    assert plan.config.data.unlabeled == str(pool)
    assert "learns from 2 images with masks and 14 without" in log.text
    values = {"data": tiny_folder, "out": tmp_path / "out", "labels": "all", "methods": "css"}
    config = CompareConfig.from_values({**values, **settings, "same_time": False})
    # All masks are used, so that the pool alone is unlabeled.
    assert [task.method for task in list_tasks(config, config.grid, []).tasks] == [
        "css",
        "supervised",
    ]


def test_a_comparison_goes_on_with_its_pool_elsewhere(tiny_folder, tmp_path):
    values = {"data": tiny_folder, "out": tmp_path / "out", "methods": "css"}
    first = CompareConfig.from_values({**values, "unlabeled": "s3://bucket/pool"})
    call = CompareConfig.from_values({**values, "unlabeled": "https://me:secret@host/pool"})
    assert first.extended(call).shared.data.unlabeled == "https://me:secret@host/pool"
    assert call.extended(CompareConfig.from_values(values)).shared.data.unlabeled == (
        "https://me:secret@host/pool"
    )
