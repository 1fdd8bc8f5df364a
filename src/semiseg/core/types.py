"""The values that packages exchange. `(B, C, H, W)` is the shape of a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from semiseg.core.rng import Key

IGNORE_INDEX = 255
"""The label of pixels that count neither in a loss nor in a score."""

STRIDE = 4
"""The stride of a network's output, in pixels of the image."""

UNLIKE_LIMIT = 1.5
"""An image whose `Prediction.unlike` is higher is clearly beyond the images of the training."""


ColorChannels: TypeAlias = tuple[int, int, int] | None
"""The positions of red, green and blue among the channels of an image; None without colors."""

RGB = (0, 1, 2)
"""The color channels of an image that has no others."""


class Sample(NamedTuple):
    """One image on disk, and its mask if it has one.

    Attributes:
        name: the path below the split's `images` folder, with `/` between folders and without the
            suffix.
        image: the file of the image.
        mask: the file of the mask, or None for an unlabeled image.
    """

    name: str
    image: Path
    mask: Path | None


class Arrangement(NamedTuple):
    """What a person says about a data folder: where the images lie, and which belong together.

    Attributes:
        images: the folder of the images; None to recognize it. Like the other folders, it is
            relative to the data folder, or absolute.
        masks: the folder of the masks; None to recognize it.
        unlabeled: the folder of further images without masks, or the path or address of a pool;
            None for `unlabeled`.
        group: a regular expression. Images in whose names it finds the same text belong together.
            None if each image stands for itself.
        exif: whether masks show their images as the orientation in the EXIF data turns them
            (`apply`), or as they are stored (`ignore`). None to find it out.
        tile: the side in pixels of the tiles of large rasters, 0 for none. None for the default.
        class_attribute: the attribute of polygons that holds the classes; None to recognize it.
        outside: what pixels of a raster are that no polygon covers. None for background, or
            ignored if polygons are drawn around the background.
        bands: the bands of the images, some of them by the names that the files give them; None
            where a `Reading` has their numbers, or nobody chose.
        rgb: likewise, the bands that are shown as red, green and blue.
        corrected: folders outside of the data folder, whose images and masks join those of `train`.
        label_list: a list of labeled images, which may name their masks; None without one.
        reserved: a list of images that no training uses; None without one.
    """

    images: Path | None = None
    masks: Path | None = None
    unlabeled: str | None = None
    group: str | None = None
    exif: Literal["apply", "ignore"] | None = None
    tile: int | None = None
    class_attribute: str | None = None
    outside: Literal["background", "ignore"] | None = None
    bands: tuple[int | str, ...] | None = None
    rgb: tuple[int | str, ...] | None = None
    corrected: tuple[Path, ...] = ()
    label_list: Path | None = None
    reserved: Path | None = None


NOTHING_SAID = Arrangement()


class NamedBands(NamedTuple):
    """Bands that a person chose, some of them by the names that the files give them.

    Attributes:
        bands: the bands that form an image; None where a `Reading` has their numbers.
        rgb: the bands that are shown as red, green and blue; None likewise.
    """

    bands: tuple[int | str, ...] | None = None
    rgb: tuple[int | str, ...] | None = None


NO_NAMES = NamedBands()


class Inputs(NamedTuple):
    """The input of a network.

    Attributes:
        image: `(B, N, H, W)` float in 0..1.
        features: the output of the network's frozen part for these images; empty if the network
            computes it. `(B, D, h, w)` are maps, `(B, P, D)` are prefix tokens (class token,
            registers).
    """

    image: Tensor
    features: tuple[Tensor, ...] = ()


class Labeled(NamedTuple):
    """A batch of labeled images.

    Attributes:
        image: `(B, N, H, W)` float in 0..1.
        mask: `(B, H, W)` int64 class indices; 255 for ignored pixels and padding.
        features: the frozen features of the images, see `Inputs`.
    """

    image: Tensor
    mask: Tensor
    features: tuple[Tensor, ...] = ()

    @property
    def inputs(self) -> Inputs:
        """The images as a network takes them."""
        return Inputs(self.image, self.features)


class Unlabeled(NamedTuple):
    """A batch of unlabeled images in two views of the same geometry.

    Attributes:
        weak: `(B, N, H, W)` float in 0..1, scaled, cropped and flipped, for the teacher.
        strong: `(B, N, H, W)` float, the weak view after photometric changes, for the student.
        valid: `(B, H, W)` bool, False at padding.
        weak_features: the frozen features of the weak view, see `Inputs`.
        strong_features: the frozen features of the strong view.
        label: `(B, H, W)` int64, the stored labels of the images; 255 where there is none. None if
            the method stores no labels.
        confidence: `(B, H, W)` float in 0..1, the confidence of the stored labels, or None.
        more_strong: further strong views with other photometric changes, for methods whose
            settings ask for more than one.
    """

    weak: Tensor
    strong: Tensor
    valid: Tensor
    weak_features: tuple[Tensor, ...] = ()
    strong_features: tuple[Tensor, ...] = ()
    label: Tensor | None = None
    confidence: Tensor | None = None
    more_strong: tuple[Inputs, ...] = ()

    @property
    def weak_inputs(self) -> Inputs:
        """The weak view as a network takes it."""
        return Inputs(self.weak, self.weak_features)

    @property
    def strong_inputs(self) -> Inputs:
        """The strong view as a network takes it."""
        return Inputs(self.strong, self.strong_features)

    @property
    def strong_views(self) -> tuple[Inputs, ...]:
        """All strong views as a network takes them."""
        return (self.strong_inputs, *self.more_strong)


class Batch(NamedTuple):
    """The input of one training step.

    Attributes:
        labeled: the labeled images.
        unlabeled: the unlabeled images, or None if there are none or the method does not use them.
        number: the number of the micro batch, counted from 0 over the whole training.
        unreadable: the images of a pool that others replace in this batch, with the reasons.
    """

    labeled: Labeled
    unlabeled: Unlabeled | None
    number: int
    unreadable: tuple[str, ...] = ()


class Step(NamedTuple):
    """The position in a training.

    Attributes:
        number: the optimizer steps before this one.
        total: the optimizer steps of the whole training.
        key: the key of the random draws of this step.
    """

    number: int
    total: int
    key: Key

    @property
    def share(self) -> float:
        """The completed share of the training, from 0 to below 1."""
        return self.number / self.total


class Output(NamedTuple):
    """The output of a network for a batch.

    Attributes:
        logits: `(B, C, h, w)` at the decoder's stride.
        representation: `(B, D, h, w)` at stride 4, not normalized, or None without such a head.
    """

    logits: Tensor
    representation: Tensor | None


class Losses(NamedTuple):
    """The result of a method for one batch.

    Attributes:
        terms: scalars whose sum is minimized.
        diagnostics: scalars to log, detached.
        state: new values of the method's buffers by name. The base class stores them after the
            gradient is computed.
    """

    terms: Mapping[str, Tensor]
    diagnostics: Mapping[str, Tensor]
    state: Mapping[str, Tensor]

    @property
    def total(self) -> Tensor:
        """The scalar to minimize: the sum of the terms."""
        return reduce(add, self.terms.values())


class PseudoLabels(NamedTuple):
    """The pseudo-labels of unlabeled images, per pixel and before mixing.

    Attributes:
        logit_label: `(B, H, W)` int64, the class that the teacher's logits give.
        confidence: `(B, H, W)` float, the softmax probability of this class.
        representation_label: `(B, H, W)` int64, the class of the nearest prototype, after the
            class prior if there is one. None for a method without prototypes.
        similarity: `(B, H, W)` float, the similarity indicator of this class. None for a method
            without prototypes.
        final: `(B, H, W)` int64, the pseudo-label that the student learns from in logit space; 255
            where it learns nothing.
    """

    logit_label: Tensor
    confidence: Tensor
    representation_label: Tensor | None
    similarity: Tensor | None
    final: Tensor


class Prediction(NamedTuple):
    """The segmentation of one image, at the size of the image.

    Attributes:
        mask: `(H, W)` uint8 class indices.
        confidence: `(H, W)` float32, the softmax probability of the class in `mask`.
        nearest: `(H, W)` uint8, the class of the nearest prototype, after the class prior if the
            model has one. None for a model without prototypes.
        similarity: `(H, W)` float32 in 0..1, the similarity indicator of `nearest` (Eq. 5 of CSS).
            None for a model without prototypes.
        probabilities: `(C, H, W)` float16, the softmax of the logits, or None if you did not ask
            for it.
        unlike: how unlike the images of the training the image is; 1 is as far as the most unusual
            1 % of them. None where this is not known: for a model of an earlier version, for other
            channels than red, green and blue, and for GeoTIFFs.
    """

    mask: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    nearest: NDArray[np.uint8] | None = None
    similarity: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float16] | None = None
    unlike: float | None = None

    def doubtful(self, threshold: float) -> NDArray[np.bool_]:
        """Which pixels of the mask are unreliable, as `(H, W)` bool.

        Args:
            threshold: pixels with a lower confidence are unreliable. So are pixels whose nearest
                prototype has another class.
        """
        low: NDArray[np.bool_] = self.confidence < threshold
        return low if self.nearest is None else low | (self.nearest != self.mask)


class Likeness(NamedTuple):
    """Distances between images. Two arbitrary photographs are about 1 apart.

    Attributes:
        apart: the median distance from an unlabeled image to the nearest labeled one.
        among: the median distance from a labeled image to the nearest other labeled one.
    """

    apart: float
    among: float
