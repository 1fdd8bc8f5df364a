"""Where a training runs: the kind of device, and the number of this process.

Several devices share each batch and take the same step as one device with the whole batch. Each
process takes its part of the batch's samples. Batch norm counts all parts (SyncBN; torch has none
on CPUs), and losses and prototypes are divided by the pixels of all parts (`model.distributed`). So
the learning rate stays the same. Lightning starts the processes by starting the program again. All
of them train; the first one writes.
"""

from __future__ import annotations

import ctypes
import dataclasses
import logging
import platform
import warnings
from typing import TypedDict

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from semiseg.config.groups import MachineConfig
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError
from semiseg.training.place import Place

# mallopt's M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD: blocks of any size come from the heap,
# which never shrinks and grows by 64 MB.
_MALLOPT = {-3: 2**31 - 1, -1: 2**31 - 1, -2: 64 * 2**20}


class TrainerSettings(TypedDict, total=False):
    """Settings of Lightning's Trainer that describe the devices, and keep it silent."""

    accelerator: str
    devices: int
    num_nodes: int
    strategy: str
    use_distributed_sampler: bool
    enable_progress_bar: bool
    enable_model_summary: bool
    enable_checkpointing: bool
    num_sanity_val_steps: int


def trainer_settings(machine: MachineConfig) -> TrainerSettings:
    """The devices in Lightning's words; its own messages are switched off."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    settings: TrainerSettings = {
        "accelerator": machine.accelerator,
        "devices": machine.devices,
        "num_nodes": machine.num_nodes,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
    }
    if machine.world > 1:
        # Not every step uses every parameter: the representation head rests during the warm-up.
        settings["strategy"] = "ddp_find_unused_parameters_true"
        settings["use_distributed_sampler"] = False  # each batch is shared out by rank already
    return settings


def alone(machine: MachineConfig) -> MachineConfig:
    """The same machine with one device only."""
    return dataclasses.replace(machine, devices=1, num_nodes=1)


def keep_memory() -> None:
    """Let the C library keep freed memory for the next step instead of giving it back.

    By default glibc returns each large block at once, so that every step has to get its pages
    again. Other C libraries have no such switch, or do not need it.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in _MALLOPT.items():
        library.mallopt(option, value)


def _with_gpus(place: Place, count: int) -> Place:
    """The place with the smallest memory and the arithmetic of the first `count` GPUs here."""
    memory = min(torch.cuda.get_device_properties(i).total_memory for i in range(count))
    return place._replace(
        memory=memory, bf16=torch.cuda.is_bf16_supported(including_emulation=False)
    )


def set_device(machine: MachineConfig) -> Place:
    """Choose the device's kind and the number of CPU threads, and find out which process this is.

    Raises:
        ConfigError: there is no such accelerator here, or there are not enough devices.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = L.Trainer(**trainer_settings(machine), logger=False, max_steps=1)
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(
            f"--accelerator {machine.accelerator} cannot be used here ({error}). Use 'auto' for "
            "the best device, or 'cpu', which always works."
        ) from error
    kind = trainer.strategy.root_device.type
    if kind == "cuda" and machine.devices > torch.cuda.device_count():
        raise ConfigError(
            f"--devices {machine.devices} was given, but there are only "
            f"{torch.cuda.device_count()} here."
        )
    if machine.threads != AUTO:
        torch.set_num_threads(machine.threads)
    elif kind == "cpu" and machine.devices > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // machine.devices))
    place = Place(kind, torch.get_num_threads(), trainer.global_rank, trainer.world_size)
    if kind == "cuda":
        return _with_gpus(place, machine.devices)
    if kind == "cpu":
        keep_memory()
    return place
