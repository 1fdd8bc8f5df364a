"""The files and folders of a data folder: each folder is listed once, then memory answers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from pathlib import Path

from semiseg.core import files as disk
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test")


class Entry(Enum):
    """What a name in a folder stands for."""

    FILE = auto()
    FOLDER = auto()
    LINKED_FOLDER = auto()  # is entered where its very path is asked for, not when all is listed
    OTHER = auto()  # a dead link, a pipe, a device


_FOLDERS = (Entry.FOLDER, Entry.LINKED_FOLDER)


class Tree:
    """What lies below a folder, in memory.

    A folder is listed when it is first asked for. What changes on the disk later is not noticed.
    A folder that may not be listed counts as empty.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, dict[str, Entry]] = {}

    def at(self, folder: Path) -> Tree:
        """The part of this tree that begins at a folder below `root`."""
        part = Tree(folder)
        part._folders = self._folders
        return part

    def entries(self, folder: Path) -> Mapping[str, Entry]:
        """The names in a folder at or below the root; empty if there is no such folder."""
        if folder not in self._folders:
            self._folders[folder] = _list(folder) if self._is_reachable(folder) else {}
        return self._folders[folder]

    def _is_reachable(self, folder: Path) -> bool:
        """Whether all parts of the path from the root on are folders."""
        place = self.root
        for part in folder.relative_to(self.root).parts:
            if place not in self._folders:
                self._folders[place] = _list(place)
            if self._folders[place].get(part) not in _FOLDERS:
                return False
            place = place / part
        return True

    def is_folder(self, path: Path) -> bool:
        """Whether this is a folder, or a link to one."""
        return self._entry(path) in _FOLDERS

    def is_file(self, path: Path) -> bool:
        """Whether this is a file, or a link to one; a path out of the tree is looked up."""
        if ".." in path.parts or not path.is_relative_to(self.root):
            return disk.is_file(path)
        return self._entry(path) is Entry.FILE

    def exists(self, path: Path) -> bool:
        """Whether there is a file or a folder of this name."""
        return self._entry(path) is not None

    def subfolders(self, folder: Path, links: bool = False) -> list[Path]:
        """The folders in a folder, sorted, without hidden ones.

        Args:
            folder: there or not.
            links: whether links to folders count.
        """
        kinds = _FOLDERS if links else (Entry.FOLDER,)
        entries = self.entries(folder).items()
        return sorted(folder / name for name, kind in entries if kind in kinds and name[0] != ".")

    def files(self, folder: Path, suffixes: tuple[str, ...], deep: bool = True) -> list[Path]:
        """The files below a folder with these suffixes, sorted, without hidden ones.

        Args:
            folder: there or not.
            suffixes: in small letters, with their dots.
            deep: whether files in subfolders count; folders that are links are not entered.
        """
        files: list[Path] = []
        folders = [folder]
        while folders:
            place = folders.pop()
            for name, entry in self.entries(place).items():
                if name[0] == ".":
                    continue
                if entry is Entry.FOLDER and deep:
                    folders.append(place / name)
                elif entry is Entry.FILE and name.lower().endswith(suffixes):
                    files.append(place / name)
        return sorted(files)

    def images(self, folder: Path, deep: bool = True) -> list[Path]:
        """The image files below a folder, sorted, without hidden ones."""
        return self.files(folder, IMAGE_SUFFIXES, deep)

    def without_results(self, files: Iterable[Path], folder: Path) -> list[Path]:
        """The files below `folder` that lie in no run folder and in nothing that `suggest` wrote.

        Args:
            files: below `folder`.
            folder: is itself no result, whatever it holds.
        """
        is_result: dict[Path, bool] = {folder: False}

        def lies_in_result(place: Path) -> bool:
            if place not in is_result:
                is_result[place] = self._is_result(place) or lies_in_result(place.parent)
            return is_result[place]

        return [file for file in files if not lies_in_result(file.parent)]

    def holds_suggestions(self, folder: Path) -> bool:
        """Whether `suggest` wrote this folder."""
        return self.is_file(folder / "suggested.csv")

    def _is_result(self, folder: Path) -> bool:
        run = self.is_file(folder / "config.yaml") and self.is_folder(folder / "split")
        return run or self.holds_suggestions(folder)

    def _entry(self, path: Path) -> Entry | None:
        if path == self.root:
            return Entry.FOLDER if disk.is_folder(path) else None
        if not path.is_relative_to(self.root):
            return None
        return self.entries(path.parent).get(path.name)


def split_lists(tree: Tree) -> dict[str, Path]:
    """The lists `train.txt`, `val.txt` and `test.txt` in the data folder, by split."""
    files = {split: tree.root / f"{split}.txt" for split in SPLITS}
    return {split: file for split, file in files.items() if tree.is_file(file)}


def list_files(folder: Path, suffixes: tuple[str, ...], deep: bool = True) -> list[Path]:
    """`Tree.files` of a folder that is listed for this alone."""
    return Tree(folder).files(folder, suffixes, deep)


def list_images(folder: Path) -> list[Path]:
    """`Tree.images` of a folder that is listed for this alone."""
    return Tree(folder).images(folder)


def _list(folder: Path) -> dict[str, Entry]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _kind(entry) for entry in entries}
    except OSError:
        return {}


def _kind(entry: os.DirEntry[str]) -> Entry:
    try:
        if entry.is_file():
            return Entry.FILE
        if entry.is_dir():
            return Entry.LINKED_FOLDER if entry.is_symlink() else Entry.FOLDER
    except OSError:  # a link that leads in a circle
        pass
    return Entry.OTHER
