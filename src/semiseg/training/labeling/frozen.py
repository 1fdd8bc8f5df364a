"""A second judge that cannot drift: class scores in closed form on frozen, pretrained features.

The encoder is never trained, so that its judgment depends on nothing that a student has learned.
The features are those of strides 8 and 16 of a pyramid, and those of all four levels of a vision
transformer, each divided by its length at each position (section 6.15 of the collection of facts).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from semiseg.augment.geometric import resize_nearest
from semiseg.augment.working_size import working_size
from semiseg.core.errors import ConfigError
from semiseg.core.reading import Reading
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes
from semiseg.evaluation.metrics import confusion_matrix
from semiseg.inference.device import torch_device
from semiseg.inference.reading import Floats, interpolation
from semiseg.inference.scenes import to_input, to_working_size
from semiseg.model.network import Network
from semiseg.model.ridge import fit_ridge
from semiseg.model.vit import PlainViT
from semiseg.model.weights import encoder_sha256
from semiseg.training.labeling.store import ImageLabels, Labeler

MAX_JUDGED = 32
"""The number of labeled images, evenly spread, that are judged without themselves, at most."""
STRIDES = (8, 16)
"""The strides in pixels of the maps of a pyramid that are used."""
_STRIP = 64  # rows whose class scores are in memory at a time

Combination: TypeAlias = Literal["frozen", "both"]


class FrozenJudge:
    """Labels from the features of a frozen encoder.

    It is fitted to the labeled images at once, without a draw. In another number of threads, sums
    of the encoder may be rounded otherwise.

    Args:
        encoder: a name as for `--encoder`.
        weights: its weights, as for `--weights`, or the folder of a finished run.
        samples: the labeled images.
        classes: their classes.
        reading: how images are read.
        size: the short side in pixels of the images that the encoder sees.
        accelerator: the device of the encoder, as `load` takes it.

    Attributes:
        network: the encoder, in a network whose other parts are not used.
        strength: the strength of the ridge that was chosen.
        temperature: the temperature of the probabilities that was chosen.
        confusion: `(C, C)`, the cells of the labeled images by true class and by label, each image
            judged without itself.

    Raises:
        ConfigError: the encoder or the weights cannot be used, or no cell has a label.
        HubError: the hub does not give the weights.
    """

    def __init__(
        self,
        encoder: str,
        weights: str,
        samples: Sequence[Sample],
        classes: Classes,
        reading: Reading,
        size: int,
        accelerator: str = "cpu",
    ) -> None:
        self.reading, self.size = reading, size
        self.network = Network(
            len(classes),
            encoder,
            weights=weights,
            channels=reading.channels,
            colors=reading.color_channels,
        ).eval()
        self.network.to(torch_device(accelerator)).to(memory_format=torch.channels_last)
        self._levels, self._stride = self._choose_levels()
        targets = [self._targets(sample, classes) for sample in samples]
        counts = torch.zeros(len(classes), dtype=torch.long)
        for target in targets:
            counts += target[target != IGNORE_INDEX].bincount(minlength=len(classes))
        if not counts.any():
            raise ConfigError(
                "The frozen features have nothing to learn from: no labeled pixel of the masks is "
                f"at the center of a cell of {self._stride} x {self._stride} pixels. Label larger "
                "areas, or use --agreement representation."
            )
        pairs = zip(samples, targets, strict=True)
        labeled = [(sample, target) for sample, target in pairs if (target != IGNORE_INDEX).any()]
        images = (
            (
                self._features(sample).flatten(1).T[target != IGNORE_INDEX],
                target[target != IGNORE_INDEX],
            )
            for sample, target in labeled
        )
        judged = range(0, len(labeled), -(-len(labeled) // MAX_JUDGED))
        scores = fit_ridge(images, counts, judged)
        self.strength, self.temperature = scores.strength, scores.temperature
        self.confusion = confusion_matrix(scores.left_out, scores.targets, len(classes))
        self._matrix, self._bias = scores.matrix.float(), scores.bias.float()

    @property
    def right(self) -> float:
        """The percentage of the labeled cells that it labels right without their images."""
        return 100 * float(self.confusion.diagonal().sum() / self.confusion.sum())

    @property
    def sha256(self) -> str:
        """The hash of all that decides about its labels."""
        digest = hashlib.sha256(f"{encoder_sha256(self.network.encoder)} {self.size}".encode())
        for part in (self._matrix, self._bias):
            digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def record(self) -> dict[str, object]:
        """What was chosen and how often it is right, for the manifest of a label store."""
        return {
            "strength": self.strength,
            "temperature": round(self.temperature, 4),
            "right": round(self.right, 2),
        }

    def labels(self, sample: Sample, target: tuple[int, int]) -> NDArray[np.uint8]:
        """The class `(H, W)` of each cell of a grid on an image.

        Args:
            sample: the image.
            target: height and width `(H, W)` of the grid.
        """
        strips = [strip.argmax(axis=0).astype(np.uint8) for strip in self._scores(sample, target)]
        return np.concatenate(strips)

    def probabilities(self, sample: Sample, target: tuple[int, int]) -> Floats:
        """The class probabilities `(C, H, W)`; see `labels`."""
        scores = np.concatenate([*self._scores(sample, target)], axis=1)
        parts = np.exp((scores - scores.max(axis=0)) / self.temperature)
        result: Floats = parts / parts.sum(axis=0)
        return result

    def _scores(self, sample: Sample, target: tuple[int, int]) -> Iterator[Floats]:
        """The class scores on a grid, `(C, h, W)` for some rows at a time."""
        image = read_image(sample.image, self.reading)
        maps = self._features_of(to_working_size(image, self.size))
        values = torch.einsum("dhw,dc->chw", maps, self._matrix) + self._bias[:, None, None]
        source = working_size(image.size, self.size)[::-1]
        rows, columns = (
            interpolation((np.arange(n) + 0.5) * (side / n) / self._stride - 0.5, cells)
            for n, side, cells in zip(target, source, maps.shape[-2:], strict=True)
        )
        for start in range(0, len(rows), _STRIP):
            yield rows[start : start + _STRIP] @ values.numpy() @ columns.T

    def _features(self, sample: Sample) -> Tensor:
        return self._features_of(to_working_size(read_image(sample.image, self.reading), self.size))

    def _features_of(self, image: Tensor) -> Tensor:
        """The features `(D, h, w)` of an image `(1, N, H, W)` uint8."""
        maps = self._maps(to_input(image.to(self.network.mean.device)))
        parts = [
            F.interpolate(F.normalize(m, dim=1), maps[0].shape[-2:], mode="bilinear") for m in maps
        ]
        return torch.cat(parts, dim=1)[0].float().cpu()

    @torch.no_grad()
    def _maps(self, image: Tensor) -> list[Tensor]:
        """The maps of the encoder that are used, the finest first."""
        maps = self.network.encode(image)
        return [maps[level] for level in self._levels]

    @torch.no_grad()
    def _choose_levels(self) -> tuple[list[int], int]:
        """The positions of the maps that are used, and the stride of the finest one in pixels."""
        side = 2 * self.network.stride
        device, channels = self.network.mean.device, self.network.spec.channels
        maps = self.network.encode(torch.zeros(1, channels, side, side, device=device))
        strides = [side // one.shape[-1] for one in maps]
        levels = list(range(1, len(maps)))
        if not isinstance(self.network.encoder, PlainViT):
            levels = [strides.index(stride) for stride in STRIDES if stride in strides] or levels
        return levels, min(strides[level] for level in levels)

    def _targets(self, sample: Sample, classes: Classes) -> Tensor:
        """The classes `(N,)` int64 at the centers of the cells, row by row; 255 for none."""
        mask = np.array(read_labels(sample, classes, self.reading))
        width, height = working_size(mask.shape[::-1], self.size)
        rows, columns = (self._centers(side) for side in (height, width))
        truth = resize_nearest(mask, (width, height))[np.ix_(rows, columns)]
        return torch.from_numpy(truth).flatten().long()

    def _centers(self, side: int) -> NDArray[np.intp]:
        """The pixels at the centers of cells; those of padding get the last pixel of the image."""
        padded = -(-side // self.network.stride) * self.network.stride
        cells = np.arange(padded // self._stride)
        centers: NDArray[np.intp] = (cells * self._stride + self._stride // 2).clip(max=side - 1)
        return centers


def agreeing(labeler: Labeler, judge: FrozenJudge, combination: Combination) -> Labeler:
    """A labeler whose labels agree where the judge gives the same class.

    Args:
        labeler: gives the labels, at the size of the grid on which the judge labels.
        judge: the second judge.
        combination: `frozen` replaces the agreement of the labeler, `both` demands it too.
    """

    def label(samples: Iterable[Sample]) -> Iterator[ImageLabels]:
        samples = list(samples)
        for sample, labels in zip(samples, labeler(iter(samples)), strict=True):
            agreement = judge.labels(sample, labels.label.shape) == labels.label
            if combination == "both":
                agreement &= labels.agreement
            yield labels._replace(agreement=agreement)

    return label
