"""The settings of `supervised`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import MethodSettings


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings(MethodSettings):
    """`supervised` has no settings of its own."""

    implementation: ClassVar[str] = "semiseg.methods.supervised:Supervised"
