"""`suggest` without a run: the images to label first, before there is a model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import torch

from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.core.types import NO_NAMES, NamedBands
from semiseg.inference.device import torch_device
from semiseg.model.network import Network
from semiseg.suggestion.coverage import FirstImage, choose_first
from semiseg.suggestion.descriptors import describe_images
from semiseg.suggestion.first_steps import first_steps
from semiseg.suggestion.mask_kinds import written_kinds
from semiseg.suggestion.pool import find_pool, infer_pool_reading
from semiseg.suggestion.ranking import describe_fewer
from semiseg.suggestion.writer import write_first_images
from semiseg.training.encoder import check_encoder, choose_encoder
from semiseg.training.place import Place

logger = logging.getLogger(__name__)


class FirstImages(NamedTuple):
    """The images to label first.

    Attributes:
        images: the images; begin with the first one.
        next_steps: what to do with them.
    """

    images: list[FirstImage]
    next_steps: str


def suggest_first(
    images: Path,
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
) -> FirstImages:
    """Choose images that stand for all others, so that labeling begins with them.

    A pretrained encoder describes each image. The choice covers all images together with those that
    have masks already.

    Args:
        images: an image, a folder, a pattern in quotes, or a text file with one path on each line.
            Images with masks, and those of `val` and `test`, are not chosen.
        out: the folder to write: `suggested.txt` and `suggested.csv`, the list without and with
            the reasons; `suggested.png`, a picture of the images; and copies of the images in
            `train/images`.
        n: the largest number of images.
        data: a data folder whose labeled images the choice complements; None for `images`, if that
            is a folder.
        encoder: the encoder, or `auto` for that of a training.
        weights: its pretrained weights, as for a training.
        reading: how images are read; what it leaves open is inferred.
        named: the bands that have names instead of numbers.
        overwrite: write into a folder that may hold masks of an earlier call.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Raises:
        DataError: there are no images to choose from, or none of them can be read.
        ConfigError: the encoder or its weights cannot be used, or `out` is the data folder.
        RunError: the output folder cannot be written, or may hold masks.
    """
    root = data if data is not None else images
    if out.resolve() == root.resolve():
        raise ConfigError(f"--out {out} is the folder of the images. Choose another folder.")
    refuse_drawn(out, overwrite)
    device = torch_device(accelerator)
    config = TrainConfig.from_values({"data": root, "encoder": encoder, "weights": weights})
    name = choose_encoder(config, place_of(device)).name
    check_encoder(config, name)
    pool = find_pool(images, out, data)
    network = build_network(name, weights)
    reading = infer_pool_reading(pool, reading, named)
    vectors, errors = describe_images(network, pool.images, reading, device)
    if not vectors:
        raise DataError(
            f"{images} holds no image to choose from: {plural(len(errors), 'image')} cannot be "
            f"read. The first error: {errors[0]}"
        )
    labeled = [] if pool.folder is None else pool.folder.labeled
    labeled_files = {sample.name: sample.image for sample in labeled}
    labeled_vectors, _ = describe_images(network, labeled_files, reading, device)
    first_images = choose_first(pool.images, vectors, labeled_vectors, n)
    for error in errors:
        logger.warning("%s", error)
    if labeled:
        logger.info("the choice complements the %s", plural(len(labeled), "labeled image"))
    if len(vectors) < n:
        logger.info("there are only %s to choose from", plural(len(vectors), "image"))
    if text := describe_fewer(len(first_images), n, len(vectors)):
        logger.info("%s", text)
    if not first_images:
        raise DataError(
            f"{images} holds no image to choose from: all are like labeled images.",
            "Add other images.",
        )
    write_first_images(first_images, reading, out)
    return FirstImages(first_images, first_steps(out, pool, first_images))


def refuse_drawn(out: Path, overwrite: bool) -> None:
    """Refuse a folder with the masks that a person drew for an earlier call.

    Raises:
        RunError: it may hold some, and `overwrite` does not allow to write there.
    """
    if written_kinds(out) and not overwrite:
        raise RunError(
            f"{out / 'train'} exists and may hold masks that you drew. Choose another --out, or "
            "write into it (--overwrite)."
        )


def place_of(device: str) -> Place:
    """The device as the choice of the encoder needs it."""
    place = Place(device, torch.get_num_threads(), rank=0, world=1)
    if device != "cuda":
        return place
    memory = torch.cuda.get_device_properties(0).total_memory
    return place._replace(
        memory=memory, bf16=torch.cuda.is_bf16_supported(including_emulation=False)
    )


def build_network(encoder: str, weights: str) -> Network:
    """A network with the pretrained encoder; what follows the encoder is not used.

    Raises:
        ConfigError: the encoder or its weights cannot be used.
        HubError: the hub does not give the weights.
    """
    Key.of(0, "suggest", "weights").seed_globals()  # for --weights none
    network = Network(2, encoder, weights=weights)
    logger.info("weights: %s", network.weights_record.describe())
    if warning := network.weights_record.license_warning():
        logger.warning("%s", warning)
    return network
