"""The released model: `model.safetensors` and `model.json`, which do not need Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from semiseg._version import __version__
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import file_sha256, read_json, write_bytes, write_json
from semiseg.model.encoder_training import plain_key
from semiseg.model.hub_models import local_run
from semiseg.model.metadata import (
    METADATA_FILE,
    SECOND_PREFIX,
    WEIGHTS_FILE,
    ModelMetadata,
    NetworkSpec,
)
from semiseg.model.network import Network, rebuild

_NETWORK = "network."
LOGIT_OFFSETS = "logit_offsets"
"""The name of the tensor `(C,)` that was added to the logits after the training."""


class Release(NamedTuple):
    """A trained model with its metadata.

    Attributes:
        network: the network; a release that was read has it in eval mode and on the CPU.
        tensors: the tensors of the method by name, such as `prototypes` and `seen`.
        metadata: the contents of `model.json`.
        second: the second network of a model of two networks; None for all others.
    """

    network: Network
    tensors: Mapping[str, Tensor]
    metadata: ModelMetadata
    second: Network | None = None


def save_release(folder: Path, release: Release) -> None:
    """Write `model.safetensors` and `model.json` into a folder.

    Args:
        folder: an existing folder.
        release: the model.

    Raises:
        RunError: the files cannot be written.
    """
    weights = {f"{_NETWORK}{k}": v for k, v in release.network.state_dict().items()}
    if release.second is not None:
        weights |= {f"{SECOND_PREFIX}{k}": v for k, v in release.second.state_dict().items()}
    tensors = {
        k: v.detach().cpu().contiguous().clone() for k, v in (weights | {**release.tensors}).items()
    }
    try:
        write_bytes(folder / WEIGHTS_FILE, save(tensors))
        checksum = file_sha256(folder / WEIGHTS_FILE)
        metadata = replace(release.metadata, sha256=checksum, semiseg=__version__)
        write_json(folder / METADATA_FILE, metadata.to_dict())
    except OSError as error:
        raise RunError(
            f"The model in {folder} cannot be written ({error}). Free some space or repair the "
            "disk, then try again; a training continues with --resume."
        ) from error


def transfer(release: Release, student: Network, names: Sequence[str]) -> tuple[str, ...]:
    """Copy the weights of a released model to a student. Classes are matched by name.

    The rows of classes that the model does not have keep their random weights. So does a
    representation head that the model does not have, or has with another width. The logit
    adjustment of the model is removed, since the new training weights the classes anew.

    Args:
        release: the model to start from.
        student: the network to fill, with the same encoder, decoder and kind of heads.
        names: the student's class names.

    Returns:
        The names of the new classes.

    Raises:
        ConfigError: the encoder, the decoder, the heads or the number of channels differ.
    """
    theirs, ours = release.network.spec.channels, student.spec.channels
    if theirs != ours:
        raise ConfigError(
            f"--start-from: the run's images have {theirs} channels, those of this training have "
            f"{ours}. Choose {theirs} bands with --bands, or start without --start-from."
        )
    for part in ("encoder", "decoder", "heads"):
        theirs, ours = (getattr(n.spec, part) for n in (release.network, student))
        if theirs != ours:
            raise ConfigError(
                f"--start-from: the run's {part} is {theirs}, this training's is {ours}. Add "
                f"--{part} {theirs}, or start without --start-from."
            )
    student.set_normalization(release.network.normalization())
    own = {plain_key(key): value for key, value in student.state_dict().items()}
    source = release.network.state_dict()
    for key, value in source.items():
        if (
            not key.startswith(f"{student.classifier}.")
            and key in own
            and own[key].shape == value.shape
        ):
            own[key].copy_(value)
    new, old = match_classes(names, release.metadata.classes.names)
    weight, bias = (f"{student.classifier}.{kind}" for kind in ("weight", "bias"))
    offsets = release.tensors.get(LOGIT_OFFSETS, torch.zeros(release.network.classes))
    own[weight][new] = source[weight][old]
    own[bias][new] = source[bias][old] - offsets[old]
    return tuple(name for name in names if name not in release.metadata.classes.names)


def match_classes(names: Sequence[str], others: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Find the classes that two lists have in common.

    Returns:
        Their positions in the first list and in the second one, `(M,)` int64 each.
    """
    common = [name for name in names if name in others]
    new = torch.tensor([names.index(name) for name in common], dtype=torch.long)
    return new, torch.tensor([others.index(name) for name in common], dtype=torch.long)


def load_release(folder: Path) -> Release:
    """Read a released model from a run folder, or from the hub; see `local_run`.

    Raises:
        RunError: there is no model, it is damaged, or another version of semiseg wrote it.
        ConfigError: the name is no name of a model on the hub.
        HubError: the hub cannot be reached, or does not give the model.
    """
    folder = local_run(folder)
    weights_file, metadata_file = folder / WEIGHTS_FILE, folder / METADATA_FILE
    for file in (weights_file, metadata_file):
        if not file.is_file():
            raise RunError(
                f"{folder} holds no trained model: {file.name} is missing. Name the --out folder "
                "of a finished `semiseg train`, or a model on the hub (hf-hub:OWNER/NAME)."
            )
    try:
        metadata = ModelMetadata.from_dict(read_json(metadata_file))
        if metadata.sha256 not in (None, file_sha256(weights_file)):
            raise ValueError(
                f"{weights_file.name} is not as it was written with {metadata_file.name}"
            )
        tensors = load_file(weights_file)
        network = _filled(metadata.network, tensors, _NETWORK)
        second = None
        if metadata.second is not None:
            second = _filled(metadata.second.network, tensors, SECOND_PREFIX)
        _check_tensors(network, tensors)
    except Exception as error:  # a damaged file can fail in many ways
        raise RunError(
            f"The model in {folder} cannot be read ({error}). Use the version of semiseg that "
            "wrote it, or train it again."
        ) from error
    rest = {k: v for k, v in tensors.items() if not k.startswith((_NETWORK, SECOND_PREFIX))}
    return Release(network, rest, metadata, second)


def _filled(spec: NetworkSpec, tensors: Mapping[str, Tensor], prefix: str) -> Network:
    """A network in eval mode with those tensors whose names have a prefix."""
    network = rebuild(spec)
    network.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    )
    return network.to(memory_format=torch.channels_last).eval()


def _check_tensors(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Compare the method's tensors with the network.

    Raises:
        ValueError: a tensor is missing, or has another shape or type.
    """
    prototypes, seen = tensors.get("prototypes"), tensors.get("seen")
    if prototypes is not None and network.representation_head is not None:
        shape = (network.classes, network.spec.representation_dim)
        if prototypes.shape != shape or seen is None:
            raise ValueError(
                f"the prototypes have the shape {tuple(prototypes.shape)}, not {shape}"
            )
    for name in ("similarity_prior", LOGIT_OFFSETS):
        values = tensors.get(name)
        if values is not None and not (
            values.shape == (network.classes,)
            and values.dtype == torch.float32
            and bool(values.isfinite().all())
        ):
            raise ValueError(f"`{name}` does not hold one finite number per class")
    if seen is not None and (seen.shape != (network.classes,) or seen.dtype != torch.bool):
        raise ValueError("`seen` does not hold one truth value per class")
