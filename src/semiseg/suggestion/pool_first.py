"""`suggest` with a pool alone: the images of a pool to label first, before there is a model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np

from semiseg.config.settings import AUTO
from semiseg.config.shard import ALL, Shard
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import NO_NAMES, NamedBands
from semiseg.data.pools.pool import open_pool
from semiseg.data.pools.pool_sample import sample_pool
from semiseg.inference.device import torch_device
from semiseg.model.network import Network
from semiseg.suggestion.coverage import FirstImage
from semiseg.suggestion.descriptors import describe_images, describe_pixels, read_reduced
from semiseg.suggestion.feature_rows import Description
from semiseg.suggestion.first_images import FirstImages, build_network, place_of, refuse_drawn
from semiseg.suggestion.first_steps import first_steps
from semiseg.suggestion.pool import MAX_SCANNED, Pool, infer_pool_reading, read_folder
from semiseg.suggestion.pool_choice import choose_first_numbers
from semiseg.suggestion.pool_features import FeatureJob, compute_features, read_features
from semiseg.suggestion.pool_files import fetch_chosen
from semiseg.suggestion.ranking import Features, describe_fewer
from semiseg.suggestion.writer import write_first_images
from semiseg.training.encoder import check_encoder, choose_encoder

logger = logging.getLogger(__name__)


def suggest_first_from_pool(
    address: str,
    *,
    out: Path,
    n: int = 20,
    data: Path | None = None,
    encoder: str = AUTO,
    weights: str = AUTO,
    reading: Reading = AS_STORED,
    named: NamedBands = NO_NAMES,
    overwrite: bool = False,
    accelerator: str = AUTO,
    shard: Shard | None = None,
    merge: bool = False,
    call: str = "",
) -> FirstImages:
    """Choose images of a pool that stand for all others; see `suggest_first`.

    The features of all images go into `OUT/features`, where the next call finds them.

    Args:
        address: of the pool.
        out: see `suggest_first`.
        n: see `suggest_first`.
        data: a data folder whose labeled images the choice complements. An image of the pool that
            is like one of them, or like one of its `val` or `test`, is not chosen.
        encoder: see `suggest_first`.
        weights: see `suggest_first`.
        reading: see `suggest_first`; what it leaves open is inferred from 64 images of the pool.
        named: see `suggest_first`.
        overwrite: see `suggest_first`; the features of an earlier call stay.
        accelerator: see `suggest_first`.
        shard: compute the features of a part of the images, and choose nothing.
        merge: compute nothing, and choose when all shards are finished.
        call: the command without `--shard` and `--merge`, for messages.

    Returns:
        The images and the next steps; none for a shard.

    Raises:
        DataError: the pool cannot be read, no image can be chosen, or a shard is not finished.
        ConfigError: as `suggest_first`; or `out` has features of another encoder or pool.
        RunError: as `suggest_first`.
    """
    if data is not None and out.resolve() == data.resolve():
        raise ConfigError(f"--out {out} is the data folder. Choose another folder.")
    if shard is None:
        refuse_drawn(out, overwrite)
    device = torch_device(accelerator)
    config = TrainConfig.from_values({"data": data or out, "encoder": encoder, "weights": weights})
    name = choose_encoder(config, place_of(device)).name
    check_encoder(config, name)
    packed = open_pool(address)
    folder = None if data is None else read_folder(data)
    network = build_network(name, weights).to(device).eval()
    sample = sample_pool(packed, MAX_SCANNED)
    pool = Pool({str(i): file for i, file in enumerate(sorted(sample.files))}, folder, address)
    reading = infer_pool_reading(pool, reading, named)
    model = _sha256(network, name, reading)
    job = FeatureJob(packed, out, shard or ALL, model, call)
    if not merge:
        compute_features(
            job,
            _width(network, device),
            lambda image: read_reduced(image, reading, network.stride),
            lambda pixels: Description(describe_pixels(network, pixels, device)),
        )
    if shard is not None:
        return FirstImages([], "")
    rows, failures = read_features(job)
    if failures.count:
        logger.warning("%s", failures.describe(len(rows)))

    def features_of(files: Collection[Path]) -> Features:
        images = {str(number): file for number, file in enumerate(files)}
        vectors, _ = describe_images(network, images, reading, device)
        return np.array([*vectors.values()], np.float32).reshape(-1, rows.width)

    labeled = features_of([] if folder is None else [sample.image for sample in folder.labeled])
    scored = features_of([] if folder is None else sorted(folder.scored))
    chosen = choose_first_numbers(rows, labeled, scored, n)
    if not chosen:
        raise DataError(
            f"{packed.address} holds no image to choose from: all are like labeled images.",
            "Add other images.",
        )
    if text := describe_fewer(len(chosen), n, len(rows) - failures.count):
        logger.info("%s", text)
    files = fetch_chosen(address, [one.number for one in chosen], out)
    images = [
        FirstImage(name, file, one.stands_for, one.distance)
        for one, (name, file) in zip(chosen, files, strict=True)
    ]
    write_first_images(images, reading, out)
    return FirstImages(images, first_steps(out, pool, images))


def _width(network: Network, device: str) -> int:
    """The number of features of an image."""
    pixels = np.zeros((2 * network.stride, 2 * network.stride, 3), np.uint8)
    return len(describe_pixels(network, pixels, device))


def _sha256(network: Network, name: str, reading: Reading) -> str:
    """A hash of all that decides about the features: the encoder and how images are read."""
    digest = hashlib.sha256(repr((name, reading)).encode())
    for key, tensor in sorted(network.encoder.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
