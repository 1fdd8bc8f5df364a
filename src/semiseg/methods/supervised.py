"""`supervised`: labeled images only, the baseline of all other methods."""

from __future__ import annotations

from semiseg.core.types import Labeled, Losses, Step, Unlabeled
from semiseg.methods.base import Method
from semiseg.model.network import upsample


class Supervised(Method):
    """Cross-entropy on the labeled images; unlabeled images are not loaded."""

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        height, width = labeled.mask.shape[-2:]
        logits = self.student(*labeled.inputs).logits
        logits = upsample(logits, (height, width), (height, width))
        return Losses({"supervised": self.supervised_loss(logits, labeled.mask)}, {}, {})
