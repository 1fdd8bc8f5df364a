"""`predict`: masks for any number of images, and what helps to judge them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.models import PredictSettings
from semiseg.config.shard import ALL, parse_shard
from semiseg.core import shell
from semiseg.core.addresses import is_url, without_secrets
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.run_names import SCORES
from semiseg.core.scores import read_scores
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.image_formats import format_of
from semiseg.inference.delivery import PredictionJob, predict_all_into
from semiseg.inference.figures import Unusual
from semiseg.inference.image_job import predict_images
from semiseg.inference.image_request import ImageOptions
from semiseg.inference.image_sources import MAX_NAMED, Selection, select_images
from semiseg.inference.ledger import may_keep_ledger, open_ledger
from semiseg.inference.ledger_file import Header
from semiseg.inference.ledger_table import Predictions, join_ledgers
from semiseg.inference.load import check_order, load, local_model
from semiseg.inference.outputs import FolderOutput, Output, StoreOutput, output_of
from semiseg.inference.polygons import (
    WrittenPolygons,
    check_polygons,
    masks_by_name,
    write_polygons,
)
from semiseg.inference.prediction import Engine, LedgerWriter, Outcome, predict_selection
from semiseg.inference.predictor import Predictor
from semiseg.inference.raster_prediction import model_sha256
from semiseg.inference.survey import survey
from semiseg.inference.targets import describe_skipped, find_places, is_finished
from semiseg.training.named_images import RunImages

logger = logging.getLogger(__name__)


class Masks(NamedTuple):
    """Masks that were written.

    Attributes:
        folder: the output folder, or its address.
        files: the masks, or their addresses; none with `merge`.
        polygons: the vector file, or None.
        table: the table of all images, or None.
    """

    folder: Path | str
    files: Sequence[Path] | Sequence[str]
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
        ConfigError: the model lacks what a setting needs, a package is missing, or a shard has
            other settings than those before it.
        RunError: the model cannot be read, or the output folder cannot be written.
    """
    run, images = settings.run, settings.images
    output = output_of(settings.out)
    out = output.folder if isinstance(output, FolderOutput) else None
    if out is not None:
        _check_out(out)
    uses_ray = settings.engine == "ray"
    predict_on_ray = _import_ray() if uses_ray else None
    if not is_url(images):
        check_order("predict", run, Path(images))
    words = ("semiseg", "predict", str(run), without_secrets(images), "--out", str(output))
    call = shell.join(words)
    run = local_model(run)
    kinds = _kinds(settings)
    run_images = RunImages(run, Path(images))
    table: Predictions | None = None
    if settings.merge and out is not None:
        selected = partial(select_images, images, out, kinds, ALL, named=run_images)
        limits = settings.min_area, settings.unlike_limit
        table = join_ledgers(out, model_sha256(run), call, selected, *limits)
        _report_unusual(table.unusual)
        _warn_of_counts(run)
        return Masks(out, (), table=table)
    shard = ALL if settings.shard is None else parse_shard(settings.shard)
    # Without other files than masks, no two results of a pool can share a name.
    lazily = uses_ray and len(kinds) == 1 and not settings.table
    store = output.address if isinstance(output, StoreOutput) else None
    select = partial(select_images, lazily=lazily, store=store, named=run_images)
    selection = select(images, out, kinds, shard)
    rasters = {} if settings.polygons is None else find_places(selection.files.values())
    check_polygons(settings.polygons, rasters, settings.overwrite)
    for note in selection.notes:
        logger.info("%s", note)
    for warning in selection.warnings:
        logger.warning("%s", warning)
    # The machine that hands out the images may have no GPU.
    model = load(run, "cpu" if uses_ray else settings.accelerator, settings.threads)
    _check(model, settings)
    options = ImageOptions(
        kinds=kinds,
        scale=settings.scale,
        tta=settings.tta,
        abstain=settings.abstain,
        overwrite=settings.overwrite,
        # Counting takes up to 5 % of the time, for what only a ledger keeps.
        objects=settings.table or settings.shard is not None or uses_ray,
        min_area=settings.min_area,
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
            lambda source: settings.overwrite or not is_finished(source.name, kinds, output.exists),
        )
    engine: Engine
    if predict_on_ray is not None:
        job = PredictionJob(run, selection.sources, output, options, model.reading)
        engine = partial(predict_on_ray, job, settings.accelerator, settings.threads)
    elif out is not None:
        engine = partial(predict_images, model, selection.sources, out, options)
    else:
        engine = partial(predict_all_into, model, selection.sources, output, options)
    classes = model.classes
    header = Header(
        *(shard.number, shard.count, options.model, classes.names, settings.decisive),
        place=selection.place,
        pool=selection.fingerprint,
    )
    if out is None or not _keeps_ledger(settings, out, selection, header):
        outcome = predict_selection(engine, selection, unlike_limit=settings.unlike_limit)
    else:
        with open_ledger(out, header, settings.overwrite) as ledger:
            writer = LedgerWriter(ledger, out, classes, settings.min_area)
            outcome = predict_selection(engine, selection, writer, settings.unlike_limit)
            writer.finish(selection)
        if settings.table:
            limits = settings.min_area, settings.unlike_limit
            table = join_ledgers(out, options.model, call, lambda: selection, *limits)
            _warn_of_counts(run)
    _report_unusual((outcome if table is None else table).unusual)
    _explain(outcome, len(selection.sources), output)
    if out is None:
        return Masks(str(output), [f"{output}/{mask}" for mask in outcome.masks])
    polygons = None
    if settings.polygons is not None:
        masks = masks_by_name(selection.files, out, rasters)
        polygons = write_polygons(settings.polygons, masks, model.classes, settings.min_area)
    return Masks(out, [out / mask for mask in outcome.masks], polygons, table)


def _report_unusual(unusual: Unusual) -> None:
    """Say whether images are unlike those of the training, if that is known."""
    if warning := unusual.warning():
        logger.warning("%s", warning)
    elif summary := unusual.summary():
        logger.info("%s", summary)


def _warn_of_counts(run: Path) -> None:
    """Say so if the model miscounted the objects of the validation images."""
    file = run / SCORES
    if not file.is_file():  # an exported model
        return
    try:
        shapes = read_scores(file).shapes
    except RunError:
        return
    if shapes is not None and (warning := shapes.count_warning()):
        logger.warning("%s.", warning)


def _import_ray() -> Callable[..., None]:
    """`predict_on_ray`.

    Raises:
        ConfigError: Ray is not installed.
    """
    try:
        from semiseg.inference.ray_engine import predict_on_ray
    except ImportError as error:
        raise ConfigError(
            f"--engine ray needs Ray Data, which is not installed ({error}): "
            "pip install 'semiseg[ray]'"
        ) from None
    return predict_on_ray


def _keeps_ledger(
    settings: PredictSettings, out: Path, selection: Selection, header: Header
) -> bool:
    """Whether a ledger says what became of each image, so that `merge` can make the table.

    Ray sends the figures of all images here in any case.
    """
    if settings.shard is not None or settings.table:
        return True
    if settings.engine != "ray":
        return False
    if selection.images > MAX_NAMED:
        logger.info("no ledger is kept of more than %s images; --table keeps one", f"{MAX_NAMED:,}")
        return False
    return may_keep_ledger(out, header, settings.overwrite)


def _explain(outcome: Outcome, total: int, out: Output) -> None:
    """Say which images had files already.

    Raises:
        DataError: some could not be read.
    """
    states = outcome.states
    for note in describe_skipped(states["existed"], states["added"], total, out):
        logger.info("%s", note)
    if failed := states["failed"]:
        others = f"The masks of the others are in {out}." if failed < total else ""
        raise DataError(outcome.failures.describe(total, others))


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
        why = f"its method is {model.metadata.method or 'another one'}"
        if model.metadata.second is not None:
            why = "it is the mean of two networks"
        raise ConfigError(
            f"--reliability compares the logits with the nearest prototype, but {run} has no "
            f"prototypes: {why}. Use --confidence, or a model of css."
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
