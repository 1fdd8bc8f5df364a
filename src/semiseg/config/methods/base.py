"""The settings that several methods share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from semiseg.config.settings import PositiveInt, Settings, Share

Photometry: TypeAlias = Literal["mild", "paper", "strong", "random"]
UnseenPrototypes: TypeAlias = Literal["masked", "zeros"]


class EarlierStage(NamedTuple):
    """A training that comes before that of a method with stages.

    Attributes:
        method: its method.
        validations: the number of its validations.
        snapshots: whether it keeps its weights at a third, two thirds and the end of its steps.
        labeled_only: whether it learns from labeled images only.
    """

    method: str
    validations: int = 1
    snapshots: bool = False
    labeled_only: bool = False


class SecondNetwork(NamedTuple):
    """A network of another encoder that labels images together with the one that is trained.

    Attributes:
        encoder: its encoder, which is frozen.
        weights: the weights of the encoder, as for `--weights`.
        share: its steps, as a share of those of the training.
        scale: its working size, as a factor on that of the training.
    """

    encoder: str
    weights: str
    share: float
    scale: float

    def steps(self, steps: int) -> int:
        """Its steps beside a training with so many steps."""
        return max(1, round(self.share * steps))

    def size(self, size: int) -> int:
        """Its working size beside a training with such a working size, in pixels."""
        return max(1, round(self.scale * size))


@dataclass(frozen=True, kw_only=True)
class MethodSettings(Settings):
    """The settings of one method; each method derives its own class.

    Attributes:
        implementation: the method's class as `module:Class`. It is a string, since the class needs
            torch and the settings must not.
        paper: the paper to cite, as `docs/methods.md` has it; empty if there is no single one.
        own_form_of: the published method of that paper, if this one is a form of our own.
        uses_unlabeled: whether the method learns from unlabeled images.
        uses_stored_labels: whether these images are labeled before the training.
        usual_steps: the steps that the plan gives it, as a multiple of the usual ones.
        preferred_encoder: the encoder where the user leaves it open; None for the one that suits
            the device.
        preferred_photometry: the color changes of unlabeled images where the user leaves them open.
    """

    implementation: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    own_form_of: ClassVar[str] = ""
    uses_unlabeled: ClassVar[bool] = False
    uses_stored_labels: ClassVar[bool] = False
    usual_steps: ClassVar[float] = 1.0
    preferred_encoder: ClassVar[str | None] = None
    preferred_photometry: ClassVar[Photometry] = "mild"

    @property
    def strong_views(self) -> int:
        """The number of strong views of an unlabeled image in each step."""
        return 1

    @property
    def earlier_stages(self) -> tuple[EarlierStage, ...]:
        """The trainings that come before the one of this method; see `training.stage`.

        This method learns from what they leave behind.
        """
        return ()

    @property
    def shares_of_stages(self) -> tuple[float, ...]:
        """The share of the steps in each stage; their sum is 1."""
        return (1.0,)

    @property
    def goes_on(self) -> bool:
        """Whether each stage goes on from the weights of the stage before."""
        return False

    @property
    def passes_of_label(self) -> float:
        """The forward passes of one network at working size for the stored label of an image."""
        return 0.0

    @property
    def labelings(self) -> int:
        """How often an unlabeled image is labeled between the stages, at most."""
        return 0

    @property
    def choosing_passes(self) -> float:
        """The forward passes for each unlabeled image by which a stage chooses its images."""
        return 0.0

    @property
    def second_network(self) -> SecondNetwork | None:
        """The second network that labels images; None for a training without one."""
        return None

    @property
    def releases_second(self) -> bool:
        """Whether the second network is released too, together with the first one."""
        return False

    @property
    def pixel_setting(self) -> str | None:
        """The setting by which each step changes pixels; None if the views of an image are fixed.

        The features of such pixels cannot be cached.
        """
        return None

    @property
    def uses_frozen_features(self) -> bool:
        """Whether `compute` takes cached features instead of the pixels of unlabeled images."""
        return self.pixel_setting is None

    @property
    def earlier_run(self) -> Path | None:
        """A run that labels images: its validation images must stay out of this training."""
        return None

    def check_folders(self, out: Path) -> None:
        """Compare folders of the settings with the run folder `out`; a method may override this.

        Raises:
            ConfigError: both name the same folder.
        """

    def check_start(self) -> None:
        """Refuse settings that no new training can start with; a method may override this.

        Raises:
            ConfigError: a setting is missing, or a folder does not exist.
        """


@dataclass(frozen=True, kw_only=True)
class UnlabeledSettings(MethodSettings):
    """The settings of methods that learn from unlabeled images."""

    uses_unlabeled: ClassVar[bool] = True

    supervised_warmup: Share = 0.05
    """The share of the steps, at the start, that use labeled images only."""


@dataclass(frozen=True, kw_only=True)
class SemiSupervisedSettings(UnlabeledSettings):
    """The settings of methods with an EMA teacher."""

    teacher_memory: Share = 0.03
    """How far back the teacher's average reaches, as a share of all steps."""


@dataclass(frozen=True, kw_only=True)
class PrototypicalSettings(SemiSupervisedSettings):
    """The settings of methods with a representation head and a prototype of each class."""

    representation_dim: PositiveInt = 64
    """The channels of the representation head (`D`)."""
    prototype_momentum: Share = 0.99
    """How much of a prototype stays after each batch (`a`, Eq. 3)."""
    unseen_prototypes: UnseenPrototypes = "masked"
    """Classes without a prototype: the representation space never chooses them (`masked`), or they
    have a vector of `zeros`, which is nearer than any vector at an obtuse angle."""
