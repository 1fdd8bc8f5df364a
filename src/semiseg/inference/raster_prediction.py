"""Segments a GeoTIFF of any size, and writes GeoTIFFs.

If a call is killed, the next one goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from semiseg._version import __version__
from semiseg.core.errors import DataError, RunError
from semiseg.core.files import file_sha256, text_sha256
from semiseg.data.formats.band_image import AnyImage
from semiseg.inference.figures import Figures, Tally
from semiseg.inference.geotiff import Place
from semiseg.inference.large import LARGE, LargeImage
from semiseg.inference.predictor import Predictor, Scaled
from semiseg.inference.raster_files import RasterFiles
from semiseg.inference.raster_image import RasterImage, find_empty, raster_image
from semiseg.inference.reading import Band, join
from semiseg.inference.windows import Seam
from semiseg.inference.writers import NO_IMAGE, OUTPUTS, SegmentedImage, mask_of, save_output
from semiseg.model.metadata import WEIGHTS_FILE

logger = logging.getLogger(__name__)

RESUMABLE = 1 << 22
"""The pixels from which on a raster goes on where an earlier call stopped."""
PROBABILITIES = "probabilities"
_MAX_BAND = 1 << 22  # pixels


@dataclass(frozen=True)
class Options:
    """How rasters are segmented.

    Attributes:
        model: a hash of the model.
        tta: average over three scales, each with its mirror image.
        abstain: the mask is 255 where the confidence is below this value; None for nowhere.
        min_pixels: objects of fewer pixels do not count; None counts none.
    """

    model: str
    tta: bool = False
    abstain: float | None = None
    min_pixels: int | None = 1


class RasterJob(NamedTuple):
    """A raster to segment.

    Attributes:
        file: the GeoTIFF.
        place: where it lies.
        factor: on its pixels before the network sees it; None scales its short side to the size of
            the training.
        targets: the files to write by their kind.
    """

    file: Path
    place: Place
    factor: float | None
    targets: Mapping[str, Path]


def model_sha256(run: Path) -> str:
    """The hash of a model in a run folder, or of an exported one.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    file = run / WEIGHTS_FILE if run.is_dir() else run
    try:
        return file_sha256(file)
    except OSError as error:
        raise RunError(f"{file} is no model that can be read ({error}).") from error


def segment_raster(
    model: Predictor,
    job: RasterJob,
    options: Options,
    report: Callable[[Figures], None] = lambda figures: None,
) -> Iterator[float]:
    """Segment a raster band by band, and write its files.

    Args:
        model: the model.
        job: the raster.
        options: how it is segmented.
        report: takes the figures of the mask, before the files get their names.

    Yields:
        The share of the raster that is done.

    Raises:
        DataError: the raster cannot be read.
        RunError: a file cannot be written.
    """
    width, height = job.place.size
    targets = {kind: file for kind, file in job.targets.items() if kind != PROBABILITIES}
    files = RasterFiles(targets, job.place, model.classes)
    identity = _identity(model, job, options)
    tally = Tally(len(model.classes), min_pixels=options.min_pixels)
    image = raster_image(job.file, model.reading, job.place.size)
    pictures = image
    if "overlays" in targets:  # it is read in another order
        pictures = raster_image(job.file, model.reading, job.place.size)
    is_stored = width * height >= RESUMABLE and PROBABILITIES not in job.targets
    if PROBABILITIES in job.targets:
        bands = _whole(model, job, options, image)
        if not targets:
            for band in bands:
                tally.add(mask_of(band.prediction, options.abstain), band.prediction.confidence)
                yield band.rows.stop / height
            report(tally.figures())
            return
        seam = files.start(identity)
    else:
        seam = files.start(identity)
        if seam.done:
            logger.info("%s goes on at row %d of %d", job.file, seam.done + 1, height)
        tally = Tally(len(model.classes), files.tally, options.min_pixels)

        def store(seam: Seam) -> None:
            files.store(seam, identity, tally.state())

        bands = _bands(model, job, options, image, seam, store if is_stored else None)
    try:
        for rows, prediction in bands:
            box = (0, rows.start, width, rows.stop)
            picture = pictures.crop(box) if "overlays" in targets else NO_IMAGE
            mask = mask_of(prediction, options.abstain)
            empty = find_empty(job.file, model.reading, rows, width)
            files.add(SegmentedImage(picture, prediction, mask, model.classes), empty)
            tally.add(mask, prediction.confidence, empty)
            yield rows.stop / height
        report(tally.figures())
        files.finish()
    except BaseException as error:
        if isinstance(error, DataError) or not is_stored:
            files.remove()
        raise


def _bands(
    model: Predictor,
    job: RasterJob,
    options: Options,
    image: RasterImage | LargeImage,
    seam: Seam,
    store: Callable[[Seam], None] | None,
) -> Iterator[Band]:
    """The bands from a stored state on."""
    segment, tta = model.segment, options.tta
    if job.factor is not None:
        yield from segment.windowed_bands(image, job.factor, tta, seam, store)
        return
    width, height = job.place.size
    picture = _small(image, segment.size)
    bands = segment.fitted_bands(picture, tta, (height, width), seam.done)
    for band in _grouped(bands, max(1, _MAX_BAND // width)):
        yield band
        if store is not None:
            store(Seam(0, band.rows.stop))


def _whole(
    model: Predictor, job: RasterJob, options: Options, image: RasterImage | LargeImage
) -> Iterator[Band]:
    """The whole raster as one band, whose probabilities are written."""
    scaled = Scaled(image.whole(), job.factor)
    prediction = next(model.stream([scaled], options.tta, probabilities=True))
    mask = mask_of(prediction, options.abstain)
    segmented = SegmentedImage(scaled.image, prediction, mask, model.classes)
    save_output(segmented, OUTPUTS[PROBABILITIES], job.targets[PROBABILITIES])
    yield Band(slice(0, job.place.size[1]), prediction._replace(probabilities=None))


def _small(image: RasterImage | LargeImage, side: int) -> AnyImage:
    """An image that is scaled to the size of the training; a large one has fewer pixels already."""
    width, height = image.size
    step = min(width, height) // (2 * side) if width * height > LARGE else 1
    return image.whole() if step < 2 else image.reduced(step)


def _grouped(bands: Iterable[Band], height: int) -> Iterator[Band]:
    """Bands of so many rows or more, but the last one."""
    group: list[Band] = []
    for band in bands:
        group.append(band)
        if band.rows.stop - group[0].rows.start >= height:
            yield _joined(group)
            group = []
    if group:
        yield _joined(group)


def _joined(bands: Sequence[Band]) -> Band:
    top, bottom = bands[0].rows.start, bands[-1].rows.stop
    moved = [Band(slice(r.start - top, r.stop - top), part) for r, part in bands]
    return Band(slice(top, bottom), join(moved, (bottom - top, bands[0].prediction.mask.shape[1])))


def _identity(model: Predictor, job: RasterJob, options: Options) -> str:
    """A hash of all that the files of a raster depend on."""
    status = job.file.stat()
    parts = [
        *(__version__, options.model, model.metadata.to_dict(), job.factor),
        *(
            options.tta,
            options.abstain,
            options.min_pixels,
            job.file.name,
            status.st_size,
            status.st_mtime_ns,
        ),
    ]
    return text_sha256(json.dumps(parts))
