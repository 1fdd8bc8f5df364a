"""The settings that several methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.settings import PositiveInt, Settings, Share

UnseenPrototypes: TypeAlias = Literal["masked", "zeros"]


@dataclass(frozen=True, kw_only=True)
class MethodSettings(Settings):
    """The settings of one method; each method derives its own class.

    Attributes:
        implementation: the method's class as `module:Class`. It is a string, since the class needs
            torch and the settings must not.
        uses_unlabeled: whether the method learns from unlabeled images.
    """

    implementation: ClassVar[str] = ""
    uses_unlabeled: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class SemiSupervisedSettings(MethodSettings):
    """The settings of methods with an EMA teacher."""

    uses_unlabeled: ClassVar[bool] = True

    teacher_memory: Share = 0.03
    """How far back the teacher's average reaches, as a share of all steps."""
    supervised_warmup: Share = 0.05
    """The share of the steps, at the start, that use labeled images only."""


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
