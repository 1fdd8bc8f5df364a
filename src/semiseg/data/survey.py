"""Everything in a data folder, read to its end; what cannot be read is written down, not raised."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from semiseg.checks.findings import Finding
from semiseg.core.errors import DataError, SmearedMask
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.cache import ImageScan, ScanCache, ValueRange
from semiseg.data.classes_file import classes_files
from semiseg.data.dataset import find_samples, find_unlabeled, settle_classes
from semiseg.data.datasets import find_dataset
from semiseg.data.formats.codes import MaskScan
from semiseg.data.formats.images import list_images, reason
from semiseg.data.formats.masks import Classes
from semiseg.data.hints import NOT_READ
from semiseg.data.layouts import SPLITS, find_folders, unlabeled_folder
from semiseg.data.pairs import match

Progress = Callable[[int, int], None]
"""Told after each file how many are done, and of how many."""


class Problem(NamedTuple):
    """Why a file is of no use: the reason, and whether it is a mask smeared beyond recognition."""

    reason: str
    smeared: bool


_Scan = Callable[[Path], ImageScan] | Callable[[Path], MaskScan]


@dataclass(frozen=True)
class Survey:
    """What there is in a data folder.

    Attributes:
        root: the folder.
        samples: by split: `train`, `unlabeled`, `val`, `test`.
        listing: findings on names and folders.
        images: the images that can be decoded.
        masks: the masks that can be read.
        problems: the other files.
        classes: None if they could not be settled; then `inferred` says why.
        named: whether a file names the classes.
        inferred: how the classes were found.
        pixels: for each mask the pixels of each class index in it, 255 for ignored ones; masks
            with unknown codes and smeared ones are left out.
        unknown: the codes that belong to no class, by mask.
    """

    root: Path
    samples: Mapping[str, Sequence[Sample]]
    listing: tuple[Finding, ...]
    images: Mapping[Path, ImageScan]
    masks: Mapping[Path, MaskScan]
    problems: Mapping[Path, Problem]
    classes: Classes | None
    named: bool
    inferred: str
    pixels: Mapping[Path, Mapping[int, int]]
    unknown: Mapping[Path, Sequence[int]]

    def name(self, path: Path) -> str:
        """A file's path below the folder."""
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()

    def labeled(self, *splits: str) -> Iterator[tuple[Sample, Path]]:
        """The samples of the splits that have masks, with these."""
        for split in splits:
            for sample in self.samples[split]:
                if sample.mask is not None:
                    yield sample, sample.mask

    def occurring(self, split: str) -> set[int]:
        """The class indices in the masks of a split."""
        found = {c for _, mask in self.labeled(split) for c in self.pixels.get(mask, ())}
        return found - {IGNORE_INDEX}


def survey(
    root: Path,
    classes_file: Path | None,
    value_range: ValueRange,
    progress: Progress,
    dataset: str | None = None,
) -> Survey:
    """Read all images and masks of a data folder; see `check.examine`.

    Raises:
        DataError: there is no such folder, or no such file of classes.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Correct the path to the data.")
    if classes_file is not None and not classes_file.is_file():
        raise DataError(f"{classes_file} does not exist; --classes names a file with the classes.")
    known = find_dataset(root, dataset)
    found = {split: _samples(root, split, dataset) for split in SPLITS}
    found["unlabeled"] = _unlabeled(root, dataset)
    order = ("train", "unlabeled", "val", "test")
    samples = {split: found[split][0] for split in order}
    listing = tuple(dict.fromkeys(finding for split in order for finding in found[split][1]))
    everything = [s for split in order for s in samples[split]]
    images, masks, problems = _scan(ScanCache(root, value_range), everything, progress)
    named = classes_file is not None or bool(classes_files(root)) or known is not None
    # A smeared mask among good ones must not invent classes; where a file names them it cannot.
    scans = [scan for scan in masks.values() if named or not scan.smeared]
    classes, inferred = _settle(root, classes_file, scans, dataset)
    pixels: dict[Path, dict[int, int]] = {}
    unknown: dict[Path, list[int]] = {}
    for mask, scan in masks.items():
        counts, strange = _by_class(scan, classes) if classes else ({}, [])
        if strange:
            unknown[mask] = strange
        elif classes and (named or not scan.smeared):
            pixels[mask] = counts
    return Survey(
        root, samples, listing, images, masks, problems, classes, named, inferred, pixels, unknown
    )


def _samples(root: Path, split: str, dataset: str | None) -> tuple[list[Sample], list[Finding]]:
    """The samples of one split; where names are not clear, the first file of each name."""
    try:
        samples, notes = find_samples(root, split, dataset)
    except DataError as error:
        told = Finding("error", "layout", str(error).rstrip("."))
        try:
            folders = find_folders(root, split, dataset)
            pictures, drawn = folders.files() if folders else ([], [])
        except DataError:
            return [], [told]
        if folders is None:
            return [], [told]
        images, twice = _by_name(root, pictures, folders.images)
        masks, again = _by_name(root, drawn, folders.masks, folders.images)
        with suppress(DataError):
            masks, _ = match(images, masks)
        samples = [Sample(name, path, masks.get(name)) for name, path in images.items()]
        return samples, _duplicates(twice + again) or [told]
    used = {s.mask for s in samples}
    return samples, [_passed_over(root, split, note, used, dataset) for note in notes]


def _passed_over(
    root: Path, split: str, note: str, used: Set[Path | None], dataset: str | None
) -> Finding:
    """What `find_samples` passed over, with all files where they are masks in a folder."""
    if NOT_READ in note:
        return Finding("warning", "not-read", note)
    if "belong to no image" not in note:
        return Finding("note", "layout", note.rstrip("."))
    folders = find_folders(root, split, dataset)
    lonely = [path for path in folders.files()[1] if path not in used] if folders else []
    return Finding(
        "warning",
        "mask-without-image",
        "Masks that belong to no image and are passed over" if lonely else note.rstrip("."),
        tuple(p.relative_to(root).as_posix() for p in lonely),
        remedy="Give each the name of its image, or remove it.",
    )


def _unlabeled(root: Path, dataset: str | None) -> tuple[list[Sample], list[Finding]]:
    """The unlabeled images; where names are not clear, the first file of each name."""
    try:
        samples, notes = find_unlabeled(root, dataset)
    except DataError as error:
        told = Finding("error", "layout", str(error).rstrip("."))
        folder = unlabeled_folder(root)
        images, twice = _by_name(root, list_images(folder), folder)
        samples = [Sample(f"unlabeled/{name}", path, None) for name, path in images.items()]
        return samples, _duplicates(twice) or [told]
    return samples, [Finding("note", "layout", note.rstrip(".")) for note in notes]


def _by_name(
    root: Path, files: Sequence[Path], *folders: Path
) -> tuple[dict[str, Path], list[tuple[str, str]]]:
    """The first file of each name, which is the path below its folder, and pairs of one name."""
    found: dict[str, Path] = {}
    twice = []
    for path in files:
        folder = next(folder for folder in folders if path.is_relative_to(folder))
        first = found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        if first != path:
            twice.append((path.relative_to(root).as_posix(), first.relative_to(root).as_posix()))
    return found, twice


def _duplicates(twice: Sequence[tuple[str, str]]) -> list[Finding]:
    if not twice:
        return []
    told = Finding(
        "error",
        "duplicate-name",
        "Files of one name, so that it is not clear which image belongs to which mask",
        tuple(path for path, _ in twice),
        tuple(f" beside {first}" for _, first in twice),
        "Rename or remove one of each.",
    )
    return [told]


def _scan(
    cache: ScanCache, samples: Sequence[Sample], progress: Progress
) -> tuple[dict[Path, ImageScan], dict[Path, MaskScan], dict[Path, Problem]]:
    """Decode all files, on several threads, and keep what was found for the next time."""
    jobs: list[tuple[_Scan, Path]] = [(cache.image, s.image) for s in samples]
    jobs += [(cache.mask, s.mask) for s in samples if s.mask is not None]
    images: dict[Path, ImageScan] = {}
    masks: dict[Path, MaskScan] = {}
    problems: dict[Path, Problem] = {}
    threads = min(8, os.cpu_count() or 1)
    try:
        # Pillow warns of large images and of odd metadata; what matters is whether it can decode.
        with warnings.catch_warnings(), _kept(2 * threads), ThreadPoolExecutor(threads) as pool:
            warnings.simplefilter("ignore")
            for done, (path, found) in enumerate(pool.map(_attempt, jobs), 1):
                if isinstance(found, ImageScan):
                    images[path] = found
                elif isinstance(found, MaskScan):
                    masks[path] = found
                else:
                    problems[path] = found
                progress(done, len(jobs))
    finally:  # also when it is interrupted: the next time goes on from there
        cache.save()
    return images, masks, problems


@contextmanager
def _kept(images: int) -> Iterator[None]:
    """Let Pillow keep the memory of so many images for the next ones.

    By default it gives back each image's at once; an eighth of the time then goes into new pages.
    """
    memory = Image.core  # type: ignore[attr-defined]  # not in Pillow's types
    before = memory.get_blocks_max()
    memory.set_blocks_max(max(before, images))
    try:
        yield
    finally:
        memory.set_blocks_max(before)


def _attempt(job: tuple[_Scan, Path]) -> tuple[Path, ImageScan | MaskScan | Problem]:
    """Scan a file without raising anything: a decoder may stumble over bytes in any way."""
    scan, path = job
    try:
        return path, scan(path)
    except DataError as error:
        if error.__cause__ is not None:
            return path, Problem(reason(error.__cause__), smeared=False)
        told = str(error).removeprefix(str(path)).lstrip(" ,").rstrip(".")
        return path, Problem(told, smeared=isinstance(error, SmearedMask))
    except Exception as error:
        return path, Problem(reason(error), smeared=False)


def _settle(
    root: Path, classes_file: Path | None, scans: Sequence[MaskScan], dataset: str | None
) -> tuple[Classes | None, str]:
    """The classes and how they were found, or None and what hinders."""
    if not scans:
        return None, ""
    try:
        classes, said = settle_classes(root, classes_file, scans, dataset)
    except DataError as error:
        return None, str(error)
    return classes, "; ".join(said)


def _by_class(scan: MaskScan, classes: Classes) -> tuple[dict[int, int], list[int]]:
    """Pixels of each class index, 255 for ignored ones, and codes of no class."""
    index = {code: i for i, code in enumerate(classes.codes)}
    index.update(dict.fromkeys(classes.ignored, IGNORE_INDEX))
    gray = scan.encoding == "colors" and classes.encoding == "ids"
    pixels: dict[int, int] = {}
    strange = []
    for code, count in scan.counts.items():
        i = index.get(code & 0xFF if gray else code)
        if i is None:
            strange.append(code)
        else:
            pixels[i] = pixels.get(i, 0) + count
    return pixels, strange
