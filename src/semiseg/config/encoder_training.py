"""Which part of the encoder is trained, as the setting `encoder_training` names it."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from semiseg.config.settings import flag
from semiseg.core.errors import SettingError

TrainedPart: TypeAlias = Literal["full", "head", "norms", "lora", "last"]

_PARTS: tuple[TrainedPart, ...] = ("full", "head", "norms", "lora")
_ALLOWED = "full, head, norms, lora, or last-N with a number of blocks or stages, such as last-4"


class EncoderTraining(NamedTuple):
    """The part of the encoder that is trained.

    Attributes:
        part: `full` (all of it), `head` (nothing), `norms` (its normalization layers), `lora`
            (low-rank updates of its weights) or `last` (its last blocks or stages).
        last: the number of those blocks or stages; None for another part.
    """

    part: TrainedPart
    last: int | None = None

    def __str__(self) -> str:
        """The value of the setting, such as `last-4`."""
        return self.part if self.last is None else f"{self.part}-{self.last}"


def parse_encoder_training(text: str, setting: str = "encoder_training") -> EncoderTraining:
    """Read the value of the setting.

    Args:
        text: such as `head` or `last-4`.
        setting: the setting that holds it, for the error.

    Raises:
        SettingError: it is no such value.
    """
    for part in _PARTS:
        if text == part:
            return EncoderTraining(part)
    match = re.fullmatch(r"last-([1-9]\d{0,3})", text)
    if match is None:
        raise SettingError(setting, text, allowed=_ALLOWED, flag=flag(setting))
    return EncoderTraining("last", int(match[1]))
