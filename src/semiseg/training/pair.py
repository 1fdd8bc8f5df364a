"""The release of two networks as one model: that of the last stage, and the second one of the run.

The rule of `evaluation.choice` chooses the network and the logit adjustment of each. If the pair is
worse on `val` than the model of the last stage by more than one standard error, the latter is
released alone. If the model of stage 1 is better than this choice by more than one standard error,
it is released. Each half of `val` is scored with what these rules choose on the other half.

A second network that is worse alone may still make the mean better, so it is not judged alone.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.choices import PAIR, Candidate, Choice
from semiseg.core.scores import Adjustment
from semiseg.core.text import percent, plural
from semiseg.evaluation.choice import (
    Chosen,
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
from semiseg.inference.device import torch_device
from semiseg.inference.pair import pair_segmenter
from semiseg.inference.reading import Maps
from semiseg.inference.scenes import Scenes, segmenter
from semiseg.inference.sliding import Segmenter
from semiseg.model.metadata import SecondNetworkSpec
from semiseg.model.network import Network
from semiseg.model.release import LOGIT_OFFSETS, Release, load_release
from semiseg.training.data import TrainingData
from semiseg.training.module import TrainingModule
from semiseg.training.stage import pair_folder
from semiseg.training.val_counts import read_counts, write_counts

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

        def rule(joined: ImageCounts, images: Images) -> Chosen:
            members = self.members(images)
            alone, both = before + members[0], len(single.candidates) + pairs.index(members)
            last = _unless_better(joined, [alone], both, images)
            return Chosen(_unless_better(joined, range(before), last, images), last)

        choice, sums = cross_fit(single.joined(counts), names, rule)
        return replace(choice, alone_miou=self.own.score(pairs[0][0])), sums


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
        spec: what the metadata say about it.
        confusion: `(C, C)` int64, the confusion matrix of the pair on all images.
        shapes: its areas, boundaries and objects on all images.
        seconds: how long it took to score the pairs.
    """

    choice: Choice
    sums: PixelSums
    own: Candidate
    second: Network
    spec: SecondNetworkSpec
    confusion: Tensor
    shapes: ShapeCounts
    seconds: float

    def joined(self, own: Release) -> Release:
        """The pair as one model.

        Args:
            own: the model of the last stage.
        """
        size = max(self.spec.size, self.spec.first_size)
        metadata = replace(
            own.metadata,
            size=size,
            second=self.spec,
            which=PAIR,
            adjustment=self.adjustment(),
        )
        return own._replace(metadata=metadata, second=self.second)

    def adjustment(self) -> Adjustment:
        """The adjustment of the first network; what the pair is without it was not measured."""
        return Adjustment(self.own.strength, None)


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
        OSError: a file cannot be written.
    """
    started = time.monotonic()
    names = [sample.name for sample in data.split.val]
    # The second network has one network, the student of `supervised`, with several adjustments.
    other = read_counts(second, names, len(module.names))
    candidates = PairChoice(own, other, first)
    pairs = candidates.pairs(names)
    logger.info("scoring the mean of both networks on the %s of val", plural(len(names), "image"))
    release = load_release(second)
    release.network.add_to_logits(-release.tensors[LOGIT_OFFSETS])
    # The trainer has moved the module to the CPU by now.
    device = torch_device(config.machine.accelerator)
    networks = {name: one.to(device) for name, one in module.method.networks().items()}
    module.method.eval()
    size = decided(config.views.size)
    scorer = _Scorer(
        {name: segmenter(network, size) for name, network in networks.items()},
        segmenter(release.network.to(device), release.metadata.size),
    )
    weights, classes = module.method.class_weights, len(module.names)
    models = [
        scorer.pair(
            own.candidates[i].network,
            offset(weights, classes, own.candidates[i].strength),
            offset(weights, classes, other.candidates[j].strength),
        )
        for i, j in pairs
    ]
    scenes = Scenes(data.split.val, data.folder.classes, models[0].size, config.data.reading)
    labels = tuple(replace(own.candidates[i], network=PAIR) for i, _ in pairs)
    counts, confusion, shapes = scorer.score(models, scenes, labels, own.true)
    folder = pair_folder(config.out)
    folder.mkdir(exist_ok=True)
    write_counts(folder, names, counts.only([0]))
    choice, sums = candidates.cross_fit(names, pairs, counts)
    i, j = pairs[0]
    logger.info(
        "mIoU on val: the mean of both networks %s, the network of the last stage alone %s, the "
        "second one alone %s",
        percent(counts.score(0)),
        percent(own.score(i)),
        percent(other.score(j)),
    )
    strength = other.candidates[j].strength
    release.network.add_to_logits(offset(weights, classes, strength))
    spec = SecondNetworkSpec(
        network=release.metadata.network,
        size=release.metadata.size,
        first_size=size,
        strength=strength,
    )
    seconds = time.monotonic() - started
    return PairResult(
        choice, sums, own.candidates[i], release.network, spec, confusion, shapes, seconds
    )


class _Scorer:
    """Scores several pairs; each network sees each image once.

    Args:
        networks: the networks of the last stage, by name.
        second: the second network.
    """

    def __init__(self, networks: Mapping[str, Segmenter], second: Segmenter) -> None:
        self._memory: dict[tuple[int, bytes], Maps] = {}
        self._networks = {name: self._remembering(one) for name, one in networks.items()}
        self._second = self._remembering(second)

    def pair(self, name: str, own_offset: Tensor, second_offset: Tensor) -> Segmenter:
        """A network of the last stage and the second one, with what is added to their logits."""
        offsets = own_offset.numpy(), second_offset.numpy()
        return pair_segmenter(self._networks[name], self._second, offsets)

    def score(
        self,
        models: Sequence[Segmenter],
        scenes: Scenes,
        candidates: tuple[Candidate, ...],
        true: NDArray[np.int32],
    ) -> tuple[ImageCounts, Tensor, ShapeCounts]:
        """The counts of pairs; the confusion matrix and the shapes of the first one.

        Args:
            models: the pairs.
            scenes: the images.
            candidates: what the pairs are called.
            true: `(N, C)`, the true pixels of each class in each image.
        """
        classes = true.shape[1]
        nothing = np.zeros((1, classes), np.float32)
        predicted, common = (np.zeros((len(models), *true.shape), np.int32) for _ in range(2))
        confusion = torch.zeros(classes, classes, dtype=torch.long)
        shapes = ShapeCounts.zeros(classes)
        for number in range(len(scenes)):
            self._memory.clear()
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

    def _remembering(self, segment: Segmenter) -> Segmenter:
        """The same network, whose outputs for an image are kept until the next image."""
        forward = segment.forward

        def remembered(images: NDArray[np.uint8]) -> Maps:
            key = id(segment), hashlib.blake2b(images.tobytes(), digest_size=16).digest()
            if key not in self._memory:
                self._memory[key] = forward(images)
            return self._memory[key]

        segment.forward = remembered
        return segment
