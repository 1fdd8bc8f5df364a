"""The registry of layouts, and how the layout of a data folder is found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.types import NOTHING_SAID, Arrangement
from semiseg.data.annotation_layout import AnnotationLayout
from semiseg.data.datasets import find_dataset
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.explicit import ExplicitLayout
from semiseg.data.findings import Finding, error_of
from semiseg.data.folders import find_folders
from semiseg.data.formats.masks import Classes
from semiseg.data.hints import ignored_folders, mask_folder_elsewhere, nothing_to_train_on
from semiseg.data.layout import Layout, Listing
from semiseg.data.lists import ListLayout, VocLayout
from semiseg.data.pairs import Folders, pair
from semiseg.data.tree import SPLITS, Tree, split_lists


class FolderLayout(Layout):
    """Folders of images and masks; a mask has the name of its image.

    ```
    DATA/
      train/images/  train/masks/  or images/train/ masks/train/, or images/ masks/ (all is train)
      val/images/    val/masks/    optional; also valid/ or validation/
      test/images/   test/masks/   optional
    ```

    or images with their masks beside them, or in a folder `masks` below them, in `train/`, `val/`
    and `test/`, or in `DATA` itself, where all is `train`. Subfolders are then not searched.
    """

    name = "folders"

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._folders: dict[str, Folders | None] = {}

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """Always: this is the layout of what has no other one."""
        return True

    def folders(self, split: str) -> Folders | None:
        """The folders of the split, if there are any."""
        if split not in self._folders:
            self._folders[split] = find_folders(self.tree, split)
        return self._folders[split]

    def read(self, split: str) -> Listing:
        """The images of the split's folders, and for `train` what is not read beside them."""
        folders = self.folders(split)
        samples, findings = pair(folders) if folders else ([], [])
        if any(finding.severity == "error" for finding in findings):
            return Listing(samples, findings)
        try:
            self._refuse_two_places()
            if folders is None or split != "train":
                return Listing(samples, findings)
            places = {s: place for s in SPLITS if (place := self.folders(s))}
        except DataError as error:
            return Listing(samples, [error_of(error)])
        remedy = f"Put masks into {folders.masks}; a mask has its image's name."
        labeled = any(sample.mask for sample in samples)
        unlabeled = [] if labeled else [sample.image for sample in samples]
        elsewhere = mask_folder_elsewhere(self.tree, unlabeled, folders.masks)
        if elsewhere is not None:
            return Listing(samples, [*findings, elsewhere], elsewhere.text)
        return Listing(samples, [*findings, *ignored_folders(self.tree, places)], remedy)

    def _refuse_two_places(self) -> None:
        """Refuse two folders of training images.

        Raises:
            DataError: there are two.
        """
        places = self.tree.root / "train" / "images", self.tree.root / "images"
        if all(self.tree.is_folder(place) for place in places):
            raise DataError(
                f"There are both {places[0]} and {places[1]}, and it is unclear which of them to "
                "train on.",
                "Move the images and masks of one into the folders of the other.",
            )


class PublishedLayout(Layout):
    """The official tree of a published data set; `semiseg.data.datasets` draws each of them.

    Args:
        tree: the data folder.
        dataset: the data set.
    """

    name = "published"
    names_classes = True

    def __init__(self, tree: Tree, dataset: PublishedDataset) -> None:
        super().__init__(tree)
        self.dataset = dataset

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """Whether one of the published data sets is recognized."""
        return find_dataset(tree) is not None

    def read(self, split: str) -> Listing:
        """The images of the split."""
        return self.dataset.listing(self.tree, split)

    def classes(self, masks: Sequence[Path]) -> tuple[Classes, str]:
        """The classes of the data set."""
        classes = self.dataset.classes(self.tree, masks)
        title = f"{self.dataset.title} ({self.dataset.name})"
        return classes, f"read as {title}"


LAYOUTS: tuple[type[Layout], ...] = (
    ExplicitLayout,
    AnnotationLayout,
    ListLayout,
    VocLayout,
    FolderLayout,
)
"""The layouts of people's own folders; the first one that recognizes a folder reads it."""


def find_layout(
    tree: Tree, dataset: str | None = None, flags: Arrangement = NOTHING_SAID
) -> Layout:
    """The layout of a data folder.

    Args:
        tree: the data folder.
        dataset: the name of a published data set, `folder` for none, or None to recognize one.
        flags: what the flags say about the place of images and masks.

    Raises:
        ConfigError: there is no such data set, or the flags name folders beside one.
    """
    published_by_flag = dataset not in (None, "folder")
    if flags.images or flags.masks:
        if published_by_flag:
            raise ConfigError(
                f"--dataset {dataset} has its own folders, so --images and --masks contradict it. "
                "Leave --dataset out, or the folders."
            )
        return ExplicitLayout(tree, flags)
    if not published_by_flag and ExplicitLayout.recognizes(tree):
        return ExplicitLayout(tree, flags)
    published = find_dataset(tree, dataset)
    if published is not None:
        return PublishedLayout(tree, published)
    return next(layout(tree) for layout in LAYOUTS if layout.recognizes(tree))


def read_split(layout: Layout, split: str) -> Listing:
    """The images of one split; what hinders is a finding, and nothing is raised.

    Args:
        layout: of the data folder.
        split: `train`, `val` or `test`.
    """
    try:
        listing = layout.read(split)
    except DataError as error:
        return Listing(findings=[error_of(error)])
    errors: list[Finding] = [f for f in listing.findings if f.severity == "error"]
    if split == "train" and not listing.samples and not errors:
        lists = split_lists(layout.tree) if isinstance(layout, ListLayout) else {}
        names = [path.name for path in lists.values()]
        return Listing(findings=[nothing_to_train_on(layout.tree, names)])
    return listing
