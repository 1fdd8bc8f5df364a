"""`unimatch`: UniMatch (Yang et al., CVPR 2023), FixMatch with more views and feature dropout."""

from __future__ import annotations

import torch

from semiseg.config.methods.unimatch import UniMatchSettings
from semiseg.core.types import Inputs, Step
from semiseg.methods.fixmatch import FixMatch, WeakPass
from semiseg.methods.mixed_views import join
from semiseg.model.feature_dropout import decoder_levels, drop_channels


class UniMatch(FixMatch):
    """FixMatch with several strong views, and with weak views whose features lose channels."""

    settings: UniMatchSettings

    def weak_pass(self, labeled: Inputs, weak: Inputs, step: Step) -> WeakPass:
        """Predict the weak views, and predict them again without half of their channels."""
        if not self.settings.feature_weight:
            return super().weak_pass(labeled, weak, step)
        count, size = len(labeled.image), weak.image.shape[-2:]
        maps = self.student.encode(*join(labeled, weak))
        levels = decoder_levels(self.student, maps)
        generator = step.key.child("feature dropout").torch()
        dropped = drop_channels([m[count:] for m in maps], levels, generator)
        from_teacher = self.settings.labels_from == "teacher"
        # The teacher's labels make the student's undisturbed prediction of weak views superfluous.
        clean = [m[:count] for m in maps] if from_teacher else maps
        joined = [torch.cat(pair) for pair in zip(clean, dropped, strict=True)]
        logits = self.student.heads(self.student.decode(joined, size)).logits
        own, *others = logits.tensor_split(list(range(count, len(logits), len(weak.image))))
        source = self.teacher(*weak).logits if from_teacher else others[0]
        return WeakPass(source, own, others[-1])
