"""The base class of all methods: the student, its teacher, and the state after a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from semiseg.config.methods import MethodSettings
from semiseg.core.types import Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.supervised import cross_entropy
from semiseg.model.ema import Teacher
from semiseg.model.network import Network, upsample
from semiseg.model.release import Release, transfer


class Auxiliary(NamedTuple):
    """A part of a method that is trained, but not released, such as an auxiliary decoder.

    Attributes:
        module: the part.
        rate: the factor on the decoder's learning rate.
    """

    module: nn.Module
    rate: float = 1.0


class Method(nn.Module, ABC):
    """A way to train a student: it computes named losses from labeled and unlabeled images.

    Args:
        student: the network that learns.
        settings: the method's own settings; see `config.methods`.

    Attributes:
        settings: the method's own settings.
        teacher: the EMA of the student, or None.
        supervised_loss: `L_s`, from logits `(B, C, H, W)` and masks `(B, H, W)` to a scalar.
        class_weights: `(C,)` float, the weight of a pixel by its class, or None for 1. It holds
            for labeled pixels in `supervised_loss`, and for pseudo-labels where a method says so.
        class_shares: `(C,)` float, the share of each class in the labeled pixels, or None if it is
            unknown.
    """

    settings: MethodSettings
    class_weights: Tensor | None
    class_shares: Tensor | None

    def __init__(self, student: Network, settings: MethodSettings) -> None:
        super().__init__()
        self.student, self.settings = student, settings
        self.teacher: Teacher | None = None
        self.supervised_loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
        # Buffers move to the device once. They follow from the data, so no checkpoint needs them.
        self.register_buffer("class_weights", None, persistent=False)
        self.register_buffer("class_shares", None, persistent=False)

    @abstractmethod
    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """The losses of one batch. This is pure mathematics: it logs nothing and changes no state.

        Args:
            labeled: labeled images.
            unlabeled: unlabeled images, or None if there are none.
            step: the step of the training, with the key of its random draws.
        """

    def loss_on_labeled(self, logits: Tensor, mask: Tensor) -> Tensor:
        """`L_s` of predictions at stride 4.

        Args:
            logits: `(B, C, h, w)`, those of the labeled images.
            mask: `(B, H, W)` int64, the masks of these images; 255 where ignored.
        """
        size = mask.shape[-2:]
        return self.supervised_loss(upsample(logits, size, size), mask)

    def labeled_losses(self, labeled: Labeled) -> Losses:
        """The losses of a step that uses labeled images only, such as one of the warm-up."""
        logits = self.student(*labeled.inputs).logits
        return Losses({"supervised": self.loss_on_labeled(logits, labeled.mask)}, {}, {})

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels | None:
        """The pseudo-labels of unlabeled images at this step, for the diagnostics.

        Args:
            weak: `(B, N, H, W)` float in 0..1, the weak view.
            valid: `(B, H, W)` bool, False where there is padding.
            step: the step of the training.

        Returns:
            The pseudo-labels before any mixing, or None for a method that has none.
        """
        return None

    @torch.no_grad()
    def commit(self, losses: Losses) -> None:
        """Write the new buffer values that `compute` returned."""
        for name, value in losses.state.items():
            self.get_buffer(name).copy_(value)

    def after_step(self, step: int, total: int) -> None:
        """Update the teacher after the student's optimizer step `step` of `total`."""
        if self.teacher is not None:
            self.teacher.update(self.student, step, total)

    @torch.no_grad()
    def start_from(self, release: Release, names: Sequence[str]) -> tuple[str, ...]:
        """Start from a released model; see `transfer`.

        Returns:
            The classes that the released model does not have.
        """
        new = transfer(release, self.student, names)
        if self.teacher is not None:
            self.teacher.copy_from(self.student)
        return new

    def students(self) -> tuple[Network, ...]:
        """The networks that learn, the released architecture all of them."""
        return (self.student,)

    def auxiliary(self) -> tuple[Auxiliary, ...]:
        """The further parts that learn."""
        return ()

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters that the optimizer changes."""
        for part in (*self.students(), *(extra.module for extra in self.auxiliary())):
            yield from (p for p in part.parameters() if p.requires_grad)

    def networks(self) -> dict[str, Network]:
        """The networks to validate, by name, the student first; see `evaluation.choice`."""
        if self.teacher is None:
            return {"student": self.student}
        return {"student": self.student, "teacher": self.teacher.network}

    def released_tensors(self, strength: float = 0.0) -> dict[str, Tensor]:
        """The tensors that a released model stores next to its network, by name.

        Args:
            strength: the strength of the logit adjustment: the share of the class weights that is
                subtracted from the released logits; see `evaluation.logit_adjustment`.
        """
        return {}
