"""Folders whose names say what they hold: `images` and `masks`, `train`, `val`, `unlabeled`."""

from __future__ import annotations

from pathlib import Path

from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, note
from semiseg.data.layout import Listing
from semiseg.data.pairs import PHOTOGRAPHS, Folders, duplicates, index, line_breaks, masks_beside
from semiseg.data.tree import Tree

SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""What the folder of a split may be called."""


def find_folders(tree: Tree, split: str) -> Folders | None:
    """The folders of the images and masks of a split; None if there are none.

    Raises:
        DataError: images and masks lie side by side, and it is ambiguous which are which.
    """
    places = _with_mask_folders(tree, split)
    if len(places) > 1:  # an empty folder does not hide another
        places.sort(key=lambda folders: not tree.images(folders.images))
    if places:
        return places[0]
    if _with_mask_folders(tree, "train"):
        return None
    root = tree.root
    mixed = [root / name for name in SPLIT_FOLDERS[split]] + [root] * (split == "train")
    beside = (Folders(tree, folder, folder / "masks", deep=False) for folder in mixed)
    return next((folders for folders in beside if folders.files.masks), None)


def _with_mask_folders(tree: Tree, split: str) -> list[Folders]:
    """The folders of images that are there, with those of their masks, there or not."""
    root = tree.root
    images, masks = root / "images", root / "masks"
    names = SPLIT_FOLDERS[split]
    places = [Folders(tree, root / name / "images", root / name / "masks") for name in names]
    if all(tree.is_folder(folder / "train") for folder in (images, masks)):
        places += [Folders(tree, images / name, masks / name) for name in names]
    elif split == "train":
        places.append(Folders(tree, images, masks))
    return [folders for folders in places if tree.is_folder(folders.images)]


def unlabeled_folder(tree: Tree) -> Path:
    """The folder of further images without masks, there or not."""
    folder = tree.root / "unlabeled"
    return folder / "images" if tree.is_folder(folder / "images") else folder


def list_unlabeled(tree: Tree, listed: bool) -> Listing:
    """The images of `unlabeled/images`, or of `unlabeled` if there is no such folder.

    Masks beside the images (`07_mask.png`) are ignored.

    Args:
        tree: the data folder.
        listed: whether lists decide which images count, so that none of these do.
    """
    folder = unlabeled_folder(tree)
    files = tree.images(folder)
    if listed:
        count = plural(len(files), f"image of {folder} is", f"images of {folder} are")
        message = f"{count} used only where train.txt lists them"
        return Listing(findings=[note(message)] if files else [])
    masks = [path for path in masks_beside(files) if path.suffix.lower() not in PHOTOGRAPHS]
    images = sorted(set(files) - set(masks))
    by_name, repeated = index(images, folder)
    samples = [Sample(f"unlabeled/{name}", path, None) for name, path in by_name.items()]
    findings: list[Finding] = duplicates(tree.root, repeated) or line_breaks(images)
    if masks and not findings:
        count = plural(len(masks), f"mask in {folder} is", f"masks in {folder} are")
        findings = [note(f"{count} ignored (the first is {masks[0].name})")]
    return Listing(samples, findings)
