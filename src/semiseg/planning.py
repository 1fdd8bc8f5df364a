"""Defaults derived from the data and the device, each with its reason."""

from __future__ import annotations

import os
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from semiseg.data.images import image_size
from semiseg.errors import ConfigError
from semiseg.types import Sample

_CPU_SIZE = 240  # a css step of 4 + 4 crops then takes about a second on two cores
_GPU_SIZE = 512
_CROP_MULTIPLE = 32
_SMALLEST = 32


class Plan(NamedTuple):
    """Settings that the data and the device decide where the user did not.

    Attributes:
        size: short side at working size, in pixels.
        crop: side of the square training crop, in pixels.
        workers: processes that load images.
        reasons: a sentence for each derived value.
    """

    size: int
    crop: int
    workers: int
    reasons: tuple[str, ...]


def make_plan(
    samples: Sequence[Sample],
    on_cpu: bool,
    size: int | None = None,
    crop: int | None = None,
    workers: int | None = None,
) -> Plan:
    """Fill in what was left open.

    Args:
        samples: the labelled images; their headers are read.
        on_cpu: whether training runs on the CPU.
        size: the user's working size, or None.
        crop: the user's crop, or None.
        workers: the user's number of loader processes, or None.

    Raises:
        ConfigError: a value is too small to train with.
    """
    reasons = []
    if size is None:
        sides = median(min(image_size(s.image)) for s in samples)
        limit = _CPU_SIZE if on_cpu else _GPU_SIZE
        size = max(_SMALLEST, min(round(sides), limit))
        reasons.append(
            f"size {size}: the short side of the images is {sides:g} pixels, at most {limit} on "
            f"{'the CPU' if on_cpu else 'this device'}"
        )
    if crop is None:
        crop = max(_SMALLEST, size // _CROP_MULTIPLE * _CROP_MULTIPLE)
        reasons.append(f"crop {crop}: the largest multiple of {_CROP_MULTIPLE} within the size")
    for name, value in (("size", size), ("crop", crop)):
        if value < _SMALLEST:
            raise ConfigError(f"--{name} {value} is too small; at least {_SMALLEST} is needed.")
    if workers is None:
        cores = os.cpu_count() or 1
        # On a CPU the loader and the network share the cores: one process keeps it fed.
        workers = min(1, cores - 1) if on_cpu else min(8, cores - 1)
    return Plan(size, crop, workers, tuple(reasons))
