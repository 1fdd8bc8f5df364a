"""The actors of a prediction by Ray: they hold the model and segment batches of images.

Each takes a few images at a time and writes their files itself, so that only names and records
travel through Ray.

This module needs the extra `ray`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import ray

from semiseg._version import __version__
from semiseg.config.settings import Auto
from semiseg.core.addresses import is_url
from semiseg.core.errors import RunError, SemisegError
from semiseg.core.reading import Reading
from semiseg.data.pools.address import Address
from semiseg.inference.delivery import predict_into
from semiseg.inference.figures import Record
from semiseg.inference.image_request import ImageOptions, ImageSource, LocalImage
from semiseg.inference.image_sources import PoolImages, RemoteImage
from semiseg.inference.load import load
from semiseg.inference.outputs import Output
from semiseg.inference.predictor import Predictor
from semiseg.model.metadata import METADATA_FILE

_MAX_TRIES = 2  # of an image alone, each of which ended the process


@dataclass(frozen=True)
class RayTask:
    """What an actor must know. It can be pickled.

    Attributes:
        version: of the semiseg that started the job.
        model: the content of the model's files, by name.
        accelerator: see `load`.
        threads: see `load`.
        reading: how images are read.
        options: see `predict_images`.
        output: where the results go.
        pool: the address of the images' pool; None if they come from elsewhere.
    """

    version: str
    model: Mapping[str, bytes]
    accelerator: str
    threads: int | Auto
    reading: Reading
    options: ImageOptions
    output: Output
    pool: str | None

    def load(self) -> Predictor:
        """The model, on a machine that may not see the run folder."""
        with tempfile.TemporaryDirectory(prefix="semiseg-") as folder:
            for name, content in self.model.items():
                (Path(folder) / name).write_bytes(content)
            names = set(self.model)
            path = Path(folder) if METADATA_FILE in names else Path(folder) / names.pop()
            model = load(path, self.accelerator, self.threads)
        model.read_as(self.reading)
        return model


class RayTries:
    """Counts how often a batch or an image was begun and did not come to its end.

    It is an actor of its own, so that it survives those that segment.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[int, ...], int] = {}

    def begin(self, *key: int) -> int:
        """How often this was begun, now included."""
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]

    def end(self, *key: int) -> None:
        """Forget what was begun, since it came to its end."""
        self._counts.pop(key, None)


class RayWorker:
    """Segments batches of images; Ray makes one in each actor."""

    def __init__(self, job: ray.ObjectRef, tries: ray.actor.ActorHandle) -> None:
        self._reference, self._tries = job, tries

    @cached_property
    def _job(self) -> RayTask:
        job: RayTask = ray.get(self._reference)
        if job.version != __version__:
            raise RunError(
                f"A machine of the Ray cluster has semiseg {__version__}, but this one has "
                f"{job.version}. Install the same version everywhere."
            )
        return job

    @cached_property
    def _model(self) -> Predictor:
        return self._job.load()

    @cached_property
    def _pool(self) -> PoolImages | None:
        address = self._job.pool
        return None if address is None else PoolImages(address)

    def __call__(self, row: dict[str, object]) -> dict[str, str]:
        """The records of a batch as JSON, or the error that must end the job."""
        records: list[Record] = []
        try:
            self._predict(int(str(row["first"])), str(row["images"]), records.append)
        except Exception as error:  # Ray would begin the batch again and again
            text = (
                str(error)
                if isinstance(error, SemisegError)
                else f"{type(error).__name__}: {error}"
            )
            return {"error": text, "records": "[]"}
        return {"error": "", "records": json.dumps([asdict(record) for record in records])}

    def _predict(self, first: int, images: str, report: Callable[[Record], None]) -> None:
        sources = decode_images(images, self._pool)
        options, output = self._job.options, self._job.output
        if ray.get(self._tries.begin.remote(first)) == 1:
            predict_into(self._model, sources, output, options, report)
            self._tries.end.remote(first)
            return
        # A process has ended in the midst of this batch. One of the images may be the reason.
        for number, source in enumerate(sources):
            if ray.get(self._tries.begin.remote(first, number)) <= _MAX_TRIES:
                predict_into(self._model, [source], output, options, report)
                ray.get(self._tries.end.remote(first, number))
            else:
                reason = (
                    f"{source}: the process that segments this image ends each time. The image may "
                    "need more memory than the machine has."
                )
                report(Record(source.name, "failed", reason=reason))


def encode_images(sources: Sequence[ImageSource], first: int, stop: int) -> str:
    """Some images as JSON: their names and places, or their numbers in a pool."""
    if isinstance(sources, PoolImages):
        return json.dumps([first, stop])
    places = []
    for source in sources[first:stop]:
        if isinstance(source, RemoteImage):
            places.append((source.name, source.address.text))
        elif isinstance(source, LocalImage):
            places.append((source.name, str(source.file.absolute())))
        else:
            raise TypeError(f"{source} cannot be sent to another process")
    return json.dumps(places)


def decode_images(text: str, pool: PoolImages | None) -> Sequence[ImageSource]:
    """What `encode_images` was given."""
    if pool is not None:
        first, stop = json.loads(text)
        return pool[first:stop]
    return [
        RemoteImage(name, Address(place)) if is_url(place) else LocalImage(name, Path(place))
        for name, place in json.loads(text)
    ]
