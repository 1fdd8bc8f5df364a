"""The tree of a data folder answers from memory as the disk would."""

from __future__ import annotations

from pathlib import Path

import pytest

from semiseg.core.errors import DataError
from semiseg.data.layout_registry import LAYOUTS, find_layout
from semiseg.data.layouts.lists import listed_samples
from semiseg.data.tree import Tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images, a hidden one, a linked folder, a dead link, and what `suggest` wrote."""
    root = tmp_path / "data"
    for name in ("a.JPG", "deep/er/b.png", "deep/.hidden.png", ".git/c.png", "next/images/d.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "next" / "suggested.csv").write_text("")
    (root / "link").symlink_to(root / "deep")
    (root / "dead.png").symlink_to(root / "nowhere.png")
    return root


def test_files_are_sorted_without_hidden_ones_and_links_to_folders(root: Path) -> None:
    tree = Tree(root)
    names = [path.relative_to(root).as_posix() for path in tree.images(root)]
    assert names == ["a.JPG", "deep/er/b.png", "next/images/d.png"]
    assert tree.images(root, deep=False) == [root / "a.JPG"]
    assert tree.images(root / "nowhere") == []


def test_a_link_within_the_tree_is_entered_where_it_is_asked_for(root: Path) -> None:
    tree = Tree(root)
    assert tree.images(root / "link") == [root / "link" / "er" / "b.png"]
    assert root / "link" in tree.subfolders(root)
    assert tree.is_alias(root / "link")


def test_a_link_to_a_folder_outside_is_followed_and_a_circle_is_not(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "store" / "inner").mkdir(parents=True)
    (tmp_path / "store" / "s.png").write_bytes(b"x")
    (tmp_path / "store" / "inner" / "t.png").write_bytes(b"x")
    (root / "deep" / "out").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "inner" / "back").symlink_to(tmp_path / "store")
    (root / "deep" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    tree = Tree(root)
    images = [path.relative_to(root).as_posix() for path in tree.images(root / "deep")]
    assert images == ["deep/er/b.png", "deep/out/inner/t.png", "deep/out/s.png"]
    assert not tree.is_alias(root / "deep" / "out")
    assert tree.dead_links(root) == [root / "dead.png", root / "self"]


def test_files_and_folders_are_distinguished(root: Path) -> None:
    tree = Tree(root)
    assert tree.is_file(root / "deep" / "er" / "b.png")
    assert not tree.is_file(root / "deep")
    assert not tree.is_file(root / "dead.png")
    assert tree.is_folder(root)
    assert tree.is_folder(root / "link")
    assert not tree.is_folder(root / "a.JPG" / "b")
    assert tree.exists(root / "a.JPG")
    assert not tree.exists(root / "b.JPG")
    assert tree.is_file(root / "deep" / ".." / "a.JPG")
    assert not Tree(root / "nowhere").is_folder(root / "nowhere")


def test_a_part_of_a_tree_begins_at_a_folder(root: Path) -> None:
    part = Tree(root).at(root / "deep")
    assert part.images(part.root) == [root / "deep" / "er" / "b.png"]


def test_results_of_suggest_are_no_images_of_the_folder(root: Path) -> None:
    tree = Tree(root)
    images = tree.without_results(tree.images(root), root)
    assert images == [root / "a.JPG", root / "deep" / "er" / "b.png"]


def test_what_changes_on_the_disk_later_is_not_noticed(root: Path) -> None:
    tree = Tree(root)
    before = tree.images(root)
    (root / "a.JPG").unlink()
    assert tree.images(root) == before


def test_a_path_of_a_thousand_folders_is_refused_in_a_sentence(root: Path) -> None:
    (root / "train.txt").write_text("a/" * 2000 + "b.png\n")
    with pytest.raises(DataError, match=r"line 1: there is no file"):
        listed_samples(Tree(root), root / "train.txt")


def test_every_layout_has_a_name_and_an_example() -> None:
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)
    assert all("```" in (layout.__doc__ or "") for layout in LAYOUTS)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("train.txt",), "lists"),
        (("SegmentationClass/a.png",), "voc-like"),
        (("trainannot/a.png", "train/a.png"), "folders"),
        (("trainannot/0001TP_006690.png", "train/0001TP_006690.png"), "published"),
        (("task1/SegmentationClass/a.png", "task2/SegmentationClass/b.png"), "exports"),
        (("images/a.png",), "folders"),
    ],
)
def test_a_layout_is_found_by_names_alone(
    tmp_path: Path, parts: tuple[str, ...], name: str
) -> None:
    for part in parts:
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_bytes(b"no image")
    assert find_layout(Tree(tmp_path)).name == name
