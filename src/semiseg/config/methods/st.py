"""The settings of `st` and `st-plus-plus`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import EarlierStage, Photometry
from semiseg.config.methods.stored_labels import StoredLabelSettings
from semiseg.config.settings import Positive, Share, flag
from semiseg.core.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class StSettings(StoredLabelSettings):
    """The settings of `st`: the model of the first stage labels the images of the second one."""

    implementation: ClassVar[str] = "semiseg.methods.st:ST"
    earlier_stages: ClassVar[tuple[EarlierStage, ...]] = (EarlierStage("supervised"),)

    stage_shares: tuple[Positive, ...] = (1.0, 1.0)
    """How `--steps` is divided among the stages, as relative numbers: `1,1` gives each half of the
    steps, and `1,3` gives the last stage three quarters."""
    label_scales: tuple[Positive, ...] = (1.0, 1.25)
    """The scales of the views, as factors on the size, over which the probabilities of a stored
    label are averaged. Each scale counts twice, since its mirror image is a view too."""
    confidence_threshold: Share = 0.0
    """The lowest confidence of a stored label that the student learns from; 0 uses all labels, as
    published."""
    cutout: bool = False
    """Cover a box in half of the strong views with noise (Cutout). The student learns no label
    there. It changes pixels, so that the features of a frozen encoder cannot be cached."""
    mix: bool = True
    """Paste a box of another strong view into each strong view, with its labels (CutMix)."""

    @property
    def shares_of_stages(self) -> tuple[float, ...]:
        """The share of the steps in each stage; their sum is 1."""
        return tuple(share / sum(self.stage_shares) for share in self.stage_shares)

    @property
    def labeling_passes(self) -> float:
        """Each image is labeled once; the cost of a view grows with the square of its scale."""
        return 2 * sum(scale**2 for scale in self.label_scales)

    @property
    def uses_frozen_features(self) -> bool:
        """Cutout changes pixels in each step."""
        return not self.cutout

    def check(self) -> None:
        """Each stage has its share of the steps."""
        stages = len(self.earlier_stages) + 1
        if len(self.stage_shares) != stages:
            raise SettingError(
                "stage_shares",
                self.stage_shares,
                allowed=f"{stages} numbers above 0, one for each stage, such as "
                + ",".join(["1"] * stages),
                flag=flag("stage_shares"),
            )
        if not self.label_scales:
            raise SettingError(
                "label_scales",
                self.label_scales,
                allowed="one scale or more, such as 1,1.25",
                flag=flag("label_scales"),
            )


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

    earlier_stages: ClassVar[tuple[EarlierStage, ...]] = (
        EarlierStage("supervised", validations=3, snapshots=True),
        EarlierStage("st"),
    )

    stage_shares: tuple[Positive, ...] = (1.0, 1.0, 1.0)
    """How `--steps` is divided among the three stages, as relative numbers, such as `1,1,2`."""
    reliable_share: Share = 0.5
    """The share of the unlabeled images that the second stage uses, the most reliable ones. An
    image is reliable if the first stage labeled it alike after a third, two thirds and all of its
    steps."""

    @property
    def labeling_passes(self) -> float:
        """Three models of the first stage also predict each image once."""
        return super().labeling_passes + 3


@dataclass(frozen=True, kw_only=True)
class StPlusPlusPaperSettings(StPlusPlusSettings):
    """The settings of `st-plus-plus-paper`."""

    preferred_photometry: ClassVar[Photometry] = "strong"
