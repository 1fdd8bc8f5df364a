"""What to say of a data folder whose layout is not clear, or of which a part is not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from semiseg.data.formats.images import IMAGE_SUFFIXES, list_files, list_images, without_results
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.layouts import NAMES, SPLITS, unlabeled_folder
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


def passed_over(root: Path, used: Mapping[str, Folders]) -> list[str]:
    """Notes on folders with images that are not read.

    Left out are links, runs and what `suggest` wrote.

    Args:
        root: the data folder.
        used: the folders that are read, by their splits; `train` among them.
    """
    train = used["train"]
    scored = {root / name: split for split in SPLITS[1:] for name in NAMES[split]}
    notes = []
    unread: dict[Path, int] = {}
    with suppress(OSError):  # what may not be looked into is no reason not to read the rest
        deep = {unlabeled_folder(root)}
        deep |= {folders.images for folders in used.values() if folders.deep}
        deep |= {folders.masks for folders in used.values()}
        flat = {folders.images for folders in used.values() if not folders.deep}
        stems = {path.stem for path in train.files()[0]}
        for folder, files in _unread(root, deep, flat):
            pictures = set(files) - set(masks_beside(files, alike=True))
            split = scored.get(folder)
            if not pictures:
                continue
            if split is None and all(p.suffix == ".png" and p.stem in stems for p in pictures):
                told = f"{folder} is passed over: it holds PNG files of the images' names"
                notes.append(f"{told}, which may be masks or pictures of them")
            elif split is None:
                unread[folder] = len(pictures)
            elif split in used:
                notes.append(f"{folder} is passed over, since {used[split].images} is read")
            else:
                told = (
                    f"{len(pictures)} images in {folder} {NOT_READ}: to be scored they need masks"
                )
                notes.append(f"{told}, beside them or in {folder / 'masks'}")
    if unread:
        shown = ", ".join(map(str, list(unread)[:5])) + (", ..." if len(unread) > 5 else "")
        if train.deep:
            where = f"put those to learn from into {train.images}, folders as they are"
        elif train.images == root:
            where = f"move all images with their masks into {root / 'images'}, folders as they are"
        else:
            where = f"put those to learn from into {train.images}, under names that are free"
        told = f"{sum(unread.values())} images in {shown} {NOT_READ}"
        notes.append(f"{told}: {where}, or those without masks into {root / 'unlabeled'}")
    return notes


def _unread(folder: Path, deep: Set[Path], flat: Set[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Folders that are not read, with the images in them.

    Args:
        folder: to be searched.
        deep: folders that are read, with what is below them.
        flat: folders of which the files alone are read.
    """
    if folder in deep:
        return
    if not any(read.is_relative_to(folder) for read in (*deep, *flat)):
        yield folder, without_results(list_images(folder), folder.parent)
        return
    if folder not in flat and not (folder / "suggested.csv").is_file():
        yield folder, list_files(folder, IMAGE_SUFFIXES, deep=False)
    for below in sorted(folder.iterdir()):
        if below.is_dir() and not below.is_symlink() and below.name[0] != ".":
            yield from _unread(below, deep, flat)


def masks_elsewhere(root: Path, images: Sequence[Path], masks: Path) -> list[str]:
    """A note on a folder that may be that of the masks, where no mask was found.

    Args:
        root: the data folder.
        images: those without masks.
        masks: the folder in which their masks should be.
    """
    stems = {image.stem for image in images}
    others = {masks, root / "unlabeled", *(root / name for some in NAMES.values() for name in some)}
    with suppress(OSError):  # what may not be looked into
        for folder in sorted(p for p in masks.parent.iterdir() if p.is_dir() and p not in others):
            if folder.name[0] == "." or any(image.is_relative_to(folder) for image in images):
                continue
            files = list_files(folder, (*IMAGE_SUFFIXES, LABELME_SUFFIX))
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
    below = [path for path in without_results(list_images(root), root) if path.parent != root]
    masks = masks_beside(below, alike=True)
    if not below:
        return ""
    return (
        f"Its subfolders hold {len(below) - len(masks)} images and, beside them, {len(masks)} "
        f"masks: move the folders as they are into {root / 'images'}; masks that have folders of "
        f"their own go into {root / 'masks'}, under their images' paths (images/day1/07.jpg, "
        "masks/day1/07.png). "
    )
