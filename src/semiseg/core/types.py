"""The values that pass from room to room. Shapes are written `(B, C, H, W)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from semiseg.core.rng import Key
from semiseg.core.scores import Scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

IGNORE_INDEX = 255
"""The label of pixels that are neither taught nor scored."""

STRIDE = 4
"""Pixels of the image, a side, to a cell of a network's maps."""


class Sample(NamedTuple):
    """One image on disk, with its mask where it has one.

    Attributes:
        name: path below the split's `images` folder, without the suffix, `/` between folders.
        image: the image's file.
        mask: the mask's file, or None for an unlabeled image.
    """

    name: str
    image: Path
    mask: Path | None


class Labeled(NamedTuple):
    """A batch of labeled images.

    Attributes:
        image: `(B, 3, H, W)` float in 0..1.
        mask: `(B, H, W)` int64 class indices; 255 where ignored or padded.
    """

    image: Tensor
    mask: Tensor


class Unlabeled(NamedTuple):
    """A batch of unlabeled images in two views of the same geometry.

    Attributes:
        weak: `(B, 3, H, W)` float in 0..1, scaled, cropped and flipped: what the teacher sees.
        strong: `(B, 3, H, W)` the weak view after photometric changes: what the student sees.
        valid: `(B, H, W)` bool, False where the crop shows padding instead of image.
    """

    weak: Tensor
    strong: Tensor
    valid: Tensor


class Batch(NamedTuple):
    """All that one training step needs.

    Attributes:
        labeled: the labeled images.
        unlabeled: the unlabeled ones, or None if the method uses none or there are none.
        number: of the micro batch, counted from 0 over the whole training.
    """

    labeled: Labeled
    unlabeled: Unlabeled | None
    number: int


class Step(NamedTuple):
    """Where in the training a method stands.

    Attributes:
        number: optimizer steps taken so far.
        total: optimizer steps in the whole training.
        key: the key of this step's random draws.
    """

    number: int
    total: int
    key: Key

    @property
    def share(self) -> float:
        """The share of the training that is behind, from 0 to below 1."""
        return self.number / self.total


class Output(NamedTuple):
    """What a network says about a batch.

    Attributes:
        logits: `(B, C, h, w)` at the decoder's stride.
        representation: `(B, D, h, w)` at stride 4, not normalized, or None without such a head.
    """

    logits: Tensor
    representation: Tensor | None


class Losses(NamedTuple):
    """What a method computed from one batch.

    Attributes:
        terms: scalars whose sum is minimized.
        diagnostics: scalars to log, detached.
        state: new values of the method's buffers, by name, written once the gradient is there.
    """

    terms: Mapping[str, Tensor]
    diagnostics: Mapping[str, Tensor]
    state: Mapping[str, Tensor]


class Opinions(NamedTuple):
    """What a method believes of unlabeled images, pixel by pixel, before any mixing.

    Attributes:
        logit_label: `(B, H, W)` int64, the teacher's class in logit space.
        confidence: `(B, H, W)` float, that class's softmax probability.
        representation_label: `(B, H, W)` int64, the class of the nearest prototype, after the prior
            of the classes if there is one, or None for a method without representation space.
        similarity: `(B, H, W)` float, that class's similarity indicator, or None likewise.
        final: `(B, H, W)` int64, the pseudo-label as it is taught in logit space; 255 where
            nothing is taught.
    """

    logit_label: Tensor
    confidence: Tensor
    representation_label: Tensor | None
    similarity: Tensor | None
    final: Tensor


class Prediction(NamedTuple):
    """The segmentation of one image, of the image's own size.

    Attributes:
        mask: `(H, W)` uint8 class indices.
        confidence: `(H, W)` float32, the softmax probability of that class.
        nearest: `(H, W)` uint8, what representation space would say: the class of the nearest
            prototype, after the prior of the classes where the model has one. None for a model
            without prototypes.
        similarity: `(H, W)` float32 in 0..1, how sure representation space is of `nearest`
            (Eq. 5 of CSS). None likewise.
        probabilities: `(C, H, W)` float16, the softmax of the logits, where they were asked for.
    """

    mask: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    nearest: NDArray[np.uint8] | None = None
    similarity: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float16] | None = None

    def doubtful(self, threshold: float) -> NDArray[np.bool_]:
        """`(H, W)` bool, where the mask is not to be relied upon.

        Args:
            threshold: a lower confidence is doubtful; so is a pixel whose nearest prototype is of
                another class.
        """
        low: NDArray[np.bool_] = self.confidence < threshold
        return low if self.nearest is None else low | (self.nearest != self.mask)


class Likeness(NamedTuple):
    """Distances between images; two photographs of anything are about 1 apart.

    Attributes:
        apart: median distance from an unlabeled image to the nearest labeled one.
        among: median distance from a labeled image to the nearest other one.
    """

    apart: float
    among: float


class Run(NamedTuple):
    """A finished training.

    Attributes:
        folder: the run folder.
        scores: the contents of its `scores.json`.
    """

    folder: Path
    scores: Scores


Source = Literal["data", "device", "budget", "default", "user"]
"""What a value of a plan comes from."""


class Entry(NamedTuple):
    """One setting of a plan.

    Attributes:
        setting: its name, as a parameter of `train` or of the method.
        value: what it is.
        source: what it comes from: `data`, `device`, `budget`, `default` or `user`.
        reason: why, in half a sentence.
    """

    setting: str
    value: Any
    source: Source
    reason: str


class Plan(NamedTuple):
    """What a training is to be.

    Attributes:
        entries: the settings that matter, each with its reason.
        warnings: a sentence for each thing that will hardly help.
        seconds: what the training is expected to take; None where nothing was measured.
    """

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]
    seconds: float | None

    def value(self, setting: str) -> Any:  # noqa: ANN401 - of whichever type it is
        """The value of a setting."""
        return next(e.value for e in self.entries if e.setting == setting)

    def brief(self) -> list[str]:
        """A sentence for each value that was derived, one for those given, and the warnings."""
        found = [
            f"{e.setting} {e.value}: {e.reason}"
            for e in self.entries
            if e.source not in ("default", "user") and e.setting != "workers"
        ]
        given = [f"{e.setting} {e.value}" for e in self.entries if e.source == "user"]
        if given:
            found.append(f"as given: {', '.join(given)}")
        return [*found, *self.warnings]

    def to_dict(self) -> dict[str, Any]:
        """For `plan.yaml`."""
        seconds = None if self.seconds is None else round(self.seconds)
        entries = [e._asdict() for e in self.entries]
        return {"plan": entries, "warnings": [*self.warnings], "seconds": seconds}
