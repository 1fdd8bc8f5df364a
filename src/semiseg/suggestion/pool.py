"""The images to choose the first ones from, and the data folder around them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.core.types import NOTHING_SAID, Arrangement, NamedBands, Sample
from semiseg.data.band_choice import choose_bands
from semiseg.data.dataset_file import DatasetFile, read_dataset_file
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.stems import stem
from semiseg.data.image_scan import ImageScan, scan_image
from semiseg.data.layout_registry import find_layout, read_split
from semiseg.data.layouts.layout import Layout
from semiseg.data.layouts.places import pool_place
from semiseg.data.tiles.expand import TileSettings, expand_images, expand_listings
from semiseg.data.tree import Tree
from semiseg.data.value_range import infer_reading
from semiseg.inference.sources import find_images

logger = logging.getLogger(__name__)

MAX_SCANNED = 64
"""The images that show which values are black and white."""


class DataFolder(NamedTuple):
    """What a data folder says about its images.

    Attributes:
        root: the folder.
        labeled: the images of `train` that have masks; tiles of large rasters.
        mask_files: the files of all masks.
        scored: the images of `val` and `test`, with masks or without.
        images: the folder of the images to train on; None if there are several, or none.
        masks: the folder for their masks, there or not; None where `images` is. A mask has the
            path and the name of its image.
        file: what `dataset.yaml` says of it.
        tiles: how large rasters are read.
    """

    root: Path
    labeled: list[Sample]
    mask_files: set[Path]
    scored: set[Path]
    images: Path | None
    masks: Path | None
    file: DatasetFile
    tiles: TileSettings


class Pool(NamedTuple):
    """The images to choose from.

    Attributes:
        images: the files by the name of their copies in the output folder, sorted.
        folder: the data folder; None if the images are no folder.
        address: of the packed pool that the images come from; None for files.
    """

    images: Mapping[str, Path]
    folder: DataFolder | None
    address: str | None = None


def find_pool(images: Path, out: Path, data: Path | None = None) -> Pool:
    """Find the images that may be labeled: without masks, and not of `val` or `test`.

    Args:
        images: as for `find_images`.
        out: the output folder, whose files do not count.
        data: the data folder; None for `images`, if that is a folder.

    Raises:
        DataError: there are no images, all of them have masks or belong to `val` or `test`, or
            there is no folder `data`.
    """
    sources = find_images(images, out)
    for sentence in sources.notes:
        logger.info("%s", sentence)
    for sentence in sources.warnings:
        logger.warning("%s", sentence)
    root = data or (images if images.is_dir() else None)
    if root is None:
        return Pool(dict(sorted(sources.images.items())), None)
    folder = read_folder(root)
    rasters = {
        name: f for name, f in sources.images.items() if f.resolve() not in folder.mask_files
    }
    candidates, counts = leave_out_labeled(expand_images(root, rasters, folder.tiles), folder)
    if counts:
        logger.info("%s are left out", " and ".join(counts))
    if not candidates:
        raise DataError(
            f"{images} holds no image to choose from: there are only {' and '.join(counts)}.",
            remedy_of(
                images,
                f"Put images without masks into {root / 'unlabeled'}, or name another folder.",
            ),
        )
    names = _named_below(folder.images, candidates)
    return Pool(dict(sorted(names.items())), folder)


def remedy_of(images: Path, otherwise: str) -> str:
    """What to do if a place holds no image to choose from; its unlabeled images may be a pool.

    Args:
        images: the place.
        otherwise: what to do if there is no pool.
    """
    if not images.is_dir():
        return otherwise
    tree = Tree(images)
    place = pool_place(tree, NOTHING_SAID, read_dataset_file(tree))
    return otherwise if place is None else f"Name the pool of its unlabeled images instead: {place}"


def leave_out_labeled(
    images: Mapping[str, Path], folder: DataFolder
) -> tuple[dict[str, Path], list[str]]:
    """Leave out the images of a data folder that have masks or belong to `val` or `test`.

    Args:
        images: the files by their names; masks among them are left out, too.
        folder: the data folder.

    Returns:
        The other images, and how many were left out, in words.
    """
    labeled = {sample.image.resolve() for sample in folder.labeled}
    masks = folder.mask_files
    files = {name: file for name, file in images.items() if file.resolve() not in masks}
    scored = {name for name, file in files.items() if file.resolve() in folder.scored}
    masked = {name for name, file in files.items() if file.resolve() in labeled}
    ignored = ((scored, "of val and test"), (masked, "that have masks already"))
    counts = [f"{plural(len(names), 'image')} {kind}" for names, kind in ignored if names]
    return {name: f for name, f in files.items() if name not in scored | masked}, counts


def read_folder(root: Path, flags: Arrangement = NOTHING_SAID) -> DataFolder:
    """Read what the names in a data folder say; no image is opened but large rasters.

    Args:
        root: the data folder.
        flags: how large rasters are read; they win over `dataset.yaml`.

    Raises:
        DataError: there is no such folder.
        ConfigError: its `dataset.yaml` names a data set that does not exist.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}.", "Correct the path to the data.")
    tree = Tree(root)
    layout = find_layout(tree, read_dataset_file(tree).content.dataset)
    whole = {split: read_split(layout, split) for split in ("train", "val", "test")}
    masks = [sample.mask for listing in whole.values() for sample in listing.samples]
    file = read_dataset_file(layout.tree)
    tiles = TileSettings.of(flags, file, file.complete(AS_STORED))
    listings = expand_listings(layout.tree.root, whole, tiles)
    scored = [sample.image for split in ("val", "test") for sample in listings[split].samples]
    families = layout.families
    scored += [path for f in families if f.split in ("val", "test") for path in f.images]
    labeled = [sample for sample in listings["train"].samples if sample.mask is not None]
    places = _places(layout, [s for s in whole["train"].samples if s.mask is not None])
    return DataFolder(
        root=root,
        labeled=labeled,
        mask_files={mask.resolve() for mask in masks if mask is not None},
        scored={path.resolve() for path in scored},
        images=None if places is None else places[0],
        masks=None if places is None else places[1],
        file=file,
        tiles=tiles,
    )


def is_below(file: Path, folder: Path) -> bool:
    """Whether a file lies in a folder or below it; one path may be relative, the other absolute."""
    return file.absolute().is_relative_to(folder.absolute())


def infer_pool_reading(pool: Pool, reading: Reading, named: NamedBands) -> Reading:
    """How images are read: their bands, and the black and white of those of more than 8 bits.

    Args:
        pool: the images; up to 64 of them are decoded, the same ones at each call.
        reading: what a person says; it is not inferred.
        named: the bands that have names.

    Raises:
        DataError: the images do not have these bands, or some images have others.
    """
    paths = list(pool.images.values())
    labeled: list[Path] = []
    if pool.folder is not None:
        flags = NOTHING_SAID._replace(bands=named.bands, rgb=named.rgb)
        reading = pool.folder.file.complete(reading, flags)
        named = pool.folder.file.named(flags, reading)
        labeled = [sample.image for sample in pool.folder.labeled]
    choice = choose_bands([*paths, *labeled], reading, named)
    error = next((f for f in choice.findings if f.severity == "error"), None)
    if error is not None:
        raise DataError(error.text)
    reading = choice.reading
    order = Key.of(0, "suggest", "reading").numpy().permutation(len(paths))
    sampled = [paths[i] for i in sorted(order[:MAX_SCANNED])]
    scans: dict[Path, ImageScan] = {}
    for path in sampled:
        try:
            scans[path] = scan_image(path, reading)
        except DataError:
            continue  # it is named when its description fails
    return infer_reading(sampled, scans, reading).reading


def _places(layout: Layout, labeled: list[Sample]) -> tuple[Path, Path] | None:
    """The folders of the images to train on and of their masks, if masks have the images' names."""
    try:
        folders = layout.folders("train")
    except DataError:  # it is ambiguous which files are masks
        return None
    if folders is None:
        root = layout.tree.root
        is_plain = not any(f.content or f.split for f in layout.families) and not labeled
        return (root, root / "masks") if is_plain else None
    images, masks = folders.images, folders.masks

    def is_named_alike(sample: Sample) -> bool:
        image, mask = sample.image, sample.mask
        if mask is None or mask.suffix.lower() == LABELME_SUFFIX:
            return False
        if not (image.is_relative_to(images) and mask.is_relative_to(masks)):
            return False
        below = image.relative_to(images), mask.relative_to(masks)
        return below[0].with_suffix("") == below[1].with_suffix("")

    return (images, masks) if all(map(is_named_alike, labeled)) else None


def _named_below(base: Path | None, images: dict[str, Path]) -> dict[str, Path]:
    """The images by the names that they have, or would get, below the folder of images.

    So a mask with the name of a copy fits into the folder of masks. An image that lies elsewhere
    would lie directly in the folder. If two images would have the same name, all keep theirs.
    """
    if base is None:
        return images
    names: dict[str, Path] = {}
    for name, file in images.items():
        below = Path(file.name)
        if is_below(file, base):
            below = file.absolute().relative_to(base.absolute())
        keeps_suffix = name.endswith(file.name)  # where two images differ only in it
        names[(below if keeps_suffix else below.with_name(stem(below))).as_posix()] = file
    return names if len(names) == len(images) else images
