"""The one reader of data folders.

`read_dataset` lists the folder once, opens each file at most once, and writes every problem down as
a `Finding`. `semiseg check` prints the findings; a training raises the errors among them with
`Dataset.raise_errors`. The registry in `semiseg.data.layout_registry` says which layouts are
understood.
Besides the images of a layout, photographs without masks may lie in `unlabeled/`, and
`classes.yaml` may name the classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.files import is_file
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import IGNORE_INDEX, NOTHING_SAID, Arrangement, Sample
from semiseg.data.band_choice import choose_bands
from semiseg.data.cache import ScanCache
from semiseg.data.class_choice import settle_classes
from semiseg.data.corrected import read_corrected
from semiseg.data.data_listing import (
    SPLIT_ORDER,
    account_files,
    image_names,
    list_images,
    listing_findings,
    open_data_pool,
)
from semiseg.data.dataset import Dataset, name_below
from semiseg.data.dataset_file import DatasetFile, read_dataset_file
from semiseg.data.defects import find_defects
from semiseg.data.formats.raster_windows import split_window
from semiseg.data.image_findings import describe_images
from semiseg.data.layout_registry import find_layout, read_split
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.left_out import leave_out_unreadable
from semiseg.data.listed_masks import use_listed_masks
from semiseg.data.masks.meaning import count_all, read_meaning
from semiseg.data.masks.orientations import find_turns
from semiseg.data.reserved import reserve_listed
from semiseg.data.scan import Progress, Scans, rescan_masks, scan_files
from semiseg.data.tiles.expand import TileSettings, expand_listings
from semiseg.data.tree import SPLITS, Tree
from semiseg.data.value_range import infer_reading


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


def read_dataset(
    root: Path,
    *,
    classes_file: Path | None = None,
    reading: Reading = AS_STORED,
    dataset: str | None = None,
    flags: Arrangement = NOTHING_SAID,
    progress: Progress = no_progress,
) -> Dataset:
    """Read a data folder: list the images, decode each file, settle the classes.

    Args:
        root: the folder.
        classes_file: a file that names the classes, instead of the folder's own.
        reading: how images are read, see `read_image`.
        dataset: the name of a published data set, `folder` for none, or None to recognize one.
        flags: where images and masks lie and which belong together; it wins over `dataset.yaml`.
        progress: is called after each file with the number of files that are done, and of all.

    Returns:
        The data set; what is wrong with it is among its findings.

    Raises:
        DataError: there is no such folder, or no such file of classes.
        ConfigError: there is no such published data set.
    """
    layout = _open(root, dataset, flags)
    file = _dataset_file(root, layout)
    reading = file.complete(reading, flags)
    if classes_file is not None and not classes_file.is_file():
        raise DataError(
            f"{classes_file} does not exist.",
            "--classes names a file such as classes.yaml, labelmap.txt, classes.txt or a table.",
        )
    is_named = (dataset or file.content.dataset) is not None
    pool, refusal = open_data_pool(layout.tree.at(root), flags, file)
    listings = list_images(root, layout, flags, file)
    listings = use_listed_masks(root, layout, listings, flags.label_list)
    tiles = TileSettings.of(flags, file, reading)
    with warnings.catch_warnings():  # Pillow warns about odd headers, and reading says what is odd
        warnings.simplefilter("ignore")
        listings = expand_listings(layout.tree.root, listings, tiles)
        listings, reserved = reserve_listed(listings, flags.reserved)
        own_masks = [s.mask for s in listings["train"].samples if s.mask is not None]
        listed_masks = [s.mask for i in listings.values() for s in i.samples if s.mask is not None]
        corrected = read_corrected(flags.corrected, image_names(listings), reserved)
        listings = corrected.join(listings)
        everything = [sample for listing in listings.values() for sample in listing.samples]
        images = [sample.image for sample in everything]
        if pool is not None:
            listings["unlabeled"] = replace(listings["unlabeled"], samples=pool.samples)
            everything += pool.samples
        bands = choose_bands(images, reading, file.named(flags, reading), partial(name_below, root))
    reading = bands.reading
    cache = ScanCache(root, reading)
    scans = scan_files(cache, everything, progress).without(bands.refused)
    if pool is not None:
        pool = pool.without({path: why.reason for path, why in scans.problems.items()})
        scans = scans.without(pool.unreadable)
        listings["unlabeled"] = replace(listings["unlabeled"], samples=pool.samples)
    # A warning counts the photographs that only an extra can read; the others are usable.
    samples = {split: _without_extras(listings[split].samples, scans) for split in SPLIT_ORDER}
    user_files = [classes_file] if classes_file else file.classes_files
    class_files = layout.class_files(root, own_masks)
    settle = partial(settle_classes, layout, user_files, class_files)
    turns = find_turns(everything, scans, reading, flags.exif or file.content.exif or "auto")
    meaning = read_meaning(root, layout, settle, scans.masks, partial(rescan_masks, cache))
    meaning = meaning.turned(turns.is_turned)
    choice = meaning.choice
    own_files = [*user_files, *(f.path for f in class_files), *([file.path] if file.path else [])]
    findings = [
        *file.findings,
        *bands.findings,
        *layout.remarks,
        *listing_findings(root, layout, listings),
        *refusal,
        *(pool.findings() if pool is not None else ()),
        *choice.findings,
        *account_files(root, layout, listings, own_files),
        *meaning.masks.findings,
        *turns.findings(partial(name_below, root)),
    ]
    counts, unknown = count_all(meaning)
    samples = {split: _without_void_tiles(samples[split], counts) for split in SPLIT_ORDER}
    contents = Dataset(
        root=root,
        samples=samples,
        images=scans.images,
        masks=meaning.masks.scans,
        problems=scans.problems,
        class_list=choice.classes,
        has_named_classes=meaning.has_names,
        recognized=layout.recognized if not (is_named or user_files or class_files) else "",
        inferred=choice.inferred,
        counts=counts,
        unknown_codes=unknown,
        outlines=layout.outlines(),
        findings=tuple(dict.fromkeys(findings)),
        reading=reading,
        bands=bands.bands,
        corrected=frozenset(sample.image for sample in corrected.samples),
        group=flags.group or file.content.group,
        pool=pool,
        background_remedy=layout.background_remedy(listed_masks) if listed_masks else "",
    )
    images = [sample.image for sample in (*contents.train, *contents.val)]
    inferred = infer_reading(images, scans.images, reading)
    contents = replace(contents, reading=inferred.reading)
    findings += [*inferred.findings, *describe_images(contents)]
    defects = find_defects(contents, choice.problem, listings["train"].mask_remedy)
    return replace(contents, findings=(*dict.fromkeys(findings), *defects))


def load_dataset(
    root: Path,
    classes_file: Path | None = None,
    dataset: str | None = None,
    flags: Arrangement = NOTHING_SAID,
) -> Dataset:
    """Read a data folder that has to be usable, without its unreadable images without masks.

    Args:
        root: as for `read_dataset`.
        classes_file: as for `read_dataset`.
        dataset: as for `read_dataset`.
        flags: as for `read_dataset`.

    Raises:
        DataError: the folder cannot be trained on.
        ConfigError: there is no such published data set.
    """
    contents = read_dataset(root, classes_file=classes_file, dataset=dataset, flags=flags)
    contents = leave_out_unreadable(contents)
    contents.raise_errors()
    return contents


def read_samples(
    root: Path, split: str, dataset: str | None = None, flags: Arrangement = NOTHING_SAID
) -> list[Sample]:
    """The images of one split with their masks; their files are not opened.

    Args:
        root: the data folder.
        split: `train`, `val` or `test`; the images below `unlabeled` are not among `train`.
        dataset: as for `read_dataset`.
        flags: as for `read_dataset`.

    Raises:
        DataError: there is no such folder, or its names are ambiguous.
        ConfigError: there is no such published data set.
    """
    layout = _open(root, dataset, flags)
    file = _dataset_file(root, layout)
    settings = TileSettings.of(flags, file, file.complete(AS_STORED))
    # The vector files of all splits decide together what their polygons mean.
    listings = {name: read_split(layout, name) for name in dict.fromkeys([split, *SPLITS])}
    if flags.label_list is not None:
        listings = {"unlabeled": Listing(), **listings}
        listings = use_listed_masks(root, layout, listings, flags.label_list)
    reserved: frozenset[Path] = frozenset()
    if flags.reserved is not None and (split == "test" or is_file(flags.reserved)):
        listings = expand_listings(layout.tree.root, listings, settings, SPLITS)
        listings, reserved = reserve_listed(listings, flags.reserved)
    else:  # the images of train and val can be read without the list
        listings = expand_listings(layout.tree.root, listings, settings, [split])
    listing = listings[split]
    if split == "train":
        corrected = read_corrected(flags.corrected, image_names(listings), reserved)
        listing = corrected.join(listings)[split]
    findings = [*file.findings, *listing.findings]
    error = next((f for f in findings if f.severity == "error"), None)
    if error is not None:
        raise DataError(error.text)
    return list(listing.samples)


def _open(root: Path, dataset: str | None, flags: Arrangement) -> Layout:
    if not root.is_dir():
        raise DataError(f"There is no folder {root}.", "Correct the path to the data.")
    tree = Tree(root)
    return find_layout(tree, dataset or read_dataset_file(tree).content.dataset, flags)


def _dataset_file(root: Path, layout: Layout) -> DatasetFile:
    """What `dataset.yaml` says, in the data folder or in the only folder that it holds."""
    file = read_dataset_file(layout.tree.at(root))
    return file if file.path is not None else read_dataset_file(layout.tree)


def _without_extras(samples: Sequence[Sample], scans: Scans) -> tuple[Sample, ...]:
    """The samples without the unlabeled images that only an extra can read."""
    lacking = {path for path, problem in scans.problems.items() if problem.needs_extra}
    return tuple(s for s in samples if s.mask is not None or s.image not in lacking)


def _without_void_tiles(
    samples: Sequence[Sample], counts: Mapping[Path, Mapping[int, int]]
) -> tuple[Sample, ...]:
    """The samples, where tiles of a raster without a labeled pixel are unlabeled."""
    return tuple(
        sample._replace(mask=None)
        if sample.mask is not None
        and split_window(sample.image)[1] is not None
        and counts.get(sample.mask, {0: 1}).keys() == {IGNORE_INDEX}
        else sample
        for sample in samples
    )
