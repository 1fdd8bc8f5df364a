"""`pcr`: a second classifier of several prototypes a class (Xu et al., NeurIPS 2022).

No training program was published. What is assembled here from its parts says so in
`docs/published-programs.md`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.config.methods.pcr import PcrSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.pseudo import pseudo_label_loss
from semiseg.methods.mixed_views import cut_mix, join, split
from semiseg.methods.semi_supervised import SemiSupervised, entropy_pseudo_labels
from semiseg.model.distributed import gather_over_ranks
from semiseg.model.network import Network, flatten, upsample
from semiseg.model.prototype_sets import (
    move_prototypes,
    prototype_cosines,
    set_scores,
    start_prototypes,
    store_pixels,
)
from semiseg.model.prototypes import shrink_labels

STORED_PIXELS = 256
"""How many pixels of each class the start of the prototypes is computed from."""


class PCR(SemiSupervised):
    """The classifier and several prototypes of each class learn the same pseudo-labels.

    The prototypes compare the vectors that the classifier reads, the decoder's map. They start at
    the end of the warm-up, from the pixels of labeled images.

    Args:
        student: the network that learns.
        settings: the method's own settings.

    Attributes:
        prototypes: `(C, K, D)`, with `D` the width of the decoder's map.
        seen: `(C,)` bool, whether a class has prototypes yet.
        bank: `(C, N, D)`, the last pixels of each class in labeled images during the warm-up.
        stored: `(C,)` int64, how many pixels each class had then.
    """

    settings: PcrSettings
    prototypes: Tensor
    seen: Tensor
    bank: Tensor
    stored: Tensor

    def __init__(self, student: Network, settings: PcrSettings) -> None:
        super().__init__(student, settings)
        classes, each = student.classes, settings.prototypes_per_class
        self.register_buffer("prototypes", torch.zeros(classes, each, student.width))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("bank", torch.zeros(classes, STORED_PIXELS, student.width))
        self.register_buffer("stored", torch.zeros(classes, dtype=torch.long))

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        strong, labels = self._mixed_views(unlabeled, step)
        inputs = join(labeled.inputs, strong)
        features = self.student.decode(self.student.encode(*inputs), size)
        logits = self.student.heads(features).logits
        labeled_logits, unlabeled_logits = split(logits, count)
        terms = {"supervised": self.loss_on_labeled(labeled_logits, labeled.mask)}
        diagnostics = {}
        if len(strong.image):
            loss = pseudo_label_loss(
                upsample(unlabeled_logits, size, size),
                labels.classifier,
                labels.valid,
                "kept",
                self.class_weights,
            )
            terms["unsupervised"] = self.settings.unsupervised_weight * loss
            used = (labels.classifier != IGNORE_INDEX).sum()
            diagnostics["used"] = used / labels.valid.sum().clamp(min=1)
        height, width = features.shape[-2:]
        cells = draw_grid(height, width, self.settings.grid, step.key.child("grid").torch())
        pixels = _pick(features, cells)
        targets = torch.cat([labeled.mask, labels.prototypes])
        target = _pick(shrink_labels(targets, height, width).unsqueeze(1), cells).squeeze(1)
        cosine = prototype_cosines(pixels, self.prototypes)
        scores = set_scores(cosine, self.seen, self.settings.prototype_temperature)
        parts = [count * len(cells)]
        names = ("prototypes", "unsupervised_prototypes")
        for name, some, classes in zip(
            names, scores.tensor_split(parts), target.tensor_split(parts), strict=True
        ):
            if len(some):
                terms[name] = self.settings.prototype_weight * self._score_loss(some, classes)
        state = self._new_state(pixels, target, count * len(cells), step)
        return Losses(terms, diagnostics, state)

    def _score_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        """The mean cross-entropy of scores `(N, C)`, over the classes that have prototypes."""
        classes = len(self.seen)
        learned = (target != IGNORE_INDEX) & self.seen[target.clamp(max=classes - 1)]
        return pseudo_label_loss(scores, target, learned, "kept", self.class_weights)

    @torch.no_grad()
    def _new_state(
        self, pixels: Tensor, target: Tensor, labeled: int, step: Step
    ) -> dict[str, Tensor]:
        """The buffers after a batch: stored pixels up to the start, then moved prototypes.

        Args:
            pixels: `(N, D)`, labeled ones first.
            target: `(N,)` int64, 255 for pixels that do not count.
            labeled: the number of labeled pixels.
            step: the step of the training.
        """
        start = max(0, math.ceil(self.settings.supervised_warmup * step.total) - 1)
        state: dict[str, Tensor] = {}
        if step.number <= start:
            gathered = gather_over_ranks(pixels[:labeled].float())
            classes = gather_over_ranks(target[:labeled])
            state["bank"], state["stored"] = store_pixels(self.bank, self.stored, gathered, classes)
        if step.number < start:
            return state
        if step.number == start:
            each = self.settings.prototypes_per_class
            started = start_prototypes(state["bank"], state["stored"], each)
            seen = state["stored"] > 0
            state["prototypes"] = torch.where(seen.view(-1, 1, 1), started, self.prototypes)
            state["seen"] = seen
            return state
        state["prototypes"], state["seen"] = move_prototypes(
            self.prototypes, self.seen, pixels, target, self.settings.prototype_momentum
        )
        return state

    @torch.no_grad()
    def _mixed_views(self, unlabeled: Unlabeled, step: Step) -> tuple[Inputs, Labels]:
        """The mixed strong views and their labels; the pasted boxes teach the classifier alone."""
        strong, batch = unlabeled.strong_inputs, len(unlabeled.weak)
        if not batch:
            none = unlabeled.valid.new_full(unlabeled.valid.shape, IGNORE_INDEX, dtype=torch.long)
            return strong, Labels(none, none, unlabeled.valid)
        labels = self._read(unlabeled.weak_inputs, unlabeled.valid, step)
        sure = unlabeled.valid & (labels.confidence >= self.settings.confidence_threshold)
        number = torch.arange(batch, device=sure.device).view(-1, 1, 1).expand_as(sure)
        label = labels.logit_label.masked_fill(~sure, IGNORE_INDEX)
        strong, (classifier, prototypes, valid, source) = cut_mix(
            step, strong, labels.final, label, unlabeled.valid, number, multiple=self.student.stride
        )
        return strong, Labels(
            classifier, prototypes.masked_fill(source != number, IGNORE_INDEX), valid
        )

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`: the labels of the classifier."""
        return self._read(Inputs(weak), valid, step)

    def _read(self, weak: Inputs, valid: Tensor, step: Step) -> PseudoLabels:
        """The teacher's labels, those of low entropy as the final ones."""
        kept = 1 - (1 - self.settings.kept_at_start) * (1 - step.share)
        return entropy_pseudo_labels(self.teacher(*weak).logits, valid, kept)


class Labels(NamedTuple):
    """The labels of mixed views.

    Attributes:
        classifier: `(B, H, W)` int64, for the logits; 255 where the entropy is high.
        prototypes: `(B, H, W)` int64, for the prototypes; 255 where the confidence is low, and in
            the pasted boxes.
        valid: `(B, H, W)` bool, False at padding.
    """

    classifier: Tensor
    prototypes: Tensor
    valid: Tensor


def draw_grid(height: int, width: int, cells: int, generator: torch.Generator) -> Tensor:
    """Draw one pixel of each cell of a grid over a map.

    Args:
        height: height of the map.
        width: width of the map.
        cells: the rows and columns of the grid; fewer where the map is smaller.
        generator: a CPU generator.

    Returns:
        `(cells * cells,)` int64 on the CPU, the numbers of the pixels, row by row.
    """
    rows, columns = min(cells, height), min(cells, width)
    u = torch.rand(2, rows, columns, generator=generator)
    top = torch.arange(rows + 1) * height // rows
    left = torch.arange(columns + 1) * width // columns
    y = top[:-1, None] + (u[0] * top.diff()[:, None]).long()
    x = left[:-1] + (u[1] * left.diff()).long()
    return (y * width + x).flatten()


def _pick(maps: Tensor, cells: Tensor) -> Tensor:
    """The pixels with these numbers of all images: `(B, D, h, w)` to `(B n, D)`."""
    first = torch.arange(len(maps)).unsqueeze(1) * maps.shape[2] * maps.shape[3]
    # Rows of a channels-last map need no copy of the whole map, nor does their gradient.
    return flatten(maps).index_select(0, (first + cells).flatten().to(maps.device))
