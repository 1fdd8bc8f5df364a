"""Masks and scores from outside as a teacher, after a comparison with the labeled images.

Masks of foundation models hurt where they are used as they come, and help once they are calibrated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from semiseg.augment.geometric import resize_nearest
from semiseg.config.background import find_background
from semiseg.core.console import track
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import Reading
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.images import image_size, read_valid
from semiseg.data.formats.masks import Classes
from semiseg.data.pixel_cache import reduce_size
from semiseg.data.read_ahead import read_ahead
from semiseg.training.labeling.calibration import (
    MIN_PRECISION,
    Calibration,
    TrueScores,
    count_pixels,
    filter_scores,
    precisions,
)
from semiseg.training.labeling.outside_files import (
    OutsideFiles,
    find_files,
    read_outside_mask,
    read_scores,
)
from semiseg.training.labeling.store import ImageLabels, Labeler, Source, no_labels

_MAX_EXAMPLES = 3  # masks that an error describes

logger = logging.getLogger(__name__)


class Pool(NamedTuple):
    """The images that masks from outside belong to.

    Attributes:
        root: the data folder.
        labeled: the labeled images, which calibrate the masks.
        unlabeled: the unlabeled images, which get labels.
        classes: how masks are read.
        reading: how images are read.
        short_side: the short side in pixels to which larger masks are reduced.
    """

    root: Path
    labeled: Sequence[Sample]
    unlabeled: Sequence[Sample]
    classes: Classes
    reading: Reading
    short_side: int


class _Reader(Protocol):
    """Gives the labels of an image at the size of the file, before any class is left out."""

    def __call__(self, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """The labels, and their scores if there are any."""


def outside_labeler(folder: Path, pool: Pool) -> tuple[Labeler, Source]:
    """Masks or scores from outside as what labels images, calibrated on the labeled images.

    It logs what the calibration found, and warns about images without a mask.

    Args:
        folder: the folder of the masks or scores.
        pool: the images.

    Raises:
        DataError: there are no masks for the labeled or for the unlabeled images, or one of them
            cannot be used.
        ConfigError: the masks are too often wrong.
    """
    outside = find_files(folder, pool.root, (*pool.labeled, *pool.unlabeled))
    labeled = [sample for sample in pool.labeled if sample.image in outside.files]
    missing = [sample for sample in pool.unlabeled if sample.image not in outside.files]
    _require_files(folder, pool, outside, labeled, missing)
    if outside.kind == "masks":
        _check_masks(folder, pool, outside)
    threshold = None
    reader: _Reader = partial(_read_mask, outside, pool)
    if outside.kind == "scores":
        threshold = _find_threshold(outside, pool, labeled)
        reader = partial(_read_scores, outside, pool, threshold)
    calibration = _calibrate(reader, pool, labeled, threshold)
    logger.info("the %s in %s: %s", outside.kind, folder, calibration.text())
    if not calibration.used.any():
        raise ConfigError(
            f"--teacher {folder}: no class of these masks is right on {100 * MIN_PRECISION:g} % of "
            "the labeled pixels that it covers, and wrong masks do harm. Correct the masks, or "
            "train without --teacher."
        )
    if sentence := calibration.left_out():
        logger.warning("classes of the %s in %s are %s", outside.kind, folder, sentence)
    if missing:
        logger.warning(
            "%s of %s without %s in %s (the first one is %s): the training learns nothing from "
            "them",
            f"{len(missing):,}",
            plural(len(pool.unlabeled), "unlabeled image is", "unlabeled images are"),
            outside.kind,
            folder,
            missing[0].image,
        )
    source = Source(
        kind=outside.kind,
        sha256=outside.sha256,
        size=pool.short_side,
        details=calibration.record(),
    )
    return partial(_labels, reader, outside, pool, calibration), source


def _require_files(
    folder: Path,
    pool: Pool,
    outside: OutsideFiles,
    labeled: Sequence[Sample],
    missing: Sequence[Sample],
) -> None:
    """Refuse a folder without masks for the labeled or for the unlabeled images.

    Raises:
        DataError: such masks are missing, or the folder holds the images themselves.
    """
    if any(file.samefile(image) for image, file in outside.files.items()):
        raise DataError(
            f"--teacher {folder} holds the training images themselves.",
            "Name a folder that holds the masks only.",
        )
    example = folder / pool.labeled[0].name
    if not outside.files:
        raise DataError(
            f"--teacher {folder} is neither a finished run nor a folder of masks: no file in it "
            "has the name of a training image.",
            f"Name masks like their images, such as {example}.png.",
        )
    if not labeled:
        raise DataError(
            f"{folder} has {outside.kind} of unlabeled images only, so semiseg cannot measure how "
            "often they are right, and uncalibrated masks do harm.",
            f"Add the {outside.kind} of the labeled images, made in the same way, such as "
            f"{example}{'.npz' if outside.kind == 'scores' else '.png'}.",
        )
    if len(missing) == len(pool.unlabeled):
        raise DataError(
            f"{folder} has {outside.kind} of labeled images only.",
            f"Add those of the unlabeled images, such as {folder / missing[0].name}.png.",
        )


def _check_masks(folder: Path, pool: Pool, outside: OutsideFiles) -> None:
    """Read all masks once, so that people hear of all bad ones before anything is labeled.

    Raises:
        DataError: some masks cannot be used.
    """

    def error_of(sample: Sample) -> DataError | None:
        try:
            _read_mask(outside, pool, sample)
        except DataError as error:
            return error
        return None

    samples = [s for s in (*pool.labeled, *pool.unlabeled) if s.image in outside.files]
    results = track(read_ahead(error_of, samples), "checking the masks", len(samples))
    errors = [error for error in results if error is not None]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        examples = " ".join(error.message for error in errors[:_MAX_EXAMPLES])
        more = " ..." if len(errors) > _MAX_EXAMPLES else ""
        raise DataError(
            f"{len(errors):,} of {len(samples):,} masks in {folder} cannot be used: "
            f"{examples}{more}",
            errors[0].remedy,
        )


def _read_mask(
    outside: OutsideFiles, pool: Pool, sample: Sample
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """The mask of an image."""
    file = outside.files[sample.image]
    return np.array(read_outside_mask(file, sample, pool.classes, pool.reading)), None


def _read_scores(
    outside: OutsideFiles, pool: Pool, threshold: float, sample: Sample
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """The labels of an image that pass the conformal filter, and their scores."""
    file = outside.files[sample.image]
    scores = read_scores(file, sample.image, pool.reading)
    label, score = filter_scores(scores.values, threshold, find_background(scores.names))
    names = pool.classes.names
    table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    for index, name in enumerate(scores.names):
        table[index] = names.index(name) if name in names else IGNORE_INDEX
    label = table[label]
    valid = read_valid(sample.image, pool.reading)
    if valid is not None:
        label = np.where(
            resize_nearest(valid, (label.shape[1], label.shape[0])), label, np.uint8(IGNORE_INDEX)
        )
    return label, score


def _find_threshold(outside: OutsideFiles, pool: Pool, labeled: Sequence[Sample]) -> float:
    """The conformal threshold from the labeled images.

    Raises:
        DataError: a file cannot be read, the scores know no class of the data, or no labeled pixel
            has a class of theirs.
    """
    true_scores = TrueScores()
    for sample in track(labeled, "calibrating the scores", len(labeled)):
        file = outside.files[sample.image]
        scores = read_scores(file, sample.image, pool.reading)
        table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        for index, name in enumerate(pool.classes.names):
            if name in scores.names:
                table[index] = scores.names.index(name)
        if (table == IGNORE_INDEX).all():
            raise DataError(
                f"{file} knows none of the classes {', '.join(pool.classes.names)}: its classes "
                f"are {', '.join(scores.names)}.",
                "Name the classes alike.",
            )
        truth = _truth(sample, pool, scores.values.shape[1:])
        true_scores.add(scores.values, table[truth])
    if not true_scores.counts.any():
        raise DataError(
            f"{outside.files[labeled[0].image].parent}: no labeled pixel has a class of these "
            "scores, so semiseg cannot measure how often they are right.",
            "Add scores of labeled images with these classes.",
        )
    return true_scores.threshold()


def _calibrate(
    reader: _Reader, pool: Pool, labeled: Sequence[Sample], threshold: float | None
) -> Calibration:
    """Compare the labels from outside with the masks of the labeled images."""
    count = len(pool.classes)
    counts = np.zeros((count, count + 1), dtype=np.int64)
    for sample in track(labeled, "calibrating the masks", len(labeled)):
        label, _ = reader(sample)
        counts += count_pixels(label, _truth(sample, pool, label.shape), count)
    used = np.ones(count, dtype=np.bool_)
    if threshold is None:
        used = np.nan_to_num(precisions(counts)) >= MIN_PRECISION
    return Calibration(pool.classes.names, counts, used, threshold, len(labeled))


def _truth(sample: Sample, pool: Pool, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The mask of a labeled image at a height and width."""
    mask = np.array(read_labels(sample, pool.classes, pool.reading))
    return resize_nearest(mask, (shape[1], shape[0]))


def _labels(
    reader: _Reader,
    outside: OutsideFiles,
    pool: Pool,
    calibration: Calibration,
    samples: Iterable[Sample],
) -> Iterator[ImageLabels]:
    """The labels of images: classes that are not used, and images without a mask, have none."""
    table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    confidence = np.zeros(256, dtype=np.float32)
    indices = np.flatnonzero(calibration.used)
    table[indices] = indices
    confidence[indices] = calibration.precision[indices]

    def label_one(sample: Sample) -> ImageLabels:
        if sample.image not in outside.files:
            return no_labels()
        label, score = reader(sample)
        size = reduce_size(image_size(sample.image, pool.reading), pool.short_side)
        label = resize_nearest(label, size)
        score = confidence[label] if score is None else resize_nearest(score, size)
        return ImageLabels(table[label], score, np.ones(label.shape, np.bool_))

    return read_ahead(label_one, samples)
