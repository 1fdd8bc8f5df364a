"""Small pools of drawn images, a store that holds them, and the batches of a training with them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from semiseg.config.train import TrainConfig
from semiseg.core.types import Batch
from semiseg.training.data import read_data
from semiseg.training.loaders import training_loader
from semiseg.training.place import Place

SIZE = (64, 48)
BATCH_SETTINGS = {
    **{"method": "css", "size": 48, "crop": 32, "batch": 4, "steps": 6, "labels": "2"},
    **{"weights": "none", "photometry": "mild", "workers": 0},
}


def drawn(number: int) -> bytes:
    """A PNG file of blurred noise."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


def write_pool(
    folder: Path, images: int = 12, shards: int = 3, broken: tuple[int, ...] = ()
) -> Path:
    """A folder of tars with images in them; those of the numbers in `broken` are no images."""
    folder.mkdir(parents=True)
    for shard, numbers in enumerate(np.array_split(np.arange(images), shards)):
        with tarfile.open(folder / f"{shard:06d}.tar", "w") as tar:
            for number in numbers.tolist():
                content = b"no image" if number in broken else drawn(number)
                member = tarfile.TarInfo(f"{number:04d}.png")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return folder


@contextmanager
def served_as_s3(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a folder in an S3 store on 127.0.0.1, while the block runs."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        **{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
        **{"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://{host}:{port}"},
    }
    for name, value in settings.items():
        patch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="store")
    for file in folder.rglob("*"):
        if file.is_file():
            client.upload_file(str(file), "store", f"pool/{file.relative_to(folder).as_posix()}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # they know an earlier server
    try:
        yield "s3://store/pool"
    finally:
        server.stop()


def load(tiny_folder, pool, start=0, rank=0, world=1, **settings):
    """The batches of a training with a pool."""
    config = TrainConfig.from_values(
        {**BATCH_SETTINGS, "data": tiny_folder, "unlabeled": pool, **settings}
    )
    place = Place("cpu", 1, rank, world)
    return list(training_loader(config, read_data(config), place, start))


def tensors(batch: Batch):
    """The pixels, the masks and the views of a batch."""
    return (*batch.labeled[:2], *batch.unlabeled[:3])


def same(ours, theirs):
    """Whether all batches have the same bits."""
    assert len(ours) == len(theirs)
    return all(
        torch.equal(a, b)
        for one, other in zip(ours, theirs, strict=True)
        for a, b in zip(tensors(one), tensors(other), strict=True)
    )
