"""Decodes all images and masks of a data folder on several threads; nothing is raised."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from semiseg.core.errors import DataError, LossyMask
from semiseg.core.types import Sample
from semiseg.data.cache import ScanCache
from semiseg.data.formats.codes import MaskScan
from semiseg.data.formats.image_formats import MissingExtraError
from semiseg.data.formats.image_opening import reason
from semiseg.data.formats.mask_rule import Encoding, MaskRule
from semiseg.data.image_scan import ImageScan

Progress = Callable[[int, int], None]
"""Is called after each file with the number of files that are done, and of all files."""
_MAX_THREADS = 8
_Scan = Callable[[Path], ImageScan] | Callable[[Path], MaskScan]


class Problem(NamedTuple):
    """Why a file cannot be used.

    Attributes:
        reason: the reason in half a sentence.
        values: of a mask that is smeared beyond recognition, its number of values; else None.
        needs_extra: whether an extra of semiseg reads the file, which is not installed.
    """

    reason: str
    values: int | None = None
    needs_extra: bool = False


@dataclass(frozen=True)
class Scans:
    """What the files of a data folder hold.

    Attributes:
        images: the images that can be decoded.
        masks: the masks that can be read.
        problems: the other files.
    """

    images: dict[Path, ImageScan] = field(default_factory=dict)
    masks: dict[Path, MaskScan] = field(default_factory=dict)
    problems: dict[Path, Problem] = field(default_factory=dict)

    def without(self, images: Collection[Path]) -> Scans:
        """The same without some images, of which a finding says what is wrong."""
        kept = {path: scan for path, scan in self.images.items() if path not in images}
        problems = {path: why for path, why in self.problems.items() if path not in images}
        return Scans(kept, self.masks, problems)


def scan_files(cache: ScanCache, samples: Sequence[Sample], progress: Progress) -> Scans:
    """Decode all files, and keep the result in the cache for the next time.

    Args:
        cache: has the result for the files that have not changed.
        samples: the images, with their masks.
        progress: is called after each file.
    """
    jobs: list[tuple[_Scan, Path]] = [(cache.image, sample.image) for sample in samples]
    jobs += [(cache.mask, sample.mask) for sample in samples if sample.mask is not None]
    scans = Scans()
    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    try:
        # Pillow warns of large images and of odd metadata; it matters only whether it can decode.
        with warnings.catch_warnings(), _blocks(2 * threads), ThreadPoolExecutor(threads) as pool:
            warnings.simplefilter("ignore")
            for count, (path, scan) in enumerate(pool.map(_attempt, jobs), 1):
                if isinstance(scan, ImageScan):
                    scans.images[path] = scan
                elif isinstance(scan, MaskScan):
                    scans.masks[path] = scan
                else:
                    scans.problems[path] = scan
                progress(count, len(jobs))
    finally:  # after an interruption too: the next time continues from there
        cache.save()
    return scans


def rescan_masks(
    cache: ScanCache, masks: Sequence[Path], rule: MaskRule, encoding: Encoding
) -> Mapping[Path, MaskScan]:
    """Scan masks again in another rule; those that cannot be read are left out.

    Args:
        cache: as for `scan_files`.
        masks: the files.
        rule: as for `scan_mask`.
        encoding: as for `scan_mask`.
    """

    def scan(path: Path) -> MaskScan:
        return cache.mask(path, rule, encoding)

    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")
        results = list(pool.map(_attempt, [(scan, path) for path in masks]))
    cache.save()
    return {path: result for path, result in results if isinstance(result, MaskScan)}


@contextmanager
def _blocks(count: int) -> Iterator[None]:
    """Let Pillow keep the memory of that many images for the next ones.

    By default it returns each image's memory at once; an eighth of the time then goes into new
    pages.
    """
    memory = Image.core  # type: ignore[attr-defined]  # not in Pillow's types
    before = memory.get_blocks_max()
    memory.set_blocks_max(max(before, count))
    try:
        yield
    finally:
        memory.set_blocks_max(before)


def _attempt(job: tuple[_Scan, Path]) -> tuple[Path, ImageScan | MaskScan | Problem]:
    """Scan a file without raising anything: broken bytes may raise any error in a decoder."""
    scan, path = job
    try:
        return path, scan(path)
    except LossyMask as error:
        return path, Problem(_without_path(error, path), error.values)
    except DataError as error:
        if error.__cause__ is not None:
            needs_extra = isinstance(error.__cause__, MissingExtraError)
            return path, Problem(reason(error.__cause__), needs_extra=needs_extra)
        return path, Problem(_without_path(error, path))
    except Exception as error:
        return path, Problem(reason(error))


def _without_path(error: DataError, path: Path) -> str:
    """An error's text without the path with which it begins; the finding names the file."""
    return str(error).removeprefix(str(path)).lstrip(" ,").rstrip(".")
