"""`cct`: Cross-Consistency Training (Ouali et al., CVPR 2020, arXiv 2003.09005)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Generator, Tensor, nn

from semiseg.augment.feature_noise import (
    Boxes,
    add_noise,
    cut_objects,
    drop_random_channels,
    drop_strongest,
    object_boxes,
)
from semiseg.config.methods import CctSettings
from semiseg.core.types import STRIDE, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.adversarial import adversarial_direction
from semiseg.losses.pseudo import consistency_loss
from semiseg.methods.base import Auxiliary, Method
from semiseg.methods.mixed_views import join, split
from semiseg.methods.semi_supervised import (
    active_unlabeled,
    logit_pseudo_labels,
    predict,
    schedule_factor,
)
from semiseg.model.network import Network, upsample
from semiseg.model.prototypes import shrink_labels

Kind: TypeAlias = Literal["noise", "drop", "dropout", "cutout", "context", "object", "adversarial"]

KINDS_OF_OBJECTS: tuple[Kind, ...] = ("cutout", "context", "object")
"""The perturbations that need a background."""

_BACKGROUND = 0  # the first class


class CCT(Method):
    """Auxiliary decoders learn from perturbed features what the student says about clean ones.

    Args:
        student: the network that learns.
        settings: the method's own settings.

    Attributes:
        kinds: the perturbation of each auxiliary decoder.
        decoders: the auxiliary decoders.
    """

    settings: CctSettings

    def __init__(self, student: Network, settings: CctSettings) -> None:
        super().__init__(student, settings)
        self.kinds = decoder_kinds(settings)
        build = {"linear": linear_decoder, "shuffle": shuffle_decoder}[settings.auxiliary_decoder]
        self.decoders = nn.ModuleList(build(student.width, student.classes) for _ in self.kinds)

    def auxiliary(self) -> tuple[Auxiliary, ...]:
        """The auxiliary decoders."""
        return (Auxiliary(self.decoders),)

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        weight, warmup = self.settings.consistency_weight, self.settings.supervised_warmup
        unlabeled = active_unlabeled(labeled, unlabeled if weight else None, step, warmup)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        inputs = join(labeled.inputs, unlabeled.weak_inputs)
        maps = self.student.decode(self.student.encode(*inputs), size)
        labeled_logits, clean_logits = split(self.student.heads(maps).logits, count)
        consistency = self._consistency(maps[count:], clean_logits.detach(), unlabeled.valid, step)
        terms = {
            "supervised": self.loss_on_labeled(labeled_logits, labeled.mask),
            "consistency": weight * self._ramp(step) * consistency,
        }
        return Losses(terms, {"distance": consistency.detach()}, {})

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """The student's labels, which the auxiliary decoders learn; every valid pixel has one."""
        logits = predict(self.student, Inputs(weak))
        return logit_pseudo_labels(logits, valid, 0.0)

    def _ramp(self, step: Step) -> float:
        """The factor on the weight."""
        ramp_up = self.settings.ramp_up
        return schedule_factor("ramp_up", step.share / ramp_up if ramp_up else 1.0)

    def _consistency(self, maps: Tensor, logits: Tensor, valid: Tensor, step: Step) -> Tensor:
        """The mean squared difference over decoders, valid pixels and classes.

        Args:
            maps: `(B, D, h, w)`, the decoder's map of unlabeled images.
            logits: `(B, C, h, w)`, the student's answer, without a graph.
            valid: `(B, H, W)` bool.
            step: the step, whose key draws the perturbations.
        """
        total = maps[:0].sum()
        if not len(maps):  # the decoders get a gradient all the same, which is 0
            return total + 0 * sum(parameter.sum() for parameter in self.decoders.parameters())
        foreground = logits.argmax(dim=1) != _BACKGROUND
        boxes = object_boxes(foreground) if "cutout" in self.kinds else None
        size = valid.shape[-2:]
        if self.settings.auxiliary_decoder == "linear":  # upsampling would add no information
            target, counted = logits.float(), shrink_labels(valid, *maps.shape[-2:])
        else:
            target, counted = upsample(logits, size, size), valid
        for number, (kind, decode) in enumerate(zip(self.kinds, self.decoders, strict=True)):
            generator = step.key.child("perturbation", number).torch()
            changed = self._perturbed(kind, maps, foreground, boxes, decode, generator)
            predicted = decode(changed)[..., : target.shape[-2], : target.shape[-1]].float()
            total = total + consistency_loss(predicted, target, counted)
        return total / (max(1, len(self.kinds)) * self.student.classes)

    def _perturbed(
        self,
        kind: Kind,
        maps: Tensor,
        foreground: Tensor,
        boxes: Boxes | None,
        decode: Callable[[Tensor], Tensor],
        generator: Generator,
    ) -> Tensor:
        """The features `(B, D, h, w)` that one auxiliary decoder sees."""
        if kind == "noise":
            return add_noise(maps, generator)
        if kind == "drop":
            return drop_strongest(maps, generator)
        if kind == "dropout":
            return drop_random_channels(maps, generator)
        if kind == "cutout" and boxes is not None:
            return cut_objects(maps, boxes, generator)
        if kind == "context":
            return maps * foreground.unsqueeze(1)
        if kind == "object":
            return maps * ~foreground.unsqueeze(1)
        with torch.no_grad():
            answer = decode(maps)
        length = self.settings.adversarial_length
        return maps + adversarial_direction(decode, maps, answer, generator, length=length)


def decoder_kinds(settings: CctSettings) -> tuple[Kind, ...]:
    """The perturbation of each auxiliary decoder.

    Args:
        settings: the method's settings. `auto` as the background is none: without a plan nobody
            knows the names of the classes.
    """
    kinds: list[Kind] = []
    for kind in get_args(Kind):
        if settings.background == "first" or kind not in KINDS_OF_OBJECTS:
            kinds += [kind] * getattr(settings, f"{kind}_decoders")
    return tuple(kinds)


def linear_decoder(width: int, classes: int) -> nn.Module:
    """From features `(B, width, h, w)` to logits `(B, C, h, w)`."""
    return nn.Conv2d(width, classes, 1)


def shuffle_decoder(width: int, classes: int) -> nn.Module:
    """From features `(B, width, h, w)` to logits `(B, C, 4h, 4w)`, none of them below 0.

    A 1x1 convolution, and two steps that each double the size: a 1x1 convolution to four times the
    channels, ReLU, and pixel shuffle.
    """
    layers: list[nn.Module] = [nn.Conv2d(width, classes, 1, bias=False)]
    for _ in range(STRIDE.bit_length() - 1):
        enlarge = nn.Conv2d(classes, 4 * classes, 1)
        nn.init.kaiming_normal_(enlarge.weight, nonlinearity="relu")
        layers += [enlarge, nn.ReLU(inplace=True), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)
