"""Validation: the scores of a method's networks, and after the last step all that a release needs.

Regular validations score each network as it is. The last one also counts the pixels of each
candidate for the release in each image, see `evaluation.choice`, and the shapes of the chosen one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.core.choices import Candidate
from semiseg.evaluation.choice import ImageCounts, choose, simplest_first
from semiseg.evaluation.logit_adjustment import offsets
from semiseg.evaluation.metrics import MaskScores, confusion_matrix, scores
from semiseg.evaluation.pseudo_label_summary import PseudoLabelSummary
from semiseg.evaluation.shapes import ShapeCounts, count_shapes
from semiseg.inference.scenes import Scene, segmenter
from semiseg.inference.sliding import Segmenter
from semiseg.methods.base import Method
from semiseg.model.distributed import interleave_over_ranks, sum_over_ranks, world_size


class Validation(TypedDict):
    """One validation.

    `step` is the step, `networks` the scores by network, without an adjustment. `pseudo_labels` are
    measured with diagnostics only.
    """

    step: int
    networks: dict[str, MaskScores]
    pseudo_labels: PseudoLabelSummary | None


class Outcome(NamedTuple):
    """What the last validation finds: the candidates for the release, and more of the chosen one.

    Attributes:
        counts: the counts of each candidate in each image.
        confusion: `(C, C)` int64, the confusion matrix of the chosen candidate on all images.
        shapes: the areas, boundaries and objects of the chosen candidate on all images.
    """

    counts: ImageCounts
    confusion: Tensor
    shapes: ShapeCounts

    def state(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint."""
        counts = self.counts
        return {
            "candidates": [(one.network, one.strength) for one in counts.candidates],
            "true": torch.from_numpy(counts.true),
            "predicted": torch.from_numpy(counts.predicted),
            "common": torch.from_numpy(counts.common),
            "confusion": self.confusion,
            "shapes": torch.from_numpy(np.stack(self.shapes)),
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Outcome:
        """The outcome from what `state` gave."""
        counts = ImageCounts(
            tuple(Candidate(1, network, strength) for network, strength in state["candidates"]),
            *(state[name].numpy() for name in ("true", "predicted", "common")),
        )
        return cls(counts, state["confusion"], ShapeCounts(*state["shapes"].numpy()))


def score_networks(
    method: Method, loader: Iterable[Scene], names: Sequence[str], *, last: bool
) -> tuple[dict[str, MaskScores], Outcome | None]:
    """Score each network on the validation images, at the size of their masks.

    Args:
        method: the method with its networks; it is in training mode again afterwards.
        loader: this process's images, one at a time.
        names: the class names.
        last: this is the validation after the last step, which decides what is released.

    Returns:
        The scores by network, and the outcome of the last validation.
    """
    networks, classes = method.networks(), len(names)
    segmenters = {name: segmenter(network) for name, network in networks.items()}
    tried = offsets(method.class_weights if last else None, classes)
    added = torch.stack(list(tried.values())).numpy()
    confusion = torch.zeros(len(tried), len(networks), classes, classes, dtype=torch.long)
    rows: list[Tensor] = []
    method.eval()
    for scene in loader:
        tables = torch.stack(
            [_confusions(segment, scene, added) for segment in segmenters.values()], dim=1
        )
        confusion += tables
        if last:
            rows.append(_sums(tables.flatten(0, 1)))
    method.train()
    device = method.student.mean.device
    confusion = sum_over_ranks(confusion.to(device)).cpu()
    result = {name: scores(confusion[0, i], names) for i, name in enumerate(networks)}
    if not last:
        return result, None
    candidates = simplest_first(tuple(networks), tuple(tried))
    shape = (2 * len(candidates) + 1, classes)
    own = torch.stack(rows) if rows else torch.zeros(0, *shape, dtype=torch.int32)
    sums = interleave_over_ranks(own.to(device)).cpu().transpose(0, 1).contiguous()
    true, predicted, common = sums[0], sums[1 : len(candidates) + 1], sums[len(candidates) + 1 :]
    counts = ImageCounts(candidates, true.numpy(), predicted.numpy(), common.numpy())
    index = choose(counts)
    candidate = candidates[index]
    shapes = _count_shapes(
        method, loader, segmenters[candidate.network], tried[candidate.strength][None].numpy()
    )
    return result, Outcome(counts, confusion.flatten(0, 1)[index].clone(), shapes)


def _confusions(segment: Segmenter, scene: Scene, added: NDArray[np.float32]) -> Tensor:
    """The confusion matrices of one network on one image, one for each of `S` adjustments.

    Args:
        segment: the network.
        scene: the image.
        added: `(S, C)`, what the adjustments add to its logits.

    Returns:
        `(S, C, C)`.
    """
    size = scene.mask.shape[0], scene.mask.shape[1]
    labels = torch.from_numpy(segment.labels(scene.image.numpy(), size, added))
    return torch.stack([confusion_matrix(one, scene.mask, added.shape[1]) for one in labels])


def _sums(tables: Tensor) -> Tensor:
    """The true pixels by class of `K` confusion matrices, then all predicted, then all common ones.

    Args:
        tables: `(K, C, C)`, of the same image.

    Returns:
        `(1 + 2 K, C)` int32: a mask has fewer than 2^31 pixels.
    """
    parts = [tables[:1].sum(dim=2), tables.sum(dim=1), tables.diagonal(dim1=1, dim2=2)]
    return torch.cat(parts).int()


def _count_shapes(
    method: Method, loader: Iterable[Scene], segment: Segmenter, added: NDArray[np.float32]
) -> ShapeCounts:
    """The shapes of one network, over the images of all processes.

    The images are segmented once more: to count the shapes for each network and each strength would
    take longer.

    Args:
        method: the method; it is in training mode again afterwards.
        loader: this process's images.
        segment: the network.
        added: `(1, C)`, what the logit adjustment adds to its logits.
    """
    classes = added.shape[1]
    counts = ShapeCounts.zeros(classes)
    method.eval()
    for scene in loader:
        images, truth = scene.image.numpy(), scene.mask.numpy()
        labels = segment.labels(images, (truth.shape[0], truth.shape[1]), added)
        counts = counts.plus(count_shapes(labels[0], truth, classes))
    method.train()
    if world_size() == 1:  # Apple's GPUs have no double precision
        return counts
    rows = torch.from_numpy(np.stack(counts)).to(method.student.mean.device)
    return ShapeCounts(*sum_over_ranks(rows).cpu().numpy())
