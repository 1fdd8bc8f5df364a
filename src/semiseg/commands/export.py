"""`export`: a trained model in a form that other programs can run."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.commands._precision import (
    PrecisionCost,
    PrecisionImages,
    images_of,
    reduce_precision,
)
from semiseg.commands._public import command
from semiseg.commands.settings.runs import ExportSettings
from semiseg.core.errors import DataError, RunError
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.decoded import picture_of
from semiseg.data.formats.ground import GroundResolution
from semiseg.data.formats.images import read_image
from semiseg.inference.formats import FORMATS, Format
from semiseg.inference.pair import require_one_size
from semiseg.inference.predictor import Predictor
from semiseg.inference.reading import enlargement
from semiseg.inference.torch_model import Model
from semiseg.inference.views import to_array
from semiseg.model.release import Release, load_release
from semiseg.scenes.draw import draw_scene
from semiseg.training.run_data import samples_of

logger = logging.getLogger(__name__)

MAX_TIE = 1e-3
"""Two logits that differ by less may change their order in an export."""


class Export(NamedTuple):
    """An exported model, compared with the original on one image.

    Attributes:
        path: the file or the folder.
        image: the image.
        difference: the largest difference of the logits and similarities; of the probabilities for
            `qgis`.
        ties: pixels whose class changed because their two largest logits differ by less than 0.001.
        cost: what a lower precision costs and gives; None for full precision, to which `difference`
            and `ties` belong.
    """

    path: Path
    image: str
    difference: float
    ties: int
    cost: PrecisionCost | None = None

    def text(self) -> str:
        """The file, how much it differs from the original, and what a lower precision costs."""
        if self.cost is not None:
            return f"{self.path}: {self.cost.text()}"
        changed = (
            f"{plural(self.ties, 'pixel')} with two equal logits changed their class"
            if self.ties
            else "no pixel changed its class"
        )
        return f"{self.path}: largest difference {self.difference:.1e} on {self.image}, {changed}"


@command(ExportSettings)
def export(settings: ExportSettings) -> Export:
    """Write a trained model for other programs, and compare it with the original.

    Returns:
        The file, and how much it differs from the original.

    Raises:
        RunError: the model cannot be read, the output exists or cannot be written, or the export
            gives a pixel another class than the original does.
        ConfigError: ONNX cannot express a part of the network, or two networks with different
            working sizes; a package is missing, `qgis` needs the ground resolution, or the images
            that a lower precision needs are gone.
    """
    run, out = settings.run, settings.out
    form = FORMATS[settings.file_format]
    target = form.target(out)
    if target.resolve() == run.resolve():
        raise RunError(f"{out} is the run folder itself. Choose another --out.")
    existing = next((file for file in form.files(target) if file.exists()), None)
    if existing is not None and not settings.overwrite:
        raise RunError(f"{existing} exists. Choose another --out, or replace it (--overwrite).")
    release = load_release(run)
    if form.suffix:
        require_one_size(release)
    images = None
    if settings.precision != "fp32":
        images = images_of(run, settings.data, settings.precision)
    if settings.license is not None:
        release = release._replace(metadata=replace(release.metadata, license=settings.license))
    if settings.ground_resolution is not None:
        ground = GroundResolution(settings.ground_resolution, "meter")
        release = release._replace(metadata=replace(release.metadata, ground_resolution=ground))
    model = Model(release)
    name, image = _image(run, model)
    _explain_license(settings, release)
    try:
        return Export(target, name, *_write(form, model, target, image, images))
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error


def _write(
    form: Format,
    model: Model,
    target: Path,
    image: AnyImage,
    images: PrecisionImages | None,
) -> tuple[float, int, PrecisionCost | None]:
    """Write the model, and compare it with the original. A file appears only if both agree.

    Args:
        form: the format.
        model: the original.
        target: the file or the folder.
        image: where both are compared.
        images: those that a lower precision needs; None for full precision.
    """
    if not form.suffix:
        form.write(model.release, target)
        return *differences(model, form.read(target, "cpu"), image), None
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.stem}.part{form.suffix}")
    small = target.with_name(f"{target.stem}.small{form.suffix}")
    cost = None
    try:
        logger.info("writing %s: torch translates the network, which may take minutes", target)
        form.write(model.release, part)
        logger.info("checking on an image that it gives the labels of the run")
        if form.reader:
            result = differences(model, form.read(part, "cpu"), image)
        else:
            result = score_differences(*form.scores(model.release, part, image))
        if images is not None:
            cost = reduce_precision(part, small, images)
        (part if images is None else small).replace(target)
    finally:
        part.unlink(missing_ok=True)
        small.unlink(missing_ok=True)
    return *result, cost


def _explain_license(settings: ExportSettings, release: Release) -> None:
    """Say what to consider before the model is given away."""
    if settings.file_format != "hub":
        return
    if release.metadata.license is None:
        logger.info(
            "the model card says that the license is unknown; choose one with --license, such as "
            "--license apache-2.0"
        )
    for weights in (release.metadata.weights, release.metadata.second_weights):
        if weights is not None and (warning := weights.license_warning()):
            logger.warning("%s", warning)


def differences(original: Predictor, exported: Predictor, image: AnyImage) -> tuple[float, int]:
    """The largest difference on an image, and the pixels at working size that are ties.

    Raises:
        RunError: a pixel gets another class without being a tie.
    """
    pixels = to_array(image, original.segment.size)
    ours, theirs = original.segment.maps(pixels), exported.segment.maps(pixels)
    difference = max(
        float(np.abs(a - b).max())
        for a, b in zip(ours, theirs, strict=True)
        if a is not None and b is not None
    )
    (height, width), cells = pixels.shape[-2:], ours.logits.shape[-2:]
    rows, columns = enlargement(cells[0], height, height), enlargement(cells[1], width, width).T
    expected, actual = (rows @ maps.logits[0] @ columns for maps in (ours, theirs))
    return difference, _count_ties(expected, actual, difference)


def score_differences(
    expected: NDArray[np.float32], actual: NDArray[np.float32]
) -> tuple[float, int]:
    """The largest difference of the probabilities `(C, H, W)` of an image, and the ties.

    Raises:
        RunError: a pixel gets another class without being a tie.
    """
    difference = float(np.abs(expected - actual).max())
    tiny = np.finfo(np.float32).tiny
    return difference, _count_ties(np.log(expected + tiny), np.log(actual + tiny), difference)


def _count_ties(
    expected: NDArray[np.float32], actual: NDArray[np.float32], difference: float
) -> int:
    """The pixels of two arrays of logits `(C, H, W)` that are ties.

    Raises:
        RunError: a pixel gets another class without being a tie.
    """
    changed = expected.argmax(axis=0) != actual.argmax(axis=0)
    best = np.sort(expected, axis=0)
    wrong = changed & (best[-1] - best[-2] > MAX_TIE)
    if wrong.any() or not np.isfinite(difference):
        raise RunError(
            f"The exported model differs from the original: {int(wrong.sum())} of {wrong.size} "
            f"pixels have another class, and the logits differ by up to {difference:.2g}. Use "
            "another --format, and please report this."
        )
    return int(changed.sum())


def _image(run: Path, model: Predictor) -> tuple[str, AnyImage]:
    """A validation image of the run if its data still exist, else a drawn scene."""
    for sample in samples_of(run)[1]:
        try:
            return str(sample.image), read_image(sample.image, model.reading)
        except DataError:
            continue
    scene, _ = draw_scene(Key.of(0, "export"), (160, 160))
    channels = model.metadata.network.channels
    repeated = scene[..., [channel % scene.shape[2] for channel in range(channels)]]
    return "a drawn scene", picture_of(repeated, model.reading)
