"""The metadata of a model: `model.json`, or the metadata of an exported model.

Such a file may come from a stranger, so that every value is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from semiseg.config.train import Heads
from semiseg.core.records import from_plain
from semiseg.data.formats.masks import Classes

_MAX_SIDE = 1 << 16  # pixels
_MAX_REPRESENTATION_DIM = 1 << 14
_MAX_STRENGTH = 100.0  # of the logit adjustment
_MAX_MEAN = 1e6


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """All that is needed to build a network again.

    Attributes:
        classes: number of classes.
        encoder: name of the encoder.
        decoder: name of the decoder.
        heads: the kind of the heads, see `Network`.
        output_stride: the encoder's output stride; None for the decoder's default.
        atrous_rates: the rates of the decoder's ASPP; None for the decoder's default.
        mean: what is subtracted from the three channels of an image in 0..1.
        std: what the three channels are divided by then.
        representation_dim: channels of the representation head; None without one.
        crop: side in pixels of the crops that the network was trained on, or None.
    """

    classes: int
    encoder: str
    decoder: str
    heads: Heads = "shared"
    output_stride: int | None = None
    atrous_rates: tuple[int, ...] | None = None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    representation_dim: int | None = None
    crop: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON, without those that have their defaults."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        if self.heads == "shared":
            del values["heads"]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, content: object) -> NetworkSpec:
        """Read a specification as `to_dict` writes it.

        Raises:
            ValueError: a value is missing or not allowed.
        """
        spec = from_plain(cls, content, "network")
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            if len(values) != 3 or not all(abs(value) < _MAX_MEAN for value in values):
                raise ValueError(f"the {name} {values} is not that of three channels")
        if min(spec.std) <= 0:
            raise ValueError(f"the deviation {spec.std} is not above 0")
        if spec.representation_dim not in (None, *range(1, _MAX_REPRESENTATION_DIM + 1)):
            raise ValueError(f"a representation of {spec.representation_dim} channels")
        if spec.crop is not None:
            _require_side(spec.crop, "crop")
        return spec


class About(NamedTuple):
    """The metadata that are needed to use a model.

    Attributes:
        network: how to build the network.
        classes: names, colors and codes of the classes.
        size: short side at working size, in pixels.
        value_range: the values that are black and white in its images, see `read_image`.
    """

    network: NetworkSpec
    classes: Classes
    size: int
    value_range: tuple[float, float] | None


def read_about(content: object) -> About:
    """Read and check the metadata of a model.

    Args:
        content: the plain values of the file.

    Raises:
        ValueError: a value is missing or not allowed.
        TypeError: a value has another type.
    """
    if not isinstance(content, Mapping):
        raise TypeError("it is not a mapping")
    for key in ("network", "range", "classes", "size"):
        if key not in content:
            raise ValueError(f"`{key}` is missing")
    network, classes = (
        NetworkSpec.from_dict(content["network"]),
        Classes.from_dict(content["classes"]),
    )
    if network.classes != len(classes):
        raise ValueError(f"{len(classes)} classes for a network of {network.classes}")
    if not isinstance(content.get("per_class", {}), Mapping):
        raise TypeError("`per_class` is not a mapping")
    adjustment = content.get("adjustment", {})
    strength = adjustment.get("strength", 0.0) if isinstance(adjustment, Mapping) else None
    if not isinstance(strength, (int, float)) or not 0 <= strength < _MAX_STRENGTH:
        raise ValueError(f"a logit adjustment of strength {strength}")
    return About(
        network, classes, _require_side(content["size"], "size"), _value_range(content["range"])
    )


def _value_range(content: object) -> tuple[float, float] | None:
    """The values that are black and white.

    Raises:
        ValueError: the range is empty, or no pair of numbers.
    """
    if content is None:
        return None
    values = from_plain(tuple[float, ...], content, "range")
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError(f"the range {list(values)} is empty")
    return float(values[0]), float(values[1])


def _require_side(value: object, name: str) -> int:
    """A side in pixels.

    Raises:
        ValueError: the value is no such number.
    """
    if not isinstance(value, int) or not 0 < value <= _MAX_SIDE:
        raise ValueError(f"the {name} {value} is not a number of pixels")
    return value
