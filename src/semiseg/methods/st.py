"""`st` and `st-plus-plus`: self-training in stages (Yang et al., CVPR 2022).

The first stage is `supervised`. Its model labels the unlabeled images once, and a new student
learns from them; see `training.stages`. This module is the loss of the later stages.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.augment.mixing import draw_small_boxes
from semiseg.config.methods import StSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Step, Unlabeled
from semiseg.methods.distill import Distill


class ST(Distill):
    """The student learns stored labels on strong views, some of which have a box of noise.

    Args:
        student: the network that learns.
        settings: the method's own settings.
    """

    settings: StSettings

    def changed_views(self, unlabeled: Unlabeled, step: Step) -> tuple[Inputs, Tensor, Tensor]:
        """See `Distill.changed_views`; CutMix first, then Cutout.

        Raises:
            ValueError: there is Cutout, but the features of the views are cached.
        """
        if self.settings.mix:
            strong, label, valid = super().changed_views(unlabeled, step)
        else:
            strong, valid = unlabeled.strong_inputs, unlabeled.valid
            label = self._kept_labels(unlabeled)
        if not self.settings.cutout:
            return strong, label, valid
        if strong.features:
            raise ValueError("cached features do not show the boxes of Cutout")
        image, covered = cut_out(strong.image, step)
        return Inputs(image), label.masked_fill(covered, IGNORE_INDEX), valid & ~covered


def cut_out(image: Tensor, step: Step) -> tuple[Tensor, Tensor]:
    """Cover a box of half of the images with noise (Cutout).

    Args:
        image: `(B, N, H, W)` float in 0..1.
        step: the step whose key draws the boxes and the noise.

    Returns:
        The images, and `(B, H, W)` bool, True where noise covers them.
    """
    generator = step.key.child("cutout").torch()
    batch, (height, width) = len(image), image.shape[-2:]
    boxes = draw_small_boxes(batch, height, width, generator).to(image.device)
    noise = torch.rand(image.shape, generator=generator).to(image)
    return torch.where(boxes.unsqueeze(1), noise, image), boxes
