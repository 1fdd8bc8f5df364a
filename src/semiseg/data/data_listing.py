"""The images of a data folder by split, the pool beside them, and the files that are not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from semiseg.core.addresses import is_url
from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.core.types import Arrangement
from semiseg.data.dataset_file import DatasetFile
from semiseg.data.findings import Finding, Severity, error_of, note
from semiseg.data.layout_registry import below, read_split
from semiseg.data.layouts.accounting import account
from semiseg.data.layouts.explicit import list_unlabeled_folders
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.layouts.places import pool_place, unlabeled_places
from semiseg.data.pools.pool import open_pool
from semiseg.data.pools.pool_sample import PoolSample, sample_pool
from semiseg.data.tree import SPLITS, Tree

SPLIT_ORDER = ("train", "unlabeled", "val", "test")


def list_images(
    root: Path, layout: Layout, flags: Arrangement, file: DatasetFile
) -> dict[str, Listing]:
    """The images by split, in the order of `SPLIT_ORDER`.

    A folder of unlabeled images that a person names takes its images without masks out of `val` and
    `test`, as the folder `imagesTs` of nnU-Net.
    """
    listings = {split: read_split(layout, split) for split in SPLITS}
    try:
        folders = unlabeled_places(layout.tree.at(root), flags, file)
    except DataError as error:
        listings["unlabeled"] = Listing(findings=[error_of(error)])
    else:
        listings = {
            split: _without_unlabeled(split, listing, folders)
            for split, listing in listings.items()
        }
        listings["unlabeled"] = _read_unlabeled(root, layout, flags, file, listings, folders)
    return {split: listings[split] for split in SPLIT_ORDER}


def image_names(listings: Mapping[str, Listing]) -> list[str]:
    """The names of all images."""
    return [sample.name for listing in listings.values() for sample in listing.samples]


def listing_findings(root: Path, layout: Layout, listings: Mapping[str, Listing]) -> list[Finding]:
    """What was noticed on names and folders, with paths below the data folder."""
    findings = [finding for listing in listings.values() for finding in listing.findings]
    if layout.tree.root == root:
        return findings
    return list(below(findings, layout.tree.root.relative_to(root).as_posix()))


def _read_unlabeled(
    root: Path,
    layout: Layout,
    flags: Arrangement,
    file: DatasetFile,
    listings: Mapping[str, Listing],
    folders: Sequence[Path],
) -> Listing:
    """The images without masks beside those of the layout; an error becomes a finding.

    A pool takes their place; its files are accounted for.
    """
    samples = [sample for listing in listings.values() for sample in listing.samples]
    place = pool_place(layout.tree.at(root), flags, file)
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
    if listing is None:
        return layout.unlabeled()
    scored = [s.image for split in SPLITS[1:] for s in listings[split].samples]
    if not listing.samples and any(_lies_in(image, folders) for image in scored):
        place = ", ".join(map(str, folders))
        message = f"{place}: the images of this folder have masks and belong to val or test"
        remedy = "Name a folder of images without masks with --unlabeled, or none."
        return replace(listing, findings=[note(message, remedy, "error")])
    return listing


def _without_unlabeled(split: str, listing: Listing, folders: Sequence[Path]) -> Listing:
    """The images of a split without those that a person calls unlabeled; a note counts them."""
    moved = {
        sample
        for sample in listing.samples
        if split != "train" and sample.mask is None and _lies_in(sample.image, folders)
    }
    if not moved:
        return listing
    samples = [sample for sample in listing.samples if sample not in moved]
    place = ", ".join(map(str, folders))
    count = plural(len(moved), f"image of {split} is", f"images of {split} are")
    message = f"{count} unlabeled, because {place} is named as the folder of unlabeled images"
    return replace(listing, samples=samples, findings=[*listing.findings, note(message)])


def _lies_in(image: Path, folders: Sequence[Path]) -> bool:
    return any(image.absolute().is_relative_to(folder.absolute()) for folder in folders)


def open_data_pool(
    tree: Tree, flags: Arrangement, file: DatasetFile
) -> tuple[PoolSample | None, list[Finding]]:
    """The pool of unlabeled images with its sample; an error becomes a finding."""
    place = pool_place(tree, flags, file)
    if place is None:
        return None, []
    try:
        return sample_pool(open_pool(place)), []
    except DataError as error:
        return None, [error_of(error)]


def account_files(
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
