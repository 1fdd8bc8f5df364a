"""The files and folders of a data folder: each folder is listed once, then memory answers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from pathlib import Path

from semiseg.core import files as disk
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test")
_SYSTEM_FOLDERS = (
    *("__MACOSX", "@eaDir", "#recycle", "@Recycle", "#snapshot", "@Recently-Snapshot"),
    *("lost+found", "__pycache__", "$RECYCLE.BIN", "System Volume Information"),
)


class Entry(Enum):
    """What a name in a folder stands for."""

    FILE = auto()
    FOLDER = auto()
    LINKED_FOLDER = auto()
    LOOP = auto()  # a link to a folder that the link itself lies in
    DEAD_LINK = auto()
    OTHER = auto()  # a pipe, a device


_FOLDERS = (Entry.FOLDER, Entry.LINKED_FOLDER)


class Tree:
    """What lies below a folder, in memory.

    A folder is listed when it is first asked for. What changes on the disk later is not noticed.
    A folder that may not be listed counts as empty. Links to folders are followed, unless they lead
    in a circle.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, dict[str, Entry]] = {}
        self._denied: set[Path] = set()

    def at(self, folder: Path) -> Tree:
        """The part of this tree that begins at a folder below `root`."""
        part = Tree(folder)
        part._folders, part._denied = self._folders, self._denied
        return part

    def entries(self, folder: Path) -> Mapping[str, Entry]:
        """The names in a folder at or below the root; empty if there is no such folder."""
        if folder not in self._folders:
            self._folders[folder] = self._list(folder) if self._is_reachable(folder) else {}
        return self._folders[folder]

    def _list(self, folder: Path) -> dict[str, Entry]:
        try:
            with os.scandir(folder) as entries:
                return {entry.name: _kind(entry) for entry in entries}
        except PermissionError:
            self._denied.add(folder)
        except OSError:  # there is no such folder
            pass
        return {}

    def denied(self) -> list[Path]:
        """The folders that were asked for and may not be listed, sorted."""
        return sorted(self._denied)

    def _is_reachable(self, folder: Path) -> bool:
        """Whether all parts of the path from the root on are folders."""
        place = self.root
        for part in folder.relative_to(self.root).parts:
            if place not in self._folders:
                self._folders[place] = self._list(place)
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

    def subfolders(self, folder: Path) -> list[Path]:
        """The folders in a folder, sorted, without hidden ones."""
        entries = self.entries(folder).items()
        return sorted(folder / name for name, kind in entries if kind in _FOLDERS and _shows(name))

    def walk(self, folder: Path) -> Iterator[Path]:
        """This folder and all below it, each before those in it, without hidden ones.

        What macOS and NAS devices add (`__MACOSX`, `@eaDir`) is passed over as well, and so are
        links to other folders of the tree.
        """
        yield folder
        for below in self.subfolders(folder):
            if not self.is_alias(below):
                yield from self.walk(below)

    def is_alias(self, folder: Path) -> bool:
        """Whether this is a link to a folder that the tree holds at another place, too."""
        if self._entry(folder) is not Entry.LINKED_FOLDER:
            return False
        return _real(folder).is_relative_to(_real(self.root))

    def files(self, folder: Path, suffixes: tuple[str, ...], deep: bool = True) -> list[Path]:
        """The files below a folder with these suffixes, sorted, without hidden ones.

        Args:
            folder: there or not.
            suffixes: in small letters, with their dots.
            deep: whether files in subfolders count.
        """
        files: list[Path] = []
        places = list(self.walk(folder)) if deep else [folder]
        for place in places:
            names = (
                name
                for name, entry in self.entries(place).items()
                if entry is Entry.FILE and name[0] != "." and name.lower().endswith(suffixes)
            )
            files += [place / name for name in sorted(names)]
        return files if len(places) == 1 else sorted(files)

    def dead_links(self, folder: Path) -> list[Path]:
        """The links below a folder that lead nowhere, sorted, without hidden ones."""
        return sorted(
            place / name
            for place in self.walk(folder)
            for name, entry in self.entries(place).items()
            if entry is Entry.DEAD_LINK and name[0] != "."
        )

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
                is_result[place] = self.is_result(place) or lies_in_result(place.parent)
            return is_result[place]

        return [file for file in files if not lies_in_result(file.parent)]

    def holds_suggestions(self, folder: Path) -> bool:
        """Whether `suggest` wrote this folder."""
        return self.is_file(folder / "suggested.csv")

    def is_result(self, folder: Path) -> bool:
        """Whether this is the folder of a run, or one that `suggest` wrote."""
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


def _kind(entry: os.DirEntry[str]) -> Entry:
    try:
        if entry.is_file():
            return Entry.FILE
        if entry.is_dir() and not entry.is_symlink():
            return Entry.FOLDER
        if entry.is_dir():
            path = Path(entry.path)
            real = _real(path)
            loop = any(_real(parent).is_relative_to(real) for parent in path.parents)
            return Entry.LOOP if loop else Entry.LINKED_FOLDER
        return Entry.DEAD_LINK if entry.is_symlink() else Entry.OTHER
    except (OSError, RuntimeError):  # a link that leads to itself
        return Entry.DEAD_LINK


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _shows(folder: str) -> bool:
    return folder[0] != "." and folder not in _SYSTEM_FOLDERS
