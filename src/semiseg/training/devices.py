"""Where a training runs: the kind of device, and which of several processes this one is.

Several devices share each batch, and take the step that one would take with the whole batch: the
positions of a batch are dealt out, so that the processes together see the samples that one alone
would; batch norm counts all of them (SyncBN; not on CPUs, where torch has none); losses and
prototypes are divided by all pixels (`model.distributed`); so the learning rate stays as it is.
Lightning starts the processes by starting the program again. All of them train; the first one
writes.
"""

from __future__ import annotations

import ctypes
import logging
import platform
import warnings
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from semiseg.core.errors import ConfigError

# mallopt's M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD: blocks of any size come from the heap,
# which never shrinks and grows by 64 MB.
_MALLOPT = {-3: 2**31 - 1, -1: 2**31 - 1, -2: 64 * 2**20}


class Place(NamedTuple):
    """Where this process stands.

    Attributes:
        kind: `cpu`, `cuda` or `mps`.
        threads: CPU threads of the network.
        rank: the number of this process, from 0.
        world: how many processes train together.
    """

    kind: str
    threads: int
    rank: int
    world: int


def trainer_settings(accelerator: str, devices: int, nodes: int) -> dict[str, Any]:
    """Lightning's words for the devices."""
    settings: dict[str, Any] = {"accelerator": accelerator, "devices": devices, "num_nodes": nodes}
    if devices * nodes > 1:
        # Not every step uses every parameter: the representation head rests in the warm-up.
        settings["strategy"] = "ddp_find_unused_parameters_true"
        settings["use_distributed_sampler"] = False  # the batches know their part themselves
    return settings


def keep_memory() -> None:
    """Let the C library keep freed memory for the next step instead of giving it back.

    By default glibc returns each large block at once, and every step then pays for its pages anew.
    Other C libraries have no such switch, or none that is needed.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in _MALLOPT.items():
        library.mallopt(option, value)


def set_device(accelerator: str, threads: int | None, devices: int = 1, nodes: int = 1) -> Place:
    """Choose the device's kind and the number of CPU threads, and find out which process this is.

    Raises:
        ConfigError: there is no such accelerator here, or not so many devices.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads} is too small; at least 1 is needed.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = L.Trainer(
                **trainer_settings(accelerator, devices, nodes),
                logger=False,
                **quiet(),
                max_steps=1,
            )
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(
            f"--accelerator {accelerator} cannot be used here ({error}). 'auto' takes the best "
            "device there is, 'cpu' always works."
        ) from error
    kind = trainer.strategy.root_device.type
    if kind == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"--devices {devices} asks for more than the {torch.cuda.device_count()} there are."
        )
    if threads is None and kind == "cpu" and devices > 1:
        threads = max(1, torch.get_num_threads() // devices)
    if threads is not None:
        torch.set_num_threads(threads)
    if kind == "cpu":
        keep_memory()
    return Place(kind, torch.get_num_threads(), trainer.global_rank, trainer.world_size)


def part_of(batch: int, place: Place) -> int:
    """Images a batch of each process.

    Raises:
        ConfigError: the batch cannot be dealt out evenly, or leaves too few for batch norm.
    """
    part, rest = divmod(batch, place.world)
    least = 1 if place.kind == "cuda" and place.world > 1 else 2  # SyncBN counts all of them
    if rest or part < least:
        raise ConfigError(
            f"--batch {batch} cannot be dealt out to {place.world} devices: it must be a multiple "
            f"of {place.world}, {least * place.world} or more."
        )
    return part


def quiet() -> dict[str, Any]:
    """Trainer settings that leave the words to us."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    return {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
    }
