"""The parts that methods with class prototypes share: a representation head and the prototypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from semiseg.config.methods import PrototypicalSettings, RecoSettings, TwoSpacesSettings
from semiseg.core.types import Step
from semiseg.losses.contrastive import Draw, contrastive_loss, cosines, draw_pixels
from semiseg.methods.semi_supervised import SemiSupervised
from semiseg.model.network import Network, flatten
from semiseg.model.prototypes import class_means, update_prototypes
from semiseg.model.release import Release, match_classes


class Prototypical(SemiSupervised):
    """A student with a representation head, its teacher, and a prototype of each class.

    Args:
        student: the network that learns. The constructor adds a representation head to it.
        settings: the method's own settings.

    Attributes:
        prototypes: `(C, D)`.
        seen: `(C,)` bool, whether a class has a prototype yet.
    """

    settings: PrototypicalSettings
    prototypes: Tensor
    seen: Tensor

    def __init__(self, student: Network, settings: PrototypicalSettings) -> None:
        dim = settings.representation_dim
        student.add_representation_head(dim)
        super().__init__(student, settings)
        self.register_buffer("prototypes", torch.zeros(student.classes, dim))
        self.register_buffer("seen", torch.zeros(student.classes, dtype=torch.bool))

    @property
    def available(self) -> Tensor:
        """`(C,)` bool, the classes that the representation space can choose."""
        masked = self.settings.unseen_prototypes == "masked"
        return self.seen if masked else torch.ones_like(self.seen)

    def new_prototypes(self, representation: Tensor | None, labels: Tensor) -> dict[str, Tensor]:
        """The prototypes after a batch (Eq. 2, 3).

        Args:
            representation: `(B, D, h, w)`.
            labels: `(B, h, w)` int64, 255 for pixels of no class.

        Returns:
            The new values of the buffers, for `Losses.state`.
        """
        pixels = flatten(require_representation(representation).detach())
        means, counts = class_means(pixels, labels.flatten(), len(self.prototypes))
        prototypes, seen = update_prototypes(
            self.prototypes, self.seen, means, counts, self.settings.prototype_momentum
        )
        return {"prototypes": prototypes, "seen": seen}

    @torch.no_grad()
    def start_from(self, release: Release, names: Sequence[str]) -> tuple[str, ...]:
        """See `Method.start_from`. It also copies the prototypes if `D` is the same."""
        added = super().start_from(release, names)
        prototypes = release.tensors.get("prototypes")
        if prototypes is not None and prototypes.shape[1] == self.prototypes.shape[1]:
            new, old = match_classes(names, release.metadata.classes.names)
            self.prototypes[new] = prototypes[old]
            self.seen[new] = release.tensors["seen"][old]
        return added

    def released_tensors(self, strength: float = 0.0) -> dict[str, Tensor]:
        """The prototypes and the classes that have one; see `Method.released_tensors`."""
        return {"prototypes": self.prototypes, "seen": self.seen}


def require_representation(representation: Tensor | None) -> Tensor:
    """The representations of a network that has a representation head.

    Raises:
        TypeError: the network has none.
    """
    if representation is None:
        raise TypeError("the network has no representation head")
    return representation


def draw_contrast(
    labels: Tensor,
    hard: Tensor,
    prototypes: Tensor,
    settings: TwoSpacesSettings | RecoSettings,
    step: Step,
    similarities: Callable[[Tensor], Tensor] = cosines,
) -> Draw:
    """The step's draw of pixels for a contrastive loss; see `draw_pixels`.

    Args:
        labels: `(B, h, w)` int64, 255 for pixels that take no part.
        hard: `(B, h, w)` bool, the pixels that may be anchors.
        prototypes: `(C, D)`, or what `similarities` compares.
        settings: the numbers of the draw and the temperature.
        step: the step whose key draws the pixels.
        similarities: how alike the prototypes of two classes are.
    """
    return draw_pixels(
        labels.flatten(),
        hard.flatten(),
        prototypes,
        settings.temperature,
        settings.anchors,
        settings.negatives,
        step.key.child("contrast").torch(),
        similarities,
    )


def contrast(
    representation: Tensor | None,
    labels: Tensor,
    hard: Tensor,
    prototypes: Tensor,
    settings: TwoSpacesSettings | RecoSettings,
    step: Step,
) -> Tensor:
    """The contrastive loss `L_c` of a batch, with the step's draw of pixels.

    Args:
        representation: `(B, D, h, w)`, the student's.
        labels: `(B, h, w)` int64, 255 for pixels that take no part.
        hard: `(B, h, w)` bool, the pixels that may be anchors.
        prototypes: `(C, D)`, the positives.
        settings: the numbers of the draw and the temperature.
        step: the step whose key draws the pixels.

    Returns:
        A scalar; see `contrastive_loss`.
    """
    draw = draw_contrast(labels, hard, prototypes, settings, step)
    pixels = flatten(require_representation(representation))
    return contrastive_loss(pixels, prototypes, draw, settings.temperature)
