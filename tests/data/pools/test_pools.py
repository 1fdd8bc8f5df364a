"""Pools: what is read from disks, servers and stores, and what happens when they fail."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import re
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from filelock import FileLock
from range_server import RangeServer, serve
from tiny_pool import NO_WAIT, jpeg, picture, sample, write_images, write_tar

from semiseg.commands.pack import pack
from semiseg.core.errors import DataError
from semiseg.data.formats.images import read_image
from semiseg.data.pools.address import Address, expand_braces
from semiseg.data.pools.metadata import INDEX, MANIFEST, NAMES
from semiseg.data.pools.pool import Pool, ShardError, is_pool, open_pool
from semiseg.data.pools.ranges import Retries
from semiseg.data.pools.shard_cache import ShardCache, _limit

COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, and the pool of them."""
    root = tmp_path_factory.mktemp("pools")
    pack(write_images(root / "images", COUNT), out=root / "POOL", shard_size="10kB")
    return root


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the pool that may be damaged."""
    for file in (folder / "POOL").iterdir():
        (tmp_path / "POOL").mkdir(exist_ok=True)
        (tmp_path / "POOL" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "POOL"


@pytest.fixture
def server(folder):
    with serve(folder) as running:
        yield running


@pytest.fixture
def no_copies(monkeypatch):
    monkeypatch.setenv("SEMISEG_SHARD_CACHE_MB", "0")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def of_tars(server: RangeServer) -> list[str]:
    """The ranges of shards that were asked for."""
    return [request.range for request in server.requests if request.path.endswith(".tar")]


def contents(pool: Pool) -> dict[str, bytes]:
    return {pool.file_name(index): pool.read(index) for index in range(len(pool))}


def test_a_packed_pool_holds_the_images_of_the_folder(folder):
    pool = open_pool(folder / "POOL")
    files = sorted((folder / "images").rglob("*.jpg"))
    expected = {file.relative_to(folder / "images").as_posix(): file for file in files}
    assert set(contents(pool)) == set(expected)
    assert len(pool) == sum(pool.counts) == COUNT
    assert len(pool.counts) > 2
    for index in range(len(pool)):
        assert np.array_equal(
            read_image(pool.image(index)), read_image(expected[pool.file_name(index)])
        )
        assert pool.file_name(index) == f"{pool.name(index)}.jpg"
    with pytest.raises(IndexError):
        pool.read(COUNT)


def test_a_pool_is_the_same_wherever_it_lies(folder, server, no_copies):
    local = open_pool(folder / "POOL")
    memory = fsspec.filesystem("memory")
    memory.put(str(folder / "POOL"), "/POOL", recursive=True)
    for address in (f"{server.url}/POOL", "memory://POOL", f"file://{folder}/POOL"):
        pool = open_pool(address, retries=NO_WAIT)
        assert (contents(pool), pool.fingerprint) == (contents(local), local.fingerprint)
    memory.rm("/POOL", recursive=True)
    assert all(of_tars(server))


def test_a_pool_may_be_pickled_and_read_in_other_processes(folder, server, no_copies):
    for address in (str(folder / "POOL"), f"{server.url}/POOL"):
        pool = open_pool(address)
        expected = contents(pool)
        assert contents(pickle.loads(pickle.dumps(pool))) == expected
        if "fork" in multiprocessing.get_all_start_methods():
            with multiprocessing.get_context("fork").Pool(2) as workers:
                assert workers.map(pool.read, range(8)) == [pool.read(index) for index in range(8)]


def test_secrets_of_an_address_work_and_are_never_shown(folder, server, own_cache, log):
    secret = server.url.replace("http://", "http://me:pa55word@") + "/POOL?signature=pa55word"
    pool = open_pool(secret, retries=NO_WAIT)
    contents(pool)
    assert all(request.authorization for request in server.requests)
    assert all(request.path.endswith("?signature=pa55word") for request in server.requests)
    server.fault = "error"
    with pytest.raises(DataError) as failed:
        open_pool(secret, retries=NO_WAIT)
    with pytest.raises(DataError) as refused:
        open_pool("ftp://me:pa55word@host/POOL")
    shown = f"{pool!r} {pool.address} {failed.value!r} {failed.value.__context__} {refused.value} "
    files = [path for path in own_cache.rglob("*") if path.is_file()]
    written = [path for path in files if b"pa55word" in path.read_bytes()]
    assert files
    assert "pa55word" not in shown + log.text
    assert not written


# -- Servers that fail


def failing(server: RangeServer, **fault: object) -> Pool:
    """The pool of a server that then fails."""
    pool = open_pool(f"{server.url}/POOL", retries=NO_WAIT)
    for name, value in fault.items():
        setattr(server, name, value)
    server.requests.clear()
    return pool


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("error", "the server answered 500"), ("cut", "was cut short"), ("short", "bytes came")],
)
def test_a_request_that_fails_is_repeated_and_then_named(fault, reason, server, folder, no_copies):
    pool = failing(server, fault=fault, path=".tar")
    with pytest.raises(DataError) as error:
        pool.read(0)
    member = pool.file_name(0)
    assert f"{member} in {server.url}/POOL/000000.tar" in str(error.value)
    assert f"{reason}, 4 times" in str(error.value)
    assert len(list(filter(None, of_tars(server)))) == 4  # the ranges
    server.faults_left = 3
    assert pool.read(0) == open_pool(folder / "POOL").read(0)


def test_the_waits_grow(server, no_copies):
    waits: list[float] = []
    server.fault = "error"
    with pytest.raises(DataError, match="500"):
        open_pool(f"{server.url}/POOL", retries=Retries(sleep=waits.append))
    assert waits == [1.0, 2.0, 4.0]


def test_a_refusal_is_not_repeated(server, no_copies):
    pool = failing(server, fault="forbidden")
    with pytest.raises(DataError, match=r"answered 403\)"):
        pool.read(0)
    assert len(server.requests) == 1


def test_a_server_without_ranges_serves_copies_of_shards(server, folder, own_cache, log):
    server.fault = "ignores ranges"
    pool = open_pool(f"{server.url}/POOL", retries=NO_WAIT)
    assert contents(pool) == contents(open_pool(folder / "POOL"))
    assert len(of_tars(server)) <= 3 * len(pool.counts)
    assert not log.messages


def test_without_copies_a_server_without_ranges_is_named(server, folder, no_copies, log):
    server.fault = "ignores ranges"
    pool = open_pool(f"{server.url}/POOL", retries=NO_WAIT)
    assert pool.read(0) == open_pool(folder / "POOL").read(0)
    assert "ignores byte ranges" in log.text


# -- Copies of shards


def test_a_shard_of_which_much_is_read_is_copied_once(server, own_cache):
    pool = failing(server)
    for _ in range(9):
        pool.read(0)
    requests = of_tars(server)
    assert len(requests) == 4
    assert requests[3] == f"bytes=0-{pool.manifest.sizes[0] - 1}"
    (copy,) = (path for path in (own_cache / "shards").iterdir() if path.is_file())
    copy.write_bytes(copy.read_bytes()[:-1])  # a copy of another size does not count
    pool.read(0)
    assert len(of_tars(server)) == 5


def test_who_reads_few_images_of_each_shard_copies_none(server, own_cache):
    pool = open_pool(f"{server.url}/POOL", retries=NO_WAIT, copies=False)
    images = [pool.read(0) for _ in range(9)]
    assert len(of_tars(server)) == 9
    assert images[0] == open_pool(f"{server.url}/POOL", retries=NO_WAIT).read(0)
    assert not (own_cache / "shards").exists()


def test_a_copy_that_differs_from_the_manifest_is_not_used(copy, own_cache):
    tar = copy / "000000.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    with serve(copy.parent) as running:
        pool = open_pool(f"{running.url}/POOL", retries=NO_WAIT)
        for _ in range(3):
            pool.read(0)
        for _ in range(2):
            before = len(running.requests)
            with pytest.raises(DataError, match="not that of the manifest"):
                pool.read(0)
        assert len(running.requests) == before  # it is not fetched again
    assert not [path for path in (own_cache / "shards").iterdir() if path.is_file()]


def test_the_copies_that_were_read_least_recently_go_first(copy, own_cache, monkeypatch):
    manifest = open_pool(copy).manifest
    first, second, third, *_ = range(len(manifest.counts))
    with serve(copy.parent) as running:
        pool = open_pool(f"{running.url}/POOL", retries=NO_WAIT)
        limit = sum(manifest.sizes[:2]) + 1000
        monkeypatch.setattr("semiseg.data.pools.shard_cache._limit", lambda available: limit)
        starts = np.concatenate([[0], np.cumsum(pool.counts)])
        for age, shard in ((300, first), (200, second)):
            for _ in range(4):
                pool.read(int(starts[shard]))
            copied = own_cache / "shards" / manifest.shard_hashes[shard]
            os.utime(copied, (copied.stat().st_atime, copied.stat().st_mtime - age))
        pool.read(int(starts[first]))  # is now the one that was read last
        for _ in range(4):
            pool.read(int(starts[third]))
        kept = {path.name for path in (own_cache / "shards").iterdir() if path.is_file()}
    assert kept == {manifest.shard_hashes[shard] for shard in (first, third)}


def test_another_process_that_copies_a_shard_is_not_waited_for(server, own_cache):
    pool = failing(server)
    (own_cache / "shards" / "locks").mkdir(parents=True)
    with FileLock(own_cache / "shards" / "locks" / pool.manifest.shard_hashes[0][:2]):
        for _ in range(6):
            pool.read(0)
    assert len(of_tars(server)) == 6


def test_a_shard_without_room_is_read_by_ranges(server, folder, own_cache, monkeypatch):
    monkeypatch.setattr("semiseg.data.pools.shard_cache._limit", lambda available: 5000)
    pool = open_pool(f"{server.url}/POOL", retries=NO_WAIT)
    assert [pool.read(0) for _ in range(9)] == [open_pool(folder / "POOL").read(0)] * 9
    assert len(of_tars(server)) == 9


def test_the_size_of_the_copies_is_what_the_user_says(monkeypatch):
    assert _limit(1 << 30) == 1 << 28
    assert _limit(1 << 40) == 8192 << 20
    monkeypatch.setenv("SEMISEG_SHARD_CACHE_MB", "900")
    assert _limit(1 << 30) == 900 << 20
    assert _limit(1 << 20) == 1 << 20


def test_what_lies_on_this_disk_is_not_copied(folder, own_cache):
    contents(open_pool(folder / "POOL"))
    assert not own_cache.exists()
    assert isinstance(open_pool(folder / "POOL")._cache, ShardCache)


# -- Damage


def test_a_truncated_shard_names_the_member(copy):
    pool = open_pool(copy)
    tar = copy / "000000.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    missing = f"{pool.manifest.sizes[0] - 700:,} of its bytes are missing at the end"
    sentence = rf"\.jpg in .*000000\.tar cannot be read \(the shard is cut off: {missing}\)"
    with pytest.raises(ShardError, match=sentence) as error:
        pool.read(0)
    assert error.value.remedy == "Copy the shard again."
    with pytest.raises(ShardError, match=sentence) as other:
        pool.read(1)
    assert error.value.about_shard == other.value.about_shard
    assert pool.file_name(0) not in error.value.about_shard


def test_a_shard_that_is_cut_off_on_a_server_is_asked_four_times(copy, no_copies):
    tar = copy / "000000.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    with serve(copy) as running:
        pool = open_pool(running.url, retries=NO_WAIT)
        with pytest.raises(ShardError, match="the shard is cut off") as error:
            pool.read(0)
        assert len([text for text in of_tars(running) if text]) == 4
    assert error.value.is_damaged


def test_an_index_of_another_tar_is_noticed_at_the_first_image(copy):
    pool = open_pool(copy)
    tars = [copy / "000000.tar", copy / "000001.tar"]
    contents_of = [tar.read_bytes() for tar in tars]
    size = max(map(len, contents_of))
    for tar, content in zip(tars, reversed(contents_of), strict=True):
        tar.write_bytes(content.ljust(size, b"\0"))
    for index in range(int(sum(pool.counts[:2]))):
        with pytest.raises(DataError, match=r"is not where the index says in .*00000[01].tar"):
            pool.read(index)


@pytest.mark.parametrize("name", [INDEX, NAMES, MANIFEST])
def test_a_damaged_description_is_named(name, copy):
    whole = (copy / name).read_bytes()
    for content in (whole[:-2], b"", whole.replace(b"\n", b"") + b"\0", bytes(len(whole))):
        (copy / name).write_bytes(content)
        with pytest.raises(DataError, match=r"index\.bin|names\.txt|manifest\.json"):
            contents(open_pool(copy))
    (copy / name).unlink()
    with pytest.raises(DataError):
        open_pool(copy / "nothing" if name == MANIFEST else copy)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "other"},
        {"images": 3},
        {"shards": []},
        {"shards": {"images": [1], "bytes": [], "name_bytes": [4], "sha256": ["x"]}, "images": 1},
        {"shards": {"images": [24], "bytes": [9], "name_bytes": [4], "sha256": ["../" + "0" * 61]}},
        {"shards": {"images": [24], "bytes": [9], "name_bytes": [4], "name": ["../../a.tar"]}},
        {"shards": {"images": [-1], "bytes": [9], "name_bytes": [4], "sha256": ["x"]}},
        {"shards": {"images": ["a"], "bytes": [9], "name_bytes": [4], "sha256": ["x"]}},
        {"shards": {"images": [1], "bytes": [9], "name_bytes": [4], "sha256": [7]}, "images": 1},
    ],
)
def test_a_manifest_that_cannot_be_meant_is_named(change, copy):
    values = json.loads((copy / MANIFEST).read_bytes())
    (copy / MANIFEST).write_text(json.dumps(values | change))
    with pytest.raises(DataError, match=r"manifest\.json cannot be read as the manifest of a pool"):
        open_pool(copy)


@pytest.mark.parametrize("name", ["../../x.jpg", "C:/x.jpg", "a/%2E%2E.jpg", "a\x1b[31m.jpg"])
def test_a_list_of_names_that_lead_out_of_a_folder_is_refused(name, copy):
    lines = (copy / NAMES).read_text().splitlines()
    manifest = json.loads((copy / MANIFEST).read_bytes())
    manifest["shards"]["name_bytes"][0] += len(name) - len(lines[0])
    (copy / NAMES).write_text("".join(f"{line}\n" for line in [name, *lines[1:]]))
    (copy / MANIFEST).write_text(json.dumps(manifest))
    pool = open_pool(copy)
    with pytest.raises(DataError, match=r"names\.txt is damaged") as error:
        pool.name(0)
    assert "\x1b" not in str(error.value)
    with pytest.raises(DataError, match="is not where the index says") as error:
        pool.read(0)
    assert "\x1b" not in str(error.value)


def test_an_index_with_an_image_of_a_huge_size_is_damaged(copy, monkeypatch):
    monkeypatch.setattr("semiseg.data.pools.pool.MAX_IMAGE_BYTES", 100)
    with pytest.raises(DataError, match=r"index\.bin is damaged: it names an image of"):
        open_pool(copy).read(0)


# -- Tars of others


def test_tars_of_others_are_indexed_once(tmp_path, monkeypatch):
    for shard, form in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        members = sample("000", shard) | sample("001", shard + 10)
        if form != tarfile.USTAR_FORMAT:
            members["deep/" * 40 + "weiß.jpg"] = jpeg(7)
        write_tar(tmp_path / f"{shard:05d}.tar", members, form)
    pool = open_pool(tmp_path)
    assert list(pool.counts) == [2, 3, 3]
    assert pool.name(0) == "00000/000"
    assert pool.read(3) == jpeg(11)
    assert {pool.file_name(index) for index in (4, 7)} == {
        f"0000{shard}/{'deep/' * 40}weiß.jpg" for shard in (1, 2)
    }
    assert pool.read(4) == pool.read(7) == jpeg(7)
    monkeypatch.setattr("semiseg.data.pools.foreign._index", None)  # is not made again
    assert open_pool(tmp_path).fingerprint == pool.fingerprint
    assert contents(open_pool(str(tmp_path / "{00000..00002}.tar"))) == contents(pool)


def test_a_changed_tar_is_indexed_again(tmp_path):
    tar = write_tar(tmp_path / "0.tar", sample("a", 0))
    assert len(open_pool(tmp_path)) == 1
    write_tar(tar, sample("a", 0) | sample("b", 1))
    pool = open_pool(tmp_path)
    assert [pool.name(index) for index in range(len(pool))] == ["a", "b"]
    assert open_pool(tar).read(1) == jpeg(1)


def test_an_interrupted_index_is_continued(tmp_path, monkeypatch):
    from semiseg.data.pools import foreign

    for shard in range(4):
        write_tar(tmp_path / f"{shard}.tar", sample("a", shard))
    whole, calls = foreign._index_tar, []
    places = iter((2, 3, None))

    def index(tars, number, reader):
        calls.append(number)
        if number == stop:
            raise KeyboardInterrupt
        return whole(tars, number, reader)

    monkeypatch.setattr(foreign, "_index_tar", index)
    while (stop := next(places)) is not None:
        with pytest.raises(KeyboardInterrupt):
            open_pool(tmp_path)
        (journal,) = tmp_path.glob(".semiseg-index-*/shards.jsonl")
        with journal.open("a") as stream:
            stream.write('{"images": 1')  # as a process that is killed in a line leaves it
    calls.clear()
    assert open_pool(tmp_path).read(3) == jpeg(3)
    assert calls == [3]


def test_remote_tars_have_their_index_in_the_cache(tmp_path, own_cache, no_copies, log):
    write_tar(tmp_path / "tars" / "a-0.tar", sample("x", 0))
    write_tar(tmp_path / "tars" / "a-1.tar", sample("x", 1))
    with serve(tmp_path) as running:
        pool = open_pool(f"{running.url}/tars/a-{{0..1}}.tar", retries=NO_WAIT)
        (line,) = [r.getMessage() for r in log.records if "semiseg reads 2 tars once" in r.message]
        assert "/tars has no manifest.json" in line
        assert "semiseg pack" in line
        assert contents(pool) == {"a-0/x.jpg": jpeg(0), "a-1/x.jpg": jpeg(1)}
        requests = len(running.requests)
        open_pool(f"{running.url}/tars/a-{{0..1}}.tar", retries=NO_WAIT)
        assert not [r for r in running.requests[requests:] if "a-" in r.path and r.method == "GET"
                    and r.range]  # fmt: skip
        with pytest.raises(DataError, match=r"a-2\.tar cannot be read"):
            open_pool(f"{running.url}/tars/a-{{0..2}}.tar", retries=NO_WAIT)
    assert (own_cache / "pools").is_dir()
    assert not list((tmp_path / "tars").glob(".semiseg*"))
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "tars"), "/tars", recursive=True)
    assert contents(open_pool("memory://tars")) == contents(pool)
    assert contents(open_pool("memory://tars/a-*.tar")) == contents(pool)
    memory.rm("/tars", recursive=True)


def test_one_image_counts_of_each_sample(tmp_path, log):
    members = {
        "cat.jpg": jpeg(0),
        "cat.seg.png": jpeg(1),
        "dog.png": jpeg(2),
        "dog.jpg": jpeg(3),
        "IMG.2020.jpg": jpeg(4),
        "IMG.2021.jpg": jpeg(5),
        "._cat.jpg": b"x",
        "__MACOSX/cat.jpg": b"x",
        "notes.txt": b"x",
    }
    pool = open_pool(write_tar(tmp_path / "a.tar", members))
    assert contents(pool) == {
        f"{key}.jpg": jpeg(seed)
        for key, seed in {"cat": 0, "dog": 3, "IMG.2020": 4, "IMG.2021": 5}.items()
    }
    assert "2 members" in log.text
    assert "cat.seg.png" in log.text


def test_members_that_are_no_images_of_this_pool_are_left_out(tmp_path, log):
    links = [("link.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("pipe.jpg", b"6")]
    names = ["../out.jpg", "/etc/out.jpg", "a/../../out.jpg", "C:/out.jpg", "a\\b.jpg", "n\nl.jpg"]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        folder = tarfile.TarInfo("folder.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in [*((name, jpeg(0)) for name in names), ("empty.jpg", b""),
                              ("./same.jpg", jpeg(1)), ("./same.jpg", jpeg(2))]:  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    pool = open_pool(tmp_path / "a.tar")
    assert contents(pool) == {"same.jpg": jpeg(2)}
    for reason in ("6 members", "3 members", "a link", "empty", "later member"):
        assert reason in log.text
    assert set(tmp_path.iterdir()) <= {tmp_path / "a.tar", *tmp_path.glob(".semiseg*")}


def test_a_member_of_a_huge_size_is_an_error_or_left_out(tmp_path, monkeypatch):
    tar = write_tar(tmp_path / "a.tar", {"a.jpg": jpeg(0), "b.jpg": jpeg(1)})
    content = bytearray(tar.read_bytes())
    header = tarfile.TarInfo("a.jpg")
    header.size = 1 << 60
    content[:512] = header.tobuf(tarfile.GNU_FORMAT)
    tar.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar is truncated: a\.jpg needs"):
        open_pool(tar)
    write_tar(tar, {"a.jpg": jpeg(0), "b.jpg": jpeg(1) + bytes(5000)})
    monkeypatch.setattr("semiseg.data.pools.foreign.MAX_IMAGE_BYTES", 4000)
    assert len(open_pool(tar)) == 1


@pytest.mark.parametrize("end", [100, 700, 900, -300])
def test_a_truncated_tar_of_others_is_named(end, tmp_path):
    tar = write_tar(tmp_path / "a.tar", {f"{n}.jpg": jpeg(n) for n in range(12)})
    content = tar.read_bytes().rstrip(b"\0")
    tar.write_bytes(content[:end])
    with pytest.raises(DataError, match=r"a\.tar (is|holds)"):
        open_pool(tar)


def test_a_tar_without_its_last_blocks_is_whole(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"a.jpg": jpeg(0)})
    tar.write_bytes(tar.read_bytes()[: 512 + len(jpeg(0))])
    assert open_pool(tar).read(0) == jpeg(0)


def test_damaged_tars_end_in_no_other_error(tmp_path):
    whole = write_tar(tmp_path / "a.tar", sample("a" * 120, 0) | sample("ö", 1)).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        broken = bytearray(whole)
        for place in rng.integers(0, 4000, 3):
            broken[place] = rng.integers(256)
        tar = tmp_path / f"b{number}" / "b.tar"
        tar.parent.mkdir()
        tar.write_bytes(broken)
        try:
            contents(open_pool(tar))
        except DataError:
            continue


def test_a_list_names_tars(tmp_path):
    for name in ("x/a.tar", "y/a.tar"):
        write_tar(tmp_path / name, sample("k", len(name)))
    (tmp_path / "list.txt").write_text("# two\nx/a.tar\ny/a.tar\n")
    assert is_pool(tmp_path / "list.txt")
    (tmp_path / "images.txt").write_text("# no pool\na.jpg\n")
    assert not is_pool(tmp_path / "images.txt")
    pool = open_pool(tmp_path / "list.txt")
    assert [pool.name(index) for index in range(2)] == ["x/a/k", "y/a/k"]


# -- Addresses


def test_what_counts_as_a_pool(folder, tmp_path):
    write_tar(tmp_path / "tars" / "a.tar", sample("k", 0))
    picture(0).save(tmp_path / "b.png")
    write_tar(tmp_path / "c.tar", sample("k", 0))
    for address in (folder / "POOL", tmp_path / "tars", tmp_path / "c.tar", "s3://bucket/pool"):
        assert is_pool(address)
    assert is_pool("tars/{000..010}.tar")
    write_tar(tmp_path / "unpacked" / "a.tar", sample("k", 0))
    write_images(tmp_path / "unpacked" / "images", 1)
    folders = (tmp_path, folder / "images", tmp_path / "unpacked")
    for address in (*folders, tmp_path / "nothing", tmp_path / "b.png"):
        assert not is_pool(address)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nothing", "does not exist"),
        ("images", "holds no manifest.json and no tars"),
        ("images/field0/000.jpg", "is no folder, tar or pattern"),
        ("nothing.tar", "cannot be read"),
        ("a-{3..1}.tar", "braces"),
        ("a-{0..99999999}.tar", "braces"),
        ("x*.tar", "matches no tar"),
    ],
)
def test_an_address_that_is_no_pool_says_why(address, words, folder):
    with pytest.raises(DataError, match=words):
        open_pool(folder / address)


@pytest.mark.parametrize("address", ["ftp://host/POOL", "zip://a::http://host/b", "git://x"])
def test_other_protocols_are_refused(address):
    with pytest.raises(DataError, match="does not read addresses"):
        open_pool(address)


def test_a_pool_without_images_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no images"):
        open_pool(write_tar(tmp_path / "a.tar", {"a.txt": b"x"}))


def test_a_package_that_is_missing_is_named(monkeypatch):
    def missing(text, **options):
        raise ImportError("Install s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(DataError, match=r"pip install 'semiseg\[s3\]'"):
        open_pool("s3://bucket/POOL", retries=NO_WAIT)


def test_a_file_whose_name_has_braces_is_itself(tmp_path):
    tar = write_tar(tmp_path / "a{1..2}.tar", sample("k", 0))
    assert contents(open_pool(tar)) == {"k.jpg": jpeg(0)}


def test_parts_of_addresses():
    address = Address("https://me:x@host/a/b.tar?sig=1")
    assert (address.name, str(address.parent), address.protocol) == (
        "b.tar",
        "https://host/a",
        "https",
    )
    assert (address.parent / "c.tar").text == "https://me:x@host/a/c.tar?sig=1"
    assert address.below(Address("https://me:x@host?sig=1")) == "a/b.tar"
    assert address.below(Address("https://me:x@other?sig=1")) is None
    assert Address("s3://b/a?b.tar").name == "a?b.tar"
    assert Address(str(Path("a") / "b.tar")).name == "b.tar"
    assert expand_braces("a{1..3}{x,y}.tar") == [f"a{n}{c}.tar" for n in "123" for c in "xy"]
    assert expand_braces("a{08..10}") == ["a08", "a09", "a10"]
    assert expand_braces("plain.tar") == ["plain.tar"]


# -- S3


@pytest.mark.slow
def test_a_pool_in_s3_is_the_same(folder, own_cache, monkeypatch):
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    store = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    store.start()
    try:
        host, port = store.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        system = s3fs.S3FileSystem()
        system.mkdir("bucket")
        for file in (folder / "POOL").iterdir():
            system.pipe(f"bucket/POOL/{file.name}", file.read_bytes())
        local, pool = open_pool(folder / "POOL"), open_pool("s3://bucket/POOL", retries=NO_WAIT)
        assert (contents(pool), pool.fingerprint) == (contents(local), local.fingerprint)
        assert len([path for path in (own_cache / "shards").iterdir() if path.is_file()])
        with pytest.raises(DataError, match="nothing"):
            open_pool("s3://bucket/nothing", retries=NO_WAIT)
        system.rm("bucket/POOL/000001.tar")
        pool = open_pool("s3://bucket/POOL", retries=NO_WAIT)
        monkeypatch.setenv("SEMISEG_CACHE", str(own_cache / "other"))
        lost = open_pool("s3://bucket/POOL", retries=NO_WAIT)
        with pytest.raises(DataError, match=r"in s3://bucket/POOL/000001.tar .*does not exist"):
            lost.read(int(lost.counts[0]))
    finally:
        store.stop()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("name", [MANIFEST, INDEX, NAMES])
def test_a_missing_file_of_a_pool_is_to_be_copied_again(copy, name):
    (copy / name).unlink()
    with pytest.raises(DataError, match=rf"{re.escape(name)} .*Copy it again\."):
        open_pool(copy)
    assert not list(copy.glob(".semiseg-index*"))


def test_a_store_without_keys_is_asked_once(folder, monkeypatch):
    calls = []

    class NoCredentialsError(Exception):
        pass

    def refuse(address):
        calls.append(address)
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr("semiseg.data.pools.ranges.file_system", refuse)
    with pytest.raises(DataError, match=r"the store needs keys.*~/\.aws"):
        open_pool("s3://bucket/pool", retries=NO_WAIT)
    assert len(calls) == 1
