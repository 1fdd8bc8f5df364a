"""The encoder of a training: the one that is named, or the one that suits the device."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from semiseg.config.encoder_choice import encoder_for
from semiseg.config.facts import AS_GIVEN, EncoderChoice, Reason
from semiseg.config.methods import CssStoredSettings
from semiseg.config.network import LIGHT_ENCODER, LIGHT_ORIGIN, LIGHT_PACKAGE
from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError
from semiseg.core.files import read_json
from semiseg.inference.load import local_model
from semiseg.model.metadata import METADATA_FILE, ModelMetadata
from semiseg.training.place import Place


def choose_encoder(config: TrainConfig, place: Place) -> EncoderChoice:
    """The encoder of a training. A training that starts from a run keeps the encoder of the run.

    Args:
        config: the settings.
        place: the device.

    Raises:
        ConfigError: there is no such encoder.
        HubError: the hub does not give the model that the training starts from.
    """
    network = config.network
    if network.encoder != AUTO:
        return EncoderChoice(network.encoder, AS_GIVEN, _patch(network.encoder))
    run = network.start_from
    if run is not None and (name := _encoder_of(run)) is not None:
        return EncoderChoice(name, Reason("user", f"the encoder of {run}"), _patch(name))
    name, reason = encoder_for(config, place.kind, place.memory, place.bf16)
    return EncoderChoice(name, reason, _patch(name))


def choose_second(config: TrainConfig) -> EncoderChoice | None:
    """The encoder of the second network that labels images; None for a training without one.

    Raises:
        ConfigError: there is no such encoder, or there is no such file of weights.
    """
    second = config.settings.second_network
    if second is None:
        return None
    if second.weights not in (AUTO, "hub", "none"):
        from semiseg.model.weights import check_path  # it needs torch and timm

        check_path(second.weights, "--second-weights")
    patch = _patch(second.encoder)
    return EncoderChoice(second.encoder, AS_GIVEN, patch, _origin(second.encoder, second.weights))


def check_encoder(config: TrainConfig, encoder: str) -> None:
    """Refuse weights that do not exist and a part that the encoder does not have.

    This takes a moment, so it comes before the data are read. What needs the weights themselves is
    checked when they are loaded.

    Args:
        config: the settings.
        encoder: the name of the encoder.

    Raises:
        ConfigError: there is no such file, or the encoder has no such part.
    """
    network = config.network
    if network.weights not in (AUTO, "hub", "none"):
        from semiseg.model.weights import check_path  # it needs torch and timm

        check_path(network.weights)
    if network.trained_part.part not in ("full", "head"):
        from semiseg.model.encoder_training import check_part

        check_part(encoder, network.decoder, network.trained_part, network.lora_rank)


def check_agreement(config: TrainConfig) -> None:
    """Refuse a judge on frozen features that are random.

    Raises:
        ConfigError: the encoder has random weights.
    """
    settings, network = config.settings, config.network
    if (
        isinstance(settings, CssStoredSettings)
        and settings.agreement != "representation"
        and network.weights == "none"
        and network.start_from is None
    ):
        raise ConfigError(
            f"--agreement {settings.agreement} judges labels by the features of the pretrained "
            "encoder, and --weights none makes these random. Leave --weights out, or use "
            "--agreement representation."
        )


def expected_weights(config: TrainConfig, encoder: str) -> str:
    """Where the weights of the encoder will come from, in words; no network is used.

    Args:
        config: the settings.
        encoder: the name of the encoder.
    """
    start = config.network.start_from
    return _origin(encoder, config.network.weights) if start is None else f"the run {start}"


def _origin(encoder: str, weights: str) -> str:
    """The source of weights in words."""
    if weights == "none":
        return "random"
    packaged = weights == AUTO and encoder == LIGHT_ENCODER
    if packaged and importlib.util.find_spec(LIGHT_PACKAGE):
        return LIGHT_ORIGIN
    from semiseg.model.weights import find_weights  # it needs torch and timm

    try:
        return find_weights(encoder, weights)
    except ConfigError as error:
        return f"the training cannot load them. {error}"


def _encoder_of(run: Path) -> str | None:
    """The encoder of a finished run; None if it cannot be read, which the training will report."""
    try:
        return ModelMetadata.from_dict(read_json(local_model(run) / METADATA_FILE)).network.encoder
    except (OSError, ValueError):
        return None


def _patch(encoder: str) -> int | None:
    """The patch of a plain vision transformer; None for any other encoder.

    Raises:
        ConfigError: there is no such encoder.
    """
    if encoder == LIGHT_ENCODER:
        return None
    from semiseg.model.encoders import plain_vit_patch  # it needs torch and timm

    return plain_vit_patch(encoder)
