"""What all methods share: the student, the teacher that follows it, and the state after a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from semiseg.core.errors import ConfigError
from semiseg.core.types import Labeled, Losses, Opinions, Step, Unlabeled
from semiseg.losses.supervised import cross_entropy
from semiseg.model.ema import Teacher
from semiseg.model.network import Network
from semiseg.model.release import Release, transfer


def require(meant: bool, name: str, value: object) -> None:
    """Refuse a setting of a method that cannot be meant.

    Raises:
        ConfigError: it is not `meant`.
    """
    if not meant:
        raise ConfigError(f"--{name.replace('_', '-')} {value} is out of its range.")


class Method(nn.Module, ABC):
    """A way to train a student: from a labeled and an unlabeled batch to named losses.

    A method's constructor takes the student first and its settings by keyword; their names, types
    and defaults are the command line's flags and the keys of `config.yaml`.

    Args:
        student: the network that learns.

    Attributes:
        name: the name in `METHODS` and on the command line.
        uses_unlabeled: whether unlabeled images are to be loaded at all.
        teacher: the average of the student, or None.
        supervised_loss: `L_s`, from logits `(B, C, H, W)` and masks `(B, H, W)` to a scalar.
        class_weights: `(C,)` float, what a pixel counts by its class, or None for 1; labeled
            pixels in `supervised_loss`, pseudo-labeled ones where a method says so.
        class_shares: `(C,)` float, the share of each class in the labeled pixels, or None where it
            is not known.
    """

    name: ClassVar[str]
    uses_unlabeled: ClassVar[bool]
    class_weights: Tensor | None
    class_shares: Tensor | None

    def __init__(self, student: Network) -> None:
        super().__init__()
        self.student = student
        self.teacher: Teacher | None = None
        self.supervised_loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
        # Buffers, so that no step copies them to its device; they follow from the data.
        self.register_buffer("class_weights", None, persistent=False)
        self.register_buffer("class_shares", None, persistent=False)

    @abstractmethod
    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """The losses of one batch: mathematics alone, no logging and no change of state.

        Args:
            labeled: labeled images.
            unlabeled: unlabeled images, or None where there are none.
            step: where in the training this is, with the key of its draws.
        """

    @torch.no_grad()
    def opinions(self, weak: Tensor, valid: Tensor, step: Step) -> Opinions | None:
        """What would be taught about unlabeled images at this step, for the diagnostics.

        Args:
            weak: `(B, 3, H, W)` float in 0..1, the weak view.
            valid: `(B, H, W)` bool, False where there is padding.
            step: where in the training this is.

        Returns:
            The opinions, or None for a method without pseudo-labels.
        """
        return None

    @torch.no_grad()
    def commit(self, losses: Losses) -> None:
        """Write the new values of buffers that `compute` returned."""
        for name, value in losses.state.items():
            self.get_buffer(name).copy_(value)

    def after_step(self, step: int, total: int) -> None:
        """Let the teacher follow, after the student took optimizer step `step` of `total`."""
        if self.teacher is not None:
            self.teacher.update(self.student, step, total)

    @torch.no_grad()
    def start_from(self, release: Release, names: Sequence[str]) -> tuple[str, ...]:
        """Start from a released model; see `transfer`.

        Returns:
            The classes that the model does not know.
        """
        new = transfer(release, self.student, names)
        if self.teacher is not None:
            self.teacher.network.load_state_dict(self.student.state_dict())
            self.teacher.network.set_normalization(self.student.normalization())
        return new

    def networks(self) -> dict[str, Network]:
        """The networks to validate; the better one is released."""
        if self.teacher is None:
            return {"student": self.student}
        return {"student": self.student, "teacher": self.teacher.network}

    def released_tensors(self, strength: float = 0.0) -> dict[str, Tensor]:
        """What a released model carries beside its network, by name.

        Args:
            strength: the share of the class weights that is taken out of its logits, see
                `evaluation.adjustment`.
        """
        return {}
