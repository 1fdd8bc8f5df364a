"""`predict`: masks for any number of images, and what helps to judge them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings import PredictSettings
from semiseg.core.console import progress
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.image_formats import format_of
from semiseg.data.read_ahead import read_ahead
from semiseg.data.value_range import describe_depth
from semiseg.inference.band_files import band_files
from semiseg.inference.bands import reading_like
from semiseg.inference.geotiff import Place
from semiseg.inference.large import LARGE, LargeImage, large_images, read_large
from semiseg.inference.load import check_order, load
from semiseg.inference.polygons import (
    WrittenPolygons,
    check_polygons,
    masks_by_name,
    write_polygons,
)
from semiseg.inference.predictor import Predictor, Scaled
from semiseg.inference.raster_prediction import Options, RasterJob, model_sha256, segment_raster
from semiseg.inference.scale import Job, choose_factors, explain
from semiseg.inference.sources import find_images, read_or_error
from semiseg.inference.targets import (
    Targets,
    describe_lost_places,
    describe_skipped,
    find_places,
    find_targets,
    middle_of,
    missing,
)
from semiseg.inference.voxels import VOXELS, save_voxels
from semiseg.inference.writers import NO_IMAGE, OUTPUTS, SegmentedImage, mask_of, save_output

logger = logging.getLogger(__name__)

_MAX_PROBABILITIES = 2_000_000_000  # bytes of one image


class Masks(NamedTuple):
    """Masks that were written.

    Attributes:
        folder: the output folder.
        files: the masks.
        polygons: the vector file, or None.
    """

    folder: Path
    files: Sequence[Path]
    polygons: WrittenPolygons | None = None

    def text(self) -> str:
        """The number of masks, and their folder; then those of the polygons."""
        text = f"{plural(len(self.files), 'mask')} written to {self.folder}"
        if self.polygons is not None:
            file, number = self.polygons
            text += f"\n{plural(number, 'polygon')} written to {file}"
        return text


@command(PredictSettings)
def predict(settings: PredictSettings) -> Masks:
    """Segment images: a file, a folder, a pattern or a list.

    Returns:
        The masks that were written.

    Raises:
        DataError: there are no images, or some cannot be read. The masks of the others are written.
        ConfigError: the model lacks what a setting needs.
        RunError: the model cannot be read, or the output folder cannot be written.
    """
    out = settings.out
    kinds = [
        kind
        for kind, requested in {
            "colors": settings.colors,
            "overlays": settings.overlay,
            "probabilities": settings.probabilities,
            "confidence": settings.confidence,
            "reliability": settings.reliability,
            "": True,
        }.items()
        if requested
    ]
    _check_out(out)
    check_order("predict", settings.run, settings.images)
    images, notes, warnings = find_images(settings.images, out)
    places = find_places(images.values())
    check_polygons(settings.polygons, places, settings.overwrite)
    targets = find_targets(images, out, kinds, places)
    new_targets = targets
    if not settings.overwrite:  # an existing mask may have been corrected by hand
        new_targets = missing(targets)
        notes += describe_skipped(targets, new_targets, out)
    for note in notes:
        logger.info("%s", note)
    for warning in warnings:
        logger.warning("%s", warning)
    if warning := describe_lost_places(images.values()):
        logger.warning("%s", warning)
    model = load(settings.run, settings.accelerator)
    files = list(new_targets)
    model.read_as(reading_like(model.reading, settings.reading, settings.named_bands, files))
    _check(model, settings)
    with large_images():
        jobs = choose_factors(new_targets, model.metadata, settings.scale)
        _check_probabilities(model, jobs, new_targets)
        explain(settings.scale, model.metadata, jobs)
        samples = [middle_of(job.file, places.get(job.file)) for job in jobs]
        if warning := describe_depth(samples, model.reading):
            logger.warning("%s", warning)
        failed = _write(model, jobs, new_targets, places, settings)
    if failed:
        others = f" The masks of the others are in {out}." if len(failed) < len(targets) else ""
        raise DataError(
            f"{len(failed)} of {plural(len(targets), 'image')} could not be read.{others}\n"
            + "\n".join(map(str, failed))
        )
    polygons = None
    if settings.polygons is not None:
        masks = masks_by_name(targets, places)
        polygons = write_polygons(settings.polygons, masks, model.classes, settings.min_area)
    return Masks(out, [files[""] for files in new_targets.values() if "" in files], polygons)


def _check_out(out: Path) -> None:
    """Refuse a file as the output folder."""
    if out.is_file() or (not out.exists() and format_of(out) is not None):
        folder = next(p for p in (out.with_suffix(""), Path(f"{out}-masks")) if not p.is_file())
        raise ConfigError(
            f"--out {out} names a file, but semiseg writes a folder of masks. Name a folder, such "
            f"as --out {folder}."
        )


def _check(model: Predictor, settings: PredictSettings) -> None:
    """Refuse settings that the model cannot serve."""
    run = settings.run
    if settings.reliability and not model.two_spaces:
        raise ConfigError(
            f"--reliability compares the logits with the nearest prototype, but {run} has no "
            f"prototypes: its method is {model.metadata.method or 'another one'}. Use "
            "--confidence, or a model of css."
        )
    classes = model.classes
    if classes.needs_16_bits:
        logger.info("the classes have ids above 255: masks are gray PNG files of 16 bits")
    if settings.abstain is not None and classes.ignored_value is None:
        name = classes.names[classes.indices[IGNORE_INDEX]]
        raise ConfigError(
            f"--abstain writes 255, but in the masks of {run} this value means class {name}. Use "
            "--confidence, which does not change the mask."
        )


def _check_probabilities(model: Predictor, jobs: Sequence[Job], targets: Targets) -> None:
    """Refuse probabilities that would fill the memory."""
    for file, header, *_ in jobs:
        size = 2 * len(model.classes) * (header.pixels if header else 0)
        if "probabilities" in targets[file] and size > _MAX_PROBABILITIES:
            raise ConfigError(
                f"--probabilities would take {size / 1e9:.1f} GB of memory for {file}, and "
                f"{_MAX_PROBABILITIES / 1e9:g} GB is the limit. Leave it out, or use --confidence, "
                "which writes one value for each pixel."
            )


def _write(
    model: Predictor,
    jobs: Sequence[Job],
    targets: Targets,
    places: Mapping[Path, Place],
    settings: PredictSettings,
) -> list[DataError]:
    """Segment the images and write the files; the errors of the images that cannot be read."""
    errors = [job.problem for job in jobs if job.problem]
    jobs = [job for job in jobs if not job.problem]
    rasters = [
        RasterJob(job.file, places[job.file], job.factor, targets[job.file])
        for job in jobs
        if job.file in places
    ]
    images_jobs = [job for job in jobs if job.file not in places]
    large_jobs = [job for job in images_jobs if _is_large(job, targets[job.file])]
    other_jobs = [job for job in images_jobs if not _is_large(job, targets[job.file])]
    waiting: deque[tuple[Path, AnyImage]] = deque()

    def images() -> Iterator[Scaled]:
        results = read_ahead(
            lambda job: read_or_error(job.file, model.reading),
            other_jobs,
        )
        for job, result in zip(other_jobs, results, strict=True):
            if isinstance(result, DataError):
                errors.append(result)
            else:
                waiting.append((job.file, result))
                yield Scaled(result, job.factor)

    def completed_images() -> Iterator[float]:
        """Segment and write; give the number of images that are done, with fractions."""
        done = 0
        probabilities = any("probabilities" in files for files in targets.values())
        for prediction in model.stream(images(), settings.tta, probabilities):
            file, image = waiting.popleft()
            mask = mask_of(prediction, settings.abstain)
            segmented = SegmentedImage(image, prediction, mask, model.classes)
            for kind, target in targets[file].items():
                if kind == VOXELS:
                    save_voxels(model.classes.to_image(mask), file, target)
                else:
                    save_output(segmented, OUTPUTS[kind], target)
            done += 1
            yield done
        for job in large_jobs:
            result = read_large(job.file, model.reading)
            if isinstance(result, DataError):
                errors.append(result)
            else:
                for share in _write_bands(model, result, job, targets[job.file], settings):
                    yield done + share
            del result  # before the next one is read
            done += 1
        options = Options(model_sha256(settings.run), settings.tta, settings.abstain)
        for raster in rasters:
            try:
                for share in segment_raster(model, raster, options):
                    yield done + share
            except DataError as error:
                errors.append(error)
            done += 1

    with progress("predict") as bar:
        for done in completed_images():
            bar.update(done, len(jobs))
    return errors


def _is_large(job: Job, files: Mapping[str, Path]) -> bool:
    """Whether an image is written in bands; arrays and NIfTI files are written as a whole."""
    is_whole = "probabilities" in files or VOXELS in files
    return job.header is not None and job.header.pixels > LARGE and not is_whole


def _write_bands(
    model: Predictor,
    image: LargeImage,
    job: Job,
    files: Mapping[str, Path],
    settings: PredictSettings,
) -> Iterator[float]:
    """Segment an image band by band, and write the files of each band at once.

    Yields:
        The share of the image that is done.
    """
    segment, classes, height = model.segment, model.classes, image.size[1]
    if job.factor is None:
        bands = segment.fitted_bands(image.whole(), settings.tta)
    else:
        bands = segment.windowed_bands(image, job.factor, settings.tta)
    with band_files(files, image, classes) as writer:
        for rows, prediction in bands:
            # No file of this kind shows the image itself; the overlay is drawn at the end.
            part = SegmentedImage(
                NO_IMAGE, prediction, mask_of(prediction, settings.abstain), classes
            )
            writer.add(rows, part)
            yield rows.stop / height
