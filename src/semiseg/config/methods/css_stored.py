"""The settings of `css-stored`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.base import EarlierStage
from semiseg.config.methods.stored_labels import StagedSettings
from semiseg.config.methods.two_spaces import TwoSpacesSettings
from semiseg.config.settings import Positive, Share
from semiseg.core.errors import ConfigError

Agreement: TypeAlias = Literal["representation", "frozen", "both"]


@dataclass(frozen=True, kw_only=True)
class CssStoredSettings(StagedSettings, TwoSpacesSettings):
    """The settings of `css-stored`: the labels of both spaces are stored before each stage."""

    implementation: ClassVar[str] = "semiseg.methods.css_stored:CssStored"
    own_form_of: ClassVar[str] = "CSS"
    # With the labeling of 350 images, they take as long as the usual steps of css.
    usual_steps: ClassVar[float] = 1.5

    confidence_threshold: Share = 0.95
    """The lowest confidence of a stored label that the student learns from (`delta_u`). Labels with
    which the second judge of `agreement` disagrees are never used."""
    agreement: Agreement = "representation"
    """Who has to agree with logit space before a stored label is used: the learned `representation`
    space; class scores on the `frozen` features of the pretrained encoder, which no training
    changes; or `both`. The network of `second_encoder` takes the place of the representation
    space."""
    valid_threshold: Share = 0.7
    """The lowest confidence of a stored label whose pixel takes part in the contrastive loss and in
    the prototypes (`delta_w`)."""
    hard_threshold: Share = 0.8
    """Pixels whose representations have a lower similarity indicator are hard. The contrastive loss
    pulls hard pixels to their prototypes (`delta_s`)."""
    stage_shares: tuple[Positive, ...] = (49.0, 27.0, 24.0)
    """How `--steps` is divided among the stages, as relative numbers, one for each stage. The first
    stage learns from labeled images only. The default gives each stage about a third of the time,
    since a step with unlabeled images takes about twice as long."""
    restart: bool = False
    """Start each stage again from the pretrained encoder. By default it goes on from the released
    weights and prototypes of the stage before, without their logit adjustment and with a new
    optimizer. The stages after the first then share one schedule of the learning rates: these
    rise once more, and fall to 0 at the end of the last stage."""

    def check(self) -> None:
        """There is one second judge at most."""
        super().check()
        if self.second_encoder is not None and self.agreement != "representation":
            raise ConfigError(
                f"--agreement {self.agreement} and --second-encoder {self.second_encoder} are two "
                "ways to a second judge. Leave one of them out."
            )

    @property
    def passes_of_label(self) -> float:
        """The frozen encoder sees each image once."""
        return super().passes_of_label + (self.agreement != "representation")

    @property
    def earlier_stages(self) -> tuple[EarlierStage, ...]:
        """The stage on labeled images, and those between it and the last one."""
        first = EarlierStage("css-stored", labeled_only=True)
        return (first, *[EarlierStage("css-stored")] * (len(self.stage_shares) - 2))
