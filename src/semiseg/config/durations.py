"""Times as people write them."""

from __future__ import annotations

import re

from semiseg.config.settings import flag
from semiseg.core.errors import SettingError

_UNITS = {  # as people write them, and their seconds
    "d(?:ays?)?": 86_400,
    "h(?:ours?)?": 3_600,
    "m(?:in(?:ute)?s?)?": 60,
    "s(?:ec(?:ond)?s?)?": 1,
}


def parse_duration(text: str, setting: str = "budget") -> float:
    """Seconds of a time such as `10m`, `2h`, `1h30m` or `1.5d`.

    Args:
        text: the time.
        setting: the setting that holds it, for the error.

    Raises:
        SettingError: it is not a time.
    """
    pattern = "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS)
    match = re.fullmatch(pattern, re.sub(r"\s", "", text.lower()))
    parts = match.groups(default="0") if match else ()
    seconds = sum(float(p) * unit for p, unit in zip(parts, _UNITS.values(), strict=False))
    if not seconds:
        raise SettingError(
            setting,
            text,
            allowed="a time such as 90s, 10m, 2h, 1d or 1h30m",
            flag=flag(setting),
        )
    return seconds
