"""`unimatch-v2`: UniMatch-V2 (Yang et al., TPAMI 2025), two views with complementary channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from semiseg.config.methods.unimatch_v2 import UniMatchV2Settings
from semiseg.core.types import Inputs, Step
from semiseg.methods.fixmatch import FixMatch
from semiseg.methods.mixed_views import join
from semiseg.model.feature_dropout import drop_complementary


class UniMatchV2(FixMatch):
    """FixMatch with two strong views, each with the feature channels that the other one loses."""

    settings: UniMatchV2Settings

    def strong_pass(
        self, labeled: Sequence[Inputs], views: Sequence[Inputs], step: Step
    ) -> list[Tensor]:
        """Predict labeled images by themselves, and both views together; see `FixMatch`."""
        logits: list[Tensor] = [self.student(*inputs).logits for inputs in labeled]
        maps = self.student.encode(*join(*views))
        generator = step.key.child("feature dropout").torch()
        maps = drop_complementary(self.student, maps, generator)
        joined = self.student.decode(maps, views[0].image.shape[-2:])
        return [*logits, *self.student.heads(joined).logits.chunk(2)]
