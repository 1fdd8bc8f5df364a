"""The files that the lines of lists name: by paths, in whatever form, or by stems."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.files import is_file
from semiseg.core.types import Sample
from semiseg.data.formats.stems import stem
from semiseg.data.layouts.families import Family
from semiseg.data.layouts.folder_readings import Reading
from semiseg.data.layouts.folders import FolderSplits
from semiseg.data.layouts.image_index import path_parts
from semiseg.data.layouts.unlabeled_images import find_pool
from semiseg.data.tree import SPLITS, Tree


class ListedFiles:
    """Finds the images and masks that lists name.

    Args:
        tree: the data folder.
        families: its folders of images and masks.
    """

    def __init__(self, tree: Tree, families: Iterable[Family]) -> None:
        self.tree, self._families = tree, list(families)

    @cached_property
    def _readings(self) -> list[Reading]:
        splits = FolderSplits(self.tree, self._families)
        return [r for split in SPLITS for r in splits.choice(split).readings]

    @cached_property
    def samples(self) -> Mapping[Path, Sample]:
        """The images of the data folder, with the masks that the names of files give them."""
        samples = [sample for reading in self._readings for sample in reading.samples]
        by_image: dict[Path, Sample] = {}
        for sample in (*samples, *find_pool(self.tree, self._families).samples):
            if sample.mask is not None or sample.image not in by_image:
                by_image[sample.image] = sample
        return by_image

    @property
    def has_splits(self) -> bool:
        """Whether folders are named after `val` or `test`."""
        return any(family.split in ("val", "test") for family in self._families)

    def mask_of(self, image: Path) -> Path:
        """The first mask of an image that has one, as it lies in the data folder."""
        for reading in self._readings:
            matched = reading.matched
            names = matched.images.items() if matched else ()
            name = next((name for name, path in names if path == image), None)
            if matched is not None and name is not None and name in matched.masks:
                return matched.masks[name][0]
        return image

    def image(self, text: str, where: str) -> Path:
        """The image that a list names.

        Args:
            text: a path of any system, below the data folder or anywhere above it, or a name
                without a suffix.
            where: the list and the line, for the error.

        Raises:
            DataError: there is no such file, several fit, or it lies outside of the data folder.
        """
        return self._find(text, where, self._images)

    def mask(self, text: str, where: str) -> Path:
        """The mask that a list names; as `image`."""
        return self._find(text, where, self._masks)

    def is_path(self, text: str) -> bool:
        """Whether a text as a whole is the path of a file."""
        return self._exact(text) is not None

    def is_image(self, text: str) -> bool:
        """Whether a text as a whole is the name of one image, or its path."""
        return self.is_path(text) or len(_by_name(text, self._images)) == 1

    def is_mask(self, text: str) -> bool:
        """Whether a text as a whole is the name of one mask, or its path."""
        return self.is_path(text) or len(_by_name(text, self._masks)) == 1

    @cached_property
    def _images(self) -> Mapping[str, list[Path]]:
        images = self.samples or dict.fromkeys(self.tree.images(self.tree.root))
        return _grouped(images)

    @cached_property
    def _masks(self) -> Mapping[str, list[Path]]:
        every = self.tree.images(self.tree.root)
        return _grouped(path for path in every if path not in self.samples) or _grouped(every)

    def _exact(self, text: str) -> Path | None:
        """The file at the very path below the data folder, or at the end of a longer path."""
        root = self.tree.root
        for name in (text, text.replace("\\", "/")):
            path = root / name
            if not self._is_outside(path) and self._is_file(path):
                return path
        parts = path_parts(text)
        for i in range(len(parts)):
            is_below = i == 0 or len(parts) - i > 1 or parts[i - 1] == root.resolve().name
            path = root.joinpath(*parts[i:])
            if is_below and self.tree.is_file(path):
                return path
        return None

    def _is_outside(self, path: Path) -> bool:
        root = self.tree.root
        return not path.is_relative_to(root) or ".." in path.relative_to(root).parts

    def _is_file(self, path: Path) -> bool:
        """What is not in the tree is looked up on the disk: it may not mind the case of letters."""
        return self.tree.is_file(path) or is_file(path)

    def _find(self, text: str, where: str, files: Mapping[str, list[Path]]) -> Path:
        root = self.tree.root
        for name in (text, text.replace("\\", "/")):
            path = root / name
            if self._is_outside(path) and self._is_file(path):
                raise DataError(
                    f"{where}: {text} lies outside of {root}.",
                    "Move it there, or link to it, and write its path relative to that folder.",
                )
        path_or_none = self._exact(text)
        if path_or_none is not None:
            return path_or_none
        candidates = _by_name(text, files)
        if len(candidates) > 1:
            first, second = candidates[:2]
            raise DataError(
                f"{where}: {text} may be {first} or {second}.",
                f"Write the path below {root}, with the suffix.",
            )
        if not candidates:
            raise DataError(
                f"{where}: there is no file {root / text}.",
                f"Correct the line: paths are relative to {root}. Or remove the list to read the "
                "folder without it.",
            )
        return candidates[0]


def _by_name(text: str, files: Mapping[str, list[Path]]) -> list[Path]:
    """The files whose paths end in a name, with its suffix or without."""
    parts = [_plain(part) for part in path_parts(text)]
    if not parts:
        return []
    candidates = files.get(parts[-1], [])

    def fits(path: Path) -> bool:
        folders = [_plain(part) for part in path.parts[-len(parts) : -1]]
        return folders == parts[:-1]

    return [path for path in candidates if fits(path)]


def _grouped(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The files by their names with suffix and without."""
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for path in files:
        for name in {_plain(path.name), _plain(stem(path))}:
            groups[name].append(path)
    return dict(groups)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
