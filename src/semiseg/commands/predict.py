"""`predict`: masks for any number of images, and what helps to judge them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings import PredictSettings
from semiseg.core.console import progress
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.image_formats import format_of
from semiseg.inference.figures import Record, State
from semiseg.inference.image_job import ImageOptions, LocalImage, predict_images
from semiseg.inference.load import check_order, load
from semiseg.inference.polygons import (
    WrittenPolygons,
    check_polygons,
    masks_by_name,
    write_polygons,
)
from semiseg.inference.predictor import Predictor
from semiseg.inference.raster_prediction import model_sha256
from semiseg.inference.sources import find_images
from semiseg.inference.survey import survey
from semiseg.inference.targets import check_targets, describe_skipped, find_places, is_finished

logger = logging.getLogger(__name__)

_MAX_FAILURES = 20  # that the error lists


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
    _check_out(out)
    check_order("predict", settings.run, settings.images)
    images, notes, warnings = find_images(settings.images, out)
    kinds = _kinds(settings)
    places = {} if settings.polygons is None else find_places(images.values())
    check_polygons(settings.polygons, places, settings.overwrite)
    check_targets(images, out, kinds)
    for note in notes:
        logger.info("%s", note)
    for warning in warnings:
        logger.warning("%s", warning)
    model = load(settings.run, settings.accelerator)
    _check(model, settings)
    options = ImageOptions(
        kinds=kinds,
        scale=settings.scale,
        tta=settings.tta,
        abstain=settings.abstain,
        overwrite=settings.overwrite,
        model=model_sha256(settings.run),
        trained=model.reading,
        own=settings.reading,
        named=settings.named_bands,
    )
    sources = [LocalImage(name, file) for name, file in images.items()]
    survey(
        model,
        sources,
        options,
        lambda source: settings.overwrite or not is_finished(source.name, out, kinds),
    )
    masks: list[Path] = []
    failures: list[str] = []
    states: Counter[State] = Counter()

    def report(record: Record) -> None:
        states[record.state] += 1
        if record.state == "written" and record.mask is not None:
            masks.append(out / record.mask)
        elif record.state == "failed":
            failures.append(record.reason)
        bar.update(states.total(), len(sources))

    with progress("predict") as bar:
        predict_images(
            model,
            sources,
            out,
            options,
            report,
            lambda share: bar.update(states.total() + share, len(sources)),
        )
    for note in describe_skipped(states["existed"], states["added"], len(sources), out):
        logger.info("%s", note)
    if failures:
        others = f" The masks of the others are in {out}." if len(failures) < len(sources) else ""
        lines = failures[:_MAX_FAILURES]
        if more := len(failures) - len(lines):
            lines.append(f"and {more:,} more")
        raise DataError(
            f"{len(failures)} of {plural(len(sources), 'image')} could not be read.{others}\n"
            + "\n".join(lines)
        )
    polygons = None
    if settings.polygons is not None:
        rasters = masks_by_name(images, out, places)
        polygons = write_polygons(settings.polygons, rasters, model.classes, settings.min_area)
    return Masks(out, masks, polygons)


def _kinds(settings: PredictSettings) -> tuple[str, ...]:
    """The kinds of files to write, as in `OUTPUTS`."""
    requests = {
        "colors": settings.colors,
        "overlays": settings.overlay,
        "probabilities": settings.probabilities,
        "confidence": settings.confidence,
        "reliability": settings.reliability,
        "": True,
    }
    return tuple(kind for kind, requested in requests.items() if requested)


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
