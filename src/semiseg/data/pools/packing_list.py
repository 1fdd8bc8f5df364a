"""The images that go into a pool: found below a folder without a list of them in memory.

A pool may be made of so many files that their paths do not fit. The walk holds one folder at a
time, and writes a line for each image; the packer reads the lines in the order of a permutation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from semiseg.core.files import atomic_write
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.stems import stem
from semiseg.data.pairing.beside import PHOTOGRAPHS, masks_beside
from semiseg.data.pairing.mask_folders import MaskFolders
from semiseg.data.pools.member_names import encoded_key, is_safe, split_suffix
from semiseg.data.tree import Entry, Tree

_PIECE = 1 << 24  # bytes of a list that are searched at once


class Source(NamedTuple):
    """A file that goes into a pool.

    Attributes:
        name: the name of its results: the path below the folder without the suffix.
        path: the file, absolute.
    """

    name: str
    path: Path

    @property
    def member(self) -> str:
        """The name of its member: a key without a dot, and the suffix of the file."""
        folder, slash, key = self.name.rpartition("/")
        return folder + slash + encoded_key(key) + split_suffix(self.path.name)[1]


class Walk:
    """The images below a folder, sorted, one folder after another.

    It passes over what `predict` passes over: hidden files, runs, the output of `suggest`, masks.
    As there, two images that differ only in their suffix keep it.

    Args:
        root: the folder.
        out: a folder whose files do not count.

    Attributes:
        ignored: how many files or folders were passed over, by the reason.
    """

    def __init__(self, root: Path, out: Path) -> None:
        self.root = root.absolute()
        self.ignored: Counter[str] = Counter()
        self._out = out.resolve()
        self._masks = MaskFolders(self.root)

    def __iter__(self) -> Iterator[Source]:
        """Go through the files."""
        self.ignored.clear()
        yield from self._below(self.root)

    def notes(self) -> list[str]:
        """Sentences on what was passed over."""
        return [f"{reason} ({count:,})" for reason, count in self.ignored.items()]

    def _below(self, folder: Path) -> Iterator[Source]:
        tree = Tree(folder)
        files = tree.images(folder, deep=False)
        shapes = tree.files(folder, (LABELME_SUFFIX,), deep=False)
        masks = {f for f in masks_beside(files, shapes) if f.suffix.lower() not in PHOTOGRAPHS}
        self._count("masks are ignored", len(masks))
        images = [file for file in files if file not in masks]
        counts = Counter(stem(file) for file in images)
        for file in images:
            name = stem(file) if counts[stem(file)] == 1 else file.name
            yield Source((file.parent / name).relative_to(self.root).as_posix(), file)
        for below in tree.subfolders(folder):
            if tree.entries(folder)[below.name] is Entry.LINKED_FOLDER and self._is_inside(below):
                continue  # its files are found at their own place
            if below.resolve() == self._out:
                continue
            if Tree(below).is_result(below):
                self._count("folders of runs and of suggest are ignored", 1)
            elif self._masks.lies_beside_images(below):
                self._count("folders of masks are ignored", 1)
            else:
                yield from self._below(below)

    def _is_inside(self, folder: Path) -> bool:
        return folder.resolve().is_relative_to(self.root.resolve())

    def _count(self, reason: str, count: int) -> None:
        if count:
            self.ignored[reason] += count


def write_list(sources: Iterable[Source], file: Path) -> list[str]:
    """Write a line for each source, as a whole or not at all.

    Args:
        sources: the files.
        file: the list.

    Returns:
        The files that no pool can hold, with the reason.

    Raises:
        OSError: the list cannot be written.
    """
    refused = []
    with atomic_write(file) as stream:
        for source in sources:
            if not is_safe(source.name):
                refused.append(f"{source.path}: no member of a tar can have its name")
                continue
            line = json.dumps([source.member, str(source.path)])
            stream.write(f"{line}\n".encode("ascii"))
    return refused


class PackingList:
    """The lines of a list, in any order; holds only where they begin.

    Args:
        file: what `write_list` wrote.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        content = np.memmap(file, np.uint8, "r") if file.stat().st_size else np.zeros(0, np.uint8)
        # By pieces, since the comparison takes as much memory as the piece.
        starts = range(0, len(content), _PIECE)
        ends = [np.flatnonzero(content[s : s + _PIECE] == ord("\n")) + s for s in starts]
        self._ends = np.concatenate([np.zeros(0, np.int64), *ends])

    def __len__(self) -> int:
        """The number of files."""
        return len(self._ends)

    def __getitem__(self, number: int) -> tuple[str, Path]:
        """The name of the member, and the path of the file."""
        start = int(self._ends[number - 1]) + 1 if number else 0
        with self._file.open("rb") as stream:
            stream.seek(start)
            member, path = json.loads(stream.read(int(self._ends[number]) - start))
        return member, Path(path)
