"""What all published data sets share: names, colors, origin, and how they are read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.files import read_text
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.formats.codes import Color, read_codes
from semiseg.data.formats.masks import Classes
from semiseg.data.layouts.layout import Listing
from semiseg.data.tree import Tree

_SAMPLED_MASKS = 5
_SAMPLED_NAMES = 20


class PublishedDataset(ABC):
    """A published data set in its official tree, which the class's docstring draws.

    Attributes:
        name: the name in `DATASETS` and on the command line.
        title: the name that people know.
        home: the address where it can be downloaded.
        license: the terms of use.
        names: the class names; the position is the class index.
        colors: the usual color of each class.
        mask_forms: the number of forms of its masks, with different ids for the same class.
        mask_aliases: folders that published lists write, and those whose masks they mean where
            theirs has none.
        lists_mean: folders that published lists write, and the data set that reads such masks.
        own_lists: whether lists such as `train.txt` in the root are the data set's, not the user's.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    home: ClassVar[str]
    license: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    colors: ClassVar[tuple[Color, ...]]
    mask_forms: ClassVar[int] = 1
    mask_aliases: ClassVar[Mapping[str, str]] = MappingProxyType({})
    lists_mean: ClassVar[Mapping[str, str]] = MappingProxyType({})
    own_lists: ClassVar[bool] = False

    @abstractmethod
    def recognizes(self, tree: Tree) -> bool:
        """Whether a data folder holds this data set or a part of it.

        People lay their own data out in the same folders, so names of files have to fit as well.
        """

    def misfit(self, tree: Tree) -> str:
        """What in a few masks does not fit this data set, as a phrase; empty if nothing.

        Masks that cannot be read say nothing: they are errors of the data set.
        """
        if not self.names:  # the files name the classes
            return ""
        masks: list[Path] = []
        for split in ("train", "val"):
            with suppress(DataError):  # a part of the tree is missing
                files = [sample.mask for sample in self.samples(tree, split) if sample.mask]
                masks += files[:: max(1, len(files) // _SAMPLED_MASKS)]
        without_class: dict[Path, set[int]] = {}
        for mask in masks:
            try:
                codes, classes = read_codes(mask), self.classes(tree, [mask])
            except (DataError, ConfigError):  # another format of masks needs an extra
                return ""
            values = set(np.unique(codes.values).tolist())
            other_values = values - {*classes.codes, *classes.ignored}
            if codes.encoding != classes.encoding or other_values:
                return f"{mask} holds {_first(other_values) if other_values else codes.encoding}"
            if values.isdisjoint(classes.codes):
                without_class[mask] = values
        if not without_class or len(without_class) < len(masks):
            return ""
        mask, values = next(iter(without_class.items()))
        return f"{mask} holds {_first(values)} and none of its classes"

    def named_as(self, tree: Tree, folder: str, pattern: re.Pattern[str]) -> bool:
        """Whether most of the first images below a folder have names of this form.

        Args:
            tree: the data folder.
            folder: the path below it.
            pattern: of a name without its suffix.
        """
        files = tree.images(tree.root / folder)[:_SAMPLED_NAMES]
        return 2 * sum(bool(pattern.fullmatch(path.stem)) for path in files) > len(files)

    @abstractmethod
    def samples(self, tree: Tree, split: str) -> list[Sample]:
        """The images of `train`, `val` or `test`, with their masks where they may be used.

        Raises:
            DataError: a part of the tree is missing.
        """

    def listing(self, tree: Tree, split: str) -> Listing:
        """The samples of a split, with remarks on them.

        Raises:
            DataError: a part of the tree is missing.
        """
        return Listing(self.samples(tree, split))

    def classes(self, tree: Tree, masks: Sequence[Path]) -> Classes:
        """How the masks spell the classes; by default their ids are the class indices.

        Args:
            tree: the data folder.
            masks: the files of all masks that are read.

        Raises:
            DataError: the classes cannot be used.
        """
        return self.by_codes(range(len(self.names)))

    def by_codes(self, codes: Iterable[int], ignored: Iterable[int] = ()) -> Classes:
        """The classes with these ids, in their order; 255 is ignored besides `ignored`."""
        void = dict.fromkeys((*ignored, IGNORE_INDEX))
        return Classes(self.names, self.colors, "ids", tuple(codes), tuple(void))

    def download(self, folder: Path) -> Path | None:
        """Download the data set into a folder, if a library does that without a registration.

        Returns:
            The data folder, or None if the data set has to be downloaded by hand.
        """
        return None

    def require(self, tree: Tree, *parts: str) -> None:
        """Refuse a tree that lacks files or folders.

        Raises:
            DataError: some are missing.
        """
        missing_parts = [part for part in parts if not tree.exists(tree.root / part)]
        if missing_parts:
            raise DataError(
                f"{tree.root} is read as {self.title} ({self.name}), but lacks "
                f"{', '.join(missing_parts)}.",
                f"Get the missing part from {self.home} and unpack it there, or name another data "
                "set with --dataset.",
            )

    def files(self, tree: Tree, folder: str, ending: str = "") -> dict[str, Path]:
        """Image files below a folder by their path in it, without `ending` and suffix, sorted.

        Files without this ending are left out; a folder that is missing has no files.
        """
        place = tree.root / folder
        paths = {}
        for path in tree.images(place):
            stem = path.relative_to(place).with_suffix("").as_posix()
            if stem.endswith(ending):
                paths[stem.removesuffix(ending)] = path
        return paths

    def paired(
        self, tree: Tree, images: dict[str, Path], masks: dict[str, Path], names: Iterable[str]
    ) -> list[Sample]:
        """Samples of these names, with a mask where there is one.

        Raises:
            DataError: an image is missing.
        """
        names = sorted(set(names))
        missing_names = [name for name in names if name not in images]
        if missing_names:
            raise DataError(
                f"{tree.root} is read as {self.title} ({self.name}), but lacks "
                f"{len(missing_names)} of {len(names)} images that it lists "
                f"(first: {missing_names[0]}).",
                f"Get them from {self.home}.",
            )
        return [Sample(name, images[name], masks.get(name)) for name in names]


def _first(values: set[int]) -> str:
    """The three lowest values, as text."""
    return ", ".join(map(str, sorted(values)[:3]))


def read_names(path: Path) -> list[str]:
    """The first word of each line of an official list.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a list of names ({error}).") from error
    return [line.split()[0] for line in lines if line.strip()]


def bit_colors(count: int) -> tuple[Color, ...]:
    """VOC's color map: the bits of the index, dealt in turn to red, green and blue.

    Example:
        >>> bit_colors(4)
        ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    """
    colors = []
    for index in range(count):
        levels = [0, 0, 0]
        for bit in range(24):
            if index >> bit & 1:
                levels[bit % 3] |= 128 >> bit // 3
        colors.append((levels[0], levels[1], levels[2]))
    return tuple(colors)
