"""`supervised`: labeled images only, the baseline of all other methods."""

from __future__ import annotations

from semiseg.core.types import Labeled, Losses, Step, Unlabeled
from semiseg.methods.base import Method


class Supervised(Method):
    """Cross-entropy on the labeled images; unlabeled images are not loaded."""

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        return self.labeled_losses(labeled)
