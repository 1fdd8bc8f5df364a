"""The parts that `css` and `css-stored` share: both spaces, their class prior, and the contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.config.methods import TwoSpacesSettings
from semiseg.core.types import IGNORE_INDEX, Output, Step
from semiseg.losses.collaboration import Spaces, class_prior, read_spaces
from semiseg.methods.prototypical import Prototypical, contrast, require_representation
from semiseg.model.prototypes import similarity


class TwoSpaces(Prototypical):
    """A method whose labels come from logit space and representation space.

    Args:
        student: the network that learns. The constructor adds a representation head to it.
        settings: the method's own settings.
    """

    settings: TwoSpacesSettings

    def released_tensors(self, strength: float = 0.0) -> dict[str, Tensor]:
        """The prototypes, the classes that have one, and the class prior of the cosines.

        The logit adjustment changes the class frequencies that the logits assume. The prior changes
        with it, so that both spaces assume the same ones; see `Method.released_tensors`. With the
        prior `uniform` there is nothing to change.
        """
        weights = self.class_weights
        if weights is not None:  # the weight is 0 for classes that no labeled pixel has
            weights = torch.where(weights > 0, weights ** (1 - strength), weights)
        prior = self._prior(weights)
        tensors = super().released_tensors(strength)
        if prior is None:
            return tensors
        return {**tensors, "similarity_prior": self.settings.indicator_temperature * prior}

    def _spaces(self, output: Output) -> Spaces:
        """Both spaces of a network at stride 4, with the prototypes from before this step."""
        cosine = similarity(
            require_representation(output.representation), self.prototypes, self.available
        )
        logits = output.logits.float()  # half precision rounds 0.97 to 0.9688
        scaled = cosine / self.settings.indicator_temperature
        if (prior := self._prior(self.class_weights)) is not None:
            scaled = scaled + prior.view(1, -1, 1, 1)
        return read_spaces(logits, scaled, self.available)

    def _prior(self, weights: Tensor | None) -> Tensor | None:
        """`(C,)`, the class prior to add to the scaled similarities, or None for equal classes."""
        if self.settings.class_prior == "uniform" or self.class_shares is None:
            return None
        return class_prior(self.class_shares, weights)

    def _contrast(
        self, student: Output, labels: Tensor, indicator: Tensor, prototypes: Tensor, step: Step
    ) -> tuple[Tensor, Tensor]:
        """`L_c` (Eq. 9) and the share of hard pixels among the valid ones."""
        valid = labels != IGNORE_INDEX
        hard = (indicator < self.settings.hard_threshold) & valid
        loss = contrast(student.representation, labels, hard, prototypes, self.settings, step)
        return loss, hard.sum() / valid.sum().clamp(min=1)
