"""`suggest` with a run and a pool: the images of a pool to label next, with masks to correct."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import nan
from pathlib import Path

import numpy as np

from semiseg.config.settings import AUTO, Auto
from semiseg.config.shard import ALL, Shard
from semiseg.config.tool_formats import ToolFormat
from semiseg.core.errors import DataError
from semiseg.core.types import Sample
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.pools.pool import open_pool
from semiseg.inference.device import torch_device
from semiseg.inference.large import read_picture
from semiseg.inference.raster_prediction import model_sha256
from semiseg.inference.torch_model import Model
from semiseg.model.release import load_release
from semiseg.suggestion.feature_rows import Description
from semiseg.suggestion.features import Inspector, inspect_images
from semiseg.suggestion.mask_kinds import kind_of, refuse_other_kind
from semiseg.suggestion.pool_choice import choose_next
from semiseg.suggestion.pool_features import FeatureJob, compute_features, read_features
from semiseg.suggestion.pool_files import fetch_chosen
from semiseg.suggestion.ranking import NO_PROTOTYPES, Features, Suggestion, describe_fewer
from semiseg.suggestion.suggest import check_places, refuse_masks, require_labeled
from semiseg.suggestion.unlabeled import RunImages, find_run_images
from semiseg.suggestion.writer import write_suggestions

logger = logging.getLogger(__name__)


def suggest_from_pool(
    run: Path,
    pool: str,
    *,
    out: Path,
    n: int = 20,
    data: Path | None = None,
    file_format: ToolFormat | Auto = AUTO,
    min_area: int | Auto = AUTO,
    overwrite: bool = False,
    accelerator: str = AUTO,
    shard: Shard | None = None,
    merge: bool = False,
    call: str = "",
) -> list[Suggestion]:
    """Choose the images of a pool whose masks would improve a trained model most; see `suggest`.

    The features and the doubt of all images go into `OUT/features`, where the next call finds
    them. An image of the pool that is like a labeled image of the run, or like one of its `val` or
    `test`, is not chosen.

    Args:
        run: see `suggest`.
        pool: the address of the pool.
        out: see `suggest`.
        n: see `suggest`.
        data: see `suggest`.
        file_format: see `suggest`.
        min_area: see `suggest`.
        overwrite: replace the masks of an earlier call; its features stay.
        accelerator: see `suggest`.
        shard: compute the features of a part of the images, and choose nothing.
        merge: compute nothing, and choose when all shards are finished.
        call: the command without `--shard` and `--merge`, for messages.

    Returns:
        The images; begin with the first one. None for a shard.

    Raises:
        DataError: the pool cannot be read, no image can be suggested, or a shard is not finished.
        ConfigError: as `suggest`; or `out` has features of another model or pool.
        RunError: as `suggest`.
    """
    folder = check_places(run, out, n, data)
    if shard is None:
        refuse_masks(out, overwrite)
    model = Model(load_release(run), torch_device(accelerator))
    kind = kind_of(file_format, model.classes)
    refuse_other_kind(out, kind)
    run_images = find_run_images(run, folder)
    require_labeled(run, run_images, data)
    job = FeatureJob(open_pool(pool), out, shard or ALL, model_sha256(run), call=call)
    if not merge:
        if not model.two_spaces:
            logger.info(NO_PROTOTYPES, run)
        with Inspector(model) as inspect:

            def row(image: AnyImage) -> Description:
                features, doubt, disagreement = inspect(image)
                return Description(features, doubt, nan if disagreement is None else disagreement)

            def read(image: ImageBytes) -> AnyImage:
                return read_picture(image, model.reading)

            compute_features(job, inspect.width, read, row)
    if shard is not None:
        return []
    rows, failures = read_features(job)
    if failures.count:
        logger.warning("%s", failures.describe(len(rows)))
    if not run_images.labeled:
        logger.info(
            "semiseg cannot find the data of %s, so it may suggest images that have masks. If the "
            "data moved, name their folder: --data DATA",
            run,
        )
    labeled, scored = _features_of(model, run_images, rows.width)
    chosen = choose_next(rows, labeled, scored, n)
    if not chosen:
        raise DataError(
            f"{job.pool.address} holds no image to suggest: all are like labeled images, or like "
            "images of val or test.",
            "Name a pool of other images.",
        )
    if text := describe_fewer(len(chosen), n, len(rows) - failures.count):
        logger.info("%s", text)
    files = fetch_chosen(pool, [one.number for one in chosen], out)
    suggestions = [
        Suggestion(name, file, one.score, one.doubt, one.disagreement, one.distance)
        for one, (name, file) in zip(chosen, files, strict=True)
    ]
    write_suggestions(suggestions, model, kind, out, min_area)
    return suggestions


def _features_of(model: Model, run_images: RunImages, width: int) -> tuple[Features, Features]:
    """The features of the labeled images, and of those of `val` and `test`."""

    def stacked(samples: Sequence[Sample]) -> Features:
        files = {f"{number}": sample.image for number, sample in enumerate(samples)}
        candidates, _ = inspect_images(model, files)
        vectors = [candidate.features for candidate in candidates]
        return np.array(vectors, np.float32).reshape(-1, width)

    return stacked(run_images.labeled), stacked([*run_images.validation, *run_images.test])
