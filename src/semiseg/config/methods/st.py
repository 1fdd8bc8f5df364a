"""The settings of `st` and `st-plus-plus`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import EarlierStage, Photometry
from semiseg.config.methods.stored_labels import StagedSettings
from semiseg.config.settings import Positive, Share, flag
from semiseg.core.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class StSettings(StagedSettings):
    """The settings of `st`: a supervised model labels the images that the next stage learns."""

    implementation: ClassVar[str] = "semiseg.methods.st:ST"
    paper: ClassVar[str] = (
        'Yang et al., "ST++: Make Self-training Work Better for Semi-supervised Semantic '
        'Segmentation", CVPR 2022, arXiv 2106.05095'
    )

    confidence_threshold: Share = 0.0
    """The lowest confidence of a stored label that the student learns from; 0 uses all labels, as
    published."""
    cutout: bool = False
    """Cover a box in half of the strong views with noise (Cutout). The student learns no label
    there. It changes pixels, so that the features of a frozen encoder cannot be cached."""
    mix: bool = True
    """Paste a box of another strong view into each strong view, with its labels (CutMix)."""

    @property
    def earlier_stages(self) -> tuple[EarlierStage, ...]:
        """The supervised stage, and those between it and the last one."""
        between = len(self.stage_shares) - 2
        first = EarlierStage("supervised", labeled_only=True)
        return (first, *[EarlierStage("st")] * between)

    @property
    def pixel_setting(self) -> str | None:
        """Cutout changes pixels in each step."""
        return "cutout" if self.cutout else None


@dataclass(frozen=True, kw_only=True)
class StPaperSettings(StSettings):
    """The settings of `st-paper`."""

    preferred_photometry: ClassVar[Photometry] = "strong"


@dataclass(frozen=True, kw_only=True)
class StPlusPlusSettings(StSettings):
    """The settings of `st-plus-plus`: the second stage learns from the more reliable images only.

    The third stage learns from all images. Those that the second stage did not use are labeled anew
    by its model.
    """

    stage_shares: tuple[Positive, ...] = (1.0, 1.0, 1.0)
    """How `--steps` is divided among the three stages, as relative numbers, such as `1,1,2`."""
    reliable_share: Share = 0.5
    """The share of the unlabeled images that the second stage uses, the most reliable ones. An
    image is reliable if the first stage labeled it alike after a third, two thirds and all of its
    steps."""

    @property
    def earlier_stages(self) -> tuple[EarlierStage, ...]:
        """The supervised stage, whose snapshots are compared, and the one with reliable images."""
        first = EarlierStage("supervised", validations=3, snapshots=True, labeled_only=True)
        return (first, EarlierStage("st"))

    @property
    def labelings(self) -> int:
        """Images of the second stage keep their labels in the third."""
        return 1

    @property
    def choosing_passes(self) -> float:
        """Three models of the first stage predict each image once."""
        return 3.0

    def check(self) -> None:
        """There are three stages."""
        super().check()
        if len(self.stage_shares) != 3:
            raise SettingError(
                "stage_shares",
                self.stage_shares,
                allowed="three numbers above 0, one for each stage, such as 1,1,1",
                flag=flag("stage_shares"),
            )


@dataclass(frozen=True, kw_only=True)
class StPlusPlusPaperSettings(StPlusPlusSettings):
    """The settings of `st-plus-plus-paper`."""

    preferred_photometry: ClassVar[Photometry] = "strong"
