"""The settings of `unimatch-v2`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import Photometry
from semiseg.config.methods.fixmatch import FixMatchSettings, LabelSource
from semiseg.config.network import SMALL_VIT


@dataclass(frozen=True, kw_only=True)
class UniMatchV2Settings(FixMatchSettings):
    """The settings of `unimatch-v2`."""

    implementation: ClassVar[str] = "semiseg.methods.unimatch_v2:UniMatchV2"
    paper: ClassVar[str] = (
        'Yang et al., "UniMatch V2: Pushing the Limit of Semi-Supervised Semantic '
        'Segmentation", TPAMI 2025, arXiv 2410.10777'
    )

    labels_from: LabelSource = "teacher"
    """The network that labels the weak views: the `student` itself, or its average, the `teacher`.
    The student labels in train mode, in one batch with the labeled images."""

    @property
    def strong_views(self) -> int:
        """Two views: each gets the feature channels that the other one loses."""
        return 2


@dataclass(frozen=True, kw_only=True)
class UniMatchV2PaperSettings(UniMatchV2Settings):
    """The settings of `unimatch-v2-paper`."""

    preferred_encoder: ClassVar[str | None] = SMALL_VIT
    preferred_photometry: ClassVar[Photometry] = "strong"
