"""`semiseg pack`: names, order, interruptions, and files that cannot be packed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_pool import jpeg, picture, write_images

from semiseg.cli import main
from semiseg.commands.pack import pack
from semiseg.commands.settings.writing import PackSettings
from semiseg.core.errors import DataError, RunError, SettingError
from semiseg.core.files import file_sha256
from semiseg.data.formats.images import read_image
from semiseg.data.pools import metadata_writer, packing, packing_list, shard_writer
from semiseg.data.pools.metadata_writer import MetadataWriter
from semiseg.data.pools.pool import open_pool


def files_of(pool):
    return {path.name: path.read_bytes() for path in pool.iterdir()}


def names_of(pool):
    opened = open_pool(pool)
    return {opened.file_name(index) for index in range(len(opened))}


def stop(*_arguments):
    """Stands for a function in which the user stops the program."""
    raise KeyboardInterrupt


def interrupted(monkeypatch, place, replacement, images, out):
    """Pack with another function at a place, which stops the program or fails."""
    monkeypatch.setattr(*place, replacement)
    with pytest.raises((KeyboardInterrupt, RunError)) as error:
        pack(images, out=out, shard_size="10kB")
    monkeypatch.undo()
    return error.value


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"), 30)


@pytest.fixture(scope="module")
def whole(images):
    """The pool that nothing has interrupted."""
    out = images.parent / f"{images.name}-pool"
    pack(images, out=out, shard_size="10kB")
    return out


def test_shards_are_plain_tars_of_about_equal_size_without_times_and_owners(whole):
    manifest = open_pool(whole).manifest
    names = []
    for shard, (size, digest) in enumerate(zip(manifest.sizes, manifest.shard_hashes, strict=True)):
        file = whole / f"{shard:06d}.tar"
        assert file.stat().st_size == size <= 10_000
        assert file_sha256(file) == digest
        with tarfile.open(file) as tar:
            members = tar.getmembers()
        names += [member.name for member in members]
        assert {(m.mtime, m.uid, m.uname, m.mode) for m in members} == {(0, 0, "", 0o644)}
    assert sorted(names) == sorted(f"field{n % 2}/{n:03d}.jpg" for n in range(30))
    assert names != sorted(names)  # neighbors are apart
    assert min(manifest.sizes[:-1]) > 8000
    lines = (whole / "names.txt").read_text().splitlines()
    assert lines == names


def test_names_keep_dots_percent_signs_and_other_alphabets(tmp_path):
    names = ["a.b.jpg", "50%.jpg", "a%2Eb.jpg", "ü/ñ.jpg", "x.y/z.JPG", "same.jpg", "same.png"]
    for seed, name in enumerate(names):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(file, "PNG" if name.endswith("png") else "JPEG")
    pack(tmp_path / "images", out=tmp_path / "POOL")
    pool = open_pool(tmp_path / "POOL")
    stems = {"a.b", "50%", "a%2Eb", "ü/ñ", "x.y/z", "same.jpg", "same.png"}
    assert {pool.name(index) for index in range(len(pool))} == stems
    with tarfile.open(tmp_path / "POOL" / "000000.tar") as tar:
        bases = [name.rpartition("/")[2] for name in tar.getnames()]
    assert all(base.count(".") == 1 for base in bases)
    for index in range(len(pool)):
        name = pool.file_name(index)
        original = tmp_path / "images" / (pool.name(index) if name.startswith("same") else name)
        assert np.array_equal(read_image(pool.image(index)), read_image(original))


def test_the_same_images_give_the_same_bytes(images, whole, tmp_path):
    pack(images, out=tmp_path / "POOL", shard_size="10kB")
    assert files_of(tmp_path / "POOL") == files_of(whole)
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    assert pack(images, out=whole, shard_size="10kB").images == 30  # is complete
    assert {path: path.stat().st_mtime_ns for path in whole.iterdir()} == before


@pytest.mark.parametrize("place", ["in a shard", "behind a shard", "at the end"])
def test_an_interrupted_pool_is_continued(place, images, whole, tmp_path, monkeypatch):
    out, calls = tmp_path / "POOL", []

    def interrupt(*_arguments):
        calls.append(1)
        if len(calls) == 3 or place == "at the end":
            raise KeyboardInterrupt
        return original(*_arguments)

    target, name = {
        "in a shard": (shard_writer, "_header"),
        "behind a shard": (MetadataWriter, "add"),
        "at the end": (packing, "_complete"),
    }[place]
    original = getattr(target, name)
    interrupted(monkeypatch, (target, name), interrupt, images, out)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert place != "behind a shard" or len(finished) == 3
    pack(images, out=out, shard_size="10kB")
    assert files_of(out) == files_of(whole)
    kept = [path for path, time_ns in finished.items() if path.stat().st_mtime_ns == time_ns]
    assert len(kept) >= len(finished) - 1


def test_a_pool_that_was_killed_while_its_files_got_their_names_is_continued(
    images, whole, tmp_path, monkeypatch
):
    out = tmp_path / "POOL"
    interrupted(monkeypatch, (metadata_writer, "file_sha256"), stop, images, out)
    assert not (out / "manifest.json").exists()
    shards = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    pack(images, out=out, shard_size="10kB")
    assert files_of(out) == files_of(whole)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.tar")} == shards


def test_a_damaged_journal_or_a_lost_shard_costs_only_what_follows(
    images, whole, tmp_path, monkeypatch
):
    for damage in ("journal", "shard", "names"):
        out = tmp_path / damage
        interrupted(monkeypatch, (MetadataWriter, "finish"), stop, images, out)
        if damage == "journal":
            text = (out / "shards.jsonl").read_text()
            (out / "shards.jsonl").write_text(text[:-20])
        elif damage == "shard":
            (out / "000001.tar").unlink()
        else:
            (out / "names.txt.part").write_bytes(b"")
        pack(images, out=out, shard_size="10kB")
        assert files_of(out) == files_of(whole)


@pytest.mark.faults
def test_a_killed_process_loses_one_shard(images, whole, tmp_path):
    out = tmp_path / "POOL"
    command = [sys.executable, "-m", "semiseg", "pack", str(images), "--out", str(out)]
    command += ["--shard-size", "10kB"]
    for shards in (1, 2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("*.tar"))) < shards:
            time.sleep(0.001)
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert files_of(out) == files_of(whole)


def test_images_that_cannot_be_read_are_named_and_left_out(tmp_path, capsys):
    folder = write_images(tmp_path / "images", 4)
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(jpeg(0)[:-100])
    picture(0).save(folder / "page.tif")
    (folder / "notes.txt").write_text("no image")
    main(["pack", str(folder), "--out", str(tmp_path / "POOL")])
    output, errors = capsys.readouterr()
    assert "5 images in 1 shard" in output
    assert "3 images are left out" in output
    assert "metadata of TIFF" in errors
    lines = (tmp_path / "POOL" / "left_out.txt").read_text().splitlines()
    assert len(lines) == 3
    for name in ("broken.jpg", "empty.png", "cut.jpg"):
        assert sum(name in line for line in lines) == 1


def test_only_broken_images_make_no_pool(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"No image of .* can be packed: .*broken\.jpg"):
        pack(tmp_path / "images", out=tmp_path / "POOL")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        pack(tmp_path / "empty", out=tmp_path / "other")


def test_masks_runs_hidden_files_and_the_output_are_passed_over(tmp_path, log):
    for name in ("images/a.jpg", "masks/a.png", "beside/b.jpg", "beside/b_mask.png", ".h/c.jpg",
                 "run/overlay.jpg", "POOL/d.jpg", "beside/.e.jpg"):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        picture(0).save(file)
    (tmp_path / "run" / "suggested.csv").touch()
    if hasattr(os, "symlink"):
        (tmp_path / "again").symlink_to(tmp_path / "images")
    (tmp_path / "POOL" / "d.jpg").unlink()
    pack(tmp_path, out=tmp_path / "POOL")
    assert names_of(tmp_path / "POOL") == {"images/a.jpg", "beside/b.jpg"}
    assert "masks are ignored" in log.text


def test_a_long_list_is_searched_by_pieces(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}\u00fc.jpg" for number in range(40)]
    sources = [packing_list.Source(path.stem, path) for path in paths]
    assert packing_list.write_list(sources, tmp_path / "list") == []
    monkeypatch.setattr(packing_list, "_PIECE", 7)
    files = packing_list.PackingList(tmp_path / "list")
    assert [files[number] for number in range(len(files))] == [(p.name, p) for p in paths]


def test_a_list_and_a_pattern_are_packed(images, tmp_path):
    chosen = sorted((images / "field0").glob("*.jpg"))[:3]
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in chosen))
    pack(tmp_path / "list.txt", out=tmp_path / "A")
    assert names_of(tmp_path / "A") == {path.name for path in chosen}
    pack(images / "*" / "00[0-2].jpg", out=tmp_path / "B")
    assert names_of(tmp_path / "B") == {"field0/000.jpg", "field1/001.jpg", "field0/002.jpg"}


def test_a_folder_that_holds_something_else_is_not_touched(
    images, whole, tmp_path, monkeypatch, log
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"is not empty \(it holds thesis\.txt\)"):
        pack(images, out=tmp_path / "full")
    interrupted(monkeypatch, (MetadataWriter, "finish"), stop, images, tmp_path / "POOL")
    for other in ({"shard_size": "20kB"}, {"images": images / "field0"}):
        with pytest.raises(RunError, match="parts of a pool of"):
            pack(**{"images": images, "out": tmp_path / "POOL", "shard_size": "10kB"} | other)
    with pytest.raises(DataError, match="is a pool already"):
        pack(whole, out=tmp_path / "again")
    pack(images / "field0", out=whole)
    assert "is a complete pool: nothing is packed" in log.text


def test_a_disk_that_fails_ends_the_command_and_leaves_no_image_out(
    images, whole, tmp_path, monkeypatch
):
    calls = []

    def failing(self):
        calls.append(self)
        if len(calls) > 20:
            raise OSError(errno.EIO, "Input/output error")
        return read(self)

    read = Path.read_bytes
    error = interrupted(monkeypatch, (Path, "read_bytes"), failing, images, tmp_path / "POOL")
    assert re.search("jpg cannot be read .Input/output error.*finished shards stay", str(error))
    pack(images, out=tmp_path / "POOL", shard_size="10kB")
    assert files_of(tmp_path / "POOL") == files_of(whole)


def test_a_file_that_breaks_before_the_last_shard_is_named(images, tmp_path, monkeypatch):
    shutil.copytree(images, tmp_path / "images")
    out = tmp_path / "POOL"
    calls = []

    def stop_behind_the_first(self, *arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(self)
        return add(self, *arguments)

    add = MetadataWriter.add
    interrupted(
        monkeypatch, (MetadataWriter, "add"), stop_behind_the_first, tmp_path / "images", out
    )
    (out / "packing.json.part").touch()  # as a killed process leaves it
    packed = json.loads((out / "shards.jsonl").read_text())["images"]
    for file in (tmp_path / "images").rglob("*.jpg"):
        file.write_bytes(b"no image")
    pool = pack(tmp_path / "images", out=out, shard_size="10kB")
    assert pool.images == packed
    assert len(pool.left_out) == 30 - packed


def test_a_full_disk_is_an_error_and_the_pool_is_continued(images, whole, tmp_path, monkeypatch):
    def full(self, *_arguments):
        raise OSError(28, "No space left on device")

    error = interrupted(monkeypatch, (MetadataWriter, "add"), full, images, tmp_path / "POOL")
    assert re.search("No space left.*finished shards stay", str(error))
    pack(images, out=tmp_path / "POOL", shard_size="10kB")
    assert files_of(tmp_path / "POOL") == files_of(whole)


def test_an_image_that_is_larger_than_a_shard_has_one_of_its_own(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for number in range(2):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "images" / f"{number}.png")
    pack(tmp_path / "images", out=tmp_path / "POOL", shard_size="10kB")
    assert list(open_pool(tmp_path / "POOL").counts) == [1, 1]


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("128MB", 128_000_000),
        ("64 MB", 64_000_000),
        ("1G", 10**9),
        ("500kB", 500_000),
        ("200KB", 200_000),
        ("1.5gb", 1_500_000_000),
    ],
)
def test_sizes_of_shards(size, count):
    assert PackSettings("images", out="POOL", shard_size=size).shard_bytes == count


@pytest.mark.parametrize("places", [("images", "s3://me:key@bkt/zz"), ("s3://bkt/zz", "POOL")])
def test_an_address_is_no_folder_to_pack(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=r"s3://bkt/zz is not allowed.*aws s3 cp --recursive"):
        pack(places[0], out=places[1])
    assert not list(tmp_path.iterdir())


def test_the_command_line_refuses_an_address_in_the_same_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["pack", "images", "--out", "s3://me:key@bkt/zz"])
    shown = capsys.readouterr().err
    assert "s3://bkt/zz is not allowed" in shown
    assert "aws s3 cp --recursive" in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["", "128", "1kB", "99GB", "-5MB", "MB"])
def test_a_size_that_cannot_be_meant_is_an_error(size):
    with pytest.raises(SettingError, match="--shard-size"):
        PackSettings("images", out="POOL", shard_size=size)


def test_a_pool_without_images_leaves_nothing(tmp_path):
    (tmp_path / "images").mkdir()
    out = tmp_path / "POOL"
    with pytest.raises(DataError, match="no image"):
        pack(tmp_path / "images", out=out)
    assert not out.exists()
    (tmp_path / "images" / "broken.png").write_bytes(b"none")
    with pytest.raises(DataError, match="can be packed"):
        pack(tmp_path / "images", out=out)
    assert not out.exists()
