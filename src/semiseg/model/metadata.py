"""The metadata of a model: `model.json`, or the metadata of an exported model.

Such a file may come from a stranger, so that every value is checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from semiseg._version import __version__
from semiseg.config.network import Heads
from semiseg.core.choices import Choice
from semiseg.core.reading import AS_STORED, RGB_CHANNELS, Reading
from semiseg.core.records import from_plain
from semiseg.core.scores import Adjustment, ClassScores, MeanIou, SplitRecord
from semiseg.data.formats.ground import GroundResolution
from semiseg.data.formats.masks import Classes
from semiseg.data.references import References

METADATA_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
SECOND_PREFIX = "second_network."
"""The names of the tensors of a second network begin with it."""
FORMAT, PAIR_FORMAT = 1, 2
"""The versions of `model.json`; they grow when a key changes its meaning. The second one is for
models of two networks, of which an older version of semiseg would take the first one alone."""
_MAX_SIDE = 1 << 16  # pixels
_MAX_REPRESENTATION_DIM = 1 << 14
_MAX_STRENGTH = 100.0  # of the logit adjustment
_MAX_CHANNELS = 1 << 10
_MAX_MEAN = 1e6
_FREE_LICENSES = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc0-1.0")
_NON_COMMERCIAL = ("-nc", "noncommercial", "non-commercial", "research", "apple-amlr")


@dataclass(frozen=True)
class WeightsRecord:
    """The weights that an encoder started from.

    Attributes:
        source: where they come from, in words.
        license: the name of their license, or None if it is not known.
        sha256: the hash of the encoder's tensors before the training, see
            `semiseg.model.weights.encoder_sha256`; None for random weights.
    """

    source: str
    license: str | None = None
    sha256: str | None = None

    def describe_license(self) -> str:
        """The license in words; empty for random weights."""
        if self.sha256 is None:
            return ""
        if self.license in (None, "unknown"):
            return "not known: see where the weights come from"
        conditions = self._conditions()
        return f"{self.license}, which {conditions}" if conditions else str(self.license)

    def describe(self) -> str:
        """The source and the license, in one line."""
        license_name = self.describe_license()
        return self.source + (f"; license {license_name}" if license_name else "")

    def license_warning(self) -> str | None:
        """What to consider before a model that started from these weights is given away."""
        if self._conditions() is None:
            return None
        return (
            f"The weights have the license {self.describe_license()}. This may hold for a model "
            "trained from them too: read the license before you publish, sell or use the model in "
            "a product."
        )

    def _conditions(self) -> str | None:
        """What limits the use of the weights, as a predicate; None if it is free or not known."""
        name = (self.license or "unknown").lower()
        if name in (*_FREE_LICENSES, "unknown"):
            return None
        if any(word in name for word in _NON_COMMERCIAL):
            return "forbids commercial use"
        return "has conditions of its own"


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
        channels: the channels of an image; three are RGB.
        mean: what is subtracted from the channels of an image in 0..1.
        std: what the channels are divided by then.
        representation_dim: channels of the representation head; None without one.
        crop: side in pixels of the crops that the network was trained on, or None.
    """

    classes: int
    encoder: str
    decoder: str
    heads: Heads = "shared"
    output_stride: int | None = None
    atrous_rates: tuple[int, ...] | None = None
    channels: int = RGB_CHANNELS
    mean: tuple[float, ...]
    std: tuple[float, ...]
    representation_dim: int | None = None
    crop: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON, without those that have their defaults."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        if self.heads == "shared":
            del values["heads"]
        if self.channels == RGB_CHANNELS:
            del values["channels"]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, content: object) -> NetworkSpec:
        """Read a specification as `to_dict` writes it.

        Raises:
            ValueError: a value is missing or not allowed.
        """
        spec = from_plain(cls, content, "network")
        if not 1 < spec.channels <= _MAX_CHANNELS:
            raise ValueError(f"images of {spec.channels} channels")
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            is_finite = all(abs(value) < _MAX_MEAN for value in values)
            if len(values) != spec.channels or not is_finite:
                raise ValueError(f"the {name} {values} is not that of {spec.channels} channels")
        if min(spec.std) <= 0:
            raise ValueError(f"the deviation {spec.std} is not above 0")
        if spec.representation_dim not in (None, *range(1, _MAX_REPRESENTATION_DIM + 1)):
            raise ValueError(f"a representation of {spec.representation_dim} channels")
        if spec.crop is not None:
            _require_side(spec.crop, "crop")
        return spec


@dataclass(frozen=True, kw_only=True)
class SecondNetworkSpec:
    """The second network of a model whose probabilities are the mean of those of two networks.

    Attributes:
        network: how to build it.
        size: the short side at its working size, in pixels.
        first_size: the same of the first network. The working size of the model is the larger one.
        strength: the strength of its logit adjustment.
    """

    network: NetworkSpec
    size: int
    first_size: int
    strength: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "network": self.network.to_dict(),
            "size": self.size,
            "first_size": self.first_size,
            "strength": self.strength,
        }

    @classmethod
    def from_dict(cls, content: object) -> SecondNetworkSpec:
        """Read a specification as `to_dict` writes it.

        Raises:
            ValueError: a value is missing or not allowed.
        """
        spec = from_plain(cls, content, "second network")
        _require_side(spec.size, "size of the second network")
        _require_side(spec.first_size, "size of the first network")
        if not 0 <= spec.strength < _MAX_STRENGTH:
            raise ValueError(f"a logit adjustment of strength {spec.strength}")
        assert isinstance(content, Mapping)  # nosec B101 - `from_plain` has read it
        return replace(spec, network=NetworkSpec.from_dict(content["network"]))


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """The contents of `model.json`.

    Attributes:
        network: how to build the network.
        classes: names, colors and codes of the classes.
        size: short side at working size, in pixels.
        reading: how images are read, see `read_image`.
        side: the median short side of the training images in pixels, or None.
        ground_resolution: the median ground resolution of the training images, or None.
        method: the method's name, or None.
        second: the second network of a model of two networks, or None.
        which: the released network, such as `student` or `teacher`, or None.
        adjustment: how its logits were adjusted, or None.
        choice: how the model was chosen on the validation images, or None.
        miou: mean IoU on the validation images, or None. With a `choice`, `released` is
            cross-fitted; see `MeanIou`.
        per_class: the scores of each class by its name, as `miou.released`; or None.
        labels: the number of labeled images, or None.
        steps: the optimizer steps of the training, or None.
        split: the images of the training, or None.
        weights: the weights that the encoder started from, or None.
        second_weights: those of the second encoder, whose network labeled images too, or None.
        band_names: the names of the bands in the training images, empty where a band has none; None
            without names.
        references: what the model remembers of the images of its training, or None.
        license: the license of the model, as the Hugging Face hub abbreviates it, or None.
        sha256: the hash of `model.safetensors`, or None.
        semiseg: the version of semiseg that wrote the model.
        format: the version of the file.

    Raises:
        ValueError: a value is not allowed.
    """

    network: NetworkSpec
    classes: Classes
    size: int
    reading: Reading = AS_STORED
    side: float | None = None
    ground_resolution: GroundResolution | None = None
    method: str | None = None
    second: SecondNetworkSpec | None = None
    which: str | None = None
    adjustment: Adjustment | None = None
    choice: Choice | None = None
    miou: MeanIou | None = None
    per_class: Mapping[str, ClassScores] | None = None
    labels: int | None = None
    steps: int | None = None
    split: SplitRecord | None = None
    weights: WeightsRecord | None = None
    second_weights: WeightsRecord | None = None
    band_names: tuple[str, ...] | None = None
    references: References | None = None
    license: str | None = None
    sha256: str | None = None
    semiseg: str = __version__
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.network.classes != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes for a network of {self.network.classes}")
        if self.network.channels != self.reading.channels:
            raise ValueError(
                f"a network for {self.network.channels} channels, and images of "
                f"{self.reading.channels}"
            )
        if self.band_names is not None and len(self.band_names) != self.reading.channels:
            raise ValueError(f"{len(self.band_names)} names of {self.reading.channels} bands")
        _require_side(self.size, "size")
        if self.second is not None:
            own, other = self.network, self.second.network
            if (other.classes, other.channels) != (own.classes, own.channels):
                raise ValueError("the two networks do not have the same classes and channels")
            if self.size != max(self.second.size, self.second.first_size):
                raise ValueError(f"the size {self.size} is not the larger of those of two networks")
        if self.side is not None and not 0 < self.side <= _MAX_SIDE:
            raise ValueError(f"training images with a short side of {self.side} pixels")
        if self.ground_resolution is not None and not 0 < self.ground_resolution.size < math.inf:
            raise ValueError(f"a ground resolution of {self.ground_resolution.size}")
        limits = self.reading.value_range
        if limits is not None and not limits[0] < limits[1]:
            raise ValueError(f"the range {list(limits)} is empty")
        if self.adjustment is not None and not 0 <= self.adjustment.strength < _MAX_STRENGTH:
            raise ValueError(f"a logit adjustment of strength {self.adjustment.strength}")

    @property
    def first_size(self) -> int:
        """The short side at the working size of `network`, in pixels."""
        return self.size if self.second is None else self.second.first_size

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON, without those that are unknown."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        values.pop("reading")
        for name in ("bands", "nodata", "ranges", "rgb"):
            value = getattr(self.reading, name)
            if value is not None:
                values[name] = [list(v) if isinstance(v, tuple) else v for v in value]
        if self.reading.axes is not None:
            values["axes"] = self.reading.axes
        if self.second is not None:
            values["second"] = self.second.to_dict()
        limits = self.reading.value_range
        return values | {
            "format": FORMAT if self.second is None else PAIR_FORMAT,
            "network": self.network.to_dict(),
            "classes": self.classes.to_dict(),
            "range": None if limits is None else list(limits),
        }

    @classmethod
    def from_dict(cls, content: object) -> ModelMetadata:
        """Read metadata as `to_dict` writes them.

        Raises:
            ValueError: a value is missing or not allowed, or the format is another one.
        """
        if not isinstance(content, Mapping):
            raise ValueError("it is not a mapping")
        for key in ("format", "network", "range", "classes", "size"):
            if key not in content:
                raise ValueError(f"`{key}` is missing")
            expected = FORMAT if content.get("second") is None else PAIR_FORMAT
            if key == "format" and content[key] != expected:
                raise ValueError(
                    f"it has format {content[key]}, written by semiseg {content.get('semiseg')}; "
                    f"this is {__version__}, which reads format {expected}"
                )
        limits = content["range"]
        if isinstance(limits, list) and len(limits) != 2:
            raise ValueError(f"the range {limits} is not a pair of numbers")
        reading = {"value_range": limits}
        names = ("bands", "nodata", "ranges", "rgb", "axes")
        reading |= {name: content.get(name) for name in names}
        second = content.get("second")
        return replace(
            from_plain(cls, {**content, "reading": reading, "second": None}),
            network=NetworkSpec.from_dict(content["network"]),
            classes=Classes.from_dict(content["classes"]),
            second=None if second is None else SecondNetworkSpec.from_dict(second),
        )


def _require_side(value: object, name: str) -> int:
    """A side in pixels.

    Raises:
        ValueError: the value is no such number.
    """
    if not isinstance(value, int) or not 0 < value <= _MAX_SIDE:
        raise ValueError(f"the {name} {value} is not a number of pixels")
    return value
