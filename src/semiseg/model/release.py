"""The released model: `model.safetensors` and `model.json`, readable without Lightning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from semiseg._version import __version__
from semiseg.data.masks import Classes
from semiseg.errors import RunError
from semiseg.model.network import Network, rebuild

FORMAT = 1
_NETWORK = "network."


class Release(NamedTuple):
    """A trained model and what is needed to use it.

    Attributes:
        network: in eval mode, on the CPU.
        classes: names, colours and codes of the classes.
        size: short side at working size, in pixels.
        tensors: what the method added, such as `prototypes` and `seen`.
        about: the whole contents of `model.json`.
    """

    network: Network
    classes: Classes
    size: int
    tensors: dict[str, Tensor]
    about: dict[str, Any]


def save_release(
    folder: Path,
    network: Network,
    classes: Classes,
    size: int,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
) -> None:
    """Write `model.safetensors` and `model.json` into a folder.

    Args:
        folder: an existing folder.
        network: the network to release.
        classes: its classes.
        size: the working size it was trained at.
        tensors: what else belongs to it, by name.
        about: further plain values for the json (method, scores).
    """
    weights = {f"{_NETWORK}{k}": v for k, v in network.state_dict().items()} | dict(tensors)
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
    save_file(plain, folder / "model.safetensors")
    content = {
        "format": FORMAT,
        "semiseg": __version__,
        "network": network.spec,
        "size": size,
        "classes": classes.to_dict(),
        **about,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def load_release(folder: Path) -> Release:
    """Read a released model from a run folder.

    Raises:
        RunError: there is none, it is damaged, or another version of semiseg wrote it.
    """
    weights_file, about_file = folder / "model.safetensors", folder / "model.json"
    for file in (weights_file, about_file):
        if not file.is_file():
            raise RunError(
                f"{folder} holds no trained model: {file.name} is missing. Name the --out folder "
                "of a finished `semiseg train`."
            )
    try:
        about = json.loads(about_file.read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise RunError(
                f"{about_file} has format {about['format']}, written by semiseg "
                f"{about.get('semiseg')}; this is {__version__}, which reads format {FORMAT}. "
                "Use that version, or train again."
            )
        tensors = load_file(weights_file)
        network = rebuild(about["network"])
        network.load_state_dict(
            {k.removeprefix(_NETWORK): v for k, v in tensors.items() if k.startswith(_NETWORK)}
        )
        classes = Classes.from_dict(about["classes"])
    except RunError:
        raise
    except Exception as error:  # a damaged file can fail in many ways
        raise RunError(
            f"The model in {folder} cannot be read ({error}). Train it again."
        ) from error
    rest = {k: v for k, v in tensors.items() if not k.startswith(_NETWORK)}
    network.to(memory_format=torch.channels_last).eval()
    return Release(network, classes, int(about["size"]), rest, about)
