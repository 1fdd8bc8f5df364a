"""A data folder: which images there are, which have masks, and which classes the masks hold.

```
DATA/
  train/
    images/   photographs, in subfolders or not
    masks/    one mask of the same stem for each labeled image
  val/        images/ and masks/; without it a part of the labeled images is held out
  test/       images/ and masks/; optional, scored by `semiseg evaluate --split test` alone
  unlabeled/  more photographs without masks; optional
  classes.yaml  names, ids and colors of the classes; optional
```

An image of `train` without a mask of its stem is unlabeled. Other shapes of the folder, by what is
there; the first that fits counts:

* `train.txt`, maybe `val.txt` and `test.txt`: an image a line, with its mask or without
  (`lists.listed_samples`). The lists decide; nothing else is read.
* what shows it to be one of the data sets of `semiseg.data.datasets`: its official tree.
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

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes import infer_classes, read_classes
from semiseg.data.classes_file import classes_files
from semiseg.data.datasets import find_dataset
from semiseg.data.formats.codes import MaskScan, scan_mask
from semiseg.data.formats.images import image_size, list_images
from semiseg.data.formats.masks import Classes
from semiseg.data.hints import TREE, masks_elsewhere, nothing_to_train_on, passed_over
from semiseg.data.layouts import SPLITS, find_folders, split_lists, unlabeled_folder
from semiseg.data.lists import listed_samples, voc_samples
from semiseg.data.pairs import PHOTOGRAPHS, by_name, masks_beside, pair


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
        dataset: the name of the data set that it is, `folder` for none, or None to recognize it.

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
            f"images: nothing can be learned. {''.join(f'{note}. ' for note in notes)}{TREE}"
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
    known, lists = find_dataset(root, dataset), split_lists(root)
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
        if folders is not None and split == "train":
            blank = [] if any(s.mask for s in samples) else [s.image for s in samples]
            notes += masks_elsewhere(root, blank, folders.masks) or passed_over(
                root, {s: f for s in SPLITS if (f := find_folders(root, s, dataset))}
            )
    if split == "train" and not samples:
        raise DataError(nothing_to_train_on(root, lists))
    return samples, notes


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

    They lie below `unlabeled/images`, or below `unlabeled` where there is no such folder. Masks
    beside them (`07_mask.png`) are passed over, too.

    Raises:
        DataError: two images of one name.
    """
    folder = unlabeled_folder(root)
    files = list_images(folder) if folder.is_dir() else []
    if files and split_lists(root) and find_dataset(root, dataset) is None:
        note = f"{len(files)} images of {folder} count only where train.txt lists them"
        return [], [note]
    masks = [p for p in masks_beside(files) if p.suffix.lower() not in PHOTOGRAPHS]
    named = by_name(sorted(set(files) - set(masks)), folder)
    samples = [Sample(f"unlabeled/{name}", path, None) for name, path in named.items()]
    if not masks:
        return samples, []
    return samples, [f"{len(masks)} masks in {folder} are passed over (first: {masks[0].name})"]


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
        gray = scan.encoding == "colors" and classes.encoding == "ids"
        codes = {c & 0xFF if gray else c: n for c, n in scan.counts.items()}
        strange = sorted(set(codes) - set(index))
        if strange:
            raise classes.unknown_codes(strange, scan.path, scan.labels)
        result[scan.path] = {index[c]: n for c, n in codes.items() if index[c] != IGNORE_INDEX}
    return result
