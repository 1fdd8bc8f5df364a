"""A data folder: which images there are, which have masks, and which classes the masks hold.

```
DATA/
  train/
    images/   photographs, in subfolders or not
    masks/    one mask of the same stem for each labelled image
  val/        images/ and masks/; without it a part of the labelled images is held out
  test/       images/ and masks/; optional, scored by `semiseg evaluate --split test` alone
  unlabeled/  more photographs without masks; optional
  classes.yaml  names, ids and colours of the classes; optional
```

An image of `train` without a mask of its stem is unlabelled. Other shapes of the folder, by what is
there; the first that fits counts:

* `train.txt`, maybe `val.txt` and `test.txt`: an image a line, with its mask or without
  (`lists.listed_samples`). The lists decide; nothing else is read.
* what shows it to be one of the data sets of `semiseg.data.sets`: its official tree.
* `SegmentationClass/`: VOC's layout, which CVAT exports (`lists.voc_samples`).
* `images/train/` and `masks/train/`, and so on: the splits lie within.
* `images/` and `masks/`: all of it is `train`.
* images with their masks beside them or in a folder `masks` below, in `train/`, `val/` and `test/`
  or, all of it `train`, in `DATA` itself (`pairs.Folders.files`). Subfolders are not searched.

In folders, `val` may also be called `valid` or `validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.data.classes import infer_classes, read_classes
from semiseg.data.classes_file import classes_files
from semiseg.data.images import IMAGE_SUFFIXES, image_size, list_files, list_images
from semiseg.data.lists import listed_samples, voc_samples
from semiseg.data.masks import DRAWN, Classes, MaskScan, scan_mask
from semiseg.data.pairs import Folders, by_name, pair, stem_of_image
from semiseg.data.sets import find_dataset
from semiseg.errors import DataError
from semiseg.types import IGNORE_INDEX, Sample

SPLITS = ("train", "val", "test")
_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_TREE = (
    "Expected DATA/train/images and DATA/train/masks (a mask has its image's name), "
    "DATA/val/images and DATA/val/masks, and optionally DATA/unlabeled; or DATA/images and "
    "DATA/masks, or images in DATA itself with LabelMe's JSON or NAME_mask.png beside them, or "
    "DATA/train.txt with an image and its mask a line, or a CVAT export with DATA/JPEGImages and "
    "DATA/SegmentationClass."
)


@dataclass(frozen=True)
class DataFolder:
    """A data folder that was read once.

    Attributes:
        root: the folder.
        classes: the classes and how masks spell them.
        train: all training images, with their masks where they have one.
        val: validation images with masks; empty if the folder has none.
        test: test images with masks; empty if the folder has none.
        pixels: for each mask the pixels of each class index in it; ignored pixels left out.
        notes: sentences on what was inferred or passed over.
    """

    root: Path
    classes: Classes
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    pixels: Mapping[Path, Mapping[int, int]]
    notes: tuple[str, ...]


def open_folder(
    root: Path,
    classes_file: Path | None = None,
    scan: Callable[[Path], MaskScan] = scan_mask,
    dataset: str | None = None,
) -> DataFolder:
    """Read a data folder: list the images, scan every mask, settle the classes.

    Args:
        root: the folder, laid out as this module's docstring draws it.
        classes_file: instead of that of the folder (`classes_files`), in any of their forms.
        scan: gives what is in a mask; whoever has read the masks already need not read them again.
        dataset: the name of the data set that it is, `folder` for none, or None to recognise it.

    Raises:
        DataError: no folder, no images, no masks, unreadable masks, masks of another size than
            their image, masks that do not fit the classes, or an image in two splits.
    """
    found = {split: find_samples(root, split, dataset) for split in SPLITS}
    samples = {split: pairs for split, (pairs, _) in found.items()}
    notes = [note for _, split_notes in found.values() for note in split_notes]
    _apart(samples)
    notes += [note for split in SPLITS[1:] for note in _blank(split, samples[split])]
    labeled = [s for split in SPLITS for s in samples[split] if s.mask is not None]
    if not any(s.mask for s in samples["train"]):
        raise DataError(
            f"{root} has no mask that belongs to one of its {len(samples['train'])} training "
            f"images: nothing can be learned. {''.join(f'{note}. ' for note in notes)}{_TREE}"
        )
    scans = [scan(s.mask) for s in labeled if s.mask is not None]
    for sample, found_mask in zip(labeled, scans, strict=True):
        _same_size(sample, found_mask)
    classes, said = settle_classes(root, classes_file, scans, dataset)
    pixels = _pixels(scans, classes)
    val, test = (tuple(s for s in samples[x] if s.mask is not None) for x in ("val", "test"))
    extra, more = find_unlabeled(root, dataset)
    train = (*samples["train"], *extra)
    return DataFolder(root, classes, train, val, test, pixels, (*said, *notes, *more))


def find_samples(
    root: Path, split: str, dataset: str | None = None
) -> tuple[list[Sample], list[str]]:
    """The images of one split with their masks, and notes on what is passed over.

    Of `train`, those below `unlabeled` are left to `find_unlabeled`.

    Raises:
        DataError: no such folder, two images or two masks of one name, two masks for one image, a
            list that does not fit, or no training images.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Correct the path to the data.")
    known, lists = find_dataset(root, dataset), _lists(root)
    notes: list[str] = []
    if known is not None:
        samples = known.samples(root, split)
    elif lists:
        samples = listed_samples(root, lists[split]) if split in lists else []
    elif (root / "SegmentationClass").is_dir():
        samples, notes = voc_samples(root, split)
    else:
        both = root / "train" / "images", root / "images"
        if all(folder.is_dir() for folder in both):
            raise DataError(
                f"There are both {both[0]} and {both[1]}, and which of them is to be trained on is "
                "not clear. Move the images and masks of one into the folders of the other."
            )
        folders = find_folders(root, split, dataset)
        samples, notes = pair(folders) if folders else ([], [])
        if folders and split == "train" and not folders.deep:
            notes += _not_read(root, folders, dataset)
        notes += _other_names(root, split, folders)
        if split == "train" and folders and not any(sample.mask for sample in samples):
            notes += _masks_elsewhere(root, [s.image for s in samples], folders.masks)
    if split == "train" and not samples:
        raise DataError(_nothing(root, lists))
    return samples, notes


def find_folders(root: Path, split: str, dataset: str | None = None) -> Folders | None:
    """Where the images and masks of a split lie, if it is by their names that they belong together.

    None where nothing does, and where others decide: lists, VOC's layout, a data set's own tree.

    Raises:
        DataError: images and masks lie side by side, and which is which is not clear.
    """
    if find_dataset(root, dataset) or _lists(root) or (root / "SegmentationClass").is_dir():
        return None
    places = _apart_from_masks(root, split)
    if len(places) > 1:  # an empty one hides none
        places.sort(key=lambda folders: not list_images(folders.images))
    if places:
        return places[0]
    if _apart_from_masks(root, "train"):
        return None
    mixed = [root / name for name in _NAMES[split]] + [root] * (split == "train")
    beside = (Folders(folder, folder / "masks", deep=False) for folder in mixed)
    return next((folders for folders in beside if folders.files()[1]), None)


def _apart_from_masks(root: Path, split: str) -> list[Folders]:
    """The folders of images alone that are there, with those of their masks, there or not."""
    images, masks = root / "images", root / "masks"
    places = [Folders(root / name / "images", root / name / "masks") for name in _NAMES[split]]
    if all((folder / "train").is_dir() for folder in (images, masks)):
        places += [Folders(images / name, masks / name) for name in _NAMES[split]]
    elif split == "train":
        places.append(Folders(images, masks))
    return [folders for folders in places if folders.images.is_dir()]


def _not_read(root: Path, train: Folders, dataset: str | None) -> list[str]:
    """A note on folders with images that are not read, where masks lie beside their images."""
    others = (find_folders(root, split, dataset) for split in SPLITS[1:])
    used = [train, *(folders for folders in others if folders)]
    read = {root / "unlabeled", *(place for folders in used for place in folders[:2])}
    above = sorted({root, *(folders.images for folders in used)})
    below = [p for folder in above for p in sorted(folder.iterdir()) if p.name[0] != "."]
    unused = [p for p in below if p.is_dir() and not any(r.is_relative_to(p) for r in read)]
    found = [p for p in unused if list_images(p)]
    if root not in read and list_files(root, IMAGE_SUFFIXES, deep=False):
        found.insert(0, root)
    if not found:
        return []
    shown = ", ".join(str(p) for p in found[:5]) + (", ..." if len(found) > 5 else "")
    return [
        f"the images in {shown} are not read: put all images with their masks below "
        f"{root / 'images'}, whose subfolders are, or what has no mask into {root / 'unlabeled'}"
    ]


def _masks_elsewhere(root: Path, images: Sequence[Path], masks: Path) -> list[str]:
    """A note on a folder that may be that of the masks, where no mask was found."""
    stems = {image.stem for image in images}
    others = {root / "unlabeled", *(root / name for names in _NAMES.values() for name in names)}
    for folder in sorted(masks.parent.iterdir()):
        known = folder.name.startswith(".") or folder in {masks, *others}
        if known or not folder.is_dir() or any(p.is_relative_to(folder) for p in images):
            continue
        files = list_files(folder, (*IMAGE_SUFFIXES, DRAWN))
        if any(path.stem in stems or stem_of_image(path, stems) for path in files):
            told = f"{folder} holds files of the images' names: if they are the masks, call it"
            return [f"{told} {masks}"]
    return []


def _other_names(root: Path, split: str, folders: Folders | None) -> list[str]:
    """A note on folders that may be of a split, too, of which another one is read."""
    names = [name for name in _NAMES[split] if (root / name).is_dir()]
    if folders is None or len(names) < 2:
        return []
    others = [root / n for n in names if not folders.images.is_relative_to(root / n)]
    return [f"{p} is passed over, since {folders.images} is read" for p in others if list_images(p)]


def _lists(root: Path) -> dict[str, Path]:
    """The lists in the folder, by split."""
    return {s: root / f"{s}.txt" for s in SPLITS if (root / f"{s}.txt").is_file()}


def _nothing(root: Path, lists: Mapping[str, Path]) -> str:
    """What to say where there is no image to train on."""
    if lists:
        return (
            f"{root} holds {', '.join(p.name for p in lists.values())}, but no train.txt: no image "
            "is listed to train on. Write one, with an image and its mask a line, or remove the "
            "other lists."
        )
    held = sorted(p.name + "/" * p.is_dir() for p in root.iterdir() if p.name[0] != ".")
    shown = ", ".join(held[:8]) + (", ..." if len(held) > 8 else "")
    images, masks = list_files(root, IMAGE_SUFFIXES, deep=False), root / "masks"
    elsewhere = _masks_elsewhere(root, images, masks)
    if elsewhere or (images and not any(name.endswith("/") for name in held)):
        return (
            f"{root} holds images ({shown}), but none has a mask beside it: LabelMe's JSON of its "
            f"name, or NAME_mask.png. Draw some, or put the masks there or into {masks}"
            f"{''.join(f' ({told})' for told in elsewhere)}."
        )
    return (
        f"{root / 'train' / 'images'} holds no images, nor is there another folder of training "
        f"images: {root} holds {shown or 'nothing'}. {_TREE} Images are files of the suffixes "
        f"{', '.join(IMAGE_SUFFIXES)}."
    )


def _apart(samples: Mapping[str, Sequence[Sample]]) -> None:
    """Raises for an image in two splits."""
    split_of: dict[Path, str] = {}
    for split, some in samples.items():
        twice = [s for s in some if split_of.setdefault(s.image, split) != split]
        if twice:
            raise DataError(
                f"{len(twice)} images are listed in {split_of[twice[0].image]} and in {split} "
                f"(first: {twice[0].image}): what was trained on cannot be scored. Remove them "
                "from one of the lists."
            )


def _blank(split: str, samples: Sequence[Sample]) -> list[str]:
    blank = sum(s.mask is None for s in samples)
    if not blank:
        return []
    return [f"{blank} of {len(samples)} images of {split} have no mask and are not scored"]


def settle_classes(
    root: Path, classes_file: Path | None, scans: Sequence[MaskScan], dataset: str | None = None
) -> tuple[Classes, list[str]]:
    """The classes as a file, the data set or the masks have them, and what to say of it."""
    if classes_file is not None and not classes_file.is_file():
        raise DataError(
            f"{classes_file} does not exist; --classes names a file in the form of classes.yaml, "
            "labelmap.txt or _classes.csv."
        )
    there = classes_files(root)
    path = classes_file or next(iter(there), None)
    known = find_dataset(root, dataset)
    if path is None and known is not None:
        classes = known.classes(root, [scan.path for scan in scans])
        return classes, [f"read as {known.title} ({known.name}), {len(classes)} classes"]
    classes, said = read_classes(path, scans) if path else infer_classes(scans)
    unread = [str(p) for p in there if p != path]
    return classes, [said, *[f"{p} is passed over" for p in unread]]


def find_unlabeled(root: Path, dataset: str | None = None) -> tuple[list[Sample], list[str]]:
    """The images of `unlabeled`, and a note where lists decide and they are passed over.

    They lie below `unlabeled/images`, or below `unlabeled` where there is no such folder.

    Raises:
        DataError: two images of one name.
    """
    folder = root / "unlabeled"
    folder = folder / "images" if (folder / "images").is_dir() else folder
    files = list_images(folder) if folder.is_dir() else []
    if files and _lists(root) and find_dataset(root, dataset) is None:
        note = f"{len(files)} images of {folder} count only where train.txt lists them"
        return [], [note]
    named = by_name(files, folder)
    return [Sample(f"unlabeled/{name}", path, None) for name, path in named.items()], []


def _same_size(sample: Sample, scan: MaskScan) -> None:
    size = image_size(sample.image)
    if size != scan.size:
        raise DataError(
            f"{scan.path} is {scan.size[0]} x {scan.size[1]} pixels, but its image {sample.image} "
            f"is {size[0]} x {size[1]}. Export the mask at the image's size."
        )


def _pixels(scans: Iterable[MaskScan], classes: Classes) -> dict[Path, dict[int, int]]:
    """Pixels of each class by mask; raises for codes that belong to no class."""
    index = {code: i for i, code in enumerate(classes.codes)}
    index.update(dict.fromkeys(classes.ignored, IGNORE_INDEX))
    result: dict[Path, dict[int, int]] = {}
    for scan in scans:
        grey = scan.encoding == "colors" and classes.encoding == "ids"
        codes = {c & 0xFF if grey else c: n for c, n in scan.counts.items()}
        strange = sorted(set(codes) - set(index))
        if strange:
            raise DataError(classes.unknown(strange, scan.path, scan.labels))
        result[scan.path] = {index[c]: n for c, n in codes.items() if index[c] != IGNORE_INDEX}
    return result
