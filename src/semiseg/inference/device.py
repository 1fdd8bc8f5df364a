"""Lightning's names of accelerators as devices of torch, where there is no Trainer."""

from __future__ import annotations

import torch

from semiseg.core.errors import ConfigError, nearest

_KINDS = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "mps": "mps"}


def torch_device(accelerator: str) -> str:
    """The device's name for torch: `cpu`, `cuda` or `mps`.

    Args:
        accelerator: `auto` (the best there is), `cpu`, `gpu`, `cuda` or `mps`.

    Raises:
        ConfigError: the name is unknown, or there is no such device here.
    """
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if accelerator == "auto":
        return "cuda" if here["cuda"] else "mps" if here["mps"] else "cpu"
    if accelerator == "gpu" and here["mps"]:
        return "mps"
    if accelerator not in _KINDS:
        raise ConfigError(
            f"There is no accelerator '{accelerator}'. {nearest(accelerator, (*_KINDS, 'auto'))}"
        )
    if not here[_KINDS[accelerator]]:
        raise ConfigError(
            f"--accelerator {accelerator} cannot be used: torch finds no such device here. 'auto' "
            "takes the best device there is, 'cpu' always works."
        )
    return _KINDS[accelerator]
