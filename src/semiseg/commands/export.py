"""`export`: a trained model in a form that other programs can run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.commands._public import command
from semiseg.commands.settings import ExportSettings
from semiseg.core.errors import DataError, RunError
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.ground import GroundResolution
from semiseg.data.formats.images import picture_of, read_image
from semiseg.inference.formats import FORMATS, Format
from semiseg.inference.predictor import Predictor
from semiseg.inference.reading import enlargement
from semiseg.inference.torch_model import Model
from semiseg.inference.views import to_array
from semiseg.model.release import load_release
from semiseg.scenes.draw import draw_scene
from semiseg.training.run_data import samples_of

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
    """

    path: Path
    image: str
    difference: float
    ties: int

    def text(self) -> str:
        """The file, and how much it differs from the original."""
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
        RunError: the model cannot be read, the output cannot be written, or the export gives a
            pixel another class than the original does.
        ConfigError: ONNX cannot express a part of the network, a package is missing, or `qgis`
            needs the ground resolution.
    """
    run, out = settings.run, settings.out
    release = load_release(run)
    if settings.ground_resolution is not None:
        ground = GroundResolution(settings.ground_resolution, "meter")
        release = release._replace(metadata=replace(release.metadata, ground_resolution=ground))
    model = Model(release)
    name, image = _image(run, model)
    form = FORMATS[settings.file_format]
    target = form.target(out)
    if target.resolve() == run.resolve():
        raise RunError(f"{out} is the run folder itself. Choose another --out.")
    try:
        return Export(target, name, *_write(form, model, target, image))
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error


def _write(form: Format, model: Model, target: Path, image: AnyImage) -> tuple[float, int]:
    """Write the model, and compare it with the original. A file appears only if both agree."""
    if not form.suffix:
        form.write(model.release, target)
        return differences(model, form.read(target, "cpu"), image)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.stem}.part{form.suffix}")
    try:
        form.write(model.release, part)
        if form.reader:
            result = differences(model, form.read(part, "cpu"), image)
        else:
            result = score_differences(*form.scores(model.release, part, image))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return result


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
