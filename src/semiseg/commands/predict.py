"""`predict`: masks for any number of images, and what helps to judge them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings import PredictSettings
from semiseg.config.shard import ALL, parse_shard
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.image_formats import format_of
from semiseg.data.pools.address import is_url, without_secrets
from semiseg.inference.figures import describe_failures
from semiseg.inference.image_job import ImageOptions
from semiseg.inference.image_sources import select_images
from semiseg.inference.ledger import Header, open_ledger
from semiseg.inference.ledger_table import Predictions, join_ledgers
from semiseg.inference.load import check_order, load
from semiseg.inference.polygons import (
    WrittenPolygons,
    check_polygons,
    masks_by_name,
    write_polygons,
)
from semiseg.inference.prediction import Outcome, predict_selection
from semiseg.inference.predictor import Predictor
from semiseg.inference.raster_prediction import model_sha256
from semiseg.inference.survey import survey
from semiseg.inference.targets import describe_skipped, find_places, is_finished

logger = logging.getLogger(__name__)


class Masks(NamedTuple):
    """Masks that were written.

    Attributes:
        folder: the output folder.
        files: the masks; none with `merge`.
        polygons: the vector file, or None.
        table: the table of all images, or None.
    """

    folder: Path
    files: Sequence[Path]
    polygons: WrittenPolygons | None = None
    table: Predictions | None = None

    def text(self) -> str:
        """The number of masks, and their folder; then the polygons and the table."""
        lines = []
        if self.files or self.table is None:
            lines.append(f"{plural(len(self.files), 'mask')} written to {self.folder}")
        if self.polygons is not None:
            file, number = self.polygons
            lines.append(f"{plural(number, 'polygon')} written to {file}")
        if self.table is not None:
            lines.append(self.table.text())
        return "\n".join(lines)

    @property
    def status(self) -> int:
        """The exit status of the command line: 2 if an image could not be read."""
        return 0 if self.table is None else self.table.status


@command(PredictSettings)
def predict(settings: PredictSettings) -> Masks:
    """Segment images: a file, a folder, a pattern, a list, or a pool.

    Returns:
        The masks that were written. With `merge`, the table of the masks that all shards wrote.

    Raises:
        DataError: there are no images, or some cannot be read. The masks of the others are written.
            With `merge`, a shard is not finished.
        ConfigError: the model lacks what a setting needs, or a shard has other settings than those
            before it.
        RunError: the model cannot be read, or the output folder cannot be written.
    """
    out, run, images = settings.out, settings.run, settings.images
    _check_out(out)
    if not is_url(images):
        check_order("predict", run, Path(images))
    words = ("semiseg", "predict", str(run), without_secrets(images), "--out", str(out))
    call = shlex.join(words)
    if settings.merge:
        return Masks(out, (), table=join_ledgers(out, model_sha256(run), call))
    kinds = _kinds(settings)
    shard = ALL if settings.shard is None else parse_shard(settings.shard)
    selection = select_images(images, out, kinds, shard)
    rasters = {} if settings.polygons is None else find_places(selection.files.values())
    check_polygons(settings.polygons, rasters, settings.overwrite)
    for note in selection.notes:
        logger.info("%s", note)
    for warning in selection.warnings:
        logger.warning("%s", warning)
    model = load(run, settings.accelerator, settings.threads)
    _check(model, settings)
    options = ImageOptions(
        kinds=kinds,
        scale=settings.scale,
        tta=settings.tta,
        abstain=settings.abstain,
        overwrite=settings.overwrite,
        model=model_sha256(run),
        trained=model.reading,
        own=settings.reading,
        named=settings.named_bands,
    )
    if selection.sources:
        survey(
            model,
            selection.sources,
            options,
            lambda source: settings.overwrite or not is_finished(source.name, out, kinds),
        )
    table = None
    if settings.shard is None and not settings.table:
        outcome = predict_selection(model, selection, out, options)
    else:
        header = Header(
            shard.number, shard.count, options.model, model.classes.names, settings.decisive
        )
        with open_ledger(out, header, settings.overwrite) as ledger:
            outcome = predict_selection(model, selection, out, options, ledger)
        if settings.table:
            table = join_ledgers(out, options.model, call)
    _explain(outcome, len(selection.sources), out)
    polygons = None
    if settings.polygons is not None:
        masks = masks_by_name(selection.files, out, rasters)
        polygons = write_polygons(settings.polygons, masks, model.classes, settings.min_area)
    return Masks(out, outcome.masks, polygons, table)


def _explain(outcome: Outcome, total: int, out: Path) -> None:
    """Say which images had files already.

    Raises:
        DataError: some could not be read.
    """
    states = outcome.states
    for note in describe_skipped(states["existed"], states["added"], total, out):
        logger.info("%s", note)
    if failed := states["failed"]:
        others = f"The masks of the others are in {out}." if failed < total else ""
        raise DataError(describe_failures(outcome.reasons, failed, total, others))


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
