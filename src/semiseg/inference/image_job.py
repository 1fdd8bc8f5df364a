"""Segments images and writes their files: what all ways to run `predict` share.

`predict_images` needs a model, images and a folder on this machine. Who runs it elsewhere, such as
an engine for a cluster, gives it a folder of its own and sends the files on: the mask last, since
an image with a mask has all its other files.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.core.types import Prediction
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.pools.pool import ShardError
from semiseg.data.read_ahead import read_ahead
from semiseg.inference.band_files import band_files
from semiseg.inference.bands import check_bands_of
from semiseg.inference.figures import Figures, Record, Tally
from semiseg.inference.geotiff import Place, place_of
from semiseg.inference.image_request import ImageOptions, ImageSource
from semiseg.inference.large import (
    LARGE,
    check_probabilities,
    large_images,
    read_large,
    read_with_empty,
)
from semiseg.inference.objects import pixels_of
from semiseg.inference.predictor import Predictor, Scaled
from semiseg.inference.raster_files import MASK
from semiseg.inference.raster_prediction import PROBABILITIES, Options, RasterJob, segment_raster
from semiseg.inference.scale import Header, factor_of, read_header
from semiseg.inference.targets import missing, targets_of
from semiseg.inference.voxels import VOXELS, save_voxels
from semiseg.inference.writers import (
    NO_IMAGE,
    OUTPUTS,
    SegmentedImage,
    mask_of,
    save_output,
    without_data,
)

_ENOUGH = 512  # pixels of a side, to compare an image of many megapixels with the training's

logger = logging.getLogger(__name__)


@dataclass
class _Image:
    """An image on its way.

    Attributes:
        source: where it comes from.
        scratch: the folder of its copy.
        file: the image as a file.
        place: on the earth, or None.
        mask: the file of its mask below the output folder.
        had_mask: whether the mask existed.
        targets: the files to write by their kind.
        header: its header, or None if it cannot be read.
        factor: on its pixels before the network sees it; None for `fit`.
        picture: its pixels; None for one that is read part by part.
        empty: `(H, W)`, True where the picture has no data; None for nowhere.
        unlike: how unlike the images of the training it is, or None; see `Prediction`.
        problem: why it cannot be segmented, or None.
    """

    source: ImageSource
    scratch: Path
    file: Path = Path()
    place: Place | None = None
    mask: str = ""
    had_mask: bool = False
    targets: dict[str, Path] = field(default_factory=dict)
    header: Header | None = None
    factor: float | None = None
    picture: AnyImage | None = None
    empty: NDArray[np.bool_] | None = None
    unlike: float | None = None
    problem: DataError | None = None

    @property
    def pixel_area(self) -> float | None:
        """The area of a pixel in square units of the map; None without a map."""
        return None if self.place is None else self.place.pixel_area

    def min_pixels(self, options: ImageOptions) -> int | None:
        """The fewest pixels of an object that counts; None if none are counted."""
        if not options.objects:
            return None
        return pixels_of(options.min_area, self.pixel_area)

    def record(self, figures: Figures, options: ImageOptions) -> Record:
        """What became of it, when its files are about to get their names."""
        if self.had_mask:  # it may not be the model's, and is counted in its file
            name, confidence = self.source.name, figures.confidence
            return Record(name, "added", self.mask, confidence, unlike=self.unlike)
        return Record(
            *(self.source.name, "written", self.mask, figures.confidence, figures.shares),
            pixels=figures.pixels,
            objects=figures.objects,
            min_area=options.min_area,
            pixel_area=self.pixel_area,
            unlike=self.unlike,
        )

    @property
    def is_large(self) -> bool:
        """Whether it is written in bands; arrays and NIfTI files are written as a whole."""
        is_whole = PROBABILITIES in self.targets or VOXELS in self.targets
        return self.header is not None and self.header.pixels > LARGE and not is_whole


def predict_images(
    model: Predictor,
    sources: Iterable[ImageSource],
    out: Path,
    options: ImageOptions,
    report: Callable[[Record], None],
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Segment images and write their files.

    * A file gets its name when its content is complete. So a killed process leaves no partial file
      under a name, and the next call writes what is missing.
    * The mask of an image gets its name last, so an image with a mask has all its other files.
    * An image that cannot be read stops no others.
    * The sources are taken one by one, a few ahead of their use, and nothing is kept of them.
    * On a CPU, the bytes of a file do not depend on the other images. On a GPU, images of one size
      go through the network together, so that a pixel between two classes may change with them.
    * A raster of 4 megapixels or more goes on where a killed process stopped.

    Args:
        model: the model. Its `reading` says how the images are read.
        sources: the images.
        out: the folder of the results.
        options: how they are segmented.
        report: takes the record of each image, in the calling thread: just before the mask gets its
            name; for an image that has all its files, or that cannot be read, when this is known.
            The shares of a mask that existed are None.
        progress: takes the completed share of an image that is segmented part by part.

    Raises:
        RunError: a file cannot be written.
    """
    waiting: deque[_Image] = deque()

    def images(scratch: Path) -> Iterator[Scaled]:
        numbered = enumerate(sources)
        prepare = partial(_prepare, model, out, options, scratch)
        for image in read_ahead(prepare, numbered):
            if image.picture is not None:
                waiting.append(image)
                yield Scaled(image.picture, image.factor)
                continue
            if image.problem is not None:
                report(_failed(image))
            elif not image.targets:
                report(Record(image.source.name, "existed", image.mask))
            else:
                try:
                    for share in _segment_parts(model, image, options, report):
                        progress(share)
                except DataError as error:
                    image.problem = error
                    report(_failed(image))
            shutil.rmtree(image.scratch, ignore_errors=True)

    with large_images(), tempfile.TemporaryDirectory(prefix="semiseg-") as scratch:
        stream = model.stream(images(Path(scratch)), options.tta, PROBABILITIES in options.kinds)
        for prediction in stream:
            image = waiting.popleft()
            _write(model, image, prediction, options, report)
            shutil.rmtree(image.scratch, ignore_errors=True)


def _prepare(
    model: Predictor,
    out: Path,
    options: ImageOptions,
    scratch: Path,
    numbered: tuple[int, ImageSource],
) -> _Image:
    """Find out what is to be done with an image, and read it; in a thread."""
    number, source = numbered
    image = _Image(source, scratch / str(number))
    try:
        image.file = source.fetch(image.scratch)
        image.place = place_of(image.file)
        is_raster = image.place is not None
        targets = targets_of(source.name, image.file, out, options.kinds, is_raster)
        image.mask = targets[MASK].relative_to(out).as_posix()
        image.targets = targets if options.overwrite else missing(targets)
        image.had_mask = MASK not in image.targets
        if not image.targets:
            return image
        check_bands_of(image.file, model.reading, options.trained, options.own, options.named)
        image.header = read_header(image.file, model.reading)
        if image.header is not None:
            if PROBABILITIES in image.targets:
                check_probabilities(image.header.pixels, len(model.classes), source)
            image.factor = factor_of(options.scale, model.metadata, image.header)
        if not is_raster and not image.is_large:
            picture, image.empty = read_with_empty(image.file, model.reading)
            model.check_channels(picture)
            image.picture, image.unlike = picture, model.unlike(picture)
    except DataError as error:
        image.problem = error
    return image


def _failed(image: _Image) -> Record:
    """The record of an image that cannot be read, whose reason names it as the user does.

    All images of a shard that cannot be read have the same reason, so that it is listed once.
    """
    if isinstance(image.problem, ShardError):
        return Record(image.source.name, "failed", reason=image.problem.about_shard)
    reason = str(image.problem)
    if image.scratch in image.file.parents:
        reason = reason.replace(str(image.file), str(image.source))
    if str(image.source) not in reason:
        reason = f"{image.source}: {reason}"
    return Record(image.source.name, "failed", reason=reason)


def _write(
    model: Predictor,
    image: _Image,
    prediction: Prediction,
    options: ImageOptions,
    report: Callable[[Record], None],
) -> None:
    """Write the files of an image that was segmented as a whole."""
    assert image.picture is not None  # nosec B101 - see `predict_images`
    tally = Tally(len(model.classes), min_pixels=image.min_pixels(options))
    tally.add(mask_of(prediction, options.abstain), prediction.confidence, image.empty)
    prediction = _without_data(model, prediction, image.empty)
    mask = mask_of(prediction, options.abstain)
    segmented = SegmentedImage(image.picture, prediction, mask, model.classes)
    last = next(reversed(image.targets))
    for kind, target in image.targets.items():
        if kind == last:
            report(image.record(tally.figures(), options))
        if kind == VOXELS:
            save_voxels(model.classes.to_image(mask), image.file, target)
        else:
            save_output(segmented, OUTPUTS[kind], target)


def _without_data(
    model: Predictor, prediction: Prediction, empty: NDArray[np.bool_] | None
) -> Prediction:
    """The prediction as the files show it; where 255 is a class, no value means no data."""
    return prediction if model.classes.ignored_value is None else without_data(prediction, empty)


def _segment_parts(
    model: Predictor, image: _Image, options: ImageOptions, report: Callable[[Record], None]
) -> Iterator[float]:
    """Segment a raster or a large image part by part, and write its files.

    Yields:
        The share of the image that is done.

    Raises:
        DataError: the image cannot be read.
    """

    def finished(figures: Figures) -> None:
        report(image.record(figures, options))

    if image.place is not None:
        job = RasterJob(image.file, image.place, image.factor, image.targets)
        min_pixels = image.min_pixels(options)
        raster = Options(options.model, options.tta, options.abstain, min_pixels)
        yield from segment_raster(model, job, raster, finished)
    else:
        yield from _write_bands(model, image, options, finished)


def _write_bands(
    model: Predictor, image: _Image, options: ImageOptions, finished: Callable[[Figures], None]
) -> Iterator[float]:
    """Segment an image band by band, and write the files of each band at once.

    Yields:
        The share of the image that is done.

    Raises:
        DataError: the image cannot be read.
    """
    large = read_large(image.file, model.reading)
    step = max(1, min(large.size) // _ENOUGH)
    image.unlike = model.unlike(large.reduced(step))
    segment, classes, height = model.segment, model.classes, large.size[1]
    if image.factor is None:
        bands = segment.fitted_bands(large.whole(), options.tta)
    else:
        bands = segment.windowed_bands(large, image.factor, options.tta)
    tally = Tally(len(classes), min_pixels=image.min_pixels(options))
    with band_files(image.targets, large, classes) as writer:
        for rows, prediction in bands:
            empty = large.empty(rows)
            tally.add(mask_of(prediction, options.abstain), prediction.confidence, empty)
            prediction = _without_data(model, prediction, empty)
            mask = mask_of(prediction, options.abstain)
            # No file of this kind shows the image itself; the overlay is drawn at the end.
            writer.add(rows, SegmentedImage(NO_IMAGE, prediction, mask, classes))
            yield rows.stop / height
        finished(tally.figures())
