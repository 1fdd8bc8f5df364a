"""Prediction by Ray Data: on all cores or GPUs of one machine, or of a cluster.

Actors hold the model. Each takes a few images at a time and writes their files itself, so that only
names and records travel through Ray. The written files are the ledger: whatever is killed, the next
call goes on with the images that have no mask.

This module needs the extra `ray`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ray
import ray.data
from ray.exceptions import RayError

from semiseg._version import __version__
from semiseg.config.settings import Auto, unless_auto
from semiseg.core.addresses import is_url
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.records import from_plain
from semiseg.inference.delivery import PredictionJob
from semiseg.inference.device import torch_device
from semiseg.inference.figures import Record
from semiseg.inference.image_request import ImageSource
from semiseg.inference.image_sources import PoolImages
from semiseg.inference.outputs import FolderOutput, Output
from semiseg.inference.ray_worker import RayTask, RayTries, RayWorker, encode_images
from semiseg.model.metadata import METADATA_FILE, WEIGHTS_FILE

logger = logging.getLogger(__name__)

_ADDRESS = "RAY_ADDRESS"  # Ray's own variable
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers
    "RAY_worker_niceness": "0",  # as `predict` runs otherwise
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # it warns of arguments of actors, which the driver keeps
}
_BATCHES_PER_ACTOR = 8  # at least, so that all actors end at about the same time
_MAX_BATCH = 128  # images; more of them make a task no cheaper
_MAX_BATCHES = 20_000  # Ray keeps an object for each; of millions of images, batches are larger
_MEMORY = 1 << 30  # bytes of an actor, most of them for torch
_STORE_MEMORY = 256 << 20  # bytes of Ray's memory for objects; ours are small


def predict_on_ray(
    job: PredictionJob,
    accelerator: str,
    threads: int | Auto,
    report: Callable[[Record], None],
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Segment images on this machine, or on the Ray cluster that `RAY_ADDRESS` names.

    Args:
        job: the images. The model's files are sent to the other machines. Images and folders of
            this machine must be seen by all of them.
        accelerator: see `load`.
        threads: CPU threads of an actor, which takes as many cores; with `auto` 1.
        report: takes the record of each image when its mask is written, in any order.
        progress: is not called.

    Raises:
        RunError: a file cannot be written, or Ray cannot go on.
        ConfigError: there is no such accelerator, or `RAY_ADDRESS` cannot be used.
    """
    run, sources = job.run, job.sources
    files = [run / WEIGHTS_FILE, run / METADATA_FILE] if run.is_dir() else [run]
    task = RayTask(
        version=__version__,
        model={file.name: file.read_bytes() for file in files},
        accelerator=accelerator,
        threads=threads,
        reading=job.reading,
        options=job.options,
        output=_absolute(job.output),
        pool=_absolute_pool(sources.address) if isinstance(sources, PoolImages) else None,
    )
    with job.output.prepared(), _ray() as is_cluster:
        try:
            for records in _records(task, sources, is_cluster):
                for record in records:
                    report(record)
        except RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RunError(
                f"Ray cannot go on ({reason}). Run the command again: finished masks are kept."
            ) from error


def _absolute(output: Output) -> Output:
    """The output for processes whose working folder may be another one."""
    return FolderOutput(output.folder.absolute()) if isinstance(output, FolderOutput) else output


def _absolute_pool(address: str) -> str:
    """The address of a pool for such processes."""
    return address if is_url(address) else str(Path(address).absolute())


def _records(
    task: RayTask, sources: Sequence[ImageSource], is_cluster: bool
) -> Iterator[Sequence[Record]]:
    """The records of one batch after another, in the order in which they are finished."""
    cpus = unless_auto(task.threads, 1)
    on_gpu, actors = _actors(task.accelerator, cpus, is_cluster)
    size = _batch_size(len(sources), actors)
    rows = [
        {"first": first, "images": encode_images(sources, first, min(first + size, len(sources)))}
        for first in range(0, len(sources), size)
    ]
    tries = ray.remote(num_cpus=0, max_restarts=-1)(RayTries).remote()
    data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        RayWorker,
        fn_constructor_args=(ray.put(task), tries),
        num_cpus=cpus,
        num_gpus=1 if on_gpu else None,
        memory=_MEMORY,
        # A cluster may grow as long as there are images to segment.
        compute=ray.data.ActorPoolStrategy(
            min_size=1, initial_size=min(actors, len(rows)), max_size=None if is_cluster else actors
        ),
    )
    for row in data.iter_rows():
        if row["error"]:
            raise RunError(row["error"])
        yield [from_plain(Record, record) for record in json.loads(row["records"])]


def _batch_size(images: int, actors: int) -> int:
    """The number of images that an actor gets at a time."""
    even = min(_MAX_BATCH, images // (actors * _BATCHES_PER_ACTOR))
    return max(1, even, -(-images // _MAX_BATCHES))


def _actors(accelerator: str, cpus: int, is_cluster: bool) -> tuple[bool, int]:
    """Whether actors have a GPU each, and for how many of them there is room now.

    Raises:
        ConfigError: this machine has no such accelerator.
    """
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    if is_cluster:
        device = (
            "cuda" if accelerator in ("gpu", "cuda") or (accelerator == "auto" and gpus) else "cpu"
        )
    else:
        device = torch_device(accelerator)
    if device == "mps":  # one device that Ray does not know
        return False, 1
    count = gpus if device == "cuda" else int(resources.get("CPU", 1)) // cpus
    memory = int(resources.get("memory", _MEMORY) // _MEMORY)
    return device == "cuda", max(1, min(count, memory))


@contextmanager
def _ray() -> Iterator[bool]:
    """Start Ray on this machine, or join a cluster; yield whether it is a cluster.

    Raises:
        ConfigError: `RAY_ADDRESS` names a server for Ray's client, which Ray Data does not support.
        RunError: Ray does not start, or no cluster answers.
    """
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    address = os.environ.get(_ADDRESS, "")
    is_cluster = address not in ("", "local")
    if address.startswith("ray://"):
        raise ConfigError(
            f"{_ADDRESS}={address} is the address of Ray's client. Run the command on a machine of "
            f"the cluster with {_ADDRESS}=auto, or send it there: ray job submit -- semiseg ..."
        )
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = -1  # one large raster may take hours
    own = {} if is_cluster else {"num_cpus": _cores(), "object_store_memory": _STORE_MEMORY}
    try:
        ray.init(
            address if is_cluster else "local",
            include_dashboard=None if is_cluster else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **own,
        )
    except (ConnectionError, RuntimeError, OSError, RayError, ValueError) as error:
        where = f"the cluster {_ADDRESS}={address}" if is_cluster else "this machine"
        reason = str(error).strip().partition("\n")[0]
        raise RunError(f"Ray does not start on {where} ({reason}).") from error
    try:
        yield is_cluster
    finally:
        ray.shutdown()


def _cores() -> int:
    """The cores that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(usable(0)) if usable else os.cpu_count() or 1
