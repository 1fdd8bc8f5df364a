"""What to say of a data folder whose layout is not clear, or of which a part is not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from semiseg.data.images import IMAGE_SUFFIXES, list_files, list_images
from semiseg.data.layout import NAMES, SPLITS, find_folders
from semiseg.data.masks import DRAWN
from semiseg.data.pairs import Folders, masks_beside, stem_of_image

TREE = (
    "Expected DATA/train/images and DATA/train/masks (a mask has its image's name), "
    "DATA/val/images and DATA/val/masks, and optionally DATA/unlabeled; or DATA/images and "
    "DATA/masks, or images in DATA itself with LabelMe's JSON or NAME_mask.png beside them, or "
    "DATA/train.txt with an image and its mask a line, or a CVAT export with DATA/JPEGImages and "
    "DATA/SegmentationClass."
)
NOT_READ = "are not read"
"""What the note on folders that are passed over says of their images."""


def passed_over(root: Path, split: str, folders: Folders, dataset: str | None) -> list[str]:
    """Notes on folders with images that are not read, though some of the split are.

    Args:
        root: the data folder.
        split: of it.
        folders: those of the split.
        dataset: as for `find_folders`.
    """
    names = [name for name in NAMES[split] if (root / name).is_dir()]
    others = [root / n for n in names if not folders.images.is_relative_to(root / n)]
    if split != "train":
        return [
            f"{p} is passed over, since {folders.images} is read" for p in others if list_images(p)
        ]
    rest = (find_folders(root, split, dataset) for split in SPLITS[1:])
    used = [folders, *(found for found in rest if found)]
    read = {root / "unlabeled", *(place for found in used for place in found[:2])}
    above = {root, root / "train", *(found.images for found in used if not found.deep)}
    unread: dict[Path, int] = {}
    for folder in sorted(place for place in above if place.is_dir()):
        if folder not in read:
            unread[folder] = len(list_files(folder, IMAGE_SUFFIXES, deep=False))
        for below in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
            inside = any(below.is_relative_to(place) for place in read if place not in above)
            holds = any(place.is_relative_to(below) for place in read)
            if not inside and not holds and below not in above:
                unread[below] = len(list_images(below))
    unread = {folder: count for folder, count in unread.items() if count}
    if not unread:
        return []
    shown = ", ".join(map(str, list(unread)[:5])) + (", ..." if len(unread) > 5 else "")
    return [
        f"{sum(unread.values())} images in {shown} {NOT_READ}: put those to learn from into "
        f"{folders.images}, or without masks into {root / 'unlabeled'}"
    ]


def masks_elsewhere(root: Path, images: Sequence[Path], masks: Path) -> list[str]:
    """A note on a folder that may be that of the masks, where no mask was found.

    Args:
        root: the data folder.
        images: those without masks.
        masks: the folder in which their masks should be.
    """
    stems = {image.stem for image in images}
    others = {masks, root / "unlabeled", *(root / name for some in NAMES.values() for name in some)}
    for folder in sorted(p for p in masks.parent.iterdir() if p.is_dir() and p not in others):
        if folder.name[0] == "." or any(image.is_relative_to(folder) for image in images):
            continue
        files = list_files(folder, (*IMAGE_SUFFIXES, DRAWN))
        if any(path.stem in stems or stem_of_image(path, stems) for path in files):
            told = f"{folder} holds files of the images' names: if they are the masks, call it"
            return [f"{told} {masks}"]
    return []


def nothing_to_train_on(root: Path, lists: Mapping[str, Path]) -> str:
    """What to say where there is no image to train on.

    Args:
        root: the data folder.
        lists: those that are in it, by their splits.
    """
    if lists:
        return (
            f"{root} holds {', '.join(p.name for p in lists.values())}, but no train.txt: no image "
            "is listed to train on. Write one, with an image and its mask a line, or remove the "
            "other lists."
        )
    held = sorted(p.name + "/" * p.is_dir() for p in root.iterdir() if p.name[0] != ".")
    shown = ", ".join(held[:8]) + (", ..." if len(held) > 8 else "")
    images, masks = list_files(root, IMAGE_SUFFIXES, deep=False), root / "masks"
    elsewhere = masks_elsewhere(root, images, masks)
    if elsewhere or (images and not any(name.endswith("/") for name in held)):
        return (
            f"{root} holds images ({shown}), but none has a mask beside it: LabelMe's JSON of its "
            f"name, or NAME_mask.png. Draw some, or put the masks there or into {masks}"
            f"{''.join(f' ({told})' for told in elsewhere)}."
        )
    return (
        f"{root / 'train' / 'images'} holds no images, nor is there another folder of training "
        f"images: {root} holds {shown or 'nothing'}. {_deeper(root)}{TREE} Images are files of the "
        f"suffixes {', '.join(IMAGE_SUFFIXES)}."
    )


def _deeper(root: Path) -> str:
    """What to do with images in folders that stand for something else, such as the day."""
    below = [path for path in list_images(root) if path.parent != root]
    masks = masks_beside(below, alike=True)
    if not below:
        return ""
    return (
        f"Its subfolders hold {len(below) - len(masks)} images and, beside them, {len(masks)} "
        f"masks: move those with images into {root / 'images'}, and those with masks alone into "
        f"{root / 'masks'}. "
    )
