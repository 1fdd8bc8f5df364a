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

An image of `train` without a mask of its stem is unlabelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from semiseg.data.images import image_size, list_images
from semiseg.data.masks import Classes, MaskScan, infer_classes, read_classes, scan_mask
from semiseg.errors import DataError
from semiseg.types import IGNORE_INDEX, Sample

SPLITS = ("train", "val", "test")
_TREE = (
    "Expected DATA/train/images and DATA/train/masks (a mask has its image's name), "
    "DATA/val/images and DATA/val/masks, and optionally DATA/unlabeled."
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


def open_folder(root: Path, classes_file: Path | None = None) -> DataFolder:
    """Read a data folder: list the images, scan every mask, settle the classes.

    Args:
        root: the folder, laid out as this module's docstring draws it.
        classes_file: instead of `root/classes.yaml`.

    Raises:
        DataError: no folder, no images, no masks, unreadable masks, masks of another size than
            their image, or masks that do not fit the classes.
    """
    found = {split: find_samples(root, split) for split in SPLITS}
    samples = {split: pairs for split, (pairs, _) in found.items()}
    notes = [note for _, split_notes in found.values() for note in split_notes]
    labeled = [s for split in SPLITS for s in samples[split] if s.mask is not None]
    if not any(s.mask for s in samples["train"]):
        raise DataError(
            f"{root / 'train'} has no mask that belongs to one of its images: nothing can be "
            f"learned. {_TREE}"
        )
    scans = [scan_mask(s.mask) for s in labeled if s.mask is not None]
    for sample, scan in zip(labeled, scans, strict=True):
        _same_size(sample, scan)
    path = classes_file or root / "classes.yaml"
    if classes_file is not None and not path.is_file():
        raise DataError(f"{path} does not exist; --classes names a YAML file with the classes.")
    classes, said = read_classes(path, scans) if path.is_file() else infer_classes(scans)
    pixels = _pixels(scans, classes)
    val, test = (tuple(s for s in samples[x] if s.mask is not None) for x in ("val", "test"))
    train = (*samples["train"], *_extra(root))
    return DataFolder(root, classes, train, val, test, pixels, (said, *notes))


def find_samples(root: Path, split: str) -> tuple[list[Sample], list[str]]:
    """The images of one split with their masks, and notes on masks without an image.

    Raises:
        DataError: no such folder, two images or two masks of one name, or no training images.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. {_TREE}")
    images = _by_name(root / split / "images")
    if split == "train" and not images:
        raise DataError(f"{root / split / 'images'} holds no images. {_TREE}")
    masks = _by_name(root / split / "masks")
    lonely = sorted(set(masks) - set(images))
    notes = []
    if lonely:
        notes.append(
            f"{len(lonely)} masks in {root / split / 'masks'} belong to no image and are passed "
            f"over (first: {masks[lonely[0]].name})"
        )
    return [Sample(name, path, masks.get(name)) for name, path in images.items()], notes


def _extra(root: Path) -> list[Sample]:
    """The images below `unlabeled/images`, or below `unlabeled` where there is no such folder."""
    folder = root / "unlabeled"
    folder = folder / "images" if (folder / "images").is_dir() else folder
    return [Sample(f"unlabeled/{name}", path, None) for name, path in _by_name(folder).items()]


def _by_name(folder: Path) -> dict[str, Path]:
    """Image files by their path below `folder` without the suffix, sorted by that name."""
    found: dict[str, Path] = {}
    for path in list_images(folder) if folder.is_dir() else []:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(
                f"{found[name]} and {path} have the same name, so that it is not clear which of "
                "them belongs to which mask. Rename or remove one."
            )
        found[name] = path
    return dict(sorted(found.items()))


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
            raise DataError(classes.unknown(strange, scan.path))
        result[scan.path] = {index[c]: n for c, n in codes.items() if index[c] != IGNORE_INDEX}
    return result
