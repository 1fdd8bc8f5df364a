"""The release of two networks as one model: that of the last stage, and the second one of the run.

The rule of `evaluation.choice` chooses the network and the logit adjustment of each. If the pair is
worse on `val` than the model of the last stage by more than one standard error, the latter is
released alone. If the model of stage 1 is better than this choice by more than one standard error,
it is released. Each half of `val` is scored with what these rules choose on the other half.

A second network that is worse alone may still make the mean better, so it is not judged alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.choices import PAIR, Candidate, Choice
from semiseg.core.text import percent, plural
from semiseg.evaluation.choice import (
    ImageCounts,
    Images,
    PixelSums,
    choose,
    cross_fit,
    halves_of,
)
from semiseg.evaluation.logit_adjustment import offset
from semiseg.evaluation.metrics import confusion_matrix
from semiseg.evaluation.shapes import ShapeCounts, count_shapes
from semiseg.inference.pair import pair_segmenter
from semiseg.inference.scenes import Scenes, segmenter
from semiseg.inference.sliding import Segmenter
from semiseg.model.metadata import ModelMetadata, SecondNetworkSpec
from semiseg.model.release import LOGIT_OFFSETS, Release, load_release
from semiseg.training.data import TrainingData
from semiseg.training.module import TrainingModule
from semiseg.training.val_counts import read_counts

Members = tuple[int, int]
"""A candidate of the last stage and one of the second network, by their positions."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairChoice:
    """Chooses among stage 1, the last stage alone, and the mean of two networks.

    Attributes:
        own: the candidates of the last stage.
        second: those of the second network.
        first: those of stage 1; None without such a stage.
    """

    own: ImageCounts
    second: ImageCounts
    first: ImageCounts | None

    def members(self, images: Images) -> Members:
        """The pair whose networks and adjustments some images choose.

        Args:
            images: the positions of the images.
        """
        return choose(self.own, images), choose(self.second, images)

    def pairs(self, names: Sequence[str]) -> tuple[Members, ...]:
        """The different pairs that all images or one half of them choose, that of all first.

        Args:
            names: the name of each image.
        """
        parts = (self.own.images, *halves_of(names))
        return tuple(dict.fromkeys(self.members(part) for part in parts))

    def cross_fit(
        self, names: Sequence[str], pairs: Sequence[Members], counts: ImageCounts
    ) -> tuple[Choice, PixelSums]:
        """Choose on all images, and score what each half of them chooses on the other half.

        Args:
            names: the name of each image.
            pairs: from `pairs`.
            counts: their counts.
        """
        single = self.own if self.first is None else self.first.joined(self.own)
        before = len(single.candidates) - len(self.own.candidates)

        def rule(joined: ImageCounts, images: Images) -> int:
            members = self.members(images)
            alone, both = before + members[0], len(single.candidates) + pairs.index(members)
            last = _unless_better(joined, [alone], both, images)
            return _unless_better(joined, range(before), last, images)

        return cross_fit(single.joined(counts), names, rule)


def _unless_better(counts: ImageCounts, earlier: Sequence[int], last: int, images: Images) -> int:
    """The candidate `last`, unless the choice among earlier ones is better by one standard error.

    Args:
        counts: all candidates.
        earlier: the positions of the earlier ones; they may be none.
        last: the position of the last one.
        images: the positions of the images to choose on.
    """
    if not earlier:
        return last
    two = counts.only(earlier).in_stage(1).joined(counts.only([last]).in_stage(2))
    return [*earlier, last][choose(two, images)]


class PairResult(NamedTuple):
    """What the choice finds.

    Attributes:
        choice: the choice on all images; its network is `PAIR` if the pair is released.
        sums: the sums to report.
        own: the candidate of the last stage in the pair of all images.
        second: the second network, with its logit adjustment.
        size: the short side at the working size of the pair, in pixels.
        confusion: `(C, C)` int64, the confusion matrix of the pair on all images.
        shapes: its areas, boundaries and objects on all images.
    """

    choice: Choice
    sums: PixelSums
    own: Candidate
    second: Release
    size: int
    confusion: Tensor
    shapes: ShapeCounts

    def joined(self, own: Release, first_size: int) -> Release:
        """The pair as one model.

        Args:
            own: the model of the last stage.
            first_size: the short side at its working size, in pixels.
        """
        other = self.second.metadata
        spec = SecondNetworkSpec(network=other.network, size=other.size, first_size=first_size)
        metadata: ModelMetadata = replace(own.metadata, size=self.size, second=spec, which=PAIR)
        return own._replace(metadata=metadata, second=self.second.network)


def judge_pair(
    config: TrainConfig,
    data: TrainingData,
    module: TrainingModule,
    own: ImageCounts,
    first: ImageCounts | None,
    second: Path,
) -> PairResult:
    """Score the mean of two networks on `val`, and choose.

    Args:
        config: the settings, as planned.
        data: the images.
        module: the trained module of the last stage.
        own: the candidates of the last stage, with their counts.
        first: those of stage 1; None without such a stage.
        second: the run folder of the second network.

    Raises:
        RunError: a file of the second network cannot be read.
    """
    names = [sample.name for sample in data.split.val]
    other = read_counts(second, names, len(module.names))
    choice = PairChoice(own, other, first)
    pairs = choice.pairs(names)
    logger.info("scoring the mean of both networks on the %s of val", plural(len(names), "image"))
    release = load_release(second)
    release.network.to(module.method.student.mean.device)
    release.network.add_to_logits(-release.tensors[LOGIT_OFFSETS])
    weights, classes = module.method.class_weights, len(module.names)
    own_offsets, other_offsets = (
        [offset(weights, classes, one.strength) for one in counts.candidates]
        for counts in (own, other)
    )
    networks = module.method.networks()
    size = decided(config.views.size)
    models = [
        pair_segmenter(
            segmenter(networks[own.candidates[i].network], size),
            segmenter(release.network, release.metadata.size),
            (own_offsets[i].numpy(), other_offsets[j].numpy()),
        )
        for i, j in pairs
    ]
    module.method.eval()
    scenes = Scenes(data.split.val, data.folder.classes, models[0].size, config.data.reading)
    candidates = tuple(replace(own.candidates[i], network=PAIR) for i, _ in pairs)
    counts, confusion, shapes = _score(models, scenes, candidates, own.true)
    found, sums = choice.cross_fit(names, pairs, counts)
    i, j = pairs[0]
    logger.info(
        "mIoU on val: the mean of both networks %s, the network of the last stage alone %s, the "
        "second one alone %s",
        percent(counts.score(0)),
        percent(own.score(i)),
        percent(other.score(j)),
    )
    release.network.add_to_logits(other_offsets[j])
    return PairResult(found, sums, own.candidates[i], release, models[0].size, confusion, shapes)


def _score(
    models: Sequence[Segmenter],
    scenes: Scenes,
    candidates: tuple[Candidate, ...],
    true: np.ndarray,
) -> tuple[ImageCounts, Tensor, ShapeCounts]:
    """The counts of some models on `val`; the confusion matrix and the shapes of the first one."""
    classes = true.shape[1]
    nothing = np.zeros((1, classes), np.float32)
    predicted, common = (np.zeros((len(models), *true.shape), np.int32) for _ in range(2))
    confusion = torch.zeros(classes, classes, dtype=torch.long)
    shapes = ShapeCounts.zeros(classes)
    for number in range(len(scenes)):
        image, mask = scenes[number]
        size = mask.shape[0], mask.shape[1]
        for k, model in enumerate(models):
            labels = model.labels(image.numpy(), size, nothing)[0]
            table = confusion_matrix(torch.from_numpy(labels), mask, classes)
            predicted[k, number], common[k, number] = table.sum(dim=0), table.diagonal()
            if k == 0:
                confusion += table
                shapes = shapes.plus(count_shapes(labels, mask.numpy(), classes))
    return ImageCounts(candidates, true, predicted, common), confusion, shapes
