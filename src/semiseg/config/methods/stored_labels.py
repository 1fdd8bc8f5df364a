"""The settings that methods with stored labels share, and those of methods with stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import SecondNetwork, SemiSupervisedSettings
from semiseg.config.methods.two_spaces import ClassBalance
from semiseg.config.settings import AUTO, NonNegative, Positive, Share, flag
from semiseg.core.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class StoredLabelSettings(SemiSupervisedSettings):
    """The settings of methods that learn labels which were stored before the training."""

    uses_stored_labels: ClassVar[bool] = True

    confidence_threshold: Share = 0.5
    """The lowest confidence of a stored label that the student learns from. Labels on which the two
    spaces of the teacher disagree are never used."""
    class_balance: ClassBalance = "labels"
    """`labels` weighs stored labels so that each class counts about as much as in the loss on
    labeled images; see `losses.pseudo.balanced_weights`. `none` uses the class weights only."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss on unlabeled images."""
    teacher_memory: Share = 0.03
    """How far back the average of the student reaches, as a share of all steps. The average teaches
    nothing here. It is released if the student is worse by more than one standard error."""
    supervised_warmup: Share = 0.0
    """The share of the steps, at the start, that use labeled images only."""


@dataclass(frozen=True, kw_only=True)
class StagedSettings(StoredLabelSettings):
    """The settings of methods with stages, whose models label the images of the next stage."""

    stage_shares: tuple[Positive, ...] = (1.0, 1.0)
    """How `--steps` is divided among the stages, as relative numbers: `1,3` gives the second of two
    stages three quarters of the steps. With three numbers there are three stages, and so on. The
    model of each stage labels the images of the next one."""
    label_scales: tuple[Positive, ...] = (1.0, 1.25)
    """The scales of the views, as factors on the size, over which the probabilities of a stored
    label are averaged. Each scale counts twice, since its mirror image is a view too."""
    restart: bool = True
    """Start each stage again from the pretrained encoder, as published. With `--no-restart` it goes
    on from the released weights of the stage before, without their logit adjustment and with a new
    optimizer. The stages after the first then share one schedule of the learning rates: these
    rise once more, and fall to 0 at the end of the last stage."""
    second_encoder: str | None = None
    """A second network that labels images too, by its encoder, such as `vit_small_patch14_dinov2`.
    Before any image is labeled, its decoder learns from the labeled images on the features of the
    frozen encoder. A stored label is then that of the mean of the probabilities of both networks.
    Choose an encoder of another kind than `encoder`, since it makes errors in other places."""
    second_weights: str = AUTO
    """The pretrained weights of the second encoder, as for `weights`: `auto` or `hub`, a tag, a
    repository such as `hf-hub:OWNER/NAME`, a file, or the folder of a finished run."""
    second_share: Positive = 0.5
    """The steps of the second network, as a share of `--steps`; they come on top of these. With
    DINOv2-S beside the default encoder on a CPU, its training then takes about 15 % of the time of
    the whole run, and its labels about half as much."""
    second_scale: Positive = 1.0
    """The working size of the second network, as a factor on `size`. A vision transformer sees
    patches of 14 or 16 pixels, so small images leave it few of them. With a scale of 2 it has four
    times as many, and its labels and predictions take five times as long. Its training takes about
    as long as before: on a CPU it caches features of fewer views (32, divided by the square of the
    scale, and 8 at least), and a step decodes a random part of a view, of 224 pixels."""
    second_released: bool = False
    """Release both networks as one model, whose probabilities are the mean of theirs. A prediction
    takes the time of both together. If the mean is worse on `val` by more than one standard error
    than the network of the last stage, that one is released alone. If stage 1 is better than this
    choice by more than one standard error, stage 1 is released."""

    @property
    def shares_of_stages(self) -> tuple[float, ...]:
        """The share of the steps in each stage; their sum is 1."""
        return tuple(share / sum(self.stage_shares) for share in self.stage_shares)

    @property
    def goes_on(self) -> bool:
        """Stages that do not start again go on."""
        return not self.restart

    @property
    def passes_of_label(self) -> float:
        """The forward passes for the label of an image; a view costs the square of its scale."""
        return 2 * sum(scale**2 for scale in self.label_scales)

    @property
    def labelings(self) -> int:
        """Each image is labeled once before each stage but the first."""
        return len(self.stage_shares) - 1

    @property
    def second_network(self) -> SecondNetwork | None:
        """The network of `second_encoder`."""
        if self.second_encoder is None:
            return None
        return SecondNetwork(
            self.second_encoder, self.second_weights, self.second_share, self.second_scale
        )

    @property
    def releases_second(self) -> bool:
        """As the setting says."""
        return self.second_released

    def check(self) -> None:
        """There are two stages or more, and a view to label images with.

        The settings of a second network need its encoder.
        """
        if len(self.stage_shares) < 2:
            raise SettingError(
                "stage_shares",
                self.stage_shares,
                allowed="two numbers above 0 or more, one for each stage, such as 1,1",
                flag=flag("stage_shares"),
            )
        if not self.label_scales:
            raise SettingError(
                "label_scales",
                self.label_scales,
                allowed="one scale or more, such as 1,1.25",
                flag=flag("label_scales"),
            )
        for name in ("second_weights", "second_share", "second_scale", "second_released"):
            if self.second_encoder is None and getattr(self, name) != getattr(StagedSettings, name):
                raise SettingError(
                    name,
                    getattr(self, name),
                    allowed="left out, since it is for the network of --second-encoder",
                    flag=flag(name),
                )
