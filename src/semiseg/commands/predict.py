"""`predict`: masks for any number of images, and what helps to judge them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.commands._public import command
from semiseg.commands.settings import PredictSettings
from semiseg.core.console import progress
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX, Prediction
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.image_formats import format_of
from semiseg.data.read_ahead import read_ahead
from semiseg.data.value_range import describe_depth
from semiseg.inference.band_files import band_files
from semiseg.inference.large import LARGE, LargeImage, large_images, read_large
from semiseg.inference.load import check_order, load
from semiseg.inference.predictor import Predictor, Scaled
from semiseg.inference.scale import Job, choose_factors, explain
from semiseg.inference.sources import find_images, read_or_error
from semiseg.inference.writers import OUTPUTS, SegmentedImage, save_output

logger = logging.getLogger(__name__)

_NO_IMAGE = Image.new("RGB", (1, 1))
_MAX_PROBABILITIES = 2_000_000_000  # bytes of one image

Targets: TypeAlias = dict[Path, dict[str, Path]]
"""The files to write for each image, by their kind."""


class Masks(NamedTuple):
    """Masks that were written.

    Attributes:
        folder: the output folder.
        files: the masks.
    """

    folder: Path
    files: Sequence[Path]

    def text(self) -> str:
        """The number of masks, and their folder."""
        return f"{plural(len(self.files), 'mask')} written to {self.folder}"


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
    targets = _targets(images, out, kinds)
    new_targets = targets
    if not settings.overwrite:  # an existing mask may have been corrected by hand
        new_targets = {
            image: new_files
            for image, files in targets.items()
            if (new_files := {kind: file for kind, file in files.items() if not file.is_file()})
        }
        notes += _skipped(targets, new_targets, out)
    for note in notes:
        logger.info("%s", note)
    for warning in warnings:
        logger.warning("%s", warning)
    model = load(settings.run, settings.accelerator)
    model.read_as(settings.reading(model.reading))
    _check(model, settings)
    with large_images():
        jobs = choose_factors(new_targets, model.metadata, settings.scale)
        _check_probabilities(model, jobs, new_targets)
        explain(settings.scale, model.metadata, jobs)
        if warning := describe_depth([job.file for job in jobs], model.reading):
            logger.warning("%s", warning)
        failed = _write(model, jobs, new_targets, settings)
    if failed:
        others = f" The masks of the others are in {out}." if len(failed) < len(targets) else ""
        raise DataError(
            f"{len(failed)} of {plural(len(targets), 'image')} could not be read.{others}\n"
            + "\n".join(map(str, failed))
        )
    return Masks(out, [files[""] for files in new_targets.values() if "" in files])


def _check_out(out: Path) -> None:
    """Refuse a file as the output folder."""
    if out.is_file() or (not out.exists() and format_of(out) is not None):
        folder = next(p for p in (out.with_suffix(""), Path(f"{out}-masks")) if not p.is_file())
        raise ConfigError(
            f"--out {out} names a file, but semiseg writes a folder of masks. Name a folder, such "
            f"as --out {folder}."
        )


def _skipped(targets: Targets, new_targets: Targets, out: Path) -> list[str]:
    """A sentence for the images with all of their files, and one for those with some of them."""
    notes = []
    if complete := len(targets) - len(new_targets):
        notes.append(
            f"{complete} of {len(targets)} images have all their files in {out}; --overwrite "
            "replaces them"
        )
    if partial := sum(files != targets[image] for image, files in new_targets.items()):
        notes.append(
            f"{plural(partial, 'image')} lacked some files in {out}. semiseg writes only these, "
            "and they show the model's own mask; --overwrite replaces all files"
        )
    return notes


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


def _targets(images: Mapping[str, Path], out: Path, kinds: Sequence[str]) -> Targets:
    """The files to write for each image.

    Raises:
        DataError: a file would replace an image, or two images would share a file.
    """
    sources = {image.resolve() for image in images.values()}
    owners: dict[Path, Path] = {}
    targets: Targets = {}
    for name, image in images.items():
        targets[image] = {k: out / k / f"{name}{OUTPUTS[k].suffix}" for k in kinds}
        for file in targets[image].values():
            if file.resolve() in sources:
                raise DataError(
                    f"{file}, a result of {image}, would replace an image. Choose another --out."
                )
            if owners.setdefault(file, image) != image:
                raise DataError(
                    f"The results of {owners[file]} and {image} would have the same name, {file}. "
                    "Rename one of the images, or segment their folders one by one."
                )
    return targets


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
    model: Predictor, jobs: Sequence[Job], targets: Targets, settings: PredictSettings
) -> list[DataError]:
    """Segment the images and write the files; the errors of the images that cannot be read."""
    errors = [job.problem for job in jobs if job.problem]
    jobs = [job for job in jobs if not job.problem]
    large_jobs = [job for job in jobs if _is_large(job, targets[job.file])]
    other_jobs = [job for job in jobs if not _is_large(job, targets[job.file])]
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
            mask = _mask(prediction, settings)
            segmented = SegmentedImage(image, prediction, mask, model.classes)
            for kind, target in targets[file].items():
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

    with progress("predict") as bar:
        for done in completed_images():
            bar.update(done, len(jobs))
    return errors


def _is_large(job: Job, files: Mapping[str, Path]) -> bool:
    """Whether an image is written in bands; an array of probabilities is written as a whole."""
    return job.header is not None and job.header.pixels > LARGE and "probabilities" not in files


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
            part = SegmentedImage(_NO_IMAGE, prediction, _mask(prediction, settings), classes)
            writer.add(rows, part)
            yield rows.stop / height


def _mask(prediction: Prediction, settings: PredictSettings) -> NDArray[np.uint8]:
    """The mask to write: 255 where the model abstains."""
    if settings.abstain is None:
        return prediction.mask
    mask = prediction.mask.copy()
    mask[prediction.doubtful(settings.abstain)] = IGNORE_INDEX
    return mask
