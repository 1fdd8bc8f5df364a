"""The settings of `mean_teacher`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import SemiSupervisedSettings
from semiseg.config.settings import NonNegative, Share


@dataclass(frozen=True, kw_only=True)
class MeanTeacherSettings(SemiSupervisedSettings):
    """The settings of `mean_teacher`."""

    implementation: ClassVar[str] = "semiseg.methods.mean_teacher:MeanTeacher"
    paper: ClassVar[str] = (
        'Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, arXiv '
        "1703.01780"
    )

    consistency_weight: NonNegative = 5.0
    """The weight of the squared difference between student and teacher after its ramp-up."""
    ramp_up: Share = 0.4
    """The share of the steps over which that weight rises, as `exp(-5 (1 - t)^2)`."""
