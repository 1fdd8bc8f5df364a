"""What `model.json` says, or the metadata of an exported model: a stranger's, so it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from semiseg.data.formats.masks import Classes

_LARGEST = 1 << 16  # of a side in pixels
_WIDEST = 1 << 14  # of a representation, in channels
_STRONGEST = 100.0  # times the class weights that may have been taken out of logits


class About(NamedTuple):
    """What is needed to use a model.

    Attributes:
        classes: names, colors and codes of the classes.
        size: short side at working size, in pixels.
        value_range: the values that are black and white in its images, see `read_image`.
        crop: side of the crops that it was trained on, or None.
    """

    classes: Classes
    size: int
    value_range: tuple[float, float] | None
    crop: int | None


def read_about(content: Any) -> About:  # noqa: ANN401 - whatever the file holds
    """Check and read it.

    Raises:
        ValueError: something in it cannot be.
        LookupError: something is missing.
        TypeError: something is of another kind.
    """
    if not isinstance(content, dict):
        raise TypeError("it is no mapping")
    network, extent = content["network"], content["range"]
    classes = Classes.from_dict(content["classes"])
    if network["classes"] != len(classes):
        raise ValueError(f"{len(classes)} classes for a network of {network['classes']}")
    for name in ("mean", "std"):
        if len(network[name]) != 3 or not all(abs(float(v)) < 1e6 for v in network[name]):
            raise ValueError(f"the {name} {network[name]} is not that of three channels")
    if min(network["std"]) <= 0:
        raise ValueError(f"the deviation {network['std']} is not above 0")
    if network.get("representation_dim", 1) not in range(1, _WIDEST + 1):
        raise ValueError(f"a representation of {network['representation_dim']} channels")
    if not isinstance(content.get("per_class", {}), Mapping):
        raise TypeError("per_class is no mapping")
    strength = content.get("adjustment", {}).get("strength", 0.0)
    if not 0 <= strength < _STRONGEST:
        raise ValueError(f"{strength} of the class weights taken out")
    if extent is not None and not float(extent[0]) < float(extent[1]):
        raise ValueError(f"the range {extent} is empty")
    return About(
        classes,
        _side(content["size"], "size"),
        None if extent is None else (float(extent[0]), float(extent[1])),
        _side(network["crop"], "crop") if network.get("crop") is not None else None,
    )


def _side(value: object, name: str) -> int:
    if not isinstance(value, int) or not 0 < value <= _LARGEST:
        raise ValueError(f"the {name} {value} is no number of pixels")
    return value
