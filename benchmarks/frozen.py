"""Class scores in closed form on the features of a frozen, pretrained encoder: a second judge.

Ridge regression on the classes of the labeled pixels, each class with the weight `1 / sqrt(pixels)`
(section 6.15 of the collection of facts). The features are those of strides 8 and 16 of a pyramid,
and those of all four levels of a vision transformer, each divided by its length at each position.
Its strength and the temperature of the probabilities are those with the smallest log loss on the
labeled images, each left out once. The script compares both judgments with the true masks: that of
the labeled images left out, and that of the unlabeled images. From the root of the repository:

    python benchmarks/frozen.py runs/supervised ../shared/data/camvid \
        --encoder vit_small_patch14_dinov2 --weights dinov2_vits14.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import semiseg
from semiseg.augment.geometric import resize_nearest
from semiseg.augment.working_size import working_size
from semiseg.core.reading import Reading
from semiseg.core.text import markdown_table
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.inference.reading import interpolation
from semiseg.inference.scenes import to_input, to_working_size
from semiseg.model.network import Network
from semiseg.model.vit import PlainViT

SIZE = 240
"""The short side in pixels of the images that the encoder sees."""
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the ridge, as shares of the sum of all weights."""
TEMPERATURES = tuple(np.geomspace(0.02, 1.0, 18).tolist())


class FrozenJudge:
    """Class probabilities from the features of a frozen encoder.

    Args:
        encoder: a name as for `--encoder`.
        weights: its weights, as for `--weights`.
        samples: the labeled images.
        classes: their classes.
        reading: how images are read.
        size: the short side in pixels of the images that the encoder sees.

    Attributes:
        strength: the strength of the ridge that was chosen.
        temperature: the temperature that was chosen.
        confusion: `(C, C)`, the cells of the labeled images by true class and by label, each image
            judged without itself.
    """

    def __init__(
        self,
        encoder: str,
        weights: str,
        samples: Sequence[Sample],
        classes: Classes,
        reading: Reading,
        size: int = SIZE,
    ) -> None:
        self.classes, self.reading, self.size = classes, reading, size
        self.network = Network(len(classes), encoder, weights=weights).eval()
        features, targets = [], []
        for sample in samples:
            maps = self._features(sample)
            mask = np.array(read_labels(sample, classes, reading))
            width, height = working_size(mask.shape[::-1], size)
            truth = resize_nearest(mask, (width, height))
            rows = _centers(maps.shape[-2], self.stride, height)
            columns = _centers(maps.shape[-1], self.stride, width)
            target = torch.from_numpy(truth[np.ix_(rows, columns)]).flatten().long()
            labeled = target != IGNORE_INDEX
            features.append(maps.flatten(1).T[labeled].double())
            targets.append(target[labeled])
        self._fit(features, targets)

    def _fit(self, features: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Choose the strength and the temperature, and solve for the matrix `(D, C)`.

        Args:
            features: `(N, D)` of each image.
            targets: `(N,)` classes of each image.
        """
        count, every = len(self.classes), torch.cat(list(targets))
        weights = every.bincount(minlength=count).clamp(min=1).double().rsqrt()
        grams, moments = [], []
        for own, target in zip(features, targets, strict=True):
            weighted = own * weights[target][:, None]
            grams.append(own.T @ weighted)
            moments.append(weighted.T @ F.one_hot(target, count).double())
        gram, moment = torch.stack(grams).sum(0), torch.stack(moments).sum(0)
        total = weights[every].sum()
        best = (np.inf, STRENGTHS[0], TEMPERATURES[0], torch.zeros(0, count))
        for strength in STRENGTHS:
            parts = zip(features, grams, moments, strict=True)
            left_out = torch.cat(
                [own @ _solve(gram - a, moment - b, strength * total) for own, a, b in parts]
            )
            for temperature in TEMPERATURES:
                loss = F.cross_entropy(left_out / temperature, every).item()
                best = min(best, (loss, strength, temperature, left_out), key=lambda one: one[0])
        _, self.strength, self.temperature, left_out = best
        self.confusion = confusion_matrix(left_out.argmax(1), every, count)
        self._matrix = _solve(gram, moment, self.strength * total).float()

    @torch.no_grad()
    def _features(self, sample: Sample) -> Tensor:
        """The features `(D, h, w)` of an image, with a constant as the last one."""
        image = to_working_size(read_image(sample.image, self.reading), self.size)
        maps = self.network.encode(to_input(image))[1:]
        chosen = maps if isinstance(self.network.encoder, PlainViT) else maps[2:4]
        finest = chosen[0]
        padded = -(-image.shape[-2] // self.network.stride) * self.network.stride
        self.stride = padded // finest.shape[-2]
        parts = [
            F.interpolate(F.normalize(m, dim=1), finest.shape[-2:], mode="bilinear") for m in chosen
        ]
        return torch.cat([*parts, torch.ones_like(finest[:, :1])], dim=1)[0]

    def probabilities(self, sample: Sample, target: tuple[int, int]) -> NDArray[np.float32]:
        """The class probabilities `(C, H, W)` of an image on a grid.

        Args:
            sample: the image.
            target: height and width `(H, W)` of the grid.
        """
        maps = self._features(sample)
        values = torch.einsum("dhw,dc->chw", maps, self._matrix).numpy() / self.temperature
        with_size = read_image(sample.image, self.reading).size
        source = working_size(with_size, self.size)[::-1]
        rows, columns = (
            interpolation((np.arange(n) + 0.5) * (side / n) / self.stride - 0.5, cells)
            for n, side, cells in zip(target, source, maps.shape[-2:], strict=True)
        )
        large = rows @ values @ columns.T
        parts = np.exp(large - large.max(axis=0))
        result: NDArray[np.float32] = parts / parts.sum(axis=0)
        return result


def _solve(gram: Tensor, moment: Tensor, ridge: Tensor) -> Tensor:
    return torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), moment)


def _centers(cells: int, stride: int, side: int) -> NDArray[np.intp]:
    """The pixels at the centers of cells; those beyond the image get its last pixel."""
    centers: NDArray[np.intp] = (np.arange(cells) * stride + stride // 2).clip(max=side - 1)
    return centers


def main() -> None:
    """Fit the judge and print how often it is right."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="a finished run, for its split and its classes")
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--every", type=int, default=1, help="take every so many unlabeled images")
    a = parser.parse_args()
    model, folder = semiseg.load(a.run), load_dataset(a.data)
    labeled, hidden = (
        read_list(a.run / "split" / f"{part}.txt", folder.train)
        for part in ("labeled", "unlabeled")
    )
    classes = model.classes
    judge = FrozenJudge(a.encoder, a.weights, labeled, classes, model.reading)
    confusion = torch.zeros_like(judge.confusion)
    for sample in hidden[:: a.every]:
        truth = np.array(read_labels(sample, classes, model.reading))
        label = judge.probabilities(sample, truth.shape).argmax(axis=0)
        pair = torch.from_numpy(label), torch.from_numpy(truth)
        confusion += confusion_matrix(*pair, len(classes))
    print(f"strength {judge.strength:g}, temperature {judge.temperature:.3f}\n")
    rows = []
    for name, counts in (("labeled, left out", judge.confusion), ("unlabeled", confusion)):
        result = scores(counts, classes.names)
        rows.append([name, *(f"{result[key] or 0:.1f}" for key in ("accuracy", "miou"))])
    print(markdown_table(["images", "accuracy", "mIoU"], rows))


if __name__ == "__main__":
    main()
