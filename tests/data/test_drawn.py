"""Masks in the cache folder: drawn once, and anew where a source has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from semiseg.core.errors import DataError
from semiseg.data.drawn import draw_masks


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "notes.json").write_text("{}")
    return folder


def test_masks_are_drawn_once_and_again_when_a_source_or_the_detail_changes(root):
    source, calls = root / "notes.json", []

    def draw(folder: Path) -> None:
        calls.append(folder)
        (folder / "a.png").write_text(source.read_text())

    first = draw_masks(root, [source], "notes", draw)
    assert draw_masks(root, [source], "notes", draw) == first
    assert len(calls) == 1
    assert first.name.startswith("notes-")
    assert (first / "a.png").read_text() == "{}"
    assert draw_masks(root, [source], "notes", draw, detail="other") != first
    assert len(calls) == 2
    source.write_text("{}  ")
    second = draw_masks(root, [source], "notes", draw)
    assert second != first
    assert (second / "a.png").read_text() == "{}  "
    status = source.stat()
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert draw_masks(root, [source], "notes", draw) not in (first, second)


def test_a_drawing_that_fails_leaves_nothing_behind(root, tmp_path):
    def draw(folder: Path) -> None:
        (folder / "a.png").write_text("half")
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        draw_masks(root, [root / "notes.json"], "notes", draw)
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_place_outside_of_the_data_it_says_where_to_name_one(root, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(root / "cache"))
    with pytest.raises(DataError, match="SEMISEG_CACHE") as error:
        draw_masks(root, [root / "notes.json"], "notes", lambda folder: None)
    assert "notes.json" in error.value.message
    assert sorted(path.name for path in root.iterdir()) == ["notes.json"]
