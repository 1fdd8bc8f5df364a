"""Reading text, YAML and JSON from strangers; atomic writes, hashes and the cache folder."""

import hashlib
import os
import stat

import pytest

from semiseg.core.files import (
    atomic_write,
    cache_folder,
    file_sha256,
    read_json,
    read_text,
    read_yaml,
    resolved,
    short_hash,
    text_sha256,
    write_bytes,
    write_json,
    write_text,
)


class StoppedError(Exception):
    """What ends a write before its end."""


@pytest.mark.parametrize("shared", [False, True])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, shared):
    file = tmp_path / "notes.txt"
    file.write_text("old")

    def write():
        with atomic_write(file, shared=shared) as stream:
            stream.write(b"half of the ne")
            raise StoppedError

    with pytest.raises(StoppedError):
        write()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_appears_only_once_it_is_whole(tmp_path, shared):
    file = tmp_path / "notes.txt"
    with atomic_write(file, shared=shared) as stream:
        stream.write(b"new")
        assert not file.exists()
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_two_writers_of_a_shared_file_do_not_meet(tmp_path):
    file = tmp_path / "cache"
    with atomic_write(file, shared=True) as one, atomic_write(file, shared=True) as other:
        one.write(b"one")
        other.write(b"other")
    assert file.read_bytes() == b"one"  # the outer one ends last
    assert list(tmp_path.iterdir()) == [file]


def test_others_may_read_what_is_written(tmp_path):
    before = os.umask(0o022)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_others_may_read_a_shared_text(tmp_path):
    write_text(tmp_path / "usual", "text")
    write_text(tmp_path / "shared", "text", shared=True)
    assert (tmp_path / "shared").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert sorted(file.name for file in tmp_path.iterdir()) == ["shared", "usual"]


def test_text_and_json_come_back(tmp_path):
    write_text(tmp_path / "a.txt", "Ä\n")
    assert (tmp_path / "a.txt").read_bytes() == "Ä\n".encode()
    assert read_text(tmp_path / "a.txt") == "Ä\n"
    write_json(tmp_path / "a.json", {"Ä": [1, None]})
    assert read_json(tmp_path / "a.json") == read_yaml(tmp_path / "a.json") == {"Ä": [1, None]}


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == text_sha256("abc") == hashlib.sha256(b"abc").hexdigest()
    assert short_hash("a", b"bc", size=8) == hashlib.blake2b(b"abc", digest_size=8).hexdigest()


def test_the_cache_folder_is_the_one_that_is_named_or_the_systems(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    assert cache_folder(outside=tmp_path) is None
    assert cache_folder(outside=tmp_path / "other") == tmp_path / "named"
    monkeypatch.delenv("SEMISEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "system"))
    assert cache_folder() == tmp_path / "system" / "semiseg"


def test_without_a_home_there_is_no_cache_folder(monkeypatch):
    for name in ("SEMISEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert cache_folder() is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_read_as_editors_and_shells_of_windows_write_it(tmp_path, encoding):
    path = tmp_path / "names.txt"
    path.write_bytes("b\u00e4ume\r\nweg\r\n".encode(encoding))
    assert read_text(path) == "b\u00e4ume\nweg\n"


def test_a_text_of_another_encoding_is_refused_with_its_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("weg\nb\u00e4ume\n".encode("latin-1"))
    with pytest.raises(ValueError, match="line 2 is not in UTF-8: save the file in UTF-8"):
        read_text(path)


def test_files_are_resolved_as_path_resolves_them(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "a").touch()
    (tmp_path / "real" / "b").symlink_to(tmp_path / "real" / "a")
    names = ["real/a", "link/a", "link/b", "real/../real/a", "real/..", "gone/c"]
    files = [tmp_path / name for name in names]
    assert list(resolved(files)) == [file.resolve() for file in files]
