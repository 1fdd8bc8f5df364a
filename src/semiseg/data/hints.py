"""What to do with a data folder whose layout is unclear, or of which a part is not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from semiseg.core.text import plural
from semiseg.data.findings import Finding, note
from semiseg.data.folders import SPLIT_FOLDERS, unlabeled_folder
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.pairs import Folders, masks_beside, stem_of_image
from semiseg.data.tree import SPLITS, Tree

EXPECTED = (
    "Expected DATA/train/images and DATA/train/masks (a mask has its image's name), "
    "DATA/val/images and DATA/val/masks, and optionally DATA/unlabeled; or DATA/images and "
    "DATA/masks, or images in DATA itself with LabelMe's JSON or NAME_mask.png beside them, or "
    "DATA/train.txt with an image and its mask a line, or a CVAT export with DATA/JPEGImages and "
    "DATA/SegmentationClass."
)
_MAX_NAMED = 5  # folders
_MAX_SHOWN = 8  # names in the data folder


def ignored_folders(tree: Tree, used: Mapping[str, Folders]) -> list[Finding]:
    """Findings on folders whose images are not read.

    Links, runs and what `suggest` wrote are not reported.

    Args:
        tree: the data folder.
        used: the folders that are read, by their splits; `train` is among them.
    """
    root, train = tree.root, used["train"]
    split_of = {root / name: split for split in SPLITS[1:] for name in SPLIT_FOLDERS[split]}
    deep = {unlabeled_folder(tree)}
    deep |= {folders.images for folders in used.values() if folders.deep}
    deep |= {folders.masks for folders in used.values()}
    flat = {folders.images for folders in used.values() if not folders.deep}
    stems = {path.stem for path in train.files.images}
    findings: list[Finding] = []
    unread: dict[Path, int] = {}
    for folder, files in _unread(tree, root, deep, flat):
        pictures = set(files) - set(masks_beside(files, with_png=True))
        split = split_of.get(folder)
        if not pictures:
            continue
        if split is None and all(p.suffix == ".png" and p.stem in stems for p in pictures):
            holds = "it holds PNG files of the images' names, which may be masks or pictures"
            findings.append(note(f"{folder} is ignored: {holds}"))
        elif split is None:
            unread[folder] = len(pictures)
        elif split in used:
            findings.append(note(f"{folder} is ignored, because {used[split].images} is read"))
        else:
            remedy = f"To be scored they need masks, beside them or in {folder / 'masks'}."
            findings.append(_not_read(len(pictures), str(folder), remedy))
    if unread:
        listing = ", ".join(map(str, list(unread)[:_MAX_NAMED]))
        listing += ", ..." if len(unread) > _MAX_NAMED else ""
        findings.append(_not_read(sum(unread.values()), listing, _where_to_move(root, train)))
    return findings


def _not_read(count: int, folders: str, remedy: str) -> Finding:
    images = plural(count, f"image in {folders} is", f"images in {folders} are")
    message = f"{images} not read"
    return Finding("not-read", "warning", (), message, remedy)


def _where_to_move(root: Path, train: Folders) -> str:
    """What to do with images in folders that are not read."""
    if train.deep:
        labeled = f"Put those to learn from into {train.images}, with their folders"
    elif train.images == root:
        labeled = f"Move all images with their masks into {root / 'images'}, with their folders"
    else:
        labeled = f"Put those to learn from into {train.images}, under names that are free"
    return f"{labeled}, or those without masks into {root / 'unlabeled'}."


def _unread(
    tree: Tree, folder: Path, deep: Set[Path], flat: Set[Path]
) -> Iterator[tuple[Path, list[Path]]]:
    """Folders that are not read, with the images in them.

    Args:
        tree: the data folder.
        folder: to be searched.
        deep: folders that are read, with all below them.
        flat: folders of which only the files are read.
    """
    if folder in deep:
        return
    if not any(part.is_relative_to(folder) for part in (*deep, *flat)):
        yield folder, tree.without_results(tree.images(folder), folder.parent)
        return
    if folder not in flat and not tree.holds_suggestions(folder):
        yield folder, tree.images(folder, deep=False)
    for below in tree.subfolders(folder):
        yield from _unread(tree, below, deep, flat)


def mask_folder_elsewhere(tree: Tree, images: Sequence[Path], masks: Path) -> Finding | None:
    """A note on a folder that may hold the masks, where no mask was found.

    Args:
        tree: the data folder.
        images: those without masks.
        masks: the folder in which their masks should be.
    """
    root = tree.root
    stems = {image.stem for image in images}
    splits = (root / name for names in SPLIT_FOLDERS.values() for name in names)
    excluded = {masks, root / "unlabeled", *splits}
    for folder in tree.subfolders(masks.parent, links=True):
        if folder in excluded or any(image.is_relative_to(folder) for image in images):
            continue
        files = tree.files(folder, (*IMAGE_SUFFIXES, LABELME_SUFFIX))
        if any(path.stem in stems or stem_of_image(path, stems) for path in files):
            remedy = f"If they are the masks, rename the folder to {masks}."
            return note(f"{folder} holds files of the images' names", remedy)
    return None


def nothing_to_train_on(tree: Tree, lists: Sequence[str]) -> Finding:
    """The error for a folder without images to train on.

    Args:
        tree: the data folder.
        lists: the names of the lists that are in it, such as `val.txt`.
    """
    root = tree.root
    if lists:
        return note(
            f"{root} holds {', '.join(lists)}, but no train.txt: no image is listed to train on",
            "Write one, with an image and its mask a line, or remove the other lists.",
            "error",
        )
    names = sorted(
        name + "/" * tree.is_folder(root / name) for name in tree.entries(root) if name[0] != "."
    )
    files = ", ".join(names[:_MAX_SHOWN]) + (", ..." if len(names) > _MAX_SHOWN else "")
    images, masks = tree.images(root, deep=False), root / "masks"
    elsewhere = mask_folder_elsewhere(tree, images, masks)
    if elsewhere or (images and not any(name.endswith("/") for name in names)):
        advice = f" {elsewhere.text}" if elsewhere else ""
        return note(
            f"{root} holds images ({files}), but none has a mask beside it: LabelMe's JSON of its "
            "name, or NAME_mask.png",
            f"Draw some, or put the masks there or into {masks}.{advice}",
            "error",
        )
    return note(
        f"{root / 'train' / 'images'} holds no images, and there is no other folder of training "
        f"images: {root} holds {files or 'nothing'}",
        f"{_move_subfolders(tree)}{EXPECTED} Images are files with the suffixes "
        f"{', '.join(IMAGE_SUFFIXES)}.",
        "error",
    )


def _move_subfolders(tree: Tree) -> str:
    """What to do with images in folders that stand for something else, such as the day."""
    root = tree.root
    below = [p for p in tree.without_results(tree.images(root), root) if p.parent != root]
    masks = masks_beside(below, with_png=True)
    if not below:
        return ""
    images = plural(len(below) - len(masks), "image")
    return (
        f"Its subfolders hold {images} and, beside them, {plural(len(masks), 'mask')}: move the "
        f"folders as they are into {root / 'images'}; masks that have folders of their own go into "
        f"{root / 'masks'}, under their images' paths (images/day1/07.jpg, masks/day1/07.png). "
    )
