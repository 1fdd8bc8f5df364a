"""The device of a training and the number of this process, without torch and Lightning."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.metadata import version
from typing import NamedTuple

from semiseg.config.groups import MachineConfig
from semiseg.config.settings import AUTO, unless_auto
from semiseg.core.errors import ConfigError


class Place(NamedTuple):
    """The device and the rank of this process.

    Attributes:
        kind: the kind of device: `cpu`, `cuda` or `mps`.
        threads: the CPU threads of the network.
        rank: the number of this process, from 0.
        world: the number of processes that train together (world size).
        memory: the bytes of the memory of the smallest GPU; None if there is none with CUDA.
        bf16: whether the device computes with bfloat16.
    """

    kind: str
    threads: int
    rank: int
    world: int
    memory: int | None = None
    bf16: bool = False


def cpu_place(machine: MachineConfig) -> Place | None:
    """The place of a training that certainly runs on the CPU; None where Lightning has to choose.

    `devices.set_device` gives the same device, but the import of Lightning and torch takes seconds.
    """
    if machine.accelerator != "cpu" and not (machine.accelerator == AUTO and _has_no_gpu()):
        return None
    # A plan does not show the threads, so the number that torch would choose need not be known.
    threads = unless_auto(machine.threads, os.cpu_count() or 1)
    return Place("cpu", threads, 0, machine.world)


def _has_no_gpu() -> bool:
    """Whether torch certainly finds no GPU: it was built for CPUs, or there is no CUDA driver."""
    build = version("torch").partition("+")[2]
    if build == "cpu":
        return True
    if sys.platform == "darwin" or (build and not build.startswith("cu")):
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return True
    return False


def part_of(batch: int, place: Place) -> int:
    """The number of images in the part of a batch that each process takes.

    Raises:
        ConfigError: the batch is not a multiple of the processes, or a part is too small for batch
            norm.
    """
    part, rest = divmod(batch, place.world)
    smallest = 1 if place.kind == "cuda" and place.world > 1 else 2  # SyncBN counts all parts
    if rest or part < smallest:
        raise ConfigError(
            f"--batch {batch} cannot be shared by {place.world} devices: it must be a multiple of "
            f"{place.world}, {smallest * place.world} or more."
        )
    return part
