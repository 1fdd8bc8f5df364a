"""The settings that several methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.settings import Settings, Share


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
