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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from semiseg.core.addresses import is_url
from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import IGNORE_INDEX, NOTHING_SAID, Arrangement, Sample
from semiseg.data.band_choice import choose_bands
from semiseg.data.cache import ScanCache
from semiseg.data.class_choice import ClassChoice, settle_classes
from semiseg.data.corrected import read_corrected
from semiseg.data.dataset import Dataset, name_below
from semiseg.data.dataset_file import DatasetFile, read_dataset_file
from semiseg.data.defects import find_defects
from semiseg.data.findings import Finding, Severity, error_of
from semiseg.data.formats.codes import MaskScan
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.raster_windows import split_window
from semiseg.data.image_findings import describe_images
from semiseg.data.layout_registry import below, find_layout, read_split
from semiseg.data.layouts.accounting import account
from semiseg.data.layouts.explicit import list_unlabeled_folders
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.layouts.places import pool_place
from semiseg.data.masks.mask_rules import Rescan, SettledMasks, settle_masks, without_voids
from semiseg.data.masks.orientations import find_turns
from semiseg.data.pools.pool import open_pool
from semiseg.data.pools.pool_sample import PoolSample, sample_pool
from semiseg.data.scan import Progress, Scans, rescan_masks, scan_files
from semiseg.data.tiles.expand import TileSettings, expand_listings
from semiseg.data.tree import SPLITS, Tree
from semiseg.data.value_range import infer_reading

_ORDER = ("train", "unlabeled", "val", "test")


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
    pool, refusal = _open_pool(root, flags, file)
    listings = _list_images(root, layout, flags, file)
    tiles = TileSettings.of(flags, file, reading)
    with warnings.catch_warnings():  # Pillow warns about odd headers, and reading says what is odd
        warnings.simplefilter("ignore")
        listings = expand_listings(layout.tree.root, listings, tiles)
        own_masks = [s.mask for s in listings["train"].samples if s.mask is not None]
        corrected = read_corrected(flags.corrected, _names(listings))
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
    samples = {split: _without_extras(listings[split].samples, scans) for split in _ORDER}
    user_files = [classes_file] if classes_file else file.classes_files
    class_files = layout.class_files(root, own_masks)
    settle = partial(settle_classes, layout, user_files, class_files)
    turns = find_turns(everything, scans, reading, flags.exif or file.content.exif or "auto")
    meaning = _read_masks(root, layout, settle, scans.masks, partial(rescan_masks, cache))
    meaning = meaning.turned(turns.is_turned)
    choice = meaning.choice
    own_files = [*user_files, *(f.path for f in class_files), *([file.path] if file.path else [])]
    findings = [
        *file.findings,
        *bands.findings,
        *layout.remarks,
        *_findings_of(root, layout, listings),
        *refusal,
        *(pool.findings() if pool is not None else ()),
        *choice.findings,
        *_account(root, layout, listings, own_files),
        *meaning.masks.findings,
        *turns.findings(partial(name_below, root)),
    ]
    counts, unknown = _count_all(meaning)
    samples = {split: _without_void_tiles(samples[split], counts) for split in _ORDER}
    contents = Dataset(
        root=root,
        samples=samples,
        images=scans.images,
        masks=meaning.masks.scans,
        problems=scans.problems,
        class_list=choice.classes,
        has_named_classes=meaning.has_names,
        inferred=choice.inferred,
        counts=counts,
        unknown_codes=unknown,
        findings=tuple(dict.fromkeys(findings)),
        reading=reading,
        bands=bands.bands,
        corrected=frozenset(sample.image for sample in corrected.samples),
        group=flags.group or file.content.group,
        pool=pool,
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
    """Read a data folder that has to be usable.

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
    listings = expand_listings(layout.tree.root, listings, settings, [split])
    listing = listings[split]
    if split == "train":
        corrected = read_corrected(flags.corrected, _names(listings))
        listing = corrected.join(listings)[split]
    findings = [*file.findings, *listing.findings]
    error = next((f for f in findings if f.severity == "error"), None)
    if error is not None:
        raise DataError(error.text)
    return list(listing.samples)


class _Meaning(NamedTuple):
    """What the masks of a data folder mean.

    Attributes:
        masks: all masks, and the rule by which they are read together.
        choice: the classes.
        has_names: whether a file or the layout names the classes.
    """

    masks: SettledMasks
    choice: ClassChoice
    has_names: bool

    @property
    def usable(self) -> dict[Path, MaskScan]:
        """The masks that may add classes: a soft one only where the classes have names."""
        scans = self.masks.scans.items()
        return {mask: scan for mask, scan in scans if self.has_names or not scan.is_soft}

    def turned(self, is_turned: bool) -> _Meaning:
        """The same, with a rule that says whether masks show the stored pixels of their images."""
        classes = self.choice.classes
        if classes is None:
            return self
        rule = replace(self.masks.rule, is_turned=is_turned)
        choice = self.choice._replace(classes=replace(classes, rule=rule))
        return self._replace(choice=choice)


def _read_masks(
    root: Path,
    layout: Layout,
    settle: Callable[[list[MaskScan]], ClassChoice],
    scans: Mapping[Path, MaskScan],
    rescan: Rescan,
) -> _Meaning:
    """Decide how the masks are read and what their classes are.

    Named classes decide how masks are read, and how they are read decides the other classes.

    Args:
        root: the data folder.
        layout: of the data folder.
        settle: finds the classes of masks.
        scans: all masks, as they are stored.
        rescan: scans masks again.
    """
    first = settle(list(map(without_voids, scans.values())))
    has_names = first.file is not None or layout.names_classes
    names = first.classes if has_names else None
    masks = settle_masks(scans, names, rescan, partial(name_below, root))
    meaning = _Meaning(masks, first, has_names)
    choice = settle(list(map(without_voids, meaning.usable.values())))
    return _Meaning(masks, choice, choice.file is not None or layout.names_classes)


def _count_all(
    meaning: _Meaning,
) -> tuple[dict[Path, Mapping[int, int]], dict[Path, Sequence[int]]]:
    """The pixels of each class in the usable masks, and the codes of no class by mask."""
    counts: dict[Path, Mapping[int, int]] = {}
    unknown: dict[Path, Sequence[int]] = {}
    if meaning.choice.classes is not None:
        usable = meaning.usable
        for mask, scan in meaning.masks.scans.items():
            pixels, strange = _count_classes(scan, meaning.choice.classes)
            if strange:
                unknown[mask] = strange
            elif mask in usable:
                counts[mask] = pixels
    return counts, unknown


def _list_images(
    root: Path, layout: Layout, flags: Arrangement, file: DatasetFile
) -> dict[str, Listing]:
    """The images by split, in the order of `_ORDER`."""
    listings = {split: read_split(layout, split) for split in SPLITS}
    labeled = [sample for listing in listings.values() for sample in listing.samples]
    listings["unlabeled"] = _read_unlabeled(root, layout, flags, file, labeled)
    return {split: listings[split] for split in _ORDER}


def _names(listings: Mapping[str, Listing]) -> list[str]:
    """The names of all images."""
    return [sample.name for listing in listings.values() for sample in listing.samples]


def _findings_of(root: Path, layout: Layout, listings: Mapping[str, Listing]) -> list[Finding]:
    """What was noticed on names and folders, with paths below the data folder."""
    findings = [finding for listing in listings.values() for finding in listing.findings]
    if layout.tree.root == root:
        return findings
    return list(below(findings, layout.tree.root.relative_to(root).as_posix()))


def _open(root: Path, dataset: str | None, flags: Arrangement) -> Layout:
    if not root.is_dir():
        raise DataError(f"There is no folder {root}.", "Correct the path to the data.")
    tree = Tree(root)
    return find_layout(tree, dataset or read_dataset_file(tree).content.dataset, flags)


def _dataset_file(root: Path, layout: Layout) -> DatasetFile:
    """What `dataset.yaml` says, in the data folder or in the only folder that it holds."""
    file = read_dataset_file(layout.tree.at(root))
    return file if file.path is not None else read_dataset_file(layout.tree)


def _read_unlabeled(
    root: Path,
    layout: Layout,
    flags: Arrangement,
    file: DatasetFile,
    samples: Sequence[Sample],
) -> Listing:
    """The images without masks beside those of the layout; an error becomes a finding.

    A pool takes their place; its files are accounted for.
    """
    place = pool_place(root, flags, file)
    if place is not None:
        path = Path(place)
        folder = path if path.is_dir() else path.parent
        inside = not is_url(place) and folder.is_relative_to(root)
        files = folder.rglob("*") if path.is_dir() else [path, *folder.glob("*.tar")]
        return Listing(sources=list(files) if inside else [])
    paths = {path for sample in samples for path in (sample.image, sample.mask) if path is not None}
    try:
        listing = list_unlabeled_folders(layout.tree.at(root), flags, file, layout, paths)
    except DataError as error:
        return Listing(findings=[error_of(error)])
    return listing or layout.unlabeled()


def _open_pool(
    root: Path, flags: Arrangement, file: DatasetFile
) -> tuple[PoolSample | None, list[Finding]]:
    """The pool of unlabeled images with its sample; an error becomes a finding."""
    place = pool_place(root, flags, file)
    if place is None:
        return None, []
    try:
        return sample_pool(open_pool(place)), []
    except DataError as error:
        return None, [error_of(error)]


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


def _account(
    root: Path, layout: Layout, listings: Mapping[str, Listing], others: Sequence[Path]
) -> list[Finding]:
    """The findings on files that are not read; not on images where names are ambiguous.

    Args:
        root: the data folder.
        layout: of the data folder.
        listings: the images by split.
        others: further files that are read.
    """
    findings = [finding for listing in listings.values() for finding in listing.findings]
    samples = [sample for listing in listings.values() for sample in listing.samples]
    paths = [path for sample in samples for path in (sample.image, sample.mask) if path is not None]
    paths += [path for listing in listings.values() for path in listing.sources]
    paths += [layout.tree.root / file for finding in findings for file in finding.files]
    severity: Severity = "note" if layout.is_complete else "warning"
    tree, texts = layout.tree.at(root), not layout.names_classes
    if any(finding.severity == "error" for finding in findings):
        paths, texts = [*paths, *tree.images(root)], False
    return account(tree, [*paths, *others], layout.image_remedy(), severity, texts)


def _count_classes(scan: MaskScan, classes: Classes) -> tuple[dict[int, int], list[int]]:
    """Pixels of each class index, 255 for ignored ones, and codes of no class."""
    gray = scan.encoding == "colors" and classes.encoding == "ids"
    pixels: dict[int, int] = {}
    unknown = []
    for code, count in scan.counts.items():
        index = classes.indices.get(code & 0xFF if gray else code)
        if index is None:
            unknown.append(code)
        else:
            pixels[index] = pixels.get(index, 0) + count
    return pixels, unknown
