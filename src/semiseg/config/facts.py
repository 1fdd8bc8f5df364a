"""What the rules of the plan start from: facts about the data and the device, and the pace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from semiseg.core.reading import Reading

if TYPE_CHECKING:  # the help must not wait for numpy
    from semiseg.core.types import Likeness

Source: TypeAlias = Literal["data", "device", "budget", "default", "recipe", "comparison", "user"]
"""What decided a value."""


class Reason(NamedTuple):
    """Why a setting has its value.

    Attributes:
        source: what decided it.
        text: the reason, as half a sentence.
        is_consequence: whether the text says what follows from the value, so that it also holds for
            a value that the user gave.
    """

    source: Source
    text: str
    is_consequence: bool = False


AS_GIVEN = Reason("user", "as given")


class EncoderChoice(NamedTuple):
    """The encoder of a training.

    Attributes:
        name: its name.
        reason: why it is this one.
        patch: the side in pixels of a patch, if it is a plain vision transformer; None for an
            encoder with maps of several strides.
        weights: where its pretrained weights come from, in words; empty if nobody asked.
    """

    name: str
    reason: Reason
    patch: int | None = None
    weights: str = ""


class MethodChoice(NamedTuple):
    """The method of a training.

    Attributes:
        name: its name.
        reason: why it is this one.
        step_cost: how many of its steps take as long as one of the method that it replaces. The
            training takes so many times the usual steps, if the plan decides on them.
        warnings: what the user should know about the unlabeled images, as sentences.
        least_steps: the fewest steps for which the plan chooses it; 0 if any number will do.
    """

    name: str
    reason: Reason
    step_cost: float = 1.0
    warnings: tuple[str, ...] = ()
    least_steps: int = 0


class Facts(NamedTuple):
    """The data and the device.

    Attributes:
        side: the median short side, in pixels, of the images that have masks, hidden or not.
        labeled: the number of labeled images.
        unlabeled: the number of unlabeled images that the method uses.
        validation_images: the images that one validation reads: those of `val`, and the sample of
            the diagnostics.
        pixels: the pixels of each class in the labeled images, by the class's name.
        likeness: how similar unlabeled and labeled images are; None if it was not computed.
        device: `cpu`, `cuda` or `mps`.
        world: the number of devices that train together.
        reading: how the images are read, with the values that those of more than 8 bits span.
        val: the number of images of `val`.
        encoder: the encoder that the settings name, or that is chosen for the device.
        method: the method that the settings name, or that is chosen for the data.
        bf16: whether the device computes with bfloat16.
        second: the encoder of the network that labels images too; None without one.
        is_pool: whether the unlabeled images are in a pool, of which no list exists.
        other_classes: how the classes differ from those of the published data set that the
            settings name, as half a sentence; empty if they do not.
    """

    side: float
    labeled: int
    unlabeled: int
    validation_images: int
    pixels: Mapping[str, int]
    likeness: Likeness | None
    device: str
    world: int
    reading: Reading
    val: int
    encoder: EncoderChoice
    method: MethodChoice
    bf16: bool = False
    second: EncoderChoice | None = None
    is_pool: bool = False
    other_classes: str = ""

    @property
    def patch(self) -> int | None:
        """The side of a patch of the encoder, see `EncoderChoice`."""
        return self.encoder.patch


class Line(NamedTuple):
    """A quantity that grows with the number of pixels: `fixed + per_pixel * pixels`."""

    fixed: float
    per_pixel: float

    @classmethod
    def through(cls, *points: tuple[float, float]) -> Line:
        """The line through the first and the last `(pixels, value)`, with no part below 0."""
        (x0, y0), (x1, y1) = points[0], points[-1]
        per_pixel = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
        fixed = y1 - per_pixel * x1
        return cls(fixed, per_pixel) if per_pixel > 0 and fixed >= 0 else cls(0.0, y1 / x1)

    def at(self, pixels: float) -> float:
        """The value for this number of pixels."""
        return self.fixed + self.per_pixel * pixels


class Pace(NamedTuple):
    """The measured speed of a method on a machine.

    Attributes:
        step: the seconds of a micro batch, by labeled images times crop squared; with stages, the
            mean over the steps of all of them.
        validation: the seconds that a validation takes for one image, by size squared.
        max_pixels: the pixels (labeled images times crop squared) that fit into the memory.
        spent: the seconds that reading the data and measuring took.
        view: the seconds of the frozen features of one view, by crop squared, where they are
            cached; `step` is then that of a step from cached features. None if nothing is cached.
        second: the pace of the second network, at the same sizes; None without one.
        saved: the part of `spent` that the next training need not spend, since the measurement is
            remembered.
    """

    step: Line
    validation: Line
    max_pixels: float
    spent: float
    view: Line | None = None
    second: Pace | None = None
    saved: float = 0.0

    def of_next_try(self) -> Pace:
        """The pace of the next training, if reading the data takes a little longer then."""
        return self._replace(spent=1.2 * (self.spent - self.saved) + 2, saved=0.0)
