"""Remembers how fast a training is on this machine, so that the next one need not measure.

The measurements lie in one file of the cache (see `core.files.cache_folder`). Each has a key: a
hash of the machine, of the versions of the libraries, of the images, and of the settings that a
step depends on. A measurement counts for an hour, since a machine may be busier later. A file that
is missing, broken or of another format holds no measurement.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from semiseg._version import __version__
from semiseg.config.facts import Line
from semiseg.config.train import TrainConfig
from semiseg.core.files import atomic_write, cache_folder, read_json, short_hash
from semiseg.core.records import from_plain
from semiseg.core.scores import Timing
from semiseg.training.data import TrainingData
from semiseg.training.place import Place

logger = logging.getLogger(__name__)

MAX_MEASUREMENTS = 100
"""The file keeps so many, the newest ones."""
_FORMAT = 3  # raise it when a measurement means something else
_MAX_BYTES = 1_000_000  # no file of semiseg is larger
_MAX_AGE = 3600.0  # seconds
_LIBRARIES = (
    *("torch", "torchvision", "lightning", "timm", "segmentation-models-pytorch"),
    *("numpy", "scipy", "pillow"),
)
_WITHOUT_EFFECT = {
    # where the files are, and what is written; the images themselves are part of the key
    *("data", "labels", "split_seed", "out", "logger"),
    # numbers that a step computes with
    *("seed", "lr", "encoder_lr", "layer_decay", "weight_decay", "lr_warmup"),
    # how often something is done
    "validations",
}


@dataclass(frozen=True)
class Measurement:
    """What a few steps at one or two sizes took; each pair is a `Line` of pixels.

    Attributes:
        step: the seconds of a step, by labeled images times crop squared.
        validation: the seconds of a validation for one image, by size squared.
        memory: the bytes at the peak, as `step`; None where no GPU counts them.
        view: the seconds of the cached features of one view, by crop squared; None without them.
        second: the same of the second network; None without one.
    """

    step: tuple[float, ...]
    validation: tuple[float, ...]
    memory: tuple[float, ...] | None = None
    view: tuple[float, ...] | None = None
    second: Measurement | None = None

    def __post_init__(self) -> None:
        """Refuse what no line of this module holds.

        Raises:
            ValueError: a line is not two numbers from 0, or a step takes no time.
        """
        for line in (self.step, self.validation, self.memory, self.view):
            if line is not None and not (
                len(line) == 2 and all(math.isfinite(x) and x >= 0 for x in line)
            ):
                raise ValueError(f"{line} is not a line")
        if not (any(self.step) and any(self.validation)):
            raise ValueError("a step takes time")

    @classmethod
    def of(
        cls, step: Line, validation: Line, memory: Line | None, view: Line | None
    ) -> Measurement:
        """The measurement with these lines."""
        memory_line, view_line = (None if x is None else (*x,) for x in (memory, view))
        return cls((*step,), (*validation,), memory_line, view_line)


@dataclass(frozen=True)
class _Entry:
    """What was measured, with its key and the seconds since 1970 when that was.

    It is a `Measurement` for `--budget` of a training, or the `Timing` of a run for `compare`.
    """

    key: str
    time: float
    measurement: Measurement | None = None
    timing: Timing | None = None


@dataclass(frozen=True)
class _Contents:
    """The file, the oldest measurement first."""

    format: int
    entries: tuple[_Entry, ...]


def memory_file() -> Path | None:
    """The file of the measurements; None where there is no place for a cache."""
    cache = cache_folder()
    return None if cache is None else cache / "paces.json"


def recall(key: str) -> tuple[Measurement, float] | None:
    """A measurement of the last hour, and the seconds since it was made; None without one.

    Args:
        key: see `key_of`.
    """
    entry, age = _recall(key)
    return None if entry is None or entry.measurement is None else (entry.measurement, age)


def recall_timing(key: str) -> tuple[Timing, float] | None:
    """The timing of a run that was measured in the last hour, and its age, as `recall`."""
    entry, age = _recall(key)
    return None if entry is None or entry.timing is None else (entry.timing, age)


def remember(key: str, measurement: Measurement) -> bool:
    """Keep a measurement.

    Args:
        key: see `key_of`.
        measurement: what was measured.

    Returns:
        Whether the next training will find it.
    """
    return _remember(_Entry(key, time.time(), measurement))


def remember_timing(key: str, timing: Timing) -> bool:
    """Keep the timing of a run, as `remember`."""
    return _remember(_Entry(key, time.time(), timing=timing))


def _recall(key: str) -> tuple[_Entry | None, float]:
    """The newest entry of the last hour with this key, and its age in seconds."""
    now = time.time()
    for entry in reversed(_read()):
        if entry.key == key and 0 <= now - entry.time <= _MAX_AGE:
            return entry, now - entry.time
    return None, 0.0


def _remember(entry: _Entry) -> bool:
    """Keep an entry in place of an older one with its key; False if the file cannot be written."""
    path = memory_file()
    if path is None:
        return False
    entries = [*(other for other in _read() if other.key != entry.key), entry][-MAX_MEASUREMENTS:]
    contents = asdict(_Contents(_FORMAT, tuple(entries)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, shared=True) as file:
            file.write(json.dumps(contents).encode())
    except OSError as error:
        logger.debug("%s cannot be written: %s", path, error)
        return False
    return True


def _read() -> tuple[_Entry, ...]:
    """The measurements in the file; none where it is missing or broken."""
    path = memory_file()
    try:
        if path is None or path.stat().st_size > _MAX_BYTES:
            return ()
        contents = from_plain(_Contents, read_json(path))
    except (OSError, ValueError):
        return ()
    return contents.entries if contents.format == _FORMAT else ()


def key_of(
    configs: Sequence[TrainConfig], data: TrainingData, place: Place, purpose: str = ""
) -> str:
    """What a measurement depends on, as a hash.

    Args:
        configs: the settings of the steps that are measured, one for each size.
        data: the images.
        place: the device.
        purpose: tells measurements of another kind apart.
    """
    settings = [
        {name: str(value) for name, value in one.values().items() if name not in _WITHOUT_EFFECT}
        for one in configs
    ]
    parts = [_machine(place), _versions(), _images(data), settings, *([purpose] * bool(purpose))]
    return short_hash(json.dumps(parts))


def _machine(place: Place) -> list[object]:
    gpu = torch.cuda.get_device_name() if place.kind == "cuda" else ""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = os.cpu_count() if affinity is None else sorted(affinity(0))
    names = [platform.node(), platform.platform(), platform.machine()]
    return [*names, cores, place.kind, place.threads, place.memory, place.bf16, gpu]


def _versions() -> list[str]:
    versions = [platform.python_version(), __version__]
    for name in _LIBRARIES:
        try:
            versions.append(version(name))
        except PackageNotFoundError:  # it was installed in another way
            versions.append("")
    return versions


def _images(data: TrainingData) -> list[object]:
    """The images of the training by name and size; of a pool, what identifies it."""
    folder, split = data.folder, data.split
    samples = [split.labeled, split.val]
    pool = ""
    if isinstance(data.unlabeled, tuple):
        samples.append(data.unlabeled)
    elif split.pool is not None:
        samples.append(split.unlabeled)
        pool = split.pool.pool.fingerprint
    images = [
        [(s.image.name, *(folder.images[s.image].size if s.image in folder.images else ()))]
        for part in samples
        for s in part
    ]
    counts = [len(part) for part in samples]
    place = str(folder.root.resolve())
    return [place, len(folder.classes.names), str(folder.reading), counts, pool, images]
