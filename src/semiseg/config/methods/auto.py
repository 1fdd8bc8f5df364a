"""The settings of a training whose method the plan chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import MethodSettings

DEFAULT_METHOD = "css-stored"
"""The method that `auto` means for a folder of images."""
ONLINE_METHOD = "css"
"""The method that `auto` means for a pool, and where the steps are too few for stages."""
FALLBACK_METHOD = "supervised"
"""The method that `auto` means where the plan can see that unlabeled images will not pay."""


@dataclass(frozen=True, kw_only=True)
class AutoSettings(MethodSettings):
    """No settings: the method is still `auto`, and the unlabeled images may be used."""

    uses_unlabeled: ClassVar[bool] = True
