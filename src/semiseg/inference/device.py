"""Devices of torch by Lightning's names of accelerators."""

from __future__ import annotations

import torch

from semiseg.config.settings import AUTO, Auto
from semiseg.core.errors import ConfigError, nearest

_KINDS = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "mps": "mps"}


def use_threads(threads: int | Auto) -> None:
    """Set the CPU threads of torch in this process; `auto` leaves them as they are."""
    if threads != AUTO:
        torch.set_num_threads(threads)


def torch_device(accelerator: str) -> str:
    """The name of a device in torch: `cpu`, `cuda` or `mps`.

    Args:
        accelerator: `auto` (the best available one), `cpu`, `gpu`, `cuda` or `mps`.

    Raises:
        ConfigError: the name is unknown, or this machine has no such device.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if accelerator == "auto":
        return "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if accelerator == "gpu" and available["mps"]:
        return "mps"
    if accelerator not in _KINDS:
        raise ConfigError(
            f"There is no accelerator '{accelerator}'. {nearest(accelerator, (*_KINDS, 'auto'))}"
        )
    if not available[_KINDS[accelerator]]:
        raise ConfigError(
            f"torch finds no device for --accelerator {accelerator} on this machine. 'auto' "
            "chooses the best available device, and 'cpu' always works."
        )
    return _KINDS[accelerator]
