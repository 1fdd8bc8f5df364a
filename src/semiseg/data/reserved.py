"""Reserved images: a list keeps them out of every training, and those with masks are `test`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.findings import error_of, note
from semiseg.data.groups import POOL
from semiseg.data.image_lists import NameIndex, list_lines
from semiseg.data.layouts.layout import Listing

_TRAINED = ("train", "unlabeled")  # the splits whose images a training may use


class Reserved(NamedTuple):
    """The images by split, where some are reserved.

    Attributes:
        listings: the images by split.
        images: the files of the reserved images, as absolute paths.
    """

    listings: dict[str, Listing]
    images: frozenset[Path] = frozenset()


def reserve_listed(listings: Mapping[str, Listing], path: Path | None) -> Reserved:
    """The images by split, with the images of a list moved out of the training.

    Those with masks become images of `test`; the others are in no split.

    Args:
        listings: the images by split. Without `unlabeled`, an image that the list names and that is
            not there may be one of these.
        path: the list, with one name on each line; None without one.

    Returns:
        The images by split. An error in the list is a finding of `train` and of `test`.
    """
    if path is None:
        return Reserved(dict(listings))
    try:
        reserved = _read(path, listings)
    except DataError as error:
        finding = error_of(error)
        wrong = {
            split: replace(listings[split], findings=[*listings[split].findings, finding])
            for split in ("train", "test")
        }
        return Reserved({**listings, **wrong})
    parts = {
        split: replace(part, samples=[s for s in part.samples if s.image not in reserved])
        if split in _TRAINED
        else part
        for split, part in listings.items()
    }
    masked = [sample for sample in reserved.values() if sample.mask is not None]
    others = [sample.image for sample in reserved.values() if sample.mask is None]
    text = f"{path} reserves {plural(len(masked), 'image')} with masks, which are test images now"
    if others:
        text += f", and {len(others):,} without"
    test = listings["test"]
    parts["test"] = replace(
        test,
        samples=sorted([*test.samples, *masked]),
        findings=[*test.findings, note(f"{text}: no training uses them")],
        sources=[*test.sources, *others],
    )
    return Reserved(parts, frozenset(image.absolute() for image in reserved))


def _read(path: Path, listings: Mapping[str, Listing]) -> dict[Path, Sample]:
    """The images that a list names, by their files.

    Raises:
        DataError: the list cannot be read or names no image, or a line names an image that is not
            there, that belongs to `val`, or whose name is ambiguous.
    """
    samples = [s for split in _TRAINED if split in listings for s in listings[split].samples]
    index, val = NameIndex(samples), NameIndex(listings["val"].samples)
    reserved: dict[Path, Sample] = {}
    try:
        for line in list_lines(path, index):
            if "unlabeled" not in listings and line.words.startswith(POOL):
                continue  # a labeled image may have the same name but for the folder
            where = f"{path}, line {line.number}: "
            sample = index.by_name.get(line.words) or index.find(line.words, where)
            if sample is not None:
                reserved[sample.image] = sample
            elif val.lookup(line.words) is not None:
                raise DataError(
                    f"{where}{line.words} is an image of val, and cannot be reserved.",
                    "Remove the line.",
                )
            elif "unlabeled" in listings:
                raise DataError(
                    f"{where}there is no image {line.words} to train on.",
                    "Remove the line, or restore the image. If images were renamed, write the list "
                    "again with semiseg split --test.",
                )
    except OSError as error:
        raise DataError(
            f"--reserved {path}: the list cannot be read ({error}).",
            "Restore it, or name a list such as reserved.txt of semiseg split --test.",
        ) from error
    except ValueError as error:
        raise DataError(f"--reserved {path} is not a text file ({error}).") from error
    if not reserved and "unlabeled" in listings:
        raise DataError(f"--reserved {path} names no image.", "Write one name on each line.")
    return reserved
