"""Which folders of a data folder hold the images and the masks of a split; see `folder`."""

from __future__ import annotations

from pathlib import Path

from semiseg.core.files import is_folder
from semiseg.data.datasets import find_dataset
from semiseg.data.formats.images import list_images
from semiseg.data.pairs import Folders

SPLITS = ("train", "val", "test")
NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""What the folder of a split may be called."""


def find_folders(root: Path, split: str, dataset: str | None = None) -> Folders | None:
    """Where the images and masks of a split lie, if it is by their names that they belong together.

    None where nothing does, and where others decide: lists, VOC's layout, a data set's own tree.

    Raises:
        DataError: images and masks lie side by side, and which is which is not clear.
    """
    if find_dataset(root, dataset) or split_lists(root) or (root / "SegmentationClass").is_dir():
        return None
    places = _apart_from_masks(root, split)
    if len(places) > 1:  # an empty one hides none
        places.sort(key=lambda folders: not list_images(folders.images))
    if places:
        return places[0]
    if _apart_from_masks(root, "train"):
        return None
    mixed = [root / name for name in NAMES[split]] + [root] * (split == "train")
    beside = (Folders(folder, folder / "masks", deep=False) for folder in mixed)
    return next((folders for folders in beside if folders.files()[1]), None)


def _apart_from_masks(root: Path, split: str) -> list[Folders]:
    """The folders of images alone that are there, with those of their masks, there or not."""
    images, masks = root / "images", root / "masks"
    places = [Folders(root / name / "images", root / name / "masks") for name in NAMES[split]]
    if all((folder / "train").is_dir() for folder in (images, masks)):
        places += [Folders(images / name, masks / name) for name in NAMES[split]]
    elif split == "train":
        places.append(Folders(images, masks))
    return [folders for folders in places if is_folder(folders.images)]


def unlabeled_folder(root: Path) -> Path:
    """Where further images without masks lie, there or not."""
    folder = root / "unlabeled"
    return folder / "images" if is_folder(folder / "images") else folder


def split_lists(root: Path) -> dict[str, Path]:
    """The lists in the folder, by split."""
    return {s: root / f"{s}.txt" for s in SPLITS if (root / f"{s}.txt").is_file()}
