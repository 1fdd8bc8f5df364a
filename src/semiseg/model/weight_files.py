"""Files with weights are read as tensors and plain values only."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import is_zipfile

import torch
from safetensors import safe_open
from torch import Tensor

from semiseg.core.errors import ConfigError
from semiseg.model.weight_names import State

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")
"""The suffixes of files with weights."""


class Weights(NamedTuple):
    """The tensors of a file.

    Attributes:
        state: the tensors by name.
        license: the license that the file names, or None.
    """

    state: State
    license: str | None = None


def read_weights(path: Path) -> Weights:
    """Read all tensors of a `.safetensors` file or of a checkpoint of PyTorch.

    The names of nested mappings are joined with dots, as in `teacher.backbone.cls_token`.

    Raises:
        ConfigError: the file cannot be read, holds other things than tensors and plain values, or
            holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                license_name = (file.metadata() or {}).get("license")
                content: object = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        else:
            license_name = None
            # timm's checkpoints hold the arguments of their training.
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the formats' readers raise many kinds
        if _is_cut_off(path, str(error)):
            raise _unreadable(path, "the file is cut off: copy or download it again") from error
        if type(error).__name__ == "UnpicklingError":
            raise ConfigError(
                f"{path} cannot be read as weights: it is damaged, or it holds Python objects, "
                "which semiseg does not run. Save the state dict alone with the program that wrote "
                "it (torch.save(model.state_dict(), FILE); for LightlyTrain, lightly-train export),"
                " and name that file with --weights."
            ) from error
        reason = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
        raise _unreadable(path, reason) from error
    state = dict(_flatten(content)) if isinstance(content, Mapping) else {}
    if not state:
        raise _unreadable(path, "it holds no tensors with names")
    return Weights(state, license_name)


def _is_cut_off(path: Path, message: str) -> bool:
    """Whether the end of a file is missing; the table of a checkpoint, a ZIP file, is there."""
    if path.suffix == ".safetensors":
        return "not fully covered" in message
    with path.open("rb") as file:
        return file.read(2) == b"PK" and not is_zipfile(path)


def _unreadable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path} cannot be read as weights ({reason}). Name a state dict (.safetensors or .pth) "
        "with --weights, or choose --weights auto."
    )


def _flatten(content: Mapping[object, object], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
